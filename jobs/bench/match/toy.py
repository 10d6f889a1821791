"""The match that is measured: brakes and reports within 50 m and ten minutes of each other, in two feeds of their own.

The feeds hold the columns of ``road.near-miss-by-place.v1`` that a match reads, all in one shard. How late their records may
come, and so how much of the past must be held, is given: real near misses may come a month late.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import polars as pl

from jobs.bench.match.inputs import WITHIN, WITHIN_M
from pipelines.linkage import CLOCK, Engine, Match, records
from schemas import feed
from schemas.feeds import Feed, parse

__all__ = ["BRAKES", "REPORTS", "batches", "engine", "frame"]

BRAKES, REPORTS = "bench.brake.v1", "bench.report.v1"
_SAYS = "road.witnessed-near-miss.v1"
_NEAR_MISS = feed("road.near-miss-by-place.v1")
_FIELDS = ("shard", "event_id", "occurred_at", "version", "op", "lat_deg", "lon_deg")

_MATCH = Match(
    name="bench_match",
    says=_SAYS,
    together_by="shard",
    left=records(BRAKES),
    right=records(REPORTS),
    within=WITHIN,
    within_m=WITHIN_M,
    alone="unsaid",
    rule="bench_match 1",
)


def engine(patience: timedelta) -> Engine:
    """An engine of which the line stays so far behind the last tick."""
    return Engine(_MATCH, _feeds(patience))


def _feeds(patience: timedelta) -> Mapping[str, Feed]:
    fields = [each for each in _NEAR_MISS.schema["fields"] if each["name"] in _FIELDS]
    told = _NEAR_MISS.schema["feed"] | {"patience": f"PT{round(patience.total_seconds())}S", "handed_on": False}
    told |= {"identity": ["shard", "event_id", "occurred_at"]}
    near = {name: parse(_NEAR_MISS.schema | {"fields": fields, "feed": told | {"name": name}}) for name in (BRAKES, REPORTS)}
    return near | {_SAYS: feed(_SAYS), CLOCK: feed(CLOCK)}


def frame(events: pl.DataFrame, offset: int) -> pl.DataFrame:
    """Events as records of a feed, the first one at an offset. Their names are their numbers."""
    columns: dict[str, Any] = _NEAR_MISS.frame_schema
    return events.select(
        pl.lit("jp").alias("shard"),
        pl.col("event").cast(pl.String).alias("event_id"),
        pl.col("at_ms").cast(columns["occurred_at"]).alias("occurred_at"),
        pl.lit(1, pl.Int64).alias("version"),
        pl.lit("stated").alias("op"),
        "lat_deg",
        "lon_deg",
        pl.col("arrived_ms").cast(columns["arrived"]).alias("arrived"),
        pl.lit(0, pl.Int32).alias("partition"),
        pl.int_range(offset, offset + pl.len(), dtype=pl.Int64).alias("offset"),
    )


def batches(left: pl.DataFrame, right: pl.DataFrame, at_once: int) -> Iterator[dict[str, pl.DataFrame]]:
    """Both sides in order of arrival, about so many records at once, each batch behind a tick."""
    arrived = pl.concat([left["arrived_ms"], right["arrived_ms"]]).sort()
    ends = [*arrived.gather_every(at_once)[1:].to_list(), int(arrived[-1]) + 1] if len(arrived) else []
    begins = [0, 0]
    for until_ms in ends:
        out = {CLOCK: _tick(until_ms)}
        for at, (name, side) in enumerate(((BRAKES, left), (REPORTS, right))):
            stop = int(side["arrived_ms"].search_sorted(until_ms))
            out[name] = frame(side[begins[at] : stop], begins[at])
            begins[at] = stop
        yield out


def _tick(at_ms: int) -> pl.DataFrame:
    columns = feed(CLOCK).frame_schema
    row = {"at": at_ms, "arrived": at_ms, "partition": 0, "offset": at_ms}
    return pl.DataFrame([row], schema=dict.fromkeys(row, pl.Int64)).select(pl.col(name).cast(dtype) for name, dtype in columns.items())
