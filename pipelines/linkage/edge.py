"""The edge: what of a batch may be used, what came too late, what cannot be.

Judged once for each record, from the record alone, so that every reader comes to the same verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pipelines.linkage.errors import BatchError
from pipelines.linkage.grid import instants, milliseconds

if TYPE_CHECKING:
    from schemas.feeds import Feed

__all__ = ["Judged", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A batch in three parts: the records to use, and frames of ``late.v1`` and ``dead.v1``."""

    good: pl.DataFrame
    late: pl.DataFrame | None
    dead: pl.DataFrame | None


def judge(feed: Feed, batch: pl.DataFrame, *, observed: bool, ahead_ms: int) -> Judged:
    """Parts a batch by how late each record came, and by what no record may be.

    Args:
        feed: the feed of the batch.
        batch: records in the feed's ``frame_schema``.
        observed: whether a record tells of its own time. Reference records and ticks do not: they hold from then
            on, and are neither late nor ahead.
        ahead_ms: how far a record's time may lie after its arrival, milliseconds.

    Raises:
        BatchError: the batch lacks a column of the feed.
    """
    absent = [name for name in feed.frame_schema if name not in batch.columns]
    if absent:
        raise BatchError(f"batch of {feed.name} must have the feed's columns (got none of {', '.join(absent)}): see schemas/avro")
    if not observed or not batch.height:
        return Judged(good=batch, late=None, dead=None)
    delay_ms = instants(batch["arrived"]) - instants(batch[feed.time])
    if delay_ms.max() <= milliseconds(feed.patience) and delay_ms.min() >= -ahead_ms:
        return Judged(good=batch, late=None, dead=None)
    late, ahead = pl.Series(delay_ms > milliseconds(feed.patience)), pl.Series(delay_ms < -ahead_ms)
    return Judged(
        good=batch.filter(~(late | ahead)),
        late=_late(feed, batch.filter(late)) if late.any() else None,
        dead=_dead(feed, batch.filter(ahead), ahead_ms) if ahead.any() else None,
    )


def _late(feed: Feed, batch: pl.DataFrame) -> pl.DataFrame:
    over = pl.col("arrived").to_physical() - pl.col(feed.time).to_physical() - milliseconds(feed.patience)
    return batch.select(
        pl.lit(feed.name).alias("feed"),
        pl.col(feed.time).alias("time"),
        "arrived",
        (over / 1000).alias("late_by_s"),
        "partition",
        "offset",
        pl.struct(list(feed.columns)).struct.json_encode().alias("record"),
    )


def _dead(feed: Feed, batch: pl.DataFrame, ahead_ms: int) -> pl.DataFrame:
    reason = pl.format(
        feed.time + " must not lie more than {} s after arrival (got {}, arrived {}): check the clock of the sender",
        pl.lit(ahead_ms // 1000),
        feed.time,
        "arrived",
    )
    return batch.select(
        pl.lit(feed.name).alias("feed"),
        "arrived",
        pl.format(feed.name + "[{}]", "partition").alias("source"),
        pl.col("offset").alias("place"),
        reason.alias("reason"),
        pl.struct(list(feed.columns)).struct.json_encode().cast(pl.Binary).alias("raw"),
        "partition",
        "offset",
    )
