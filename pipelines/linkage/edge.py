"""The edge: what of a batch may be used, what came too late, what cannot be.

Judged once for each record, from the record alone, so that every reader comes to the same verdict.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.linkage.errors import BatchError
from pipelines.linkage.grid import instants, milliseconds
from pipelines.linkage.space import are_cells

if TYPE_CHECKING:
    from schemas.feeds import Feed

__all__ = ["AHEAD", "Judged", "Tells", "judge"]

AHEAD = timedelta(minutes=10)
"""How far the time of an observed record may lie after its arrival: clocks differ."""

_EVER_MS = np.iinfo(np.int64).max // 4
Row = dict[str, Any]
Tells = Literal["observed", "now", "from_then"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A batch in three parts: the records to use, and frames of ``late.v1`` and ``dead.v1``."""

    good: pl.DataFrame
    late: pl.DataFrame | None
    dead: pl.DataFrame | None


def judge(feed: Feed, batch: pl.DataFrame, *, tells: Tells, ahead_ms: int, late: Literal["apart", "used"] = "apart") -> Judged:
    """Parts a batch by how late each record came, and by what no record may be.

    Args:
        feed: the feed of the batch.
        batch: records in the feed's ``frame_schema``.
        tells: what the time of a record is. *observed*: when something was; it may be late, or lie ahead of its
            arrival. *now*: a tick; it cannot be late, and a time of long ago is none. *from_then*: a reference record, which
            holds from then on; neither.
        ahead_ms: how far a record's time may lie after its arrival, that of a tick also before it, milliseconds.
        late: *used*: nothing is too late.

    Raises:
        BatchError: the batch lacks a column of the feed.
    """
    absent = [name for name in feed.frame_schema if name not in batch.columns]
    if absent:
        raise BatchError(f"batch of {feed.name} must have the feed's columns (got none of {', '.join(absent)}): see schemas/avro")
    if tells == "from_then" or not batch.height:
        return Judged(good=batch, late=None, dead=None)
    delay_ms = instants(batch["arrived"]) - instants(batch[feed.time])
    numbers = _numbers(feed, batch)
    most_ms = ahead_ms if tells == "now" else milliseconds(feed.patience) if late == "apart" else _EVER_MS
    if delay_ms.max() <= most_ms and delay_ms.min() >= -ahead_ms and numbers.all():
        return Judged(good=batch, late=None, dead=None)
    stray, too_late = delay_ms < -ahead_ms, delay_ms > most_ms
    if tells == "now":
        stray, too_late = stray | too_late, np.zeros_like(too_late)
    dead = [
        _dead(feed, batch.filter(pl.Series(stray)), _stray(feed, ahead_ms)) if stray.any() else None,
        _dead(feed, batch.filter(pl.Series(~numbers & ~stray)), _not_a_number(feed)) if (~numbers & ~stray).any() else None,
    ]
    too_late &= numbers
    return Judged(
        good=batch.filter(pl.Series(numbers & ~too_late & ~stray)),
        late=_late(feed, batch.filter(pl.Series(too_late))) if too_late.any() else None,
        dead=pl.concat([each for each in dead if each is not None]) if any(each is not None for each in dead) else None,
    )


def _numbers(feed: Feed, batch: pl.DataFrame) -> NDArray[np.bool_]:
    """Which records hold no number that is infinite or none, and no place or cell that is not on Earth; an absent number is null."""
    good = np.ones(batch.height, bool) if feed.cell is None else are_cells(batch[feed.cell[0]], feed.cell[1])
    for name in _floats(feed):
        values, most = batch[name].to_numpy(), _most(feed, name)
        fine = np.abs(values) <= most if most < np.inf else np.isfinite(values)
        if np.count_nonzero(~fine) > batch[name].null_count():
            good &= fine | batch[name].is_null().to_numpy()
    return good


def _most(feed: Feed, name: str) -> float:
    """What the size of a number may be, at most."""
    if feed.place is None or name not in feed.place:
        return np.inf
    return 90.0 if name == feed.place[0] else 180.0


def _floats(feed: Feed) -> list[str]:
    return [name for name, dtype in feed.columns.items() if dtype.is_float()]


def _late(feed: Feed, batch: pl.DataFrame) -> pl.DataFrame:
    rows = [
        {
            "feed": feed.name,
            "time": row[feed.time],
            "arrived": row["arrived"],
            "late_by_s": (row["arrived"] - row[feed.time] - feed.patience).total_seconds(),
            "partition": row["partition"],
            "offset": row["offset"],
            "record": _json(feed, row),
        }
        for row in batch.iter_rows(named=True)
    ]
    return pl.DataFrame(rows, schema=_LATE)


def _dead(feed: Feed, batch: pl.DataFrame, reason: Callable[[Row], str]) -> pl.DataFrame:
    rows = [
        {
            "feed": feed.name,
            "arrived": row["arrived"],
            "source": f"{feed.name}[{row['partition']}]",
            "place": row["offset"],
            "reason": reason(row),
            "raw": _json(feed, row).encode(),
            "partition": row["partition"],
            "offset": row["offset"],
        }
        for row in batch.iter_rows(named=True)
    ]
    return pl.DataFrame(rows, schema=_DEAD)


def _json(feed: Feed, row: Row) -> str:
    """The fields of a record for people; times as ISO 8601."""
    return json.dumps({name: row[name] for name in feed.columns}, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else repr(value)


def _stray(feed: Feed, ahead_ms: int) -> Callable[[Row], str]:
    def reason(row: Row) -> str:
        side = "after" if row[feed.time] > row["arrived"] else "before"
        rule = f"{feed.time} must not lie more than {ahead_ms // 1000} s {side} arrival"
        return f"{rule} (got {_plain(row[feed.time])}, arrived {_plain(row['arrived'])}): check the clock of the sender"

    return reason


def _not_a_number(feed: Feed) -> Callable[[Row], str]:
    numbers = _floats(feed)

    def reason(row: Row) -> str:
        if feed.cell is not None and not are_cells(pl.Series([row[feed.cell[0]]]), feed.cell[1])[0]:
            return f"{feed.cell[0]} must be an H3 cell of resolution {feed.cell[1]} (got {row[feed.cell[0]]!r}): 15 hexadecimal digits"
        for name in numbers:
            value, most = row[name], _most(feed, name)
            if value is not None and math.isfinite(value) and abs(value) > most:
                return f"{name} must be within ±{most:g}° (got {value}): WGS84, latitude before longitude"
        rule = f"{', '.join(numbers)} must be finite (got {', '.join(str(row[name]) for name in numbers)})"
        return f"{rule}: send null where there is no value"

    return reason


_UTC_MS = pl.Datetime("ms", "UTC")
_DEAD: dict[str, Any] = {
    "feed": pl.String, "arrived": _UTC_MS, "source": pl.String, "place": pl.Int64, "reason": pl.String, "raw": pl.Binary,
    "partition": pl.Int32, "offset": pl.Int64,
}  # fmt: skip
_LATE: dict[str, Any] = {
    "feed": pl.String, "time": _UTC_MS, "arrived": _UTC_MS, "late_by_s": pl.Float64, "partition": pl.Int32, "offset": pl.Int64,
    "record": pl.String,
}  # fmt: skip
