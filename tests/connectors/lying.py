"""What lies in a topic, read by a plain consumer; and topics made by hand."""

from __future__ import annotations

import time
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kafka import KafkaSettings

WITHIN_S = 180


class Lying(NamedTuple):
    """A message as it lies in a topic."""

    partition: int
    key: bytes | None
    value: bytes
    arrived_ms: int
    origin: str


def made(cluster: KafkaSettings, *topics: str, partitions: int = 1, **config: str) -> None:
    """Topics that keep all records, however old, with settings; in their names an underscore stands for a dot."""
    settings = {"retention.ms": "-1"} | {name.replace("_", "."): value for name, value in config.items()}
    admin = AdminClient(cluster.client())
    for done in admin.create_topics([NewTopic(each, partitions, 1, config=settings) for each in topics]).values():
        done.result(60)


def lying(cluster: KafkaSettings, topic: str) -> list[Lying]:
    """All messages of a topic, those of each partition in order, partition after partition."""
    count = len(AdminClient(cluster.client()).list_topics(topic, 60).topics[topic].partitions)
    return [_lying(each) for partition in range(count) for each in lies_in(cluster, topic, partition, "read_uncommitted")]


def lies_in(cluster: KafkaSettings, topic: str, partition: int = 0, isolation: str = "read_committed") -> list[Message]:
    """All that lies in a partition now, as a reader of that isolation sees it."""
    more = {"enable_partition_eof": True, "enable_auto_commit": False, "fetch_wait_max_ms": 20}
    consumer = Consumer(cluster.client(group_id="lying", isolation_level=isolation, **more))
    consumer.assign([TopicPartition(topic, partition, 0)])
    out: list[Message] = []
    until, fault = time.monotonic() + WITHIN_S, None
    try:
        while time.monotonic() < until:
            for message in consumer.consume(5000, 0.5):
                fault = message.error()
                if fault is None:
                    out.append(message)
                elif fault.code() == KafkaError._PARTITION_EOF:
                    return out
    finally:
        consumer.close()
    raise AssertionError(f"{topic}[{partition}] must come to its end within {WITHIN_S} s (got {len(out)} messages, {fault})")


def _lying(message: Message) -> Lying:
    origin = dict(message.headers() or ()).get("from", b"").decode()  # type: ignore[union-attr]
    return Lying(message.partition(), message.key(), message.value(), message.timestamp()[1], origin)  # type: ignore[arg-type]
