"""Where what a seat says goes: facts into its own partition, records that are handed on to wherever their new key belongs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Protocol

import polars as pl

from connectors.epochs import EPOCH, MARK
from connectors.kafka import Place, partition_of
from connectors.kafka_reader import Reader
from connectors.kafka_writer import Said
from connectors.lines import LINE, Line
from connectors.wire import Ids, encode
from jobs.worker import told
from schemas import Feed

__all__ = ["Facts", "Outlet", "Records", "outlet"]


class Outlet(Protocol):
    """The feed that a linkage says, as one seat writes it."""

    watched: Place | None
    """The partition into which nobody else may write; None: several may."""

    def before(self, reader: Reader, at_least: int) -> told.Told:
        """What was said before, as far as it matters to who goes on."""

    def taken(self, epoch: int, arrived_ms: int) -> Iterator[Said]:
        """What tells that the seat has a new owner."""

    def messages(self, frame: pl.DataFrame | None, epoch: int) -> Iterator[Said]:
        """What is said."""

    def line(self, at: datetime | None, arrived_ms: int) -> Iterator[Said]:
        """How far the seat has come, where that is news and somebody needs it."""


class Facts:
    """Facts lie in the partition of their key's input, which one owner at a time writes: a mark tells that there is a new one."""

    def __init__(self, says: Feed, topic: str, partition: int, ids: Ids) -> None:
        self._says, self._topic, self._partition, self._ids = says, topic, partition, ids
        self.watched: Place | None = (says.name, partition)

    def before(self, reader: Reader, at_least: int) -> told.Told:
        """All that was said into the partition."""
        return told.read(reader, self._says, self._partition, at_least, self._ids)

    def taken(self, epoch: int, arrived_ms: int) -> Iterator[Said]:
        """A mark."""
        yield self._said(MARK, None, arrived_ms, epoch)

    def messages(self, frame: pl.DataFrame | None, epoch: int) -> Iterator[Said]:
        """Facts under their ids."""
        if frame is not None and frame.height:
            values = encode(self._says.name, frame, self._ids)
            for id_, arrived_ms, value in zip(frame["id"].to_list(), frame["said_at"].to_physical().to_list(), values, strict=True):
                yield self._said(id_.encode(), value, arrived_ms, epoch)

    def line(self, at: datetime | None, arrived_ms: int) -> Iterator[Said]:
        """Nothing: facts are nobody's input."""
        yield from ()

    def _said(self, key: bytes, value: bytes | None, arrived_ms: int, epoch: int) -> Said:
        headers = {EPOCH: str(epoch).encode()}
        return Said(topic=self._topic, partition=self._partition, key=key, value=value, arrived_ms=arrived_ms, headers=headers)


class Records:
    """Records that are handed on lie where their new key belongs, so each partition has many writers.

    Saying one twice is harmless, even by an owner that has lost its partition, so no epoch is told; the line is, to every partition.

    Args:
        says: their feed.
        topic: of that feed.
        partitions: how many it has.
        partition: of the seat.
        seats: how many there are.
        ids: what schema ids mean.
    """

    watched: Place | None = None

    def __init__(self, says: Feed, topic: str, *, partitions: int, partition: int, seats: int, ids: Ids) -> None:
        self._says, self._topic, self._partitions, self._ids = says, topic, partitions, ids
        self._partition, self._seats = partition, seats
        self._line: datetime | None = None

    def before(self, reader: Reader, at_least: int) -> told.Told:
        """Nothing: what was handed on need not be known, it is the same again."""
        return told.nothing(self._says)

    def taken(self, epoch: int, arrived_ms: int) -> Iterator[Said]:
        """Nothing."""
        yield from ()

    def messages(self, frame: pl.DataFrame | None, epoch: int) -> Iterator[Said]:
        """Records under their new keys, with the arrival that they had."""
        if frame is not None and frame.height:
            keys, values = frame[self._says.key or ""].to_list(), encode(self._says.name, frame, self._ids)
            for key, arrived_ms, value in zip(keys, frame["arrived"].to_physical().to_list(), values, strict=True):
                yield self._said(partition_of(key, self._partitions), key.encode(), value, arrived_ms, {})

    def line(self, at: datetime | None, arrived_ms: int) -> Iterator[Said]:
        """The line into every partition, where it has moved."""
        if at is not None and at != self._line:
            self._line = at
            headers = Line(at=at, partition=self._partition, partitions=self._seats).headers()
            yield from (self._said(each, LINE, None, arrived_ms, headers) for each in range(self._partitions))

    def _said(self, partition: int, key: bytes, value: bytes | None, arrived_ms: int, headers: Mapping[str, bytes]) -> Said:
        return Said(topic=self._topic, partition=partition, key=key, value=value, arrived_ms=arrived_ms, headers=headers)


def outlet(says: Feed, topic: str, reader: Reader, *, partition: int, seats: int, ids: Ids) -> Outlet:
    """The outlet of a seat, one of so many."""
    if not says.handed_on:
        return Facts(says, topic, partition, ids)
    return Records(says, topic, partitions=reader.partitions(says.name), partition=partition, seats=seats, ids=ids)
