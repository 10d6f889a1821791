"""Floods on a small river: waves that travel, gauges that fall silent, readings corrected, withdrawn, doubled and late.

In most of them it rains, too: hours that nobody recorded, stations that fall silent, move, or measure something else, amounts corrected,
withdrawn and late; and in most of these the model reads it.
"""

from __future__ import annotations

import math
import random
from datetime import timedelta
from functools import cache
from typing import Any

from pipelines.upstream_flood.evidence import FEATURES, VARIANTS
from pipelines.upstream_flood.model import RAIN, TABLES
from tests.contract.script import EPOCH, Arrival, Script, log

REGION = "small"
PATIENCE_MIN, TICK_MIN = 180, 10
CHAIN = ("a", "b", "c", "d")
"""Gauges from source to mouth. ``e`` stands beside, ``f`` has no thresholds, ``g`` never speaks, ``h`` loses its sign."""
GAUGES = (*CHAIN, "e", "f", "g", "h")
AREAS = {"a": "890904000100", "b": "890904000100", "c": "8201813100"}
"""Gauges for which there are official bulletins, and of which stretch."""
SPEAKING = tuple(each for each in GAUGES if each != "g")


def make(seed: int, end: int | None = None) -> Script:
    """The script of a seed; ``end``: its length in minutes, otherwise any."""
    g = random.Random(seed)
    hours, cadence = g.choices([(g.uniform(10, 24), 25), (g.uniform(30, 50), 50), (g.uniform(60, 80), 70)], [8, 1, 1])[0]
    end = (end or int(hours * 60)) // TICK_MIN * TICK_MIN
    readings = _readings(g, end, cadence)
    on_time = [each for each in readings if not _late(each) and not _unreadable(each)]
    ticks = [Arrival(minute=minute, record={"at": _at(minute)}) for minute in range(0, end + 1, TICK_MIN)]
    known = _gauge_records(g, end)
    taken_back = {(each.record["gauge_id"], each.record["valid_from"]) for each in known if each.record["op"] == "withdrawn"}
    holding = [each.record for each in known if (each.record["gauge_id"], each.record["valid_from"]) not in taken_back]
    final = {record["gauge_id"]: record for record in sorted(holding, key=lambda record: record["valid_from"])}
    gone = {gauge_id for gauge_id, record in final.items() if record["valid_until"] is not None and record["valid_until"] <= _at(end)}
    bare = {gauge_id for gauge_id, record in final.items() if record["l2_caution_m"] is None} | {"h"}
    fixed = {
        "clock.v1": log("clock.v1", ticks, lambda: 0),
        "river.gauge.v1": log("river.gauge.v1", known, lambda: 0),
        "river.flood-model.v1": log("river.flood-model.v1", _models(g, random.Random(f"models {seed}"), end), lambda: 0),
    }
    weather = random.Random(f"weather {seed}")
    rain, stations = _weather(weather, end) if weather.random() < 0.7 else ([], [])
    fixed_in_time = [_late(each) or _unreadable(each) or _observed(each) < 0 for each in rain]
    rain_again = [each if stays else _redrawn(each, weather, end) for each, stays in zip(rain, fixed_in_time, strict=True)]
    fixed["weather.station.v1"] = log("weather.station.v1", stations, lambda: 0)
    said = _bulletins(random.Random(-1 - seed), end)
    again = [each if each not in on_time else _redrawn(each, g, end) for each in readings]
    return Script(
        seed=seed,
        logs={
            "river.level.v1": log("river.level.v1", readings, g.random),
            "weather.rain.v1": log("weather.rain.v1", rain, weather.random),
            **fixed,
            **_told(said),
        },
        other={
            "river.level.v1": log("river.level.v1", again, g.random),
            "weather.rain.v1": log("weather.rain.v1", rain_again, weather.random),
            **fixed,
            **_told(_retold(said, random.Random(seed), end)),
        },
        silent=frozenset(
            each
            for each in {*_silent(on_time, end), *((f"{REGION}/{gauge_id}/no_threshold", "no_threshold") for gauge_id in bare)}
            if each[0].split("/")[1] not in gone
        ),
        own=frozenset({"stale", "no_reading", "no_threshold"}),
        states=frozenset({"raised", "updated", "cleared", "withdrawn", "stale", "no_reading", "no_threshold"}),
        passing=frozenset({"raised", "updated", "withdrawn"}),
        dead=sum(map(_unreadable, [*readings, *rain])),
        late=sum(_late(each) and not _unreadable(each) for each in [*readings, *rain]),
    )  # fmt: skip


def _at(minute: float) -> Any:
    return EPOCH + timedelta(minutes=minute)


