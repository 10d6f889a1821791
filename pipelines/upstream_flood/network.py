"""The ground that the flood rule stands on: gauges, rivers, thresholds and the model, as arrays in the order of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from pipelines.linkage.space import distance_m
from pipelines.upstream_flood.bulletins import STATUS, official
from pipelines.upstream_flood.model import Learned, learned

__all__ = ["LEVELS", "Beside", "Network", "beside", "network"]

Array = NDArray[Any]
Key = tuple[str, ...]
Record = Mapping[str, Any]
Runs = list[list[tuple[Key, int, float]]]
"""For each row its inputs: key, row, weight."""

LEVELS = ("L1", "L2", "L3", "L4")
NAMES = ("name", "river", "municipality")
THRESHOLDS = ("l1_standby_m", "l2_caution_m", "l3_evacuation_m", "l4_danger_m")

RIVER_BENDS = 1.25
"""River kilometres in a straight kilometre: how much longer a Fukui river is than the line between its gauges."""
CLASSES_KM = ((0.0, 8.0), (8.0, 20.0), (20.0, 45.0))
"""Upstream gauges are read by river distance: the farther, the earlier."""
NEIGHBOURS, NEIGHBOURS_WITHIN_KM, NEIGHBOURS_FLATTEN_KM = 10, 25.0, 3.0
"""Gauges around stand in for rain: the ten nearest within 25 km, weighed by 1 / (3 + km)."""
RAIN_STATIONS = 5
"""Rain is read from the five nearest stations that measure it, in the same circle and weighed alike."""

STALE_MIN, SILENT_MIN = 100, 180
"""A gauge that last gave a level so long ago is stale, or has no reading (minutes)."""
HEARTBEAT_STALE_MIN, HEARTBEAT_SILENT_MIN = 26 * 60, 30 * 60
"""The same for a crisis gauge below its start level, which reports once a day (minutes)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What holds of each row at one time. Rows without a gauge record are not ``valid`` and nobody's input."""

    keys: tuple[Key, ...]
    records: tuple[Record | None, ...]
    valid: Array
    thresholds_m: Array
    """rows × 4; NaN: not set, or not above the level under which the sign is lost."""
    floor_m: Array
    """Level under which readings are not believed; −inf: none."""
    start_m: Array
    """Start level of a crisis gauge; −inf for a gauge that always reports."""
    raise_at: Array
    inputs: Inputs
    stations: tuple[Key, ...]
    """Rain stations (region, station_id) that some gauge is judged by, of any region: a river does not end at a border."""
    rain: Inputs
    """One group; its inputs are indices into ``stations``."""
    learned: Learned
    named: Array
    """A number that is another where the gauge has another name, river or municipality."""
    fingerprint: Array
    """rows × 4: a number that is another where threshold or model are others."""
    beside: Beside | None = None
    """What is officially in force; None: no bulletins are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What is officially in force at each row, to be shown beside what is said of it."""

    area: tuple[str | None, ...]
    """Code of the stretch whose bulletins hold there; None: none is known."""
    official: tuple[Record | None, ...]
    """The field ``official`` of a notice; None: no bulletin is known."""
    since_ms: Array
    """When the oldest bulletin was published that this rests on; the largest number: none is known."""
    fingerprint: Array
    """A number that is another where ``official`` is another; 0: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Who is judged by whom: four groups (upstream near, mid, far; around) × rows, one run of inputs each.

    Each run begins with an input that is never there, so that none is empty.
    """

    row: Array
    """Input row of each edge; the number of rows stands for the one that is never there."""
    weight: Array
    begin: Array
    """Where the run of each (group, row) begins; groups outermost."""
    count: Array
    """groups × rows: how many inputs there are."""

    def of(self, group: int, row: int) -> Array:
        """Input rows of one run."""
        begin = int(self.begin[group * self.count.shape[1] + row]) + 1
        rows: Array = self.row[begin : begin + int(self.count[group, row])]
        return rows


def network(
    keys: Sequence[Key], gauges: Mapping[Key, Record], models: Mapping[Key, Record], features: Sequence[str], known: Learned | None = None,
    stations: Mapping[Key, Record] | None = None,
) -> Network:  # fmt: skip
    """Compiles reference records into arrays.

    Args:
        keys: (region, gauge_id) of each row.
        gauges: gauge records in force.
        models: (region,) → the flood model in force.
        features: names of the columns that the rule computes; a model with others is not used.
        known: what was learned, where it is not to be read from ``models``.
        stations: (region, station_id) → the weather station in force.
    """
    records = tuple(gauges.get(key) for key in keys)
    column = {name: _column(records, name) for name in (*THRESHOLDS, "sign_lost_below_m", "start_level_m", "raise_at_p")}
    floor_m = np.where(np.isnan(column["sign_lost_below_m"]), -np.inf, column["sign_lost_below_m"])
    thresholds = np.stack([column[name] for name in THRESHOLDS], axis=-1).reshape(len(keys), 4)
    known = known or learned(keys, models, features)
    inputs = [
        row
        for row, record in enumerate(records)
        if record and record["as_input"] == "used" and record["kind"] == "river" and np.isfinite(known.scale_m[row])
    ]
    of_rain, rain = _rain(records, stations or {})
    return Network(
        keys=tuple(keys),
        records=records,
        valid=np.array([record is not None for record in records], bool),
        thresholds_m=np.where(thresholds > floor_m[:, None], thresholds, np.nan),
        floor_m=floor_m,
        start_m=np.where([bool(each) and each["reports"] == "above_start" for each in records], column["start_level_m"], -np.inf),  # type: ignore[index]
        raise_at=np.where(np.isnan(column["raise_at_p"]), RAISE_AT, column["raise_at_p"]),
        inputs=_inputs([*_upstream(keys, records, inputs), _around(keys, records, inputs)], len(keys)),
        stations=of_rain,
        rain=rain,
        learned=known,
        named=np.array([crc32(repr([(record or {}).get(name) for name in NAMES]).encode()) for record in records], np.int64),
        fingerprint=np.array(
            [[crc32(f"{name} {limit}".encode()) for limit in row] for name, row in zip(known.names, thresholds.tolist(), strict=True)],
            np.int64,
        ).reshape(len(keys), 4),
    )


