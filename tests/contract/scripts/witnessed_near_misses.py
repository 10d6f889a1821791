"""Near misses around a few crossings: felt and reported, near and just too far, corrected, moved, withdrawn, doubled, late.

They come as a route hands them on: each in its shard and as copies in those nearby.
"""

from __future__ import annotations

import random
from datetime import timedelta
from functools import cache
from typing import Any

import h3
import polars as pl

from pipelines.linkage.space import geodesic_m
from tests.contract.script import EPOCH, Arrival, Script, log

REGION = "town"
DAY_MIN = 24 * 60
PATIENCE_MIN, END_MIN, TICK_MIN = 30 * DAY_MIN, 36 * DAY_MIN, DAY_MIN
HAPPENS_MIN = 4 * DAY_MIN
WITHIN_MIN, WITHIN_M = 10, 50.0
FEED, RAW = "road.near-miss-by-place.v1", "road.near-miss.v1"
FELT = ("hard_brake", "hard_brake_gps", "swerve")
BORDER = h3.cell_to_boundary(h3.latlng_to_cell(36.0631, 136.2114, 5))
CROSSINGS = ((36.0631, 136.2114), (35.1815, 136.9066), (26.2124, 127.6809), BORDER[0])
"""The last one lies where three shards meet."""


def make(seed: int, end: int | None = None) -> Script:
    """The script of a seed; all have one length."""
    g = random.Random(seed)
    happened = _records(g, g.randint(30, 120))
    records = [Arrival(minute=each.minute, record=copy) for each in happened for copy in _copies(each.record, happened)]
    on_time = [each for each in records if not _late(each) and not _unreadable(each)]
    clock = {"clock.v1": _clock()}
    again = [each if each not in on_time else _redrawn(each, g) for each in records]
    return Script(
        seed=seed,
        logs={FEED: log(FEED, records, g.random), **clock},
        other={FEED: log(FEED, again, g.random), **clock},
        silent=frozenset((name, "alone") for name in _alone([each for each in happened if not _late(each) and not _unreadable(each)])),
        own=frozenset({"alone"}),
        states=frozenset({"paired", "alone", "withdrawn"}),
        passing=frozenset({"withdrawn"}),
        dead=sum(map(_unreadable, records)),
        late=sum(_late(each) and not _unreadable(each) for each in records),
    )


def _records(g: random.Random, count: int) -> list[Arrival]:
    """So many near misses in small crowds, told late, again, and otherwise."""
    out = []
    for number in range(count):
        if number % 4 == 0:
            at_s, (lat, lon) = g.randint(0, HAPPENS_MIN * 60), g.choice(CROSSINGS)
        record = _record(g, number, at_s + g.randint(-800, 800), lat + g.gauss(0, 3e-4), lon + g.gauss(0, 3e-4))
        out += [Arrival(minute=_arrives(g, record), record=record) for _ in range(g.choice([1, 1, 1, 2]))]
        if g.random() < 0.4:
            later = (
                record
                | {"version": 2}
                | g.choice([{"op": "withdrawn"}, {"lat_deg": lat}, {"kind": g.choice([*FELT, "report"])}, {"peak_g": 0.7}])
            )
            out.append(Arrival(minute=_arrives(g, later), record=later))
        if g.random() < 0.03:
            stray = record | {"event_id": f"stray{number}", "lat_deg": g.choice([float("nan"), float("inf")])}
            out.append(Arrival(minute=_arrives(g, stray), record=stray))
        if g.random() < 0.03:
            late = record | {"event_id": f"late{number}"}
            out.append(Arrival(minute=_minute(late) + PATIENCE_MIN + g.uniform(1, 600), record=late))
    return out


def raw(seed: int) -> Script:
    """The same near misses as they come before the route."""
    g = random.Random(seed)
    logs = {RAW: log(RAW, _records(g, g.randint(30, 120)), g.random), "clock.v1": _clock()}
    return Script(seed=seed, logs=logs, other=logs, silent=frozenset(), own=frozenset(), states=frozenset(), dead=0, late=0)


