"""One engine for all verbs: read, compute, say, then move the line and forget.

The state of a linkage is the recent past of its inputs plus what it has already said. A runtime hands over batches
in order of arrival and how far each input has been read, and takes away what is said; marks, commits and
transactions are its own business. A start is reading again: ``recall`` what was said and what arrived since
*line − reach*, then step on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from pipelines.linkage.declaration import CLOCK, AsOf, Derive
from pipelines.linkage.edge import Tells, judge
from pipelines.linkage.grid import EPOCH, NEVER, instant, instants, milliseconds
from pipelines.linkage.said import WITHDRAWN, Row, Said

if TYPE_CHECKING:
    from schemas.feeds import Feed

__all__ = ["AHEAD", "Engine", "Fold", "Spoken", "Start"]

AHEAD = timedelta(minutes=10)
"""How far the time of an observed record may lie after its arrival: clocks differ."""

Batch = Mapping[str, pl.DataFrame]


class Fold(Protocol):
    """A verb at work: the past that it needs and a fast way to what should be said."""

    def hear(self, feed: str, batch: pl.DataFrame) -> None:
        """Takes in records that are neither late nor unreadable."""

    def due(self, tick_ms: int) -> bool:
        """Whether anything can have changed since the last evaluation."""

    def evaluate(self, line_ms: int, tick_ms: int, opened: Callable[[], Mapping[str, int]]) -> tuple[list[Row], Sequence[str]]:
        """What should be said of the subjects in scope, and these subjects."""

    @property
    def wakes_ms(self) -> int:
        """The earliest tick (ms) after which anything can follow from time alone; ``NEVER``: any may."""

    def settle(self, line_ms: int) -> None:
        """Forgets what lies further back of the line than it reaches."""

    def held(self) -> Mapping[str, int]:
        """How many records of each input are held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What a step gives: facts to say as rows of the feed ``says``, and frames of ``late.v1`` and ``dead.v1`` (None: nothing).

    Late and unreadable records go out before the facts: what is said names a basis, and a successor starts behind it.
    """

    says: Feed
    rows: Sequence[Row] = ()
    late: pl.DataFrame | None = None
    dead: pl.DataFrame | None = None

    @property
    def facts(self) -> pl.DataFrame | None:
        """The facts as a frame; None where there are none."""
        return pl.DataFrame(self.rows, schema=self.says.columns) if self.rows else None

    def __bool__(self) -> bool:
        return bool(self.rows) or self.late is not None or self.dead is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """From where an engine goes on: the line of the last commit (None: there was no tick), and every fact that was said."""

    line: datetime | None
    said: pl.DataFrame


@dataclass(slots=True)
class Basis:
    """How far each input was read, and the newest arrival in it."""

    offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    arrived_ms: int = NEVER

    def read(self, feed: str, batch: pl.DataFrame) -> None:
        """Moves on by a batch; never back."""
        if not batch.height:
            return
        self.arrived_ms = max(self.arrived_ms, int(instants(batch["arrived"]).max()))
        partitions, offsets = batch["partition"].to_numpy(), batch["offset"].to_numpy()
        for partition in np.unique(partitions).tolist():
            newest = int(offsets[partitions == partition].max())
            self.offsets[feed, partition] = max(self.offsets.get((feed, partition), -1), newest)

    def positions(self) -> list[dict[str, Any]]:
        """Feed, partition and offset of the newest record read, in a fixed order."""
        return [{"feed": feed, "partition": partition, "offset": offset} for (feed, partition), offset in sorted(self.offsets.items())]


class Engine:
    """Runs one linkage over the keys of one partition.

    Args:
        linkage: the declaration.
        feeds: every feed that it names, by name.
        start: from where to go on; None: from the beginning of time.
        owns: which values of ``together_by`` lie in this partition; silent keys are spoken for where they are owned.
    """

    def __init__(
        self, linkage: Derive, feeds: Mapping[str, Feed], start: Start | None = None, owns: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._linkage, self._feeds = linkage, feeds
        self._says = feeds[linkage.says]
        self._tells: dict[str, Tells] = {
            name: "now" if name == CLOCK else "from_then" if isinstance(linkage.input(name), AsOf) else "observed" for name in linkage.feeds
        }
        self._patience_ms = max(milliseconds(feeds[name].patience) for name in linkage.feeds)
        self._fold: Fold = linkage.fold(feeds, settles_ms=self._patience_ms, owns=owns)
        self._said, self._basis = Said(linkage.rule), Basis()
        self._tick_ms, self.line_ms = NEVER, NEVER
        if start is not None:
            self.line_ms = NEVER if start.line is None else _milliseconds_at(start.line)
            self._said.recall(_supported(self._says, start.said))
            self._said.forget(self.line_ms)

    def recall(self, batch: Batch) -> None:
        """Takes in what arrived earlier, and says nothing."""
        for name, judged in self._judged(batch).items():
            self._hear(name, judged.good)

    def step(self, batch: Batch, unread: Mapping[str, datetime] | None = None) -> Spoken:
        """Reads a batch, says what follows, then moves the line and forgets what lies behind it.

        Args:
            batch: feed name → records in order of arrival.
            unread: feed name → arrival of the next record that is known and not read; it holds the line back.

        Returns:
            Facts to say, and what was late or unreadable.
        """
        judged = self._judged(batch)
        for name, each in judged.items():
            self._hear(name, each.good)
        rows: Sequence[Row] = ()
        if self._fold.due(self._tick_ms):
            rows = self._speak()
            self._move_line(unread or {})
        return Spoken(
            says=self._says,
            rows=rows,
            late=_together([each.late for each in judged.values()]),
            dead=_together([each.dead for each in judged.values()]),
        )

    @property
    def line(self) -> datetime | None:
        """Up to where nothing can change any more; None: there was no tick yet."""
        return None if self.line_ms == NEVER else instant(self.line_ms)

    @property
    def wakes_at(self) -> datetime | None:
        """The earliest tick after which anything can follow from time alone; None: any may."""
        return None if self._fold.wakes_ms == NEVER else instant(self._fold.wakes_ms)

    def held(self) -> Mapping[str, int]:
        """How many records of each input, and how many facts, are held."""
        return {**self._fold.held(), self._linkage.says: len(self._said)}

    def _judged(self, batch: Batch) -> dict[str, Any]:
        out = {}
        for name, frame in batch.items():
            out[name] = judge(self._feeds[name], frame, tells=self._tells[name], ahead_ms=milliseconds(AHEAD))
            self._basis.read(name, frame)
        return out

    def _hear(self, name: str, frame: pl.DataFrame) -> None:
        if not frame.height:
            return
        if name == CLOCK:
            self._tick_ms = max(self._tick_ms, int(instants(frame["at"]).max()))
        self._fold.hear(name, frame)

    def _speak(self) -> list[Row]:
        should, scope = self._fold.evaluate(self.line_ms, self._tick_ms, lambda: self._said.opened(self.line_ms))
        rows = self._said.difference(should, scope, line_ms=self.line_ms, until_ms=self._basis.arrived_ms + milliseconds(2 * AHEAD))
        if not rows:
            return rows
        envelope = {"basis": self._basis.positions(), "said_at": instant(self._basis.arrived_ms)}
        return [row | envelope for row in rows]

    def _move_line(self, unread: Mapping[str, datetime]) -> None:
        until = min([self._tick_ms, *(_milliseconds_at(each) for each in unread.values())])
        self.line_ms = max(self.line_ms, until - self._patience_ms if until > NEVER else NEVER)
        self._fold.settle(self.line_ms)
        self._said.forget(self.line_ms)


def _milliseconds_at(time: datetime) -> int:
    return milliseconds(time - EPOCH)


def _supported(feed: Feed, said: pl.DataFrame) -> pl.DataFrame:
    """Facts as they were said, with what the engine needs to hold them: subject, onset, end."""
    fell = (pl.col("state") == WITHDRAWN) & pl.col("ended_at").is_not_null()
    ended = pl.when((pl.col("state") == WITHDRAWN) & ~fell).then(pl.col("said_at") + 2 * AHEAD).otherwise(pl.col("ended_at"))
    return said.select(
        *(name for name in feed.columns if name not in feed.envelope),
        "revision",
        pl.col("id").str.replace(r"/[^/]*$", "").alias("subject"),
        pl.col("onset").to_physical().alias("onset_ms"),
        ended.to_physical().alias("ended_ms"),
        fell.alias("fell"),
    )


def _together(frames: list[pl.DataFrame | None]) -> pl.DataFrame | None:
    there = [frame for frame in frames if frame is not None]
    return pl.concat(there) if there else None
