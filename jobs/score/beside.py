"""Notices of reference forecasts: what a linkage would have raised over recorded arrivals, read a day at a time.

What stands does not depend on how arrivals are cut into batches, so days are read at once, which is quick. When a notice would have
been said is then told by the gauge's own readings: a reference forecast looks at nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import polars as pl

from connectors import Arrivals
from jobs.start import engine
from pipelines.linkage import Derive
from schemas import feed

__all__ = ["notices_of"]

DAY = timedelta(days=1)


def notices_of(linkage: Derive, chunks: Sequence[Arrivals], references: Arrivals, levels: pl.DataFrame) -> pl.DataFrame:
    """What a linkage that reads nothing but each gauge itself would have said.

    Args:
        linkage: says ``river.flood-notice.v1``.
        chunks: recorded arrivals in order, with ticks.
        references: feeds that are known from the beginning.
        levels: all readings among the arrivals.

    Returns:
        The notices, each as it was raised and as it was cleared: id, revision, state, gauge_id, level, said_at, threshold_m.
    """
    running = engine(linkage)
    running.recall({name: frame for name, frame in references.items() if name in linkage.feeds})
    spoken = [running.step({name: frame for name, frame in day.items() if name in linkage.feeds}).facts for day in _days(chunks)]
    empty = pl.DataFrame(schema=feed(linkage.says).columns)
    facts = pl.concat([empty, *(each.select(empty.columns) for each in spoken if each is not None)])
    stands = facts.sort("revision").unique("id", keep="last", maintain_order=True).filter(pl.col("state") != "withdrawn")
    raised = stands.select(
        "id", revision=1, state=pl.lit("raised"), gauge_id="gauge_id", level="level", time="onset", threshold_m="threshold_m"
    )
    cleared = raised.with_columns(time=stands["ended_at"], revision=2, state=pl.lit("cleared")).drop_nulls("time")
    return _told(pl.concat([raised, cleared]), levels).sort("said_at", "id")


def _days(chunks: Sequence[Arrivals]) -> Iterator[Arrivals]:
    """Arrivals cut into days, as a chunk may hold years."""
    for chunk in chunks:
        days = pl.concat([frame["arrived"].dt.truncate("1d") for frame in chunk.values()]).unique().sort().to_list()
        for day in days:
            cut = {name: frame.filter(pl.col("arrived").is_between(day, day + DAY, closed="left")) for name, frame in chunk.items()}
            yield {name: frame for name, frame in cut.items() if frame.height}


def _told(turns: pl.DataFrame, levels: pl.DataFrame) -> pl.DataFrame:
    """When each turn was said: as the newest reading up to its time arrived, and not before that time."""
    heard = levels.select("gauge_id", "arrived", at="observed_at").sort("at", "arrived")
    both = turns.sort("time").join_asof(heard, left_on="time", right_on="at", by="gauge_id", check_sortedness=False)
    ended = pl.when(pl.col("state") == "cleared").then(pl.max_horizontal("arrived", "time")).otherwise("arrived")
    return both.with_columns(said_at=ended).drop("arrived", "at", "time", strict=False)
