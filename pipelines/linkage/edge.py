"""The edge: what of a batch may be used, what came too late, what cannot be.

Judged once for each record, from the record alone, so that every reader comes to the same verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.linkage.errors import BatchError
from pipelines.linkage.grid import instants, milliseconds

if TYPE_CHECKING:
    from schemas.feeds import Feed

__all__ = ["Judged", "Tells", "judge"]

Tells = Literal["observed", "now", "from_then"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A batch in three parts: the records to use, and frames of ``late.v1`` and ``dead.v1``."""

    good: pl.DataFrame
    late: pl.DataFrame | None
    dead: pl.DataFrame | None


def judge(feed: Feed, batch: pl.DataFrame, *, tells: Tells, ahead_ms: int) -> Judged:
    """Parts a batch by how late each record came, and by what no record may be.

    Args:
        feed: the feed of the batch.
        batch: records in the feed's ``frame_schema``.
        tells: what the time of a record is. *observed*: when something was; it may be late, or lie ahead of its
            arrival. *now*: a tick; it cannot be late. *from_then*: a reference record, which holds from then on;
            neither.
        ahead_ms: how far a record's time may lie after its arrival, milliseconds.

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
    if tells == "now":
        delay_ms = np.minimum(delay_ms, 0)
    if delay_ms.max() <= milliseconds(feed.patience) and delay_ms.min() >= -ahead_ms and numbers.all():
        return Judged(good=batch, late=None, dead=None)
    ahead, late = delay_ms < -ahead_ms, delay_ms > milliseconds(feed.patience)
    dead = [
        _dead(feed, batch.filter(pl.Series(ahead)), _ahead(feed, ahead_ms)) if ahead.any() else None,
        _dead(feed, batch.filter(pl.Series(~numbers & ~ahead)), _not_a_number(feed)) if (~numbers & ~ahead).any() else None,
    ]
    late &= numbers
    return Judged(
        good=batch.filter(pl.Series(numbers & ~late & ~ahead)),
        late=_late(feed, batch.filter(pl.Series(late))) if late.any() else None,
        dead=pl.concat([each for each in dead if each is not None]) if any(each is not None for each in dead) else None,
    )


def _numbers(feed: Feed, batch: pl.DataFrame) -> NDArray[np.bool_]:
    """Which records hold no number that is infinite or none; an absent number is null."""
    good = np.ones(batch.height, bool)
    for name in _floats(feed):
        values = batch[name].to_numpy()
        if np.count_nonzero(~np.isfinite(values)) > batch[name].null_count():
            good &= np.isfinite(values) | batch[name].is_null().to_numpy()
    return good


def _floats(feed: Feed) -> list[str]:
    return [name for name, dtype in feed.columns.items() if dtype.is_float()]


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


def _ahead(feed: Feed, ahead_ms: int) -> pl.Expr:
    rule = feed.time + " must not lie more than {} s after arrival (got {}, arrived {}): check the clock of the sender"
    return pl.format(rule, pl.lit(ahead_ms // 1000), feed.time, "arrived")


def _not_a_number(feed: Feed) -> pl.Expr:
    numbers = _floats(feed)
    rule = f"{', '.join(numbers)} must be finite (got {', '.join('{}' for _ in numbers)}): send null where there is no value"
    return pl.format(rule, *(pl.col(name).cast(pl.String).fill_null("null") for name in numbers))


def _dead(feed: Feed, batch: pl.DataFrame, reason: pl.Expr) -> pl.DataFrame:
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
