"""The flood rule told a second time, in plain Python, one gauge, one slot and one reading after the other.

Written from the method and from what the rule says of itself, to be compared with it; it shares no code with the rule. All it
takes over is the grid of ten-minute slots: slot k holds what happened in the ten minutes that end at k × 10 minutes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any

MS = timedelta(milliseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SLOT_MS = 600_000
HOUR = 6
"""Slots in an hour."""
BRIDGE = 40
"""Values at most so many slots apart are interpolated."""
THRESHOLDS = {"L1": "l1_standby_m", "L2": "l2_caution_m", "L3": "l3_evacuation_m", "L4": "l4_danger_m"}
OWN_STATES = ("stale", "no_reading", "no_threshold", "not_observed")

Record = Mapping[str, Any]


def ms(instant: datetime) -> int:
    return (instant - EPOCH) // MS


def slot_of(instant: datetime) -> int:
    return -(-ms(instant) // SLOT_MS)


def moment(slot: int) -> datetime:
    return EPOCH + slot * SLOT_MS * MS


def clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def kilometres(a: Record, b: Record) -> float:
    """On the ground, by the spherical law of cosines' stable form (haversine)."""
    lat_a, lat_b = math.radians(a["lat_deg"]), math.radians(b["lat_deg"])
    turn = math.radians(b["lon_deg"] - a["lon_deg"])
    chord = math.sin((lat_b - lat_a) / 2) ** 2 + math.cos(lat_a) * math.cos(lat_b) * math.sin(turn / 2) ** 2
    return 2 * 6371.0088 * math.asin(math.sqrt(chord))


