"""A start: what was said, and what arrived, is read again from any log; then the engine goes on as if nothing had been.

Recovery, a moved partition and an upgrade are this same thing. The line follows from the committed positions of all
inputs, and not from the last tick alone: what came while nobody ran would be lost. What arrived since *line − reach* is read
in silence, as far as the basis of the last thing said: a successor never knows less than who spoke before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Literal, Protocol

import polars as pl

from connectors.kafka import Place
from pipelines.linkage import AHEAD, CLOCK, Engine, Linkage, Start
from schemas import feed

__all__ = ["Log", "Place", "Positions", "begin", "engine", "everything", "furthest", "line_at", "tick"]

Positions = Mapping[Place, int]
"""Of each place the offset of the next record to read."""


class Log(Protocol):
    """The inputs of a linkage as they lie in topics or files, as far as they concern one partition."""

    def newest_tick(self, until: Positions) -> datetime | None:
        """The last tick before a position; None: there is none."""

    def unread(self, after: Positions) -> Mapping[str, datetime]:
        """Of each feed the arrival of the next record; feeds that were read to their end are absent."""

    def lines(self, until: Positions) -> Mapping[str, datetime | None]:
        """Of each feed that a route writes the line that came with it before a position; None: none did."""

    def oldest(self) -> datetime | None:
        """Arrival of the oldest event that is still there, where older ones were deleted; None: none were."""

    def arrivals(self, feed_name: str, since: datetime | None, until: Positions) -> Iterator[pl.DataFrame]:
        """What arrived since an instant (None: all), as far as a position; of ticks also the last one before."""


def everything(_: str) -> bool:
    """Owns every value of ``together_by``: there is one partition."""
    return True


def engine(
    linkage: Linkage, start: Start | None = None, owns: Callable[[str], bool] = everything, late: Literal["apart", "used"] = "apart"
) -> Engine:
    """The engine of a linkage with the feeds that it names."""
    return Engine(linkage, {name: feed(name) for name in (*linkage.feeds, linkage.says)}, start, owns, late)


def tick(at: datetime) -> pl.DataFrame:
    """The one tick that makes an engine speak of what it recalls."""
    return pl.DataFrame([{"at": at, "arrived": at, "partition": 0, "offset": 0}], schema=feed(CLOCK).frame_schema)


def begin(
    linkage: Linkage,
    log: Log,
    committed: Positions,
    said: pl.DataFrame,
    owns: Callable[[str], bool] = everything,
    line: datetime | None = None,
) -> tuple[Engine, dict[Place, int]]:
    """Starts again from the log, how far it was committed, and what was said.

    Args:
        linkage: what to run.
        log: its inputs.
        committed: of each place how far it was committed.
        said: all facts said so far, in the order in which they were said.
        owns: which values of ``together_by`` lie in this partition.
        line: where the line stood, where that is known: what follows as it moves on from there was not said yet.

    Returns:
        The engine, which evaluates every key at its next step, and how far each place was read.
    """
    read = furthest(committed, said)
    line = line_at(linkage, log, committed) if line is None else max(line, _kept_from(log, log.newest_tick(committed)) or line)
    running = engine(linkage, Start(line=line, said=said), owns)
    since = None if line is None else line - linkage.reach - AHEAD
    for name in linkage.feeds:
        for frame in log.arrivals(name, None if linkage.refers_to(name) else since, read):
            running.recall({name: frame})
    return running, read


def line_at(linkage: Linkage, log: Log, positions: Positions) -> datetime | None:
    """Where the line stands when a log was read so far; None: before the first tick.

    It is the least of the last tick and the next unread arrivals, less patience. Where a log was deleted further than that,
    what was said of the time before is not judged by what is left of it.
    """
    tick = log.newest_tick(positions)
    if tick is None:
        return None
    told = log.lines(positions).values()
    line: datetime = min([tick, *log.unread(positions).values()]) - max(feed(name).patience for name in linkage.feeds)
    line = min([line, *filter(None, told)])
    return None if None in told else max(line, _kept_from(log, tick) or line)


def _kept_from(log: Log, tick: datetime | None) -> datetime | None:
    """Up to where a log was deleted, as far as the last tick; None: it was not."""
    oldest = log.oldest()
    return None if oldest is None or tick is None else min(oldest, tick)


def furthest(committed: Positions, said: pl.DataFrame) -> dict[Place, int]:
    """How far was read by whoever committed or spoke last."""
    read = dict(committed)
    bases = said.select(pl.col("basis").explode()).unnest("basis").drop_nulls() if said.height else None
    if bases is not None:
        for name, partition, offset in bases.group_by("feed", "partition").agg(pl.col("offset").max()).iter_rows():
            read[name, partition] = max(read.get((name, partition), 0), offset + 1)
    return read
