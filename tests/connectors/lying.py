"""What lies in a topic, read by a plain consumer; and topics made by hand."""

from __future__ import annotations

from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kafka import KafkaSettings


class Lying(NamedTuple):
    """A message as it lies in a topic."""

    partition: int
    key: bytes | None
    value: bytes
    arrived_ms: int
    origin: str


def made(cluster: KafkaSettings, *topics: str, partitions: int = 1, **config: str) -> None:
    """Topics with settings; in their names an underscore stands for a dot."""
    settings = {name.replace("_", "."): value for name, value in config.items()}
    admin = AdminClient(cluster.client())
    for done in admin.create_topics([NewTopic(each, partitions, 1, config=settings) for each in topics]).values():
        done.result(60)


def lying(cluster: KafkaSettings, topic: str) -> list[Lying]:
    """All messages of a topic, those of each partition in order, partition after partition."""
    consumer = Consumer(cluster.client(group_id="lying", enable_partition_eof=True, isolation_level="read_uncommitted"))
    out: list[Lying] = []
    try:
        count = len(consumer.list_topics(topic, 60).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(count)])
        ended = 0
        while ended < count:
            for message in consumer.consume(5000, 0.2):
                if message.error() is None:
                    out.append(_lying(message))
                else:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    ended += 1
    finally:
        consumer.close()
    return sorted(out, key=lambda each: each.partition)


def _lying(message: object) -> Lying:
    headers = dict(message.headers() or ())  # type: ignore[attr-defined]
    origin = headers.get("from", b"").decode()
    return Lying(message.partition(), message.key(), message.value(), message.timestamp()[1], origin)  # type: ignore[attr-defined]
