"""How the flood rule's episodes become notices: numbers rounded for people, times of arrival, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.linkage.derive import Episode
from pipelines.linkage.grid import Grid, instant, milliseconds
from pipelines.linkage.sliding import Sliding
from pipelines.upstream_flood.bulletins import BULLETIN_FEED, beside
from pipelines.upstream_flood.evidence import GROUPS, Evidence, evidence, exceedance, or_zero
from pipelines.upstream_flood.model import HORIZONS_H, RAIN_TABLE, TABLES
from pipelines.upstream_flood.network import LEVELS, Network
from pipelines.upstream_flood.rain import heard, wettest
from pipelines.upstream_flood.words import OWN_STATES, Told, own_state, sentence, withdrawal

__all__ = ["REST_ON", "Telling"]

Array = NDArray[Any]

REST_ON = timedelta(hours=40)
"""A notice rests on no reading older than this: a day, the quiet hours, staleness and the widest gap that is bridged."""
RAIN_REST_ON = timedelta(hours=32)
"""And on no hour of rain that ended earlier: a day, the quiet hours, and what of an hour has passed."""
QUANTILES = (0.1, 0.5, 0.9)
SLOTS_PER_HOUR = 6
LEVEL_STEP_M = 0.1
"""Above its level, a notice is told anew when the water changes by so much."""
LEAST_P = 0.05
"""Below this probability within the longest horizon no time of arrival is given."""
MOST_WEIGHED = 3
LEVEL_FEED, RAIN_FEED = "river.level.v1", "weather.rain.v1"


class Telling:
    """How the episodes of the flood rule are told: in which words, with which numbers, and when anew."""

    name, version = "upstream_flood", "1"
    subjects: tuple[str, ...] = (*LEVELS, *OWN_STATES)
    renewal = timedelta(hours=3)
    _last: tuple[Network, Grid, tuple[Any, ...], Evidence] | None = None
    renewed: tuple[bool, ...] = (*(True,) * len(LEVELS), *(False,) * len(OWN_STATES))

    def content(self, ground: Network, weighed: Sliding, slot: int, row: Array, subject: Array) -> Array:
        """One number for what a notice shows: probability in steps of .05, ETA to ten minutes, passed or not, what is official.

        What is said of a gauge itself names it, and nothing else that could change.
        """
        code = ground.named[row]
        level = subject < len(LEVELS)
        if level.any():
            row, subject = row[level], subject[level]
            p = weighed.window("p", slot, slot + 1)[0][row, subject]
            shown = np.where(np.isnan(p), 31, np.round(or_zero(p) * 20)).astype(np.int64)
            shown += 32 * weighed.window("unconfirmed", slot, slot + 1)[0][row]
            level_m = weighed.window("level_m", slot, slot + 1)[0][row]
            passed = level_m >= ground.thresholds_m[row, subject]
            shown = np.where(passed, 64 + np.round(or_zero(level_m) / LEVEL_STEP_M).astype(np.int64), shown)
            etas = _arrival_slots(ground, weighed, slot, row, subject)
            told = shown + ((etas % 2**15) << (18 + 15 * np.arange(3))).sum(axis=1)
            code[level] = told ^ ground.fingerprint[row, subject]
            if ground.beside is not None:
                code[level] ^= ground.beside.fingerprint[row] << 30
        return code

    def evidence(self, ground: Network, past: Grid, slots: range) -> Evidence:
        """The evidence of some slots. That of the last call is kept: what is told is mostly of the slot that was weighed just now."""
        of = (slots, past.changes, *(each.changes for each in past.beside.values()))
        match self._last:
            case (last_ground, last_past, last_of, seen) if last_ground is ground and last_past is past and last_of == of:
                return seen
        seen = evidence(ground, past, slots)
        self._last = (ground, past, of, seen)
        return seen

    def first(self, state: str) -> str:
        """A notice is raised when it did not stand before, and updated from then on."""
        return "raised" if state == "updated" else state

    def later(self, state: str) -> str:
        """The state under which a notice is held."""
        return "updated" if state == "raised" else state

    def withdraw(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What is said of a notice that does not hold: that it does not, and that this is no all-clear."""
        ja, en = withdrawal(row["level"])
        return {**row, "headline_ja": ja + row["headline_ja"].removeprefix(ja), "headline_en": en + row["headline_en"].removeprefix(en)}

    def tell(self, grounds: Callable[[int], Network], past: Grid, weighed: Sliding, episodes: Sequence[Episode]) -> list[dict[str, Any]]:
        """Each episode as the fields of ``river.flood-notice.v1``, less the envelope."""
        seen: dict[int, Evidence] = {}
        arrivals = _arrivals(grounds, weighed, [each for each in episodes if each.subject < len(LEVELS)])
        out = []
        for each in episodes:
            ground = grounds(each.slot)
            common = {"id": each.id, "region": ground.keys[each.row][0], "gauge_id": ground.keys[each.row][1],
                      "onset": instant(each.onset_ms), "ended_at": None if each.ended_ms is None else instant(each.ended_ms),
                      "rule": f"{self.name} {self.version}"}  # fmt: skip
            if each.subject < len(LEVELS):
                if each.slot not in seen:
                    seen[each.slot] = self.evidence(ground, past, range(each.slot, each.slot + 1))
                told = _about_level(ground, past, weighed, each, arrivals[each.id])
                out.append(common | told | {"because": _because(grounds, past, seen[each.slot], each)})
            else:
                out.append(common | _about_gauge(self, ground, each))
        return out


