"""The line travels with its feed: who hands records on says beside them up to where nothing more will come.

A record that is handed on keeps its arrival, and may be on its way while its reader has long heard the next tick. So every
partition of a route writes, into all partitions of its feed, how far its own line has come: a message under the key ``line``,
without a value, whose headers say the line, which partition it is of, and of how many. A partition is complete up to the least of
these lines. A line can only hold its readers back, never drive them on: their own ticks still count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Message

__all__ = ["LINE", "Line", "Lines", "least", "line_of"]

LINE = b"line"
_NAMES = ("line", "partition", "partitions")
_LAST_MS = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Up to where nothing can change any more, as partition ``partition`` of ``partitions`` of a route says."""

    at: datetime
    partition: int
    partitions: int

    def headers(self) -> dict[str, bytes]:
        """As headers of a message."""
        numbers = round(self.at.timestamp() * 1000), self.partition, self.partitions
        return {name: str(number).encode() for name, number in zip(_NAMES, numbers, strict=True)}


def line_of(message: Message) -> Line | None:
    """The line that a message tells; None: it is none."""
    if message.key() != LINE or message.value() is not None:
        return None
    headers: Any = dict(message.headers() or ())
    told = [headers.get(name) for name in _NAMES]
    if not all(each is not None and each.isdigit() for each in told):
        return None
    at_ms, partition, partitions = map(int, told)
    if not (at_ms <= _LAST_MS and partition < partitions):
        return None
    return Line(at=datetime.fromtimestamp(at_ms / 1000, UTC), partition=partition, partitions=partitions)


def least(lines: Iterable[Lines]) -> datetime | None:
    """Up to where some partitions are complete, all of them; None: not everybody has told."""
    every = [each.at for each in lines]
    return None if None in every else min(filter(None, every), default=None)


class Lines:
    """The lines that were told in one partition, in any order. ``newest``: offset of the newest word of one; −1: none."""

    def __init__(self) -> None:
        self.newest = -1
        self._at: dict[int, datetime] = {}
        self._partitions = 0

    def hear(self, message: Message) -> None:
        """Takes a message in; one that tells no line says nothing."""
        told = line_of(message)
        if told is not None:
            self.newest = max(self.newest, int(message.offset() or 0))
            self._partitions = told.partitions  # the newest word: who lies about it is set right at the next tick
            self._at[told.partition] = max(told.at, self._at.get(told.partition, told.at))

    @property
    def complete(self) -> bool:
        """Whether each partition of the route has told its line."""
        return 0 < self._partitions == sum(each < self._partitions for each in self._at)

    @property
    def at(self) -> datetime | None:
        """Up to where the partition is complete; None: not everybody has told."""
        return min(at for each, at in self._at.items() if each < self._partitions) if self.complete else None
