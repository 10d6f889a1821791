"""What is published lies there once, in order, and stays a beginning of what was to be published."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, Producer

from connectors.kafka import ClusterError, KafkaSettings
from connectors.kafka_writer import Writer
from connectors.publish import LostError, Publisher, Record
from infra.kafka import Broker, BrokerSettings
from tests.connectors.lying import Lying, lying, made


def records(topic: str, numbers: range, partitions: int = 1, size: int = 10) -> list[Record]:
    return [
        Record(topic, n % partitions, f"key{n}".encode(), str(n).encode().ljust(size), 1_716_000_000_000 + n, f"test@0:{n}")
        for n in numbers
    ]


def seen(each: Record) -> Lying:
    return Lying(each.partition, each.key, each.value, each.arrived_ms, each.origin)


def test_records_lie_there_as_they_were_sent(cluster: KafkaSettings) -> None:
    topic = cluster.topic("levels")
    made(cluster, topic, partitions=3)
    sent = records(topic, range(50_000), partitions=3)
    publisher = Publisher(cluster)
    for each in sent:
        publisher.send(each)
    publisher.flush()
    assert (len(publisher), publisher.kept) == (0, {topic: 50_000})
    publisher.close()
    assert lying(cluster, topic) == sorted(map(seen, sent), key=lambda each: each.partition)


def test_a_record_without_a_key_keeps_none(cluster: KafkaSettings) -> None:
    topic = cluster.topic("ticks")
    made(cluster, topic)
    publisher = Publisher(cluster)
    publisher.send(Record(topic, 0, None, b"tick", 7, "clock@1"))
    publisher.flush()
    publisher.close()
    assert lying(cluster, topic) == [Lying(0, None, b"tick", 7, "clock@1")]


def test_whoever_sent_a_record_hears_when_it_lies_there(cluster: KafkaSettings) -> None:
    topic = cluster.topic("levels")
    made(cluster, topic)
    publisher = Publisher(cluster)
    heard: list[str] = []
    for each in records(topic, range(5)):
        publisher.send(each, lambda origin=each.origin: heard.append(origin))  # type: ignore[misc]
    publisher.flush()
    publisher.close()
    assert heard == [f"test@0:{n}" for n in range(5)]


@pytest.mark.parametrize("flushed", ["each", "all"])
def test_behind_a_record_that_is_refused_nothing_lies(cluster: KafkaSettings, flushed: str) -> None:
    topic = cluster.topic(f"small-{flushed}")
    made(cluster, topic, max_message_bytes="600000")
    publisher = Publisher(cluster)
    sent = [*records(topic, range(300)), *records(topic, range(300, 301), size=700_000), *records(topic, range(301, 5000))]

    def publish() -> None:
        for each in sent:
            publisher.send(each)
            if flushed == "each":
                publisher.flush()
        publisher.flush()

    with pytest.raises(ClusterError) as told:
        publish()
    publisher.close()
    assert str(told.value).startswith(f"topic {topic} must take records (got ")
    found = lying(cluster, topic)
    assert found == [seen(each) for each in sent[: len(found)]]
    assert len(found) == 300 if flushed == "each" else len(found) <= 300


def test_a_producer_that_is_lost_says_that_another_one_is_needed(cluster: KafkaSettings) -> None:
    publisher = Publisher(cluster)
    publisher._failed(KafkaError(KafkaError._FATAL, "sequence", fatal=True))
    with pytest.raises(LostError) as told:
        publisher.poll(0)
    publisher.close()
    assert str(told.value) == "producer must know what lies there (got sequence): begin again from the topics"


def test_a_broker_that_is_killed_never_takes_a_record_twice(tmp_path: Path) -> None:
    """It forgets producers of old records when it starts again: nothing of what was under way may be tried again."""
    broker = Broker(BrokerSettings(folder=tmp_path / "kafka"))
    cluster = KafkaSettings(brokers=broker.bootstrap)
    sent = records("levels", range(100_000))
    with broker:
        made(cluster, "levels")
        for _ in range(3):
            publisher = Publisher(cluster)
            rest = iter(sent[len(lying(cluster, "levels")) :])

            def publish(publisher: Publisher = publisher, rest: Iterator[Record] = rest) -> None:
                for n, each in enumerate(rest):
                    publisher.send(each)
                    if n % 20 == 0:
                        time.sleep(0.002)

            killing = threading.Timer(1.0, broker.kill)
            killing.start()
            with pytest.raises(LostError) as told:
                publish()
            killing.join()
            publisher.close()
            assert str(told.value).startswith("producer must know what lies there (got ")
            broker.start()
            found = lying(cluster, "levels")
            assert found == [seen(each) for each in sent[: len(found)]]


def test_a_partition_that_stays_silent_is_given_up(cluster: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = cluster.topic("levels")
    made(cluster, topic, partitions=2)
    publisher = Publisher(cluster)
    now_s = 1000.0
    monkeypatch.setattr("connectors.publish.time.monotonic", lambda: now_s)
    publisher._await(topic, 1)  # as if sent, and never acknowledged
    publisher.send(records(topic, range(1))[0])
    publisher.flush()
    now_s += 20.5
    with pytest.raises(LostError) as told:
        publisher.poll(0)
    monkeypatch.undo()
    publisher.close()
    assert str(told.value) == "producer must know what lies there (got nothing was acknowledged for 20 s): begin again from the topics"


def test_who_is_closed_leaves_no_threads_behind_though_somebody_still_holds_it(cluster: KafkaSettings) -> None:
    before = client_threads()
    held = [opened(cluster) for opened in (Publisher, partial(Writer, name="held")) for _ in range(3)]
    assert client_threads() > before
    for each in held:
        each.close()
    while client_threads() > before:
        time.sleep(0.01)


def test_what_a_purge_has_missed_is_purged_again() -> None:
    """A purge passes over what is on its way from one broker to another, and the client waits for ever for what is left."""
    publisher = Publisher(KafkaSettings(brokers="127.0.0.1:1"))  # nobody is there
    missing = Missing(publisher._producer)
    publisher._producer = missing  # type: ignore[assignment]
    with suppress(LostError):
        publisher.send(records("levels", range(1))[0])
    publisher.close()
    assert missing.purges > 1


class Missing:
    """A producer whose first purge misses all."""

    def __init__(self, producer: Producer) -> None:
        self._producer, self.purges = producer, 0

    def purge(self) -> None:
        self.purges += 1
        if self.purges > 1:
            self._producer.purge()

    def __len__(self) -> int:
        return len(self._producer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)


def client_threads() -> int:
    """Threads of this process that belong to clients of a broker."""
    names = [each.read_text() for each in Path("/proc/self/task").glob("*/comm")]
    return sum(each.startswith("rdk:") for each in names)