def _arrivals(grounds: Callable[[int], Network], weighed: Sliding, episodes: Sequence[Episode]) -> dict[str, list[int]]:
    """Of each episode the slots at which its level is reached, all episodes of a slot at once."""
    by_slot: dict[int, list[Episode]] = {}
    for each in episodes:
        by_slot.setdefault(each.slot, []).append(each)
    out: dict[str, list[int]] = {}
    for slot, some in by_slot.items():
        row, level = np.array([each.row for each in some]), np.array([each.subject for each in some])
        slots = _arrival_slots(grounds(slot), weighed, slot, row, level).tolist()
        out |= {each.id: told for each, told in zip(some, slots, strict=True)}
    return out


def _arrival_slots(ground: Network, weighed: Sliding, slot: int, row: Array, level: Array) -> Array:
    """Slots at which the level is reached with 10, 50 and 90 %, given that it is within the longest horizon.

    P(reached by h) is made non-decreasing in h and taken as linear between horizons; the h at which it reaches a
    quantile of its value at the longest horizon is added to the time of the newest reading. −1: passed already, or
    too improbable to say.

    Returns:
        Array (episodes × 3) of slots.
    """
    known = ground.learned
    names = "mu", "spread", "level_m", "variant", "anchor"
    mu, spread, level_m, variant, anchor = (weighed.window(name, slot, slot + 1)[0][row] for name in names)
    delta = (ground.thresholds_m[row, level] - level_m) / known.scale_m[row]
    reached = np.zeros((len(row), 1 + len(HORIZONS_H)))
    reached[:, 1:] = exceedance(known, row[:, None], variant[:, None], np.arange(len(HORIZONS_H)), mu, spread, delta[:, None])
    reached = np.fmax.accumulate(reached, axis=1)
    says = (delta > 0) & (reached[:, -1] >= LEAST_P)
    wanted = reached[:, -1:] * np.array(QUANTILES)
    at = np.maximum((reached[:, None, :] >= wanted[:, :, None]).argmax(axis=-1), 1)
    rows = np.arange(len(row))[:, None]
    below, above = reached[rows, at - 1], reached[rows, at]
    hours = np.array([0, *HORIZONS_H], np.float64)
    part = (wanted - below) / np.where(above > below, above - below, 1.0)
    when_h = hours[at - 1] + (hours[at] - hours[at - 1]) * part
    slots: Array = np.where(says[:, None], anchor[:, None] + np.ceil(when_h * SLOTS_PER_HOUR).astype(np.int64), -1)
    return slots


def _about_level(ground: Network, past: Grid, weighed: Sliding, each: Episode, arrivals: Sequence[int]) -> dict[str, Any]:
    p = float(weighed.window("p", each.slot, each.slot + 1)[0, each.row, each.subject])
    level_m = float(weighed.window("level_m", each.slot, each.slot + 1)[0, each.row])
    unconfirmed = bool(weighed.window("unconfirmed", each.slot, each.slot + 1)[0, each.row])
    etas = [None if slot < 0 else instant(slot * past.every_ms) for slot in arrivals]
    ended, end_ms = each.ended_ms is not None, each.slot * past.every_ms
    state = "cleared" if ended else "updated"
    shown = {
        "level": LEVELS[each.subject],
        "state": state,
        "threshold_m": float(ground.thresholds_m[each.row, each.subject]),
        "observed_m": None if np.isnan(level_m) else level_m,
        "p_exceed": None if np.isnan(p) else round(round(p * 20) / 20, 2),
    }
    told = Told(gauge=ground.records[each.row] or {}, eta=etas[1], unconfirmed=unconfirmed, **shown)  # type: ignore[arg-type]
    official = ground.beside.official[each.row] if ground.beside is not None else None
    ja, en = beside(sentence(told), None if ended else LEVELS[each.subject], official)
    return shown | {
        "time": instant(end_ms), "eta_p10": etas[0], "eta_p50": etas[1], "eta_p90": etas[2],
        "confirmed": "unconfirmed" if unconfirmed else "confirmed", "headline_ja": ja, "headline_en": en,
        "official": official, "model": ground.learned.names[each.row],
    }  # fmt: skip


def _held(grounds: Callable[[int], Network], past: Grid, each: Episode) -> list[Network]:
    """What held in the slot that is told, then what held before, back to before the onset: that it began and goes on rests on these."""
    now, begun = grounds(each.slot), past.slot_of(each.onset_ms) - 1
    if grounds(begun) is now:
        return [now]
    others = (ground for ground in map(grounds, range(each.slot, begun - 1, -1)) if ground.inputs is not now.inputs)
    return [now, *{id(ground.inputs): ground for ground in others}.values()]


