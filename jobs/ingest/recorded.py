"""Publishes recorded arrivals and references.

A record of a recorded source is known by when it arrived and where it lies in the source, and is published in that order. So
what lies in a partition is a beginning of what is to lie there, and the newest message tells where to go on. A tick goes out when
all that arrived before it is acknowledged. References are small tables that people edit: each record is known by its bytes.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from itertools import compress

import polars as pl

from connectors import Arrivals, Source, merged
from connectors.publish import Record
from connectors.wire import encode
from jobs.ingest.desk import Addressed, Desk
from jobs.progress import Progress
from jobs.sources import open_source
from jobs.speed import Pace
from pipelines.linkage import CLOCK
from schemas import feed

__all__ = ["Recorded", "publish_references"]

Position = tuple[int, int, int]
"""When a record arrived (ms since 1970), and its partition and offset in the source."""

NOWHERE: Position = (-(1 << 63), 0, 0)
LATE = "late.v1"


class Recorded:
    """Recorded sources on their way to topics. ``lay_there``: records that were published before; ``left``: what linkages said."""

    def __init__(self, desk: Desk, names: Sequence[str]) -> None:
        self._desk, self._names = desk, names
        self._positions: dict[tuple[str, int, str], Position] = {}
        self.lay_there, self.left = 0, 0

    def publish(self, sources: Sequence[str], since: datetime | None, until: datetime | None, pace: Pace) -> None:
        """Publishes what arrived in [since, until) and does not lie there yet."""
        publisher, clock = self._desk.publisher, self._desk.cluster.topic(CLOCK)
        unsure = False
        with Progress() as progress, ExitStack() as stack:
            opened = [_Marked(stack.enter_context(closing(open_source(name))), at) for at, name in enumerate(sources)]
            for chunk in progress.watched(merged(opened, since, until)):
                for record in self._records(chunk):
                    if pace.left_s(record.arrived_ms):
                        publisher.flush()
                        pace.wait(record.arrived_ms)
                    if record.topic == clock and unsure:
                        publisher.flush()
                    unsure = record.topic != clock
                    publisher.send(record)
                publisher.flush()  # the next chunk may take long to read, and nobody would hear of what is under way

    def _records(self, chunk: Arrivals) -> Iterator[Record]:
        """What of a chunk does not lie there yet, in order of arrival; ticks behind what arrived with them."""
        names = sorted(chunk, key=lambda name: (name == CLOCK, name))
        return heapq.merge(*(self._of_feed(name, chunk[name]) for name in names), key=lambda record: record.arrived_ms)

    def _of_feed(self, name: str, frame: pl.DataFrame) -> list[Record]:
        if name == LATE or feed(name).said:
            self.left += frame.height
            return []
        ordered = frame.sort("arrived", "source_index", "source_partition", "offset", maintain_order=True)
        records = [record for each in self._desk.addressed(name, ordered) for record in self._fresh(name, each)]
        return sorted(records, key=lambda record: record.arrived_ms)

    def _fresh(self, name: str, each: Addressed) -> Iterator[Record]:
        """Records of one topic that lie behind the newest one there."""
        arrived_ms = each.rows["arrived"].to_physical().to_list()
        indexes, froms, offsets = (each.rows[column].to_list() for column in ("source_index", "source_partition", "offset"))
        names = [self._names[at] for at in indexes]
        where = list(zip(arrived_ms, froms, offsets, strict=True))
        fresh = [
            place > self._position(each.topic, partition, of) for place, partition, of in zip(where, each.partitions, names, strict=True)
        ]
        self.lay_there += len(fresh) - sum(fresh)
        values = encode(name, each.rows.filter(pl.Series(fresh, dtype=pl.Boolean)), self._desk.ids)
        kept = compress(zip(each.partitions, each.keys, names, where, strict=True), fresh)
        for value, (partition, key, of, (at_ms, lay, offset)) in zip(values, kept, strict=True):
            yield Record(each.topic, partition, key, value, at_ms, f"{of}@{lay}:{offset}")

    def _position(self, topic: str, partition: int, name: str) -> Position:
        """How far a name had come in a partition when this began."""
        where = topic, partition, name
        if where not in self._positions:
            found = self._desk.tail.newest(topic, partition, name)
            self._positions[where] = (found[0].arrived_ms, *_place(found[0].place)) if found else NOWHERE
        return self._positions[where]


def _place(told: str) -> tuple[int, int]:
    partition, _, offset = told.partition(":")
    return int(partition), int(offset)


class _Marked:
    """A source whose rows tell which of the sources it is, and their partition there, also when they are merged."""

    def __init__(self, source: Source, at: int) -> None:
        self._source, self._at = source, at

    def read(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[Arrivals]:
        marks = pl.lit(self._at, pl.Int32).alias("source_index"), pl.col("partition").alias("source_partition")
        for chunk in self._source.read(since, until):
            yield {name: frame.with_columns(*marks) for name, frame in chunk.items() if frame.height}

    def close(self) -> None:
        self._source.close()


def publish_references(desk: Desk, name: str, feed_name: str, frame: pl.DataFrame) -> int:
    """Publishes records of a reference feed that do not lie there yet; returns how many did.

    They arrived when they begin to hold, as in a replay; those that are to hold later arrive now.
    """
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    lay_there = 0
    for each in desk.addressed(feed_name, frame.sort("arrived", maintain_order=True)):
        there = {found.place for at in set(each.partitions) for found in desk.tail.newest(each.topic, at, None, most=None)}
        arrived_ms = each.rows["arrived"].to_physical().to_list()
        for value, partition, key, at_ms in zip(
            encode(feed_name, each.rows, desk.ids), each.partitions, each.keys, arrived_ms, strict=True
        ):
            digest = hashlib.sha256(value).hexdigest()[:32]
            if digest in there:
                lay_there += 1
            else:
                desk.publisher.send(Record(each.topic, partition, key, value, min(at_ms, now_ms), f"{name}@{digest}"))
    desk.publisher.flush()
    return lay_there
