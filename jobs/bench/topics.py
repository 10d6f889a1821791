"""The topics of one measurement: a namespace of its own, filled, watched, and read when all is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from connectors.kafka import KafkaSettings
from connectors.wire import decode, encode
from jobs.bench.recording import FLOOD, LEVELS, Recording
from jobs.topics.cluster import Cluster
from jobs.topics.wanted import wanted
from schemas import feed

__all__ = ["Ear", "Group", "made", "producer", "publish", "said", "send"]

QUEUED = 200_000

_NOT_YET = {KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS}
"""What a broker says of a group while it has just started."""


def made(cluster: KafkaSettings) -> KafkaSettings:
    """Makes the topics of a namespace, of one partition each."""
    topics = Cluster(cluster)
    topics.create(wanted(cluster, partitions=1, replication=1))
    while not topics.names() >= {each.name for each in wanted(cluster, partitions=1, replication=1)}:
        time.sleep(0.1)
    return cluster


def producer(cluster: KafkaSettings) -> Producer:
    """As an ingest has it: idempotent, without transactions."""
    # Its own log tells that a broker which has just started is not ready yet.
    return Producer(cluster.client(enable_idempotence=True, linger_ms=1, queue_buffering_max_messages=QUEUED) | {"log_level": 2})


def send(to: Producer, cluster: KafkaSettings, name: str, frame: pl.DataFrame) -> None:
    """Hands records of a feed over, keyed, with their time of arrival."""
    key = feed(name).key
    keys = [None] * frame.height if key is None else frame[key].to_list()
    for value, each, arrived in zip(encode(name, frame), keys, frame["arrived"].to_physical().to_list(), strict=True):
        while len(to) >= QUEUED:
            to.poll(0.1)
        to.produce(cluster.topic(name), value, each, 0, timestamp=arrived)
    to.poll(0)


def publish(cluster: KafkaSettings, recording: Recording) -> None:
    """Lays a whole recording there."""
    to = producer(cluster)
    for name, log in recording.logs():
        send(to, cluster, name, log)
        to.flush()


class Group:
    """How far a consumer group has committed the readings. Use it in a ``with`` block."""

    def __init__(self, cluster: KafkaSettings, group: str) -> None:
        self._consumer = Consumer(cluster.client(group_id=group, enable_auto_commit=False))
        self._asked = [TopicPartition(cluster.topic(LEVELS), 0)]

    def __enter__(self) -> Group:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def committed(self) -> int | None:
        """Offset of the next reading; None: nothing was committed yet."""
        try:
            (found,) = self._consumer.committed(self._asked, timeout=30)
        except KafkaException as fault:
            if fault.args[0].code() not in _NOT_YET:
                raise
            return None
        return found.offset if found.offset >= 0 else None


def said(cluster: KafkaSettings) -> list[dict[str, Any]]:
    """All statements that lie committed in the output."""
    messages = [each for each in _messages(cluster) if each.value() is not None]
    return decode(FLOOD.says, [each.value() for each in messages]).rows.to_dicts()


def _messages(cluster: KafkaSettings) -> Iterator[Message]:
    consumer = _reader(cluster, OFFSET_BEGINNING)
    try:
        while True:
            for message in consumer.consume(5000, 1.0):
                fault = message.error()
                if fault is None:
                    yield message
                elif fault.code() == KafkaError._PARTITION_EOF:
                    return
    finally:
        consumer.close()


def _reader(cluster: KafkaSettings, offset: int) -> Consumer:
    settings: Mapping[str, Any] = cluster.client(
        group_id="tsunagu.bench",
        enable_auto_commit=False,
        enable_partition_eof=True,
        isolation_level="read_committed",
        fetch_wait_max_ms=100,
    )
    consumer = Consumer(dict(settings))
    consumer.assign([TopicPartition(cluster.topic(FLOOD.says), 0, offset)])
    return consumer


@dataclass(slots=True)
class Ear:
    """Hears statements as a reader of committed records does, and keeps when. Use it in a ``with`` block."""

    cluster: KafkaSettings
    heard: list[tuple[float, bytes]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Ear:
        self._thread = threading.Thread(target=self._listen, name="ear")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _listen(self) -> None:
        consumer = _reader(self.cluster, OFFSET_BEGINNING)
        while not self._stop.is_set():
            message = consumer.poll(0.1)
            if message is not None and message.error() is None and message.value() is not None:
                self.heard.append((time.time(), message.value() or b""))
        consumer.close()

    def statements(self) -> pl.DataFrame:
        """Statements with ``seen_s``, seconds since 1970."""
        return decode(FLOOD.says, [value for _, value in self.heard]).rows.with_columns(
            pl.Series("seen_s", [at for at, _ in self.heard], pl.Float64)
        )