def _because(grounds: Callable[[int], Network], past: Grid, seen: Evidence, each: Episode) -> dict[str, Any]:
    held = _held(grounds, past, each)
    row, ground, end_ms = each.row, held[0], each.slot * past.every_ms
    inputs = {row, *(int(other) for network in held for group in range(4) for other in network.inputs.of(group, row))}
    variant = int(seen.variant[0, row])
    three = HORIZONS_H.index(3)
    beta = ground.learned.coefficients[row, variant, three]
    parts = beta * seen.features[0, row] * or_zero(ground.learned.scale_m[row])
    weights = {name: float(parts[list(columns)].sum()) for name, columns in GROUPS.items()}
    if variant == RAIN_TABLE:
        of_rain = ground.learned.of_rain[row, three] * seen.rain[0, row]
        weights["rain"] = float(of_rain.sum() * ground.learned.scale_m[row])
    heaviest = sorted((name for name in weights if round(weights[name], 2)), key=lambda name: (-abs(weights[name]), name))[:MOST_WEIGHED]
    return {
        "ranges": [
            _range(LEVEL_FEED, (ground.keys[other][1] for other in inputs), end_ms, REST_ON),
            *_rain_range(held, past, row, end_ms),
            *_bulletins([ground, grounds(each.slot - 1)], row, end_ms),
        ],
        "weighed_most": [_weighed(ground, past, seen, each.slot, row, name, weights[name]) for name in heaviest],
        "variant": TABLES[variant] if ground.learned.names[row] else "",
    }


def _range(feed: str, keys: Iterable[str], end_ms: int, rest_on: timedelta) -> dict[str, Any]:
    return {"feed": feed, "keys": sorted(keys), "from_time": instant(end_ms) - rest_on, "to_time": instant(end_ms)}


def _bulletins(held: Sequence[Network], row: int, end_ms: int) -> Iterator[dict[str, Any]]:
    """The bulletins of the gauge's area, now and in the slot before, with which what is told was compared.

    They reach back to the oldest that these rest on, and as far as any notice rests on readings.
    """
    official = [each.beside for each in held if each.beside is not None]
    areas = {area for each in official if (area := each.area[row]) is not None}
    if areas:
        every = _range(BULLETIN_FEED, areas, end_ms, REST_ON)
        oldest = min(int(each.since_ms[row]) for each in official)
        yield every | {"from_time": min(every["from_time"], instant(min(oldest, end_ms)))}


def _rain_range(held: Sequence[Network], past: Grid, row: int, end_ms: int) -> Iterator[dict[str, Any]]:
    """The rain that was told around a gauge, where there was any and the model reads it."""
    first_ms = end_ms - milliseconds(RAIN_REST_ON)
    stations = {network.stations[each][1] for network in held for each in heard(network, past, row, first_ms, end_ms)}
    if stations:
        yield _range(RAIN_FEED, stations, end_ms, RAIN_REST_ON)


def _weighed(ground: Network, past: Grid, seen: Evidence, slot: int, row: int, name: str, weight_m: float) -> dict[str, Any]:
    """The reading that stands for a group of columns: of several inputs the one that rose most, of rain the wettest station."""
    if name == "rain":
        station, time_ms = wettest(ground, past, row, slot)
        about = {"gauge_id": ground.stations[station][1], "what": name, "observed_at": instant(time_ms), "level_m": None}
        return about | {"weight_m": round(weight_m, 2)}
    speaks = _leading(ground, seen, row, name)
    anchor = int(seen.anchor[0, speaks])
    taken = int(past.slots.window("time", anchor, anchor + 1)[0, speaks])
    level_m = float(seen.level_m[0, speaks])
    return {
        "gauge_id": ground.keys[speaks][1],
        "what": name,
        "observed_at": instant(taken),
        "level_m": level_m,
        "weight_m": round(weight_m, 2),
    }


def _leading(ground: Network, seen: Evidence, row: int, name: str) -> int:
    if name.startswith("own"):
        return row
    group = ("upstream near", "upstream mid", "upstream far", "around").index(name)
    fresh = [int(other) for other in ground.inputs.of(group, row) if seen.fresh[0, other]]
    return max(fresh, key=lambda other: (float(seen.features[0, other, 0] + seen.features[0, other, 2]), ground.keys[other]))


def _about_gauge(rule: Telling, ground: Network, each: Episode) -> dict[str, Any]:
    state = "cleared" if each.ended_ms is not None else rule.subjects[each.subject]
    ja, en = own_state(ground.records[each.row] or {}, state, rule.subjects[each.subject])
    time_ms = each.onset_ms if each.ended_ms is None else each.ended_ms
    because = {"ranges": [_range(LEVEL_FEED, [ground.keys[each.row][1]], time_ms, REST_ON)], "weighed_most": [], "variant": ""}
    return _NOTHING | {"state": state, "time": instant(time_ms), "headline_ja": ja, "headline_en": en, "because": because}


_NOTHING = dict.fromkeys(
    ("level", "p_exceed", "eta_p10", "eta_p50", "eta_p90", "observed_m", "threshold_m", "confirmed", "official", "model")
)
"""What only a notice about a level has."""