class Oracle:
    """What stands after all records were read, from slot ``begin`` to slot ``end``."""

    def __init__(
        self, readings: Sequence[Record], gauges: Sequence[Record], model: Record, begin: int, end: int, bulletins: Sequence[Record] = (),
        rain: Sequence[Record] = (), stations: Sequence[Record] = (),
    ) -> None:  # fmt: skip
        self.begin, self.end, self.model, self.bulletins = begin, end, model, bulletins
        self.stations = stations
        self.fell = {each: self._hours([r for r in rain if r["station_id"] == each]) for each in {r["station_id"] for r in stations}}
        self.gauges = gauges
        self.ids = sorted({each["gauge_id"] for each in gauges})
        self.learned = {each["gauge_id"]: each for each in model["gauges"]}
        self.cells = {each: self._cells([r for r in readings if r["gauge_id"] == each]) for each in self.ids}
        for name in (
            "gauge",
            "value",
            "last",
            "level_at",
            "own",
            "inputs",
            "rain_stations",
            "known_rain",
            "fresh",
            "features",
            "about",
            "calm",
            "quiet",
            "raises",
            "silence",
        ):
            setattr(self, name, cache(getattr(self, name)))

    # -- readings --

    @staticmethod
    def _cells(records: Sequence[Record]) -> dict[int, tuple[int, float | None]]:
        """Slot → time and level of its newest reading that stands."""
        newest: dict[datetime, Record] = {}
        for each in records:
            if each["observed_at"] not in newest or each["version"] > newest[each["observed_at"]]["version"]:
                newest[each["observed_at"]] = each
        cells: dict[int, tuple[int, float | None]] = {}
        for time in sorted(newest):
            if newest[time]["op"] == "stated":
                cells[slot_of(time)] = (ms(time), newest[time]["level_m"])
        return cells

    @staticmethod
    def _hours(records: Sequence[Record]) -> dict[int, float]:
        """Hour (counted as it ends) → amount of its newest record that stands and has one."""
        newest: dict[datetime, Record] = {}
        for each in records:
            if each["observed_at"] not in newest or each["version"] > newest[each["observed_at"]]["version"]:
                newest[each["observed_at"]] = each
        hours: dict[int, float | None] = {}
        for time in sorted(newest):
            if newest[time]["op"] == "stated":
                hours[-(-ms(time) // 3_600_000)] = newest[time]["rain_mm"]
        return {hour: amount for hour, amount in hours.items() if amount is not None}

    def gauge(self, g: str, k: int) -> Record | None:
        """The gauge record in force at the end of a slot."""
        held = [each for each in self.gauges if each["gauge_id"] == g and each["valid_from"] <= moment(k)]
        return max(held, key=lambda each: each["valid_from"], default=None)

    def floor(self, g: str, k: int) -> float:
        lost = (self.gauge(g, k) or {}).get("sign_lost_below_m")
        return -math.inf if lost is None else lost

    def threshold(self, g: str, level: str, k: int) -> float | None:
        height = (self.gauge(g, k) or {}).get(THRESHOLDS[level])
        return height if height is not None and height > self.floor(g, k) else None

    def value(self, g: str, k: int) -> float | None:
        return self.cells[g].get(k, (0, None))[1]

    def last(self, g: str, k: int) -> int | None:
        """Slot of the newest level."""
        return max((each for each, (_, level) in self.cells[g].items() if each <= k and level is not None), default=None)

    def last_mute(self, g: str, k: int) -> int | None:
        return max((each for each, (_, level) in self.cells[g].items() if each <= k and level is None), default=None)

    def level_at(self, g: str, k: int, now: int) -> float | None:
        """Level at the end of slot k as known from readings up to slot ``now``."""
        if self.value(g, k) is not None:
            return max(self.value(g, k), self.floor(g, now))  # type: ignore[type-var]
        before = self.last(g, k)
        after = min((each for each, (_, level) in self.cells[g].items() if k < each <= now and level is not None), default=None)
        if before is None or after is None or after - before > BRIDGE:
            return None
        (t0, v0), (t1, v1) = self.cells[g][before], self.cells[g][after]
        return max(v0 + (v1 - v0) * (k * SLOT_MS - t0) / (t1 - t0), self.floor(g, now))  # type: ignore[operator]

    # -- evidence --

    def fresh(self, g: str, k: int) -> bool:
        anchor = self.last(g, k)
        return anchor is not None and self.gauge(g, k) is not None and k * SLOT_MS - self.cells[g][anchor][0] <= 100 * 60_000

    def rise_m(self, g: str, a: int) -> float:
        return self.change(g, a, 0, 1)

    def change(self, g: str, a: int, newer_h: int, older_h: int) -> float:
        newer, older = (self.level_at(g, a - h * HOUR, a) for h in (newer_h, older_h))
        return 0.0 if newer is None or older is None else newer - older

    def own(self, g: str, k: int) -> dict[str, float]:
        """What a gauge says of itself at its newest reading."""
        a, learned = self.last(g, k), self.learned.get(g)
        if a is None or learned is None:
            return dict.fromkeys(("u", "lev", "d1", "d2", "d3", "d6", "d12"), 0.0)
        s, z = learned["scale_m"], self.level_at(g, a, a)
        day = [max(self.value(g, each), self.floor(g, k)) for each in range(a - 24 * HOUR + 1, a + 1) if self.value(g, each) is not None]  # type: ignore[type-var]
        out = {"u": clip((z - min(day)) / s, 0, 4), "lev": clip((z - learned["median_m"]) / s, -1, 5)}  # type: ignore[operator]
        for name, newer, older in (("d1", 0, 1), ("d2", 1, 2), ("d3", 2, 3), ("d6", 3, 6), ("d12", 6, 12)):
            out[name] = clip(self.change(g, a, newer, older) / s, -1.5, 1.5)
        return out

    def inputs(self, g: str, k: int) -> dict[str, list[tuple[str, float]]]:
        """Whom a gauge is judged by: upstream by river distance, and around it with weights."""
        here = self.gauge(g, k)
        groups: dict[str, list[tuple[str, float]]] = {"near": [], "mid": [], "far": [], "around": []}
        around = []
        for other in self.ids:
            there = self.gauge(other, k)
            if (
                other == g
                or there is None
                or here is None
                or there["as_input"] != "used"
                or there["kind"] != "river"
                or other not in self.learned
            ):
                continue
            km = self.river_km(other, g, k)
            for name, low, high in (("near", 0, 8), ("mid", 8, 20), ("far", 20, 45)):
                if km is not None and low <= km < high:
                    groups[name].append((other, 1.0))
            if kilometres(here, there) <= 25:
                around.append((kilometres(here, there), other))
        groups["around"] = [(other, 1 / (3 + km)) for km, other in sorted(around)[:10]]
        return groups

    def river_km(self, upper: str, lower: str, k: int) -> float | None:
        """Kilometres along the river from one gauge down to another; None: it does not flow there."""
        km, here, seen = 0.0, self.gauge(upper, k), {upper}
        while here is not None and here["downstream_id"] is not None and here["downstream_id"] not in seen:
            below = self.gauge(here["downstream_id"], k)
            if below is None:
                return None
            km += 1.25 * kilometres(here, below)
            if below["gauge_id"] == lower:
                return km
            seen.add(below["gauge_id"])
            here = below
        return None

    def features(self, g: str, k: int) -> dict[str, float]:
        own = self.own(g, k)
        x = dict(own)
        x |= {"rise": max(own["d1"], 0), "rise_high": own["d1"] * own["u"], "rise_faster": max(own["d1"] - own["d2"], 0), "one": 1.0}
        for group, members in self.inputs(g, k).items():
            there = [(self.own(other, k), weight) for other, weight in members if self.fresh(other, k)]
            total = sum(weight for _, weight in there)
            for name in ("u", "d1", "d2", "d3", "d6"):
                x[f"{group}_{name}"] = sum(each[name] * weight for each, weight in there) / total if there else 0.0
            if group != "around":
                x[f"{group}_ahead"] = x[f"{group}_u"] - own["u"] if there else 0.0
            else:
                x["around_share"] = sum(each["d1"] > 0.08 for each, _ in there) / len(there) if there else 0.0
                x["around_most"] = max((each["d1"] for each, _ in there), default=0.0)
                x["around_wet"] = max(x["around_d1"], 0) * clip(x["around_u"], 0, 1)
        return x

    # -- rain --

    def rain_stations(self, g: str, k: int) -> list[tuple[str, float]]:
        """The five nearest stations within 25 km that measure rain, and what they weigh."""
        here, newest = self.gauge(g, k), {}
        for each in sorted(self.stations, key=lambda each: each["valid_from"]):
            if each["valid_from"] <= moment(k):
                newest[each["station_id"]] = each
        if here is None:
            return []
        near = sorted((kilometres(here, each), name) for name, each in newest.items() if each["rain"] == "measured")
        return [(name, 1 / (3 + km)) for km, name in near if km <= 25][:5]

    def known_rain(self, g: str, k: int, hours: int) -> tuple[float | None, float]:
        """Millimetres in the last hours that had ended, as if all hours were as those that are known, and the share that is known."""
        ended = k * SLOT_MS // 3_600_000
        amount = known = wanted = 0.0
        for name, weight in self.rain_stations(g, k):
            for hour in range(ended - hours + 1, ended + 1):
                wanted += weight
                if hour in self.fell[name]:
                    known += weight
                    amount += weight * self.fell[name][hour]
        return (amount / known * hours if known else None), (known / wanted if wanted else 0.0)

    def wet(self, g: str, k: int) -> dict[str, float]:
        mm: dict[int, float] = {}
        for hours, longer in ((24, None), (6, 24), (3, 6), (1, 3)):
            told = self.known_rain(g, k, hours)[0]
            mm[hours] = told if told is not None else mm[longer] * hours / longer  # type: ignore[index, operator]
        one, three, day = (clip(mm[hours] / 50, 0, 3) for hours in (1, 3, 24))
        return {"rain_1h": one, "rain_3h": three, "rain_on_wet": three * day, "rain_on_high": three * self.own(g, k)["u"]}

    def rain_is_fresh(self, g: str, k: int) -> bool:
        return "with_rain" in self.model["variants"] and all(self.known_rain(g, k, hours)[1] >= 0.5 for hours in (6, 24))

    def variant(self, g: str, k: int) -> str:
        """The richest table of which at least half of the inputs are fresh."""
        found = self.dry_variant(g, k)
        return "with_rain" if found == "full" and self.rain_is_fresh(g, k) else found

    def dry_variant(self, g: str, k: int) -> str:
        groups = self.inputs(g, k)
        wanted = [other for name in ("near", "mid", "far") for other, _ in groups[name]]
        fresh = [other for other in wanted if self.fresh(other, k)]
        if wanted and len(fresh) < len(wanted) / 2:
            return "own"
        wanted += [other for other, _ in groups["around"]]
        fresh = [other for other in wanted if self.fresh(other, k)]
        return "full" if wanted and len(fresh) >= len(wanted) / 2 else "own_upstream"

    # -- probability --

    def reached(self, g: str, level: str, k: int, horizon_h: int) -> float | None:
        """Probability that the level is passed within the horizon."""
        learned = self.learned.get(g)
        if learned is None:
            return None
        x, variant, model = self.features(g, k), self.variant(g, k), self.model
        if variant == "with_rain":
            x = {**x, **self.wet(g, k)}
        width, h = len(model["features"]), model["horizons_h"].index(horizon_h)
        begin = (model["variants"].index(variant) * len(model["horizons_h"]) + h) * width
        beta = learned["coefficients"][begin : begin + width]
        mu = math.fsum(b * x.get(name, 0.0) for b, name in zip(beta, model["features"], strict=True))
        delta = (self.threshold(g, level, k) - self.level(g, k)) / learned["scale_m"]  # type: ignore[operator]
        if delta <= 0:
            return 1.0
        (errors,) = [
            each for each in model["errors"]
            if (each["group"], each["variant"], each["horizon_h"]) == (learned["group"], variant, horizon_h)
        ]  # fmt: skip
        row, steps = errors["exceedance"], model["error_steps"]
        constant, of_u, of_mu = errors["spread"]
        spread = max(constant + of_u * x["u"] + of_mu * max(mu, 0), 0.015)
        where = clip(((delta - mu) / spread - steps[0]) / (steps[1] - steps[0]), 0, len(steps) - 1)
        low = min(int(where), len(steps) - 2)
        return float(row[low] + (where - low) * (row[low + 1] - row[low]))

    def level(self, g: str, k: int) -> float:
        return max(self.value(g, self.last(g, k)), self.floor(g, k))  # type: ignore[arg-type, type-var, return-value]

    def net(self, g: str, level: str, k: int) -> bool:
        """The safety net: the last hour's rise once more would pass the level, which is not held to be improbable."""
        p = self.reached(g, level, k, 3)
        if p is not None and p < 0.5 * self.raise_at(g, k):
            return False
        return self.level(g, k) + max(self.rise_m(g, self.last(g, k)), 0) >= self.threshold(g, level, k)  # type: ignore[operator, arg-type]

    def raise_at(self, g: str, k: int) -> float:
        at = (self.gauge(g, k) or {}).get("raise_at_p")
        return 0.25 if at is None else at

    def judged(self, g: str, level: str, k: int) -> bool:
        return self.begin <= k and self.fresh(g, k) and self.threshold(g, level, k) is not None

    def raises(self, g: str, level: str, k: int) -> bool:
        if not self.judged(g, level, k):
            return False
        p = self.reached(g, level, k, 3)
        return self.net(g, level, k) or (p is not None and p >= self.raise_at(g, k))

    def calm(self, g: str, level: str, k: int) -> bool:
        if not self.judged(g, level, k):
            return False
        p = self.reached(g, level, k, 3)
        low = p is None or p < 0.5 * self.raise_at(g, k)
        return low and not self.net(g, level, k) and self.level(g, k) < self.threshold(g, level, k) - 0.1  # type: ignore[operator]

    def calm_twice(self, g: str, level: str, k: int) -> bool:
        """At the newest reading and at the one before it, six hours back at most."""
        anchor = self.last(g, k)
        before = None if anchor is None else self.last(g, anchor - 1)
        return before is not None and k - before <= 6 * HOUR and self.calm(g, level, k) and self.calm(g, level, before)

    def quiet(self, g: str, level: str, k: int) -> bool:
        return self.judged(g, level, k) and self.level(g, k) < self.threshold(g, level, k) and not self.raises(g, level, k)  # type: ignore[operator]

    def quiet_long(self, g: str, level: str, k: int) -> bool:
        return all(self.quiet(g, level, each) for each in range(k, k - 6 * HOUR, -1))

    def about(self, g: str, level: str, k: int) -> tuple[Any, ...]:
        """What a notice shows: probability in steps of .05, never certain before the level is passed, and times of passing."""
        if not self.fresh(g, k):
            return (None, (None, None, None))
        p = self.reached(g, level, k, 3)
        if p is not None and self.net(g, level, k):
            p = max(p, *(each["share"] for each in self.model["keeps_rising"] if each["group"] == self.learned[g]["group"]))
        if p is not None and not self.passed(g, level, k):
            p = min(p, 0.95)
        return (None if p is None else round(round(p * 20) / 20, 2), self.times(g, level, k))

    def passed(self, g: str, level: str, k: int) -> bool:
        return self.level(g, k) >= self.threshold(g, level, k)  # type: ignore[operator]

    def wording(self, g: str, level: str, k: int) -> tuple[Any, ...]:
        """It is told anew when this changes: above the level the water in steps of .1 m, else what it shows and its doubts."""
        if self.fresh(g, k) and self.passed(g, level, k):
            return ("passed", round(self.level(g, k) / 0.1), self.official(g, k))
        return (*self.about(g, level, k), self.fresh(g, k) and self.doubtful(g, k), self.official(g, k))

    def official(self, g: str, k: int) -> tuple[Any, ...] | None:
        """Standing, level and time of the bulletin that holds for the gauge's stretch at the end of a slot.

        A version counts from when it was published, from three hours before it came at the earliest.
        """
        area = (self.gauge(g, k) or {}).get("forecast_area")
        newest: dict[datetime, Record] = {}
        for each in self.bulletins:
            counts = max(each["reported_at"], each["arrived"] - timedelta(hours=3))
            if each["status"] != "actual" or area is None or each["area_code"] != area or counts > moment(k):
                continue
            held = newest.get(each["reported_at"])
            if held is None or each["version"] > held["version"]:
                newest[each["reported_at"]] = each
        standing = [newest[time] for time in sorted(newest) if newest[time]["op"] == "stated"]
        if not standing:
            return None
        understood = [each["level"] for each in standing if each["standing"] != "unknown"]
        return standing[-1]["standing"], understood[-1] if understood else None, standing[-1]["code"], standing[-1]["reported_at"]

    def times(self, g: str, level: str, k: int) -> tuple[datetime | None, ...]:
        """When the level is passed with 10, 50 and 90 %, given that it is within six hours."""
        by_h = {0: 0.0}
        for horizon in self.model["horizons_h"]:
            by_h[horizon] = max(*by_h.values(), self.reached(g, level, k, horizon) or 0.0)
        final = max(by_h.values())
        if g not in self.learned or self.level(g, k) >= self.threshold(g, level, k) or final < 0.05:  # type: ignore[operator]
            return (None, None, None)
        return tuple(self.passing(by_h, share * final, self.last(g, k)) for share in (0.1, 0.5, 0.9))  # type: ignore[arg-type]

    @staticmethod
    def passing(by_h: Mapping[int, float], wanted: float, anchor: int) -> datetime:
        hours = list(by_h)
        for a, b in pairwise(hours):
            if by_h[b] >= wanted:
                h = a + (b - a) * (wanted - by_h[a]) / (by_h[b] - by_h[a])
                return moment(anchor + math.ceil(h * HOUR))
        raise AssertionError("the last value is not less than a part of it")

    def doubtful(self, g: str, k: int) -> bool:
        anchor = self.last(g, k)
        before = None if anchor is None else self.last(g, anchor - 1)
        if anchor is None or before is None or anchor - before > 4 * HOUR:
            return False
        jump = max(self.value(g, anchor), self.floor(g, k)) - max(self.value(g, before), self.floor(g, k))  # type: ignore[operator, type-var]
        scale = self.learned[g]["scale_m"] if g in self.learned else 0.8
        witnesses = [other for other, _ in self.inputs(g, k)["around"] if self.fresh(other, k)]
        return abs(jump) > max(0.8, scale) and bool(witnesses) and self.features(g, k)["around_share"] == 0

    # -- silence --

    def silence(self, g: str, k: int) -> dict[str, bool]:
        """Which states of its own a gauge is in."""
        record = self.gauge(g, k)
        if record is None:
            return dict.fromkeys(OWN_STATES, False)
        bare = all(self.threshold(g, level, k) is None for level in THRESHOLDS)
        anchor, mute = self.last(g, k), self.last_mute(g, k)
        if record["reports"] == "above_start" and mute is not None and (anchor is None or mute > anchor):
            age_min = (k - mute) * SLOT_MS / 60_000
            stale, silent = age_min > 26 * 60, age_min > 30 * 60
            return {"stale": stale, "no_reading": silent, "no_threshold": bare, "not_observed": not stale}
        if anchor is None:
            return {"stale": True, "no_reading": True, "no_threshold": bare, "not_observed": False}
        asleep = record["reports"] == "above_start" and self.value(g, anchor) < record["start_level_m"]  # type: ignore[operator]
        stale_min, silent_min = (26 * 60, 30 * 60) if asleep else (100, 180)
        age_min = (k * SLOT_MS - self.cells[g][anchor][0]) / 60_000
        stale, silent = age_min > stale_min, age_min > silent_min or (mute is not None and mute > anchor)
        return {"stale": stale, "no_reading": silent, "no_threshold": bare, "not_observed": asleep and not stale and not silent}

    # -- episodes --

    def standing(self) -> set[tuple[Any, ...]]:
        """(gauge, subject, onset, ended, state, p_exceed, times of passing, what is official) of all that should stand."""
        found = {fact for g in self.ids for level in THRESHOLDS for fact in self.notices(g, level)}
        return found | {fact for g in self.ids for state in OWN_STATES for fact in self.own_states(g, state)}

    def notices(self, g: str, level: str) -> list[tuple[Any, ...]]:
        out, onset, wording, shown = [], None, None, ()
        for k in range(self.begin, self.end + 1):
            if self.threshold(g, level, k) is None:
                onset = None
            elif onset is not None and k - onset >= 2 * HOUR and (self.calm_twice(g, level, k) or self.quiet_long(g, level, k)):
                out.append((g, level, moment(onset), moment(k), "cleared", *self.about(g, level, k), self.official(g, k)))
                onset = None
            elif onset is not None or self.raises(g, level, k):
                new = onset is None
                onset = k if onset is None else onset
                if new or self.wording(g, level, k) != wording or k % (3 * HOUR) == 0:
                    wording, shown = self.wording(g, level, k), (*self.about(g, level, k), self.official(g, k))
        if onset is not None:
            out.append((g, level, moment(onset), None, "updated", *shown))
        return out

    def own_states(self, g: str, state: str) -> list[tuple[Any, ...]]:
        out, onset = [], None
        nothing = (None, (None, None, None), None)
        for k in range(self.begin, self.end + 1):
            if self.gauge(g, k) is None:
                onset = None
            elif self.silence(g, k)[state]:
                onset = k if onset is None else onset
            elif onset is not None:
                out.append((g, state, moment(onset), moment(k), "cleared", *nothing))
                onset = None
        return out if onset is None else [*out, (g, state, moment(onset), None, state, *nothing)]
