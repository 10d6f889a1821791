"""Reads the feeds of a cluster as recorded arrivals, as far as they go now: to archive them, or to replay them somewhere else.

``kafka:HOST:PORT`` is the live namespace, ``kafka:HOST:PORT/NAME`` that of a drill.

**Delivery guarantee.** Every committed record that is there, once, with the arrival, partition and offset that it has on the cluster.
What cannot be read comes as a row of ``dead.v1``. Nothing is committed, and no group is joined.

**What is lost when.** What retention has deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

import polars as pl
from confluent_kafka.admin import AdminClient

from connectors.kafka import KafkaSettings
from connectors.kafka_reader import Heard, Reader
from connectors.registry import ids_of
from connectors.span import within
from schemas import feed, feed_names

__all__ = ["KafkaSource", "open"]


def open(settings: KafkaSettings) -> KafkaSource:
    """The feeds of a cluster."""
    admin = AdminClient(settings.client())
    there = admin.list_topics(timeout=30).topics
    names = [name for name in feed_names() if settings.topic(name) in there]
    return KafkaSource(names=tuple(names), reader=Reader(settings, admin, ids=ids_of(settings)))


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSource:
    """Feeds as they lie in topics; see the module for what is promised."""

    names: tuple[str, ...]
    reader: Reader = field(repr=False)

    def read(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[dict[str, pl.DataFrame]]:
        """What arrived in [since, until), a UTC day at a time; each chunk names only the feeds that it holds.

        What linkages say does not lie in order of arrival: a mark, or the line of a route, is of the hour in which it was written,
        while what follows it may tell of a drill's old arrivals. So it is read to its end and cut by its arrival.
        """
        places = [(name, partition) for name in self.names for partition in range(self.reader.partitions(name))]
        at = self.reader.starts(places) if since is None else self.reader.since(places, since)
        ends = self.reader.committed_ends(places)
        if until is not None:
            last = self.reader.since(places, until)
            ends = {place: ends[place] if feed(place[0]).said else min(ends[place], last[place]) for place in places}
        while True:
            behind = {place: at[place] for place in places if at[place] < ends[place]}
            found = self.reader.first(behind, ends)
            if not found:
                return
            midnight = datetime.combine(min(found.values()).date() + timedelta(days=1), time(), UTC)
            later = self.reader.since(places, midnight)
            stop = {place: max(at[place], min(later[place], ends[place])) for place in places}
            chunk = self._chunk([self.reader.hear(messages) for messages in self.reader.between(at, stop)])
            chunk = {name: frame.filter(within(since, until)) if feed(name).said else frame for name, frame in chunk.items()}
            chunk = {name: frame for name, frame in chunk.items() if frame.height}
            if chunk:
                yield chunk
            at = stop

    def close(self) -> None:
        """Gives the connections back."""
        self.reader.close()

    @staticmethod
    def _chunk(heard: list[Heard]) -> dict[str, pl.DataFrame]:
        parts: dict[str, list[pl.DataFrame]] = {}
        for each in heard:
            for (name, _), frame in each.frames.items():
                parts.setdefault(name, []).append(frame)
            if each.dead is not None:
                parts.setdefault("dead.v1", []).append(each.dead)
        return {name: pl.concat(frames).sort("arrived", "partition", "offset") for name, frames in parts.items()}
