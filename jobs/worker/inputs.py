"""The inputs of one partition as they come: fetched as fast as they can be, given on in order of arrival.

What is ahead of an input that still has records to give waits for it, so that a worker that was away plays the past in the
order in which it came. An input that gives nothing for a second though it has something is passed over: it delays
forgetting, never speaking.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl
from confluent_kafka import Message

from connectors.kafka_reader import Place, Reader
from connectors.lines import Lines, least, line_of
from pipelines.linkage import CLOCK, Came
from pipelines.linkage.grid import EPOCH

__all__ = ["Inputs", "Taken"]

PATIENT_S = 1.0
"""So long is waited for an input that has records and does not give them."""

ASK_AGAIN_S = 0.25
ANSWERS_WITHIN_S = 2.0
_UNKNOWN = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Records to step over, what could not be read, how far each place was read, what is known and not read, and lines that came."""

    batch: Mapping[str, pl.DataFrame]
    dead: pl.DataFrame | None
    positions: Mapping[Place, int]
    unread: Mapping[str, datetime]
    lines: Mapping[str, Came]
    tail: Sequence[Message]

    def __bool__(self) -> bool:
        return bool(self.batch) or self.dead is not None


@dataclass(slots=True)
class _Place:
    """One place: what was fetched and not given on, the bytes of that and of the last batch, the newest arrival, and where it ends."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    values: dict[int, bytes] = field(default_factory=dict)
    rows: int = 0
    newest: datetime = EPOCH
    end: int = 0
    moved: float = 0.0
    held: bool = False


@dataclass(slots=True)
class _Told:
    """The lines of one place: those that came, and those behind what was not given on yet."""

    lines: Lines
    waiting: deque[Message] = field(default_factory=deque)

    def hear_until(self, position: int) -> None:
        """Takes in what lies before an offset."""
        while self.waiting and int(self.waiting[0].offset() or 0) < position:
            self.lines.hear(self.waiting.popleft())


class Inputs:
    """Reads the inputs of one partition, and the tail of its output beside them.

    Args:
        reader: assigned here.
        positions: of each input the offset of the next record.
        tail: the output partition and the offset from which on it is watched; None: nothing is.
        most: how many messages are fetched at once; four times as many are held of a place before it is left alone.
        told: of each place that a route writes the lines that came before its position.
    """

    def __init__(
        self, reader: Reader, positions: Mapping[Place, int], tail: tuple[Place, int] | None, most: int, told: Mapping[Place, Lines]
    ) -> None:  # fmt: skip
        self._reader, self._tail, self._most = reader, tail and tail[0], most
        now = time.monotonic()
        self._places = {place: _Place(moved=now) for place in positions}
        self._dead: list[pl.DataFrame] = []
        self._lines = {place: _Told(lines=lines) for place, lines in told.items()}
        reader.assign({**positions, **dict([tail] if tail else [])})
        self._asked = 0.0
        self._ask()

    def take(self, wait_s: float) -> Taken:
        """What came, as far as no input that is behind could still give something earlier."""
        for place, each in self._places.items():
            given = self._position(place)
            each.values = {offset: value for offset, value in each.values.items() if offset >= given} if each.frames else {}
        waiting = any(each.frames for each in self._places.values())
        messages = self._reader.read(self._most, 0.0 if self._ready() else wait_s)
        tail = [each for each in messages if self._reader.place(each) == self._tail]
        self._keep([each for each in messages if self._reader.place(each) != self._tail])
        if waiting and time.monotonic() - self._asked > ASK_AGAIN_S:
            self._ask()
        batch = self._given(self._until())
        self._balance()
        positions = {place: self._position(place) for place in self._places}
        return Taken(
            batch=batch, dead=self._dead_before(positions), positions=positions, unread=self.unread(), lines=self.lines(), tail=tail
        )

    def unread(self) -> dict[str, datetime]:
        """Of each feed that has something that was not given on, no later than the arrival of its next record."""
        out: dict[str, datetime] = {}
        for place, each in self._places.items():
            waiting = self._next(each) if each.frames else each.newest if self._behind(place) else None
            if waiting is not None:
                out[place[0]] = min(waiting, out.get(place[0], waiting))
        return out

    def lines(self) -> dict[str, Came]:
        """Of each feed that a route writes the line that came with it, as far as all before it was given on."""
        out: dict[str, dict[int, Lines]] = {}
        for (name, partition), told in self._lines.items():
            told.hear_until(self._position((name, partition)))
            out.setdefault(name, {})[partition] = told.lines
        return {
            name: Came(line=least(lines.values()), offsets={p: each.newest for p, each in lines.items() if each.newest >= 0})
            for name, lines in out.items()
        }

    def lag(self) -> dict[Place, int]:
        """How many offsets of each place are not given on, as far as its end is known."""
        return {place: max(each.end - self._position(place), 0) for place, each in self._places.items() if each.end < _UNKNOWN}

    def value(self, feed_name: str, partition: int, offset: int) -> bytes | None:
        """The bytes of a message of the batch that was taken last."""
        return self._places[feed_name, partition].values.get(offset)

    def _keep(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        heard = self._reader.hear(messages)
        if heard.dead is not None:
            self._dead.append(heard.dead)
        for message in messages:
            place = self._reader.place(message)
            if place in self._lines and line_of(message) is not None:
                self._lines[place].waiting.append(message)
            else:
                self._places[place].values[int(message.offset() or 0)] = message.value() or b""
            self._places[place].moved = time.monotonic()
        for place, frame in heard.frames.items():
            each = self._places[place]
            each.frames.append(frame)
            each.rows += frame.height
            each.newest = max(each.newest, frame["arrived"].max())  # type: ignore[type-var, assignment]
        if any(place[0] == CLOCK for place in heard.frames):
            self._ask()  # all that arrived before a tick was published before it: what is unread can be known from now on

    def _ask(self) -> None:
        """Asks where the inputs end; one that does not answer may hold anything."""
        ends = self._reader.ends(self._places, ANSWERS_WITHIN_S)
        for place, each in self._places.items():
            if not self._behind(place):
                each.moved = time.monotonic()
            each.end = ends.get(place, _UNKNOWN)
        self._asked = time.monotonic()

    def _behind(self, place: Place) -> bool:
        return self._reader.positions[place] < self._places[place].end

    def _until(self) -> datetime | None:
        """Up to which arrival everything is there; None: without bound."""
        now = time.monotonic()
        slow = [each.newest for place, each in self._places.items() if self._behind(place) and now - each.moved < PATIENT_S]
        return min(slow, default=None)

    def _ready(self) -> bool:
        """Whether something is held that waits for nobody."""
        until = self._until()
        return any(each.frames and (until is None or self._next(each) <= until) for each in self._places.values())

    @staticmethod
    def _next(each: _Place) -> datetime:
        first: datetime = each.frames[0]["arrived"][0]
        return first

    def _given(self, until: datetime | None) -> dict[str, pl.DataFrame]:
        """Gives on what arrived up to an instant, of each place the first so many, in order of offset."""
        parts: dict[str, list[pl.DataFrame]] = {}
        for (name, _), each in self._places.items():
            if not each.frames:
                continue
            frame = each.frames[0] if len(each.frames) == 1 else pl.concat(each.frames)
            count = frame.height
            if until is not None:
                later = np.flatnonzero((frame["arrived"] > until).to_numpy())
                count = int(later[0]) if later.size else count
            if count:
                parts.setdefault(name, []).append(frame[:count])
            each.frames = [frame[count:]] if count < frame.height else []
            each.rows = frame.height - count
        return {name: frames[0] if len(frames) == 1 else pl.concat(frames) for name, frames in parts.items()}

    def _position(self, place: Place) -> int:
        frames = self._places[place].frames
        return int(frames[0]["offset"][0]) if frames else self._reader.positions[place]

    def _dead_before(self, positions: Mapping[Place, int]) -> pl.DataFrame | None:
        """What could not be read, as far as its neighbours were given on."""
        if not self._dead:
            return None
        dead = pl.concat(self._dead)
        ready = pl.Series(
            [offset < positions[name, partition] for name, partition, offset in dead.select("feed", "partition", "offset").iter_rows()]
        )
        self._dead = [dead.filter(~ready)] if not ready.all() else []
        return dead.filter(ready) if ready.any() else None

    def _balance(self) -> None:
        """Leaves a place alone while much of it is held: what is held is bounded."""
        full = [place for place, each in self._places.items() if not each.held and each.rows > 4 * self._most]
        free = [place for place, each in self._places.items() if each.held and each.rows <= self._most]
        if full:
            self._reader.hold(full)
        if free:
            self._reader.let_go(free)
        for place in (*full, *free):
            self._places[place].held = place in full
