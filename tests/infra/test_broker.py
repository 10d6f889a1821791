"""The broker starts from nothing, keeps what it was given through a kill, and says what is absent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from infra.kafka import Broker, BrokerError, BrokerSettings

LEVELS = "river.level.v1"
needs_java = pytest.mark.skipif(
    not shutil.which("java") or not shutil.which("mvn"), reason="java or mvn is not here: the broker runs on them"
)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(BrokerSettings(folder=tmp_path / "kafka")) as running:
        yield running


def made(broker: Broker, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for done in admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)]).values():
        done.result(30)


def said(broker: Broker, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def heard(broker: Broker, topic: str, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    try:
        return [message.value() for message in consumer.consume(count, 30)]
    finally:
        consumer.close()


@needs_java
def test_what_was_acknowledged_outlives_a_kill(broker: Broker) -> None:
    made(broker, LEVELS)
    said(broker, LEVELS, b"one", b"two")
    broker.kill()
    broker.start()
    said(broker, LEVELS, b"three")
    assert heard(broker, LEVELS, 3) == [b"one", b"two", b"three"]


@needs_java
def test_a_topic_is_never_made_by_accident(broker: Broker) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "message.timeout.ms": 3000})
    failed: list[str] = []
    try:
        producer.produce("river.levle.v1", b"typo", on_delivery=lambda fault, _: failed.append(fault.name()))
        producer.flush(15)
    except KafkaException as fault:
        failed.append(fault.args[0].name())
    assert failed


def test_a_machine_without_java_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    libs = tmp_path / "libs"
    libs.mkdir()
    (libs / ".complete").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError) as told:
        Broker(BrokerSettings(folder=tmp_path / "kafka", libs=libs)).start()
    assert str(told.value) == "java must be on the path (got none): install a Java 17 or newer, for example openjdk-17-jre-headless"


def test_a_machine_without_maven_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrokerError) as told:
        Broker(BrokerSettings(folder=tmp_path / "kafka", libs=tmp_path / "libs")).start()
    assert str(told.value) == (
        "broker must be brought (mvn must be on the path (got none): install Maven); or use infra/kafka/compose.yaml with Docker"
    )
