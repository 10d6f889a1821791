"""Where records get their address: topic, partition, key; and who has published what already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

import polars as pl
from confluent_kafka import KafkaException

from connectors.kafka import ClusterError, KafkaSettings, partition_of
from connectors.publish import Publisher
from connectors.registry import ids_of
from connectors.tail import Tail
from schemas import feed

__all__ = ["DEAD", "Addressed", "Desk"]

DEAD = "dead.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """Rows of a feed that go to one topic, each with its key and partition."""

    topic: str
    rows: pl.DataFrame
    keys: list[bytes | None]
    partitions: list[int]


class Desk:
    """A cluster with a publisher and a view of the ends of its topics. Use it in a ``with`` block.

    Raises:
        ClusterError: a setting is none of librdkafka's.
    """

    def __init__(self, cluster: KafkaSettings) -> None:
        try:
            self.cluster, self.tail, self.publisher, self.ids = cluster, Tail(cluster), Publisher(cluster), ids_of(cluster)
        except KafkaException as fault:
            raise ClusterError(
                f"settings of the cluster must be those of librdkafka (got {fault.args[0].str()}): see docs/live.md"
            ) from fault

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.publisher.close()
        self.tail.close()

    def addressed(self, feed_name: str, frame: pl.DataFrame) -> Iterator[Addressed]:
        """Rows by topic. Dead records go to the dead topic of the feed for which they were meant.

        Raises:
            ClusterError: there is no such topic.
        """
        if feed_name == DEAD:
            for (of,), rows in frame.group_by("feed", maintain_order=True):
                yield self._to(self.cluster.topic(str(of), "dead"), rows, [f"{source}@{place}" for source, place in _places(rows)])
        elif frame.height:
            key = feed(feed_name).key
            yield self._to(self.cluster.topic(feed_name), frame, [None] * frame.height if key is None else frame[key].to_list())

    def _to(self, topic: str, rows: pl.DataFrame, keys: list[str] | list[None]) -> Addressed:
        count = self.tail.partitions(topic)
        partitions = [0 if key is None else partition_of(key, count) for key in keys]
        return Addressed(topic=topic, rows=rows, keys=[None if key is None else key.encode() for key in keys], partitions=partitions)


def _places(rows: pl.DataFrame) -> Iterator[tuple[str, int]]:
    yield from rows.select("source", "place").iter_rows()
