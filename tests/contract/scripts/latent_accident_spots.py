"""A small town over four years: police files that come a year late, accidents told late, corrected, moved, withdrawn; probes."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import h3ronpy
import numpy as np

from connectors import model
from jobs.linkages import MODELS
from pipelines.linkage.space import cells
from tests.contract.script import EPOCH, Arrival, Script, log

REGION = "town"
ACCIDENTS, YEARS, NEAR, PASSES, MODEL = (
    "road.accident.v1", "road.accident-year.v1", "road.near-miss.v1", "road.passes.v1", "road.spot-model.v1",
)  # fmt: skip
PATIENCE_MIN = {ACCIDENTS: 1100 * 1440, NEAR: 30 * 1440, PASSES: 30 * 1440}
FIRST, FILES = 2024, 3
DAY_MIN = 1440
END_MIN = 1400 * DAY_MIN
CROSSINGS = ((36.0631, 136.2114), (36.0650, 136.2150), (36.0700, 136.2200), (36.0500, 136.2000), (36.0580, 136.2180))


def make(seed: int, end: int | None = None) -> Script:
    """The script of a seed; all have one length."""
    g = random.Random(seed)
    accidents = _accidents(g, g.randint(40, 90))
    near, passes = _near_misses(g, 25), _passes(g, 40)
    years = [_year(FIRST + at, g) for at in range(FILES)]
    ticks = [Arrival(minute=minute, record={"at": EPOCH + timedelta(minutes=minute)}) for minute in range(0, END_MIN + 1, 40 * DAY_MIN)]
    fixed = {"clock.v1": log("clock.v1", ticks, lambda: 0), YEARS: log(YEARS, years, lambda: 0), MODEL: log(MODEL, _models(), lambda: 0)}
    logs = {ACCIDENTS: accidents, NEAR: near, PASSES: passes}
    again = {name: [each if _late(name, each) else _redrawn(name, each, g) for each in arrivals] for name, arrivals in logs.items()}
    every = [(name, each) for name, arrivals in logs.items() for each in arrivals]
    return Script(
        seed=seed,
        logs={**{name: log(name, arrivals, g.random) for name, arrivals in logs.items()}, **fixed},
        other={**{name: log(name, arrivals, g.random) for name, arrivals in again.items()}, **fixed},
        silent=frozenset(),
        own=frozenset(),
        states=frozenset({"candidate", "known", "confirmed"}),
        dead=0,
        late=sum(_late(name, each) for name, each in every),
    )


def _accidents(g: random.Random, count: int) -> list[Arrival]:
    out = []
    for number in range(count):
        year = g.choice([FIRST, FIRST, FIRST + 1, FIRST + 1, FIRST + 2])
        at, (lat, lon) = datetime(year, 1, 1, tzinfo=UTC) + timedelta(minutes=g.randint(0, 364 * DAY_MIN)), g.choice(CROSSINGS)
        published = min(year + (g.random() < 0.1), FIRST + FILES - 1)
        record = _accident(g, f"{published}{number:04}", published, at, lat + g.gauss(0, 4e-4), lon + g.gauss(0, 4e-4))
        out += [Arrival(minute=_filed(published) + g.choice([0, 0, 300]), record=record) for _ in range(g.choice([1, 1, 1, 2]))]
        if g.random() < 0.15:
            later = record | {"version": 2} | g.choice([{"op": "withdrawn"}, {"lat_deg": lat, "lon_deg": lon}, {"injured": 3}])
            out.append(Arrival(minute=_filed(published) + g.uniform(0, 90 * DAY_MIN), record=later))
        if g.random() < 0.02:
            late = record | {"accident_id": f"late{number}"}
            out.append(Arrival(minute=_minute(at) + PATIENCE_MIN[ACCIDENTS] + 600, record=late))
    return out


def _accident(g: random.Random, name: str, published: int, at: datetime, lat: float, lon: float) -> dict[str, Any]:
    return {
        "region": REGION, "accident_id": name, "occurred_at": at, "version": 1, "op": "stated", "published_year": published, "lat_deg": lat,
        "lon_deg": lon, "deaths": 0, "injured": 1, "municipality": "18201", "road_shape": g.choice(["01", "07", "14"]),
        "signal": g.choice(["1", "7"]), "width": g.choice(["03", "05"]), "route": g.choice(["00080", "40010"]), "weather": "1",
        "daylight": "12", "accident_type": "21",
    }  # fmt: skip


def _near_misses(g: random.Random, count: int) -> list[Arrival]:
    out = []
    for number in range(count):
        at, (lat, lon) = _any_time(g), g.choice(CROSSINGS)
        record = {
            "region": REGION, "event_id": f"n{number}", "occurred_at": at, "version": 1, "op": "stated", "lat_deg": lat, "lon_deg": lon,
            "kind": g.choice(["hard_brake", "report"]), "vehicle": f"v{number % 5}", "peak_g": 0.4, "speed_before_mps": 9.0,
            "source": "script", "what": None, "scary": None,
        }  # fmt: skip
        out.append(Arrival(minute=_minute(at) + g.uniform(0, PATIENCE_MIN[NEAR] - 1), record=record))
        if g.random() < 0.2:
            out.append(
                Arrival(minute=_minute(at) + g.uniform(0, PATIENCE_MIN[NEAR] - 1), record=record | {"version": 2, "op": "withdrawn"})
            )
    return out


def _passes(g: random.Random, count: int) -> list[Arrival]:
    out = []
    for number in range(count):
        at = _any_time(g).replace(hour=15, minute=0, second=0, microsecond=0)
        record = {
            "region": REGION, "cell": g.choice(_cells()), "vehicle": f"v{number % 5}", "day": at, "version": 1, "op": "stated",
            "passes": g.randint(20, 200),
        }  # fmt: skip
        out.append(Arrival(minute=_minute(at) + g.uniform(DAY_MIN, PATIENCE_MIN[PASSES] - 1), record=record))
    return out


@cache
def _cells() -> list[str]:
    places = np.array(CROSSINGS)
    return [str(each) for each in h3ronpy.cells_to_string(cells(places[:, 0], places[:, 1], 11)).to_pylist()]


def _year(year: int, g: random.Random) -> Arrival:
    out = EPOCH + timedelta(minutes=_filed(year))
    told = {"region": REGION, "year_key": str(year), "valid_from": out, "version": 1, "op": "stated"}
    record = told | {"year": year, "records": g.randint(1, 99)}
    return Arrival(minute=_filed(year), record=record)


@cache
def _model() -> dict[str, Any]:
    (record,) = model.read(MODELS[MODEL], MODEL).to_dicts()
    return {name: value for name, value in record.items() if name not in ("arrived", "partition", "offset")}


def _models() -> list[Arrival]:
    """One from the beginning, and another one from the second file on, by which own accidents weigh otherwise."""
    first = _model() | {"region": REGION, "valid_from": EPOCH}
    cells = [each | {"own_weights": [2 * weight for weight in each["own_weights"]]} for each in first["cells"]]
    later = first | {"valid_from": EPOCH + timedelta(minutes=_filed(FIRST + 1) - 90 * DAY_MIN), "cells": cells, "model": "later"}
    return [Arrival(minute=0, record=first), Arrival(minute=_filed(FIRST + 1) - 100 * DAY_MIN, record=later)]


def _filed(year: int) -> float:
    """When the file of a year is out: 1 September of the year after."""
    return _minute(datetime(year + 1, 9, 1, tzinfo=UTC))


def _any_time(g: random.Random) -> datetime:
    return EPOCH + timedelta(minutes=g.randint(0, END_MIN - 90 * DAY_MIN))


def _minute(at: datetime) -> float:
    return (at - EPOCH) / timedelta(minutes=1)


def _time(name: str, record: dict[str, Any]) -> datetime:
    time: datetime = record["day" if name == PASSES else "occurred_at"]
    return time


def _late(name: str, each: Arrival) -> bool:
    return each.minute - _minute(_time(name, each.record)) > PATIENCE_MIN[name]


def _redrawn(name: str, each: Arrival, g: random.Random) -> Arrival:
    """The same record at another time within patience, and before the end."""
    latest = min(_minute(_time(name, each.record)) + PATIENCE_MIN[name] - 1, END_MIN - 45 * DAY_MIN)
    return Arrival(minute=g.uniform(_minute(_time(name, each.record)) + DAY_MIN, latest), record=each.record)
