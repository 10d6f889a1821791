"""One engine for all verbs: read, compute, say, then move the line and forget.

The state of a linkage is the recent past of its inputs plus what it has already said. A runtime hands over batches
in order of arrival and how far each input has been read, and takes away what is said; marks, commits and
transactions are its own business. A start is reading again: ``recall`` what was said and what arrived since
*line − reach*, then step on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import polars as pl

from pipelines.linkage.declaration import CLOCK, Linkage
from pipelines.linkage.edge import AHEAD, Tells, judge
from pipelines.linkage.grid import EPOCH, NEVER, instant, instants, milliseconds
from pipelines.linkage.said import Row

if TYPE_CHECKING:
    from schemas.feeds import Feed

__all__ = ["AHEAD", "Came", "Engine", "Fold", "Spoken", "Start", "together"]

Batch = Mapping[str, pl.DataFrame]


class Fold(Protocol):
    """A verb at work: the past that it needs and a fast way to what should be said."""

    def hear(self, feed: str, batch: pl.DataFrame) -> None:
        """Takes in records that are neither late nor unreadable."""

    def due(self, tick_ms: int) -> bool:
        """Whether anything can have changed since the last evaluation."""

    def speak(self, *, line_ms: int, next_line_ms: int, tick_ms: int, until_ms: int) -> pl.DataFrame | None:
        """What is new, changed or gone: facts without ``basis`` and ``said_at``, in a fixed order; None: nothing.

        Args:
            line_ms: the line; what is settled there stays.
            next_line_ms: the line behind this step.
            tick_ms: the last tick.
            until_ms: an instant after everything that was heard.
        """

    def recall(self, said: pl.DataFrame, line_ms: int) -> None:
        """Takes in all that was said before a start, in order."""

    @property
    def wakes_ms(self) -> int:
        """The earliest tick (ms) after which anything can follow from time alone; ``NEVER``: any may."""

    def settle(self, line_ms: int) -> None:
        """Forgets what lies further back of the line than it reaches, and facts that can no longer change."""

    def held(self) -> Mapping[str, int]:
        """How many records of each input, and how many facts, are held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What a step gives: frames of facts to say (in the feed ``says``), of ``late.v1`` and of ``dead.v1`` (None: nothing).

    Late and unreadable records go out before the facts: what is said names a basis, and a successor starts behind it.
    """

    says: Feed
    facts: pl.DataFrame | None = None
    late: pl.DataFrame | None = None
    dead: pl.DataFrame | None = None

    @property
    def rows(self) -> list[Row]:
        """The facts as rows."""
        return [] if self.facts is None else self.facts.to_dicts()

    def __bool__(self) -> bool:
        return self.facts is not None or self.late is not None or self.dead is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """From where an engine goes on: the line of the last commit (None: there was no tick), and every fact that was said."""

    line: datetime | None
    said: pl.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """The line that came with a feed which a route writes (None: not yet), and of each partition the offset of the newest word of it."""

    line: datetime | None
    offsets: Mapping[int, int]


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
        self.reach(feed, {partition: int(offsets[partitions == partition].max()) for partition in np.unique(partitions).tolist()})

    def reach(self, feed: str, offsets: Mapping[int, int]) -> None:
        """Moves on to an offset of each partition; never back."""
        for partition, offset in offsets.items():
            self.offsets[feed, partition] = max(self.offsets.get((feed, partition), -1), offset)

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
        late: what becomes of a record that is later than patience. *apart*: it is given back. *used*: it counts as any other, as a
            rebuild wants it.
    """

    def __init__(
        self, linkage: Linkage, feeds: Mapping[str, Feed], start: Start | None = None, owns: Callable[[str], bool] = lambda _: True,
        late: Literal["apart", "used"] = "apart",
    ) -> None:  # fmt: skip
        self._linkage, self._feeds, self._late = linkage, feeds, late
        self._says = feeds[linkage.says]
        self._tells: dict[str, Tells] = {
            name: "now" if name == CLOCK else "from_then" if linkage.refers_to(name) else "observed" for name in linkage.feeds
        }
        self._patience_ms = max(milliseconds(feeds[name].patience) for name in linkage.feeds)
        self._fold: Fold = linkage.fold(feeds, settles_ms=self._patience_ms, owns=owns)
        self._basis = Basis()
        self._tick_ms, self.line_ms = NEVER, NEVER
        if start is not None:
            self.line_ms = NEVER if start.line is None else _milliseconds_at(start.line)
            self._fold.recall(start.said, self.line_ms)

    def recall(self, batch: Batch) -> None:
        """Takes in what arrived earlier, and says nothing."""
        for name, judged in self._judged(batch).items():
            self._hear(name, judged.good)

    def step(
        self, batch: Batch, unread: Mapping[str, datetime] | None = None, lines: Mapping[str, Came] | None = None
    ) -> Spoken:  # fmt: skip
        """Reads a batch, says what follows, then moves the line and forgets what lies behind it.

        Args:
            batch: feed name → records in order of arrival.
            unread: feed name → arrival of the next record that is known and not read; it holds the line back.
            lines: of each feed that a route writes the line that came with it, which is never passed.

        Returns:
            Facts to say, and what was late or unreadable.
        """
        judged = self._judged(batch)
        for name, each in judged.items():
            self._hear(name, each.good)
        for name, came in (lines or {}).items():
            self._basis.reach(name, came.offsets)
        facts = None
        if self._fold.due(self._tick_ms):
            line_ms = self._next_line(unread or {}, lines or {})
            facts = self._speak(line_ms)
            self.line_ms = line_ms
            self._fold.settle(line_ms)
        return Spoken(
            says=self._says,
            facts=facts,
            late=together([each.late for each in judged.values()]),
            dead=together([each.dead for each in judged.values()]),
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
        return self._fold.held()

    def _judged(self, batch: Batch) -> dict[str, Any]:
        out = {}
        for name, frame in batch.items():
            out[name] = judge(self._feeds[name], frame, tells=self._tells[name], ahead_ms=milliseconds(AHEAD), late=self._late)
            self._basis.read(name, frame)
        return out

    def _hear(self, name: str, frame: pl.DataFrame) -> None:
        if not frame.height:
            return
        if name == CLOCK:
            self._tick_ms = max(self._tick_ms, int(instants(frame["at"]).max()))
        self._fold.hear(name, frame)

    def _speak(self, next_line_ms: int) -> pl.DataFrame | None:
        until_ms = self._basis.arrived_ms + milliseconds(2 * AHEAD)
        news = self._fold.speak(line_ms=self.line_ms, next_line_ms=next_line_ms, tick_ms=self._tick_ms, until_ms=until_ms)
        if news is None or not news.height:
            return None
        if "basis" not in self._says.columns:  # a route hands records on: they keep their arrival, and nothing is said of them
            return news
        basis = pl.Series("basis", [self._basis.positions()], dtype=self._says.columns["basis"]).new_from_index(0, news.height)
        said_at = pl.lit(instant(self._basis.arrived_ms), self._says.columns["said_at"]).alias("said_at")
        return news.with_columns(basis, said_at).select(*self._says.columns)

    def _next_line(self, unread: Mapping[str, datetime], lines: Mapping[str, Came]) -> int:
        until = min([self._tick_ms, *(_milliseconds_at(each) for each in unread.values())])
        told = [NEVER if each.line is None else _milliseconds_at(each.line) for each in lines.values()]
        return max(self.line_ms, min([until - self._patience_ms if until > NEVER else NEVER, *told]))


def _milliseconds_at(time: datetime) -> int:
    return milliseconds(time - EPOCH)


def together(frames: Iterable[pl.DataFrame | None]) -> pl.DataFrame | None:
    """Frames as one, of those that are there; None: none is."""
    there = [frame for frame in frames if frame is not None]
    return pl.concat(there) if there else None