def _observed(arrival: Arrival) -> float:
    return float((arrival.record["observed_at"] - EPOCH) / timedelta(minutes=1))


def _late(arrival: Arrival) -> bool:
    return arrival.minute - _observed(arrival) > PATIENCE_MIN


def _unreadable(arrival: Arrival) -> bool:
    value = arrival.record["level_m"] if "level_m" in arrival.record else arrival.record["rain_mm"]
    return _observed(arrival) - arrival.minute > TICK_MIN or (value is not None and not math.isfinite(value))


# -- readings ---------------------------------------------------------------------------------------------------------


def _readings(g: random.Random, end: int, cadence: int) -> list[Arrival]:
    waves = [(g.uniform(0, end), g.uniform(0.3, 2.2), g.uniform(60, 200)) for _ in range(1 + end // 600)]
    out: list[Arrival] = []
    for gauge_id in SPEAKING:
        step, jitter = g.choice([10, 20, cadence, cadence]), g.choice([0, 0, 0, 3])
        holes = [(begin, begin + g.uniform(60, 400)) for begin in (g.uniform(0, end) for _ in range(g.choice([0, 0, 1, 2])))]
        for minute in range(g.randrange(step), end, step):
            observed = minute // TICK_MIN * TICK_MIN + (g.randrange(TICK_MIN) if jitter else 0)
            if not any(a <= observed < b for a, b in holes):
                out += _stated(g, gauge_id, observed, _level(g, waves, gauge_id, observed), end)
    if g.random() < 0.3:
        out.append(Arrival(minute=g.uniform(0, end), record=_record("a", _at(g.choice([10**6, 5 * 10**7])), 1, 9.0)))
    if g.random() < 0.3:
        out += _strange(g, end)
    return out


def _strange(g: random.Random, end: int) -> list[Arrival]:
    """Gauges that nobody knows, and levels that are no number: they change nothing for the others."""
    minutes = [g.randrange(end) for _ in range(12)]
    unknown = [Arrival(minute=minute, record=_record(f"x{g.randrange(5)}", _at(minute), 1, g.uniform(0, 9))) for minute in minutes]
    level_m = g.choice([math.inf, -math.inf, math.nan])
    return [*unknown, Arrival(minute=minutes[0], record=_record("b", _at(minutes[0]), 9, level_m))]


def _level(g: random.Random, waves: list[tuple[float, float, float]], gauge_id: str, minute: float) -> float:
    delay = {"a": 0, "b": 50, "c": 110, "d": 190, "e": 20, "f": 30, "h": 60}[gauge_id]
    height = sum(high * math.exp(-(((minute - begin - delay) / width) ** 2)) for begin, high, width in waves)
    return round(0.5 + height + g.gauss(0, 0.01), 2)


def _stated(g: random.Random, gauge_id: str, observed: float, level_m: float, end: int) -> list[Arrival]:
    """A reading as it comes: once, twice, corrected, withdrawn, without a level, late, or not at all."""
    kind = g.random()
    delay = g.uniform(PATIENCE_MIN + 1, 900) if kind < 0.03 else min(g.expovariate(1 / 15), PATIENCE_MIN - 1)
    level = None if 0.03 < kind < 0.05 else level_m
    out = [Arrival(minute=_whole(observed + delay), record=_record(gauge_id, _at(observed), 1, level))]
    if 0.05 < kind < 0.10:
        out.append(
            Arrival(
                minute=_whole(observed + g.uniform(0, PATIENCE_MIN - 1)),
                record=_record(gauge_id, _at(observed), 2, round(level_m + g.gauss(0, 0.3), 2)),
            )
        )
    if 0.08 < kind < 0.12:
        out.append(
            Arrival(
                minute=_whole(observed + g.uniform(0, PATIENCE_MIN - 1)), record=_record(gauge_id, _at(observed), 3, level_m, "withdrawn")
            )
        )
    if 0.12 < kind < 0.18:
        out.append(Arrival(minute=_whole(observed + g.uniform(0, PATIENCE_MIN - 1)), record=out[0].record))
    return [each for each in out if each.minute <= end]


def _redrawn(arrival: Arrival, g: random.Random, end: int) -> Arrival:
    """The same record at another time within patience."""
    observed = _observed(arrival)
    return Arrival(minute=min(max(_whole(observed + g.uniform(0, PATIENCE_MIN - 1)), 0), end), record=arrival.record)


def _whole(minute: float) -> float:
    return float(math.floor(minute))


def _record(gauge_id: str, observed_at: Any, version: int, level_m: float | None, op: str = "stated") -> dict[str, Any]:
    return {"region": REGION, "gauge_id": gauge_id, "observed_at": observed_at, "version": version, "op": op, "level_m": level_m}


# -- rain -------------------------------------------------------------------------------------------------------------

HOUR_MIN, DAY_MIN = 60, 1440
STATIONS = {"s": (REGION, 36.02), "t": ("beyond", 36.13), "v": (REGION, 36.26), "far": (REGION, 37.0), "cold": (REGION, 36.05)}
"""Region and latitude: ``t`` lies behind a border, ``far`` near nobody, ``cold`` measures no rain and is heard of all the same."""


def _weather(g: random.Random, end: int) -> tuple[list[Arrival], list[Arrival]]:
    """Rain from a day before the script on, or from its beginning; and the stations, one of which may move or be closed."""
    showers = [(g.uniform(-DAY_MIN / 2, end), g.uniform(4, 30), g.uniform(60, 300)) for _ in range(2 + end // 500)]
    rain: list[Arrival] = []
    for station_id in STATIONS:
        silent = g.uniform(0, end)
        gone = (silent, silent + g.choice([0, 0, 300, 2000]))
        for hour in range(g.choice([-DAY_MIN, -DAY_MIN, 0]), end, HOUR_MIN):
            if hour % DAY_MIN != 0 and not gone[0] <= hour < gone[1]:  # nobody records the hour up to 09:00 JST
                fell = sum(high * math.exp(-(((hour - middle) / width) ** 2)) for middle, high, width in showers)
                rain += _fell(g, station_id, hour - (g.randrange(HOUR_MIN) if g.random() < 0.02 else 0), round(2 * fell) / 2, end)
    known = [Arrival(minute=-10_000, record=_station(each)) for each in STATIONS]
    since = g.randrange(0, end, TICK_MIN)
    if g.random() < 0.3:
        moved = _station(g.choice("stv"), since, lat_deg=g.uniform(36.0, 36.6))
        known.append(Arrival(minute=max(since - g.uniform(0, 600), 0), record=moved))
    if g.random() < 0.2:
        known.append(
            Arrival(minute=since, record=_station(g.choice("stv"), since + 1, valid_until=_at(g.randrange(since, end + 1, TICK_MIN))))
        )
    return rain, known


def _fell(g: random.Random, station_id: str, ended: int, rain_mm: float, end: int) -> list[Arrival]:
    """The rain of an hour as it is told: once, twice, corrected, withdrawn, without an amount, as no number, late, or not at all."""
    kind = g.random()
    delay = g.uniform(PATIENCE_MIN + 1, 900) if kind < 0.04 else g.choice([0, 20, 20, 20, g.uniform(0, PATIENCE_MIN - 1)])
    amount = None if 0.04 < kind < 0.08 else math.nan if 0.08 < kind < 0.085 else rain_mm
    out = [(delay, _amount(station_id, ended, 1, amount))]
    if 0.1 < kind < 0.18:
        out.append((g.uniform(0, PATIENCE_MIN - 1), _amount(station_id, ended, 2, rain_mm + g.choice([0.5, 5, 20]))))
    if 0.16 < kind < 0.2:
        out.append((g.uniform(0, PATIENCE_MIN - 1), _amount(station_id, ended, 3, rain_mm, "withdrawn")))
    if 0.2 < kind < 0.25:
        out.append((g.uniform(0, PATIENCE_MIN - 1), out[0][1]))
    arrivals = [Arrival(minute=_whole(ended + late), record=record) for late, record in out]
    return [each for each in arrivals if each.minute <= end]


def _amount(station_id: str, ended: int, version: int, rain_mm: float | None, op: str = "stated") -> dict[str, Any]:
    return {
        "region": STATIONS[station_id][0], "station_id": station_id, "observed_at": _at(ended), "version": version, "op": op,
        "rain_mm": rain_mm,
    }  # fmt: skip


def _station(station_id: str, since: float = -10_000, **changed: Any) -> dict[str, Any]:
    region, lat_deg = STATIONS[station_id]
    return {
        "region": region, "station_id": station_id, "valid_from": _at(since), "version": 1, "op": "stated", "valid_until": None,
        "name": station_id, "name_kana": "", "prefecture": "", "lat_deg": lat_deg, "lon_deg": 136.05, "elevation_m": 10.0,
        "rain": "unmeasured" if station_id == "cold" else "measured", **changed,
    }  # fmt: skip


# -- what is known ----------------------------------------------------------------------------------------------------


def _gauge_records(g: random.Random, end: int) -> list[Arrival]:
    out = [Arrival(minute=-10_000, record=_gauge(gauge_id)) for gauge_id in GAUGES]
    if g.random() < 0.4:  # a threshold changes
        since = g.randrange(0, end, TICK_MIN)
        out.append(
            Arrival(minute=max(since - g.uniform(0, 600), 0), record=_gauge(g.choice(CHAIN), since, l1_standby_m=g.uniform(0.8, 1.6)))
        )
    if g.random() < 0.2:  # a threshold ceases to be
        since = g.randrange(0, end, TICK_MIN)
        out.append(Arrival(minute=max(since - 60, 0), record=_gauge(g.choice(CHAIN), since, l1_standby_m=None, l2_caution_m=None)))
    if g.random() < 0.25:  # a gauge is taken out of service, announced or not
        since = g.randrange(0, end, TICK_MIN)
        out.append(Arrival(minute=since, record=_gauge("e", since, valid_until=_at(g.randrange(since, end + 1, TICK_MIN)))))
    if g.random() < 0.2:  # a record is published, and taken back: at once, or after it began to hold
        since = g.randrange(0, end, TICK_MIN)
        record = _gauge("c", since + 1, l1_standby_m=0.7)
        back = {**record, "version": 2, "op": "withdrawn"}
        out += [Arrival(minute=since, record=record), Arrival(minute=min(since + g.uniform(0, 400), end), record=back)]
    return out


def _gauge(gauge_id: str, since: float = -10_000, **changed: Any) -> dict[str, Any]:
    at = GAUGES.index(gauge_id)
    return {
        "region": REGION, "gauge_id": gauge_id, "valid_from": _at(since), "version": 1, "op": "stated", "valid_until": None,
        "name": gauge_id.upper(), "river": "小川", "municipality": "町", "manager": "", "lat_deg": 36.0 + 0.04 * at, "lon_deg": 136.0,
        "downstream_id": CHAIN[at + 1] if gauge_id in CHAIN[:-1] else None,
        "l1_standby_m": None if gauge_id == "f" else 1.0, "l2_caution_m": None if gauge_id == "f" else 1.6, "l3_evacuation_m": None,
        "l4_danger_m": None, "l1_is": "rare", "sign_lost_below_m": 1.7 if gauge_id == "h" else None, "kind": "river", "as_input": "used",
        "reports": "always", "start_level_m": None, "raise_at_p": None, "thresholds_differ": None,
        "forecast_area": AREAS.get(gauge_id), **changed,
    }  # fmt: skip


def _bulletins(g: random.Random, end: int) -> list[Arrival]:
    """Bulletins as they come: in time, late, never, twice, corrected, withdrawn, not understood, of other stretches, for exercise."""
    out: list[Arrival] = []
    for area_code in sorted({*AREAS.values(), "other"}):
        for reported in sorted(g.sample(range(-600, end), g.randint(0, 3 + end // 400))):
            out += _published(g, area_code, reported, end)
    return out


def _published(g: random.Random, area_code: str, reported: int, end: int) -> list[Arrival]:
    kind, late = g.random(), g.random() < 0.1
    level = g.choice([None, 2, 2, 3, 3, 4, 5])
    standing = "unknown" if kind < 0.15 else "stands" if level else "released"
    record = {
        "status": g.choice(["exercise", "test"]) if kind > 0.9 else "actual", "area_code": area_code, "reported_at": _at(reported),
        "version": 1, "op": "stated", "info_type": "issued", "rivers_are": "forecast", "area": f"川{area_code[:2]}", "standing": standing,
        "level": level if standing == "stands" else None, "code": "60" if standing == "unknown" else f"{level or 1}0", "name": None,
        "event_id": area_code, "title": "", "headline": "", "offices": [], "sent_at": _at(reported), "rivers": [], "prefectures": [],
        "municipalities": [], "stations": [],
    }  # fmt: skip
    first = reported + (g.randint(PATIENCE_MIN + 1, 600) if late else g.randint(1, 40))
    out = [Arrival(minute=first, record=record)]
    then = [first + g.randint(0, 500), reported + g.randint(0, PATIENCE_MIN)]
    if 0.2 < kind < 0.4:
        corrected = {"version": 2, "info_type": "corrected", "standing": "stands", "level": g.randint(2, 5), "code": "20"}
        out.append(Arrival(minute=g.choice(then), record=record | corrected))
    if 0.3 < kind < 0.5:
        out.append(Arrival(minute=g.choice(then), record=record | {"version": 3, "info_type": "cancelled", "op": "withdrawn"}))
    if 0.5 < kind < 0.6:
        out.append(Arrival(minute=g.choice(then), record=record | {"version": 4, "info_type": "corrected", "headline": "another word"}))
    return [each for each in [*out, *g.sample(out, g.randint(0, 1))] if each.minute <= end]


def _retold(arrivals: list[Arrival], g: random.Random, end: int) -> list[Arrival]:
    """Those that came within patience at another time within it, and no copies."""
    out: dict[tuple[Any, ...], Arrival] = {}
    for each in sorted(arrivals, key=lambda arrival: arrival.minute):
        record, reported = each.record, (each.record["reported_at"] - EPOCH) / timedelta(minutes=1)
        at = each.minute if each.minute - reported > PATIENCE_MIN else max(min(reported + g.randint(0, PATIENCE_MIN), end), 0)
        out.setdefault((record["status"], record["area_code"], reported, record["version"]), Arrival(minute=at, record=record))
    return list(out.values())


def _told(arrivals: list[Arrival]) -> dict[str, Any]:
    return {"river.flood-bulletin.v1": log("river.flood-bulletin.v1", arrivals, lambda: 0)}


def _models(g: random.Random, reads: random.Random, end: int) -> list[Arrival]:
    """A model, which mostly has a table for rain; and sometimes another from some time on."""
    out = [Arrival(minute=-10_000, record=_model(-10_000, 1.0, TABLES if reads.random() < 0.8 else VARIANTS))]
    if g.random() < 0.2:
        since = g.randrange(0, end, TICK_MIN)
        out.append(Arrival(minute=max(since - 30, 0), record=_model(since, 0.7, reads.choice([TABLES, VARIANTS]))))
    return out


@cache
def _model(since: int, strength: float, tables: tuple[str, ...]) -> dict[str, Any]:
    horizons, steps = [1, 2, 3, 6], [round(-1 + 0.05 * i, 2) for i in range(101)]
    beta = {"d1": 0.9, "rise": 0.6, "near_d1": 0.5, "mid_d1": 0.4, "around_d1": 0.2, "u": -0.05, "one": 0.01}
    of_rain = {"rain_1h": 0.4, "rain_3h": 0.3, "rain_on_wet": 0.2, "rain_on_high": -0.1}
    columns = [*FEATURES, *(RAIN if tables == TABLES else ())]
    rows = [
        [strength * (beta | (of_rain if table not in VARIANTS else {})).get(name, 0.0) * math.sqrt(h) for name in columns]
        for table in tables for h in horizons
    ]  # fmt: skip
    shares = [1 / (1 + math.exp(12 * step)) for step in steps]
    return {
        "region": REGION, "valid_from": _at(since), "version": 1, "op": "stated", "model": f"small-{strength}", "fitted_on": "nothing",
        "features": columns, "horizons_h": horizons, "variants": list(tables),
        "gauges": [{"gauge_id": each, "median_m": 0.5, "scale_m": 0.8, "group": "network", "coefficients": [x for row in rows for x in row],
                    "level_coefficients": []}
                   for each in GAUGES],
        "errors": [{"group": "network", "variant": v, "horizon_h": h, "exceedance": shares, "spread": [0.8, 0.2, 0.5]}
                   for v in tables for h in horizons],
        "keeps_rising": [{"group": "network", "share": 0.5}], "mu_edges": [], "error_steps": steps,
    }  # fmt: skip


# -- what must be said of the silent ----------------------------------------------------------------------------------


def _silent(arrivals: list[Arrival], end: int) -> list[tuple[str, str]]:
    """Record by record: which gauges cannot be judged at the last tick."""
    newest: dict[tuple[str, float], dict[str, Any]] = {}
    for each in arrivals:
        at = each.record["gauge_id"], _observed(each)
        if at not in newest or each.record["version"] > newest[at]["version"]:
            newest[at] = each.record
    out = []
    for gauge_id in GAUGES:
        stated = sorted((minute, record) for (one, minute), record in newest.items() if one == gauge_id and record["op"] == "stated")
        out += [(f"{REGION}/{gauge_id}/{state}", state) for state in _states(stated, max(end, _slot_end(stated)))]
    return out


def _slot_end(stated: list[tuple[float, dict[str, Any]]]) -> float:
    return max((math.ceil(minute / TICK_MIN) * TICK_MIN for minute, _ in stated), default=0)


def _states(stated: list[tuple[float, dict[str, Any]]], now: float) -> list[str]:
    levels = [minute for minute, record in stated if record["level_m"] is not None]
    if not levels:
        return ["stale", "no_reading"]
    mute = any(record["level_m"] is None and math.ceil(minute / TICK_MIN) > math.ceil(levels[-1] / TICK_MIN) for minute, record in stated)
    age = now - levels[-1]
    return [state for state, holds in (("stale", age > 100), ("no_reading", age > 180 or mute)) if holds]