def beside(records: Sequence[Record | None], held: Mapping[Key, Record], understood: Mapping[Key, Record]) -> Beside:
    """What is officially in force at each row.

    Args:
        records: the gauge record of each row.
        held: (status, area_code) → the bulletin that holds.
        understood: the same of those whose standing is known.
    """
    area = tuple(None if record is None else record.get("forecast_area") for record in records)
    found = [(None, None) if code is None else (held.get((STATUS, code)), understood.get((STATUS, code))) for code in area]
    told = tuple(official(*both) for both in found)
    rests_on = [[each["reported_at"] for each in both if each is not None] for both in found]
    return Beside(
        area=area,
        official=told,
        since_ms=np.array([min(times, default=2**62) for times in rests_on], np.int64),
        fingerprint=np.array([0 if each is None else crc32(repr(each).encode()) for each in told], np.int64),
    )


RAISE_AT = 0.25
"""Probability from which a notice is raised where the municipality set no other."""


def _column(records: Sequence[Record | None], name: str) -> Array:
    values = (None if record is None else record[name] for record in records)
    return np.array([np.nan if value is None else value for value in values], np.float64)


def upstream_km(keys: Sequence[Key], records: Sequence[Record | None]) -> list[dict[int, float]]:
    """For each row the rows upstream of it with their distance along the river, kilometres."""
    row = {key: at for at, key in enumerate(keys)}
    out: list[dict[int, float]] = [{} for _ in keys]
    for at, record in enumerate(records):
        here, km, seen = record, 0.0, {at}
        while here is not None and here["downstream_id"] is not None:
            below = row.get((keys[at][0], here["downstream_id"]))
            if below is None or below in seen or records[below] is None:
                break
            seen.add(below)
            km += RIVER_BENDS * _km(here, records[below])  # type: ignore[arg-type]
            out[below][at] = km
            here = records[below]
    return out


def _km(a: Record, b: Record) -> float:
    return float(distance_m(a["lat_deg"], a["lon_deg"], b["lat_deg"], b["lon_deg"])) / 1000


def _upstream(keys: Sequence[Key], records: Sequence[Record | None], inputs: Sequence[int]) -> list[Runs]:
    above = upstream_km(keys, records)
    usable = set(inputs)
    return [
        [sorted((keys[at], at, 1.0) for at, km in found.items() if at in usable and near <= km < far) for found in above]
        for near, far in CLASSES_KM
    ]


def _around(keys: Sequence[Key], records: Sequence[Record | None], inputs: Sequence[int]) -> Runs:
    out: Runs = [[] for _ in keys]
    for region in {key[0] for key in keys}:
        there = [at for at in inputs if keys[at][0] == region]
        lat, lon = (np.array([records[at][name] for at in there]) for name in ("lat_deg", "lon_deg"))  # type: ignore[index]
        for at, record in enumerate(records):
            if record is not None and keys[at][0] == region and there:
                km = distance_m(record["lat_deg"], record["lon_deg"], lat, lon) / 1000
                near = sorted(
                    (float(d), keys[other], other) for d, other in zip(km, there, strict=True) if other != at and d <= NEIGHBOURS_WITHIN_KM
                )
                out[at] = [(key, other, 1 / (NEIGHBOURS_FLATTEN_KM + d)) for d, key, other in near[:NEIGHBOURS]]
    return out


def _rain(records: Sequence[Record | None], stations: Mapping[Key, Record]) -> tuple[tuple[Key, ...], Inputs]:
    """The rain stations that some gauge is judged by, and for each gauge which."""
    measure = [key for key, station in sorted(stations.items()) if station["rain"] == "measured"]
    lat, lon = (np.array([stations[key][name] for key in measure], np.float64) for name in ("lat_deg", "lon_deg"))
    near: list[list[tuple[float, int]]] = [[] for _ in records]
    for at, record in enumerate(records):
        if record is not None and measure:
            km = distance_m(record["lat_deg"], record["lon_deg"], lat, lon) / 1000
            within = np.flatnonzero(km <= NEIGHBOURS_WITHIN_KM).tolist()
            near[at] = sorted((float(km[each]), each) for each in within)[:RAIN_STATIONS]
    used = sorted({each for some in near for _, each in some})
    nth = {each: at for at, each in enumerate(used)}
    runs: Runs = [[(measure[each], nth[each], 1 / (NEIGHBOURS_FLATTEN_KM + km)) for km, each in some] for some in near]
    return tuple(measure[each] for each in used), _inputs([runs], len(used))


def _inputs(groups: Sequence[Runs], nobody: int) -> Inputs:
    runs = [run for group in groups for run in group]
    sizes = np.array([len(run) + 1 for run in runs], np.int64)
    return Inputs(
        row=np.array([row for run in runs for row in (nobody, *(row for _, row, _ in run))], np.int64),
        weight=np.array([weight for run in runs for weight in (0.0, *(weight for _, _, weight in run))]),
        begin=np.cumsum(sizes) - sizes,
        count=(sizes - 1).reshape(len(groups), len(groups[0])),
    )