def _clock() -> pl.DataFrame:
    ticks = [Arrival(minute=minute, record={"at": EPOCH + timedelta(minutes=minute)}) for minute in range(0, END_MIN + 1, TICK_MIN)]
    return log("clock.v1", ticks, lambda: 0)


def _copies(record: dict[str, Any], happened: list[Arrival]) -> list[dict[str, Any]]:
    """A record under every shard that needs it, and word for those that had an earlier version of it."""
    own, stated = _shards(record), record["op"] == "stated"
    copies = [record | {"shard": shard, "home": shard == own[0] and stated} for shard in (own if stated else ())]
    had = {
        shard
        for each in happened
        if each.record["event_id"] == record["event_id"] and each.record["version"] < record["version"]
        for shard in _shards(each.record)
    }
    return copies + [record | {"shard": each, "home": False, "op": "withdrawn"} for each in sorted(had - ({*own} if stated else set()))]


def _shards(record: dict[str, Any]) -> list[str]:
    """Home first, then all that lie within the halo, by asking a ring of points."""
    lat, lon = (each if abs(each) <= 90 or name else CROSSINGS[0][name] for name, each in enumerate((record["lat_deg"], record["lon_deg"])))
    around = [(lat + dlat * WITHIN_M / 100_000, lon + dlon * WITHIN_M / 70_000) for dlat in (-1, 0, 1) for dlon in (-1, 0, 1)]
    return list(dict.fromkeys(h3.latlng_to_cell(*place, 5) for place in [(lat, lon), *around]))


def _record(g: random.Random, number: int, at_s: int, lat: float, lon: float) -> dict[str, Any]:
    return {
        "region": REGION, "event_id": f"e{number}", "occurred_at": EPOCH + timedelta(seconds=max(at_s, 0)), "version": 1, "op": "stated",
        "lat_deg": lat, "lon_deg": lon, "kind": g.choice([*FELT, "report", "report", "report"]), "vehicle": None, "peak_g": 0.4,
        "speed_before_mps": None, "source": "script", "what": None, "scary": None,
    }  # fmt: skip


def _minute(record: dict[str, Any]) -> float:
    return (record["occurred_at"] - EPOCH) / timedelta(minutes=1)


def _arrives(g: random.Random, record: dict[str, Any]) -> float:
    """Mostly soon, sometimes weeks later, never behind the end."""
    return _minute(record) + g.choice([g.uniform(0, 5), g.uniform(0, 300), g.uniform(0, PATIENCE_MIN - 1)])


def _redrawn(each: Arrival, g: random.Random) -> Arrival:
    return Arrival(minute=_arrives(g, each.record), record=each.record)


def _late(each: Arrival) -> bool:
    return each.minute - _minute(each.record) > PATIENCE_MIN


def _unreadable(each: Arrival) -> bool:
    return not abs(each.record["lat_deg"]) <= 90


def _alone(arrivals: list[Arrival]) -> set[str]:
    """Who was felt and reported by nobody, told record by record."""
    newest: dict[str, dict[str, Any]] = {}
    for each in sorted(arrivals, key=lambda each: each.record["version"]):
        newest[each.record["event_id"]] = each.record
    stand = [record for record in newest.values() if record["op"] == "stated"]
    felt, reported = ([record for record in stand if (record["kind"] == "report") is side] for side in (False, True))
    return {
        f"{_shards(one)[0]}/{REGION}@{one['event_id']}@{_ms(one)}" for one in felt if not any(_together(one, other) for other in reported)
    }


def _together(one: dict[str, Any], other: dict[str, Any]) -> bool:
    near = abs(_ms(one) - _ms(other)) <= WITHIN_MIN * 60_000
    return near and bool(_metres(one["lat_deg"], one["lon_deg"], other["lat_deg"], other["lon_deg"]) <= WITHIN_M)


def _ms(record: dict[str, Any]) -> int:
    return round(record["occurred_at"].timestamp() * 1000)


@cache
def _metres(*places: float) -> float:
    return float(geodesic_m(*places))
