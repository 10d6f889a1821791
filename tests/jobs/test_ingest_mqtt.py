"""What an MQTT broker has taken lies in Kafka once, whichever of the three was killed meanwhile."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors import mqtt
from connectors.kafka import KafkaSettings, partition_of
from connectors.mqtt import MqttSettings
from connectors.wire import decode
from infra.kafka import Broker, BrokerSettings
from jobs.ingest.desk import Desk
from jobs.ingest.live import LONGEST_BYTES, SHOWN_BYTES, Receiver, observed
from jobs.topics import Topics, apply
from tests.connectors.lying import Lying, lying
from tests.connectors.mosquitto import Mosquitto, needs_mosquitto

LEVELS, DEAD = "river.level.v1", "dead.v1"
TOPIC = f"tsunagu/{LEVELS}"
PARTITIONS = 3
NOON = datetime(2024, 5, 28, 12, 0, 0, 123456, tzinfo=UTC)
KILLS = 20

pytestmark = needs_mosquitto


@pytest.fixture
def topics(cluster: KafkaSettings) -> KafkaSettings:
    return prepared(cluster)


def prepared(cluster: KafkaSettings) -> KafkaSettings:
    apply(Topics(cluster=cluster, partitions=PARTITIONS, replication=1))
    return cluster


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "mosquitto") as running:
        yield running


def level(number: int = 0, **changed: Any) -> dict[str, Any]:
    """A reading as a sensor sends it: what has a default is absent."""
    minute = f"{number // 60 % 24:02}:{number % 60:02}"
    return {"region": f"r{number % 5}", "gauge_id": str(number), "observed_at": f"2024-05-28T{minute}:00+09:00", "version": 1} | changed


def sent(*records: Any) -> list[tuple[str, bytes]]:
    return [(TOPIC, each if isinstance(each, bytes) else json.dumps(each, ensure_ascii=False).encode()) for each in records]


@contextmanager
def receiving(cluster: KafkaSettings, broker: Mosquitto) -> Iterator[Callable[[], None]]:
    """A receiver in this process, subscribed; gives one of its rounds."""
    settings = MqttSettings(host="127.0.0.1", port=broker.port, client_id="test")
    with Desk(cluster) as desk:
        inbox = mqtt.open(settings, feeds := observed(desk))
        try:
            receiver = Receiver(desk, "town", inbox, feeds, settings.at_most)
            while not inbox.connected:
                receiver.walk(lambda: NOON)
            yield lambda: receiver.walk(lambda: NOON)
        finally:
            inbox.close()


def received(cluster: KafkaSettings, broker: Mosquitto, messages: list[tuple[str, bytes]], count: int) -> list[Lying]:
    """What lies in the topics of levels, readable or not, when there are so many."""
    with receiving(cluster, broker) as walk:
        broker.publish(*messages)
        while len(found := both(cluster)) < count:
            walk()
    return found


def both(cluster: KafkaSettings) -> list[Lying]:
    return lying(cluster, cluster.topic(LEVELS)) + lying(cluster, cluster.topic(LEVELS, "dead"))


def test_a_record_lies_where_its_key_belongs_and_arrived_now(topics: KafkaSettings, broker: Mosquitto) -> None:
    messages = sent(*(level(number, level_m=number / 10) for number in range(10)))
    found = received(topics, broker, messages, 10)
    assert {(each.key, each.partition) for each in found} == {(f"r{n}".encode(), partition_of(f"r{n}", PARTITIONS)) for n in range(5)}
    assert {each.arrived_ms for each in found} == {1_716_897_600_123}
    rows = decode(LEVELS, [each.value for each in found]).rows.sort("gauge_id")
    assert rows["gauge_id"].to_list() == [str(n) for n in range(10)]
    assert rows["level_m"].to_list() == [n / 10 for n in range(10)]
    digests = {f"town@{hashlib.sha256(LEVELS.encode() + bytes(1) + payload).hexdigest()[:32]}" for _, payload in messages}
    assert {each.origin for each in found} == digests


def test_fields_with_a_default_may_be_absent(topics: KafkaSettings, broker: Mosquitto) -> None:
    (found,) = received(topics, broker, sent(level()), 1)
    (row,) = decode(LEVELS, [found.value]).rows.iter_rows(named=True)
    assert (row["op"], row["level_m"], row["observed_at"]) == ("stated", None, datetime(2024, 5, 27, 15, tzinfo=UTC))


BAD: list[tuple[bytes | dict[str, Any], str]] = [
    (b"", "message must be one JSON object in UTF-8 (got b'')"),
    (b"\xff\x00", "message must be one JSON object in UTF-8 (got b'\\xff\\x00')"),
    (b"[" * 100_000, f"message must be one JSON object in UTF-8 (got b'{'[' * 60}')"),
    (b"7", "message must be an object (got 7)"),
    (level(observed_at="2024-05-28T21:00:00"), "message, observed_at must be a time with its zone"),
    (level(level_m=True), "message, level_m must be a finite number (got True)"),
    (level(note="x"), "message must have the fields region, gauge_id, observed_at, version, op, level_m (got other: note)"),
    ({"region": "r1"}, "message must have the fields region, gauge_id, observed_at, version, op, level_m (got other: gauge_id, "),
    (level(region=None), "rows of river.level.v1 must "),
    (level(op="guessed"), "rows of river.level.v1 must "),
    (level(gauge_id="\ud800"), "'utf-8' codec can't encode"),
    (b" " * LONGEST_BYTES + b"1", f"message must be at most {LONGEST_BYTES} bytes (got {LONGEST_BYTES + 1}): raw shows how it begins"),
]


def test_what_cannot_be_read_goes_to_the_dead_topic_and_its_neighbours_pass(topics: KafkaSettings, broker: Mosquitto) -> None:
    payloads = [bad if isinstance(bad, bytes) else json.dumps(bad).encode() for bad, _ in BAD]
    found = received(topics, broker, sent(level(1), *payloads, level(2)), len(BAD) + 2)
    assert len(lying(topics, topics.topic(LEVELS))) == 2
    rows = {row["raw"]: row for row in decode(DEAD, [each.value for each in found[2:]]).rows.iter_rows(named=True)}
    for payload, (_, reason) in zip(payloads, BAD, strict=True):
        row = rows[payload[:SHOWN_BYTES]]
        assert reason in row["reason"]
        assert (row["feed"], row["source"]) == (LEVELS, "town")
    keys = {f"{row['source']}@{row['place']}".encode() for row in rows.values()}
    assert {each.key for each in found[2:]} == keys
    assert len(keys) == len(BAD)
    with receiving(topics, broker) as walk:
        for _ in range(20):
            walk()
    assert len(both(topics)) == len(BAD) + 2


def test_equal_messages_are_one_record(topics: KafkaSettings, broker: Mosquitto) -> None:
    assert len(received(topics, broker, sent(level(1), level(1), level(2), level(1), level(3)), 3)) == 3
    assert len(received(topics, broker, sent(level(2), level(4)), 4)) == 4


def test_killed_at_any_moment_nothing_is_lost_and_nothing_doubled(topics: KafkaSettings, broker: Mosquitto) -> None:
    chance = random.Random(3)
    with receiving_elsewhere(topics, broker) as first:
        awaited(lambda: subscribed(first))
    publishing = threading.Thread(target=slowly, args=(broker, messages := sent(*map(level, range(3000)))))
    publishing.start()
    for _ in range(KILLS):
        with receiving_elsewhere(topics, broker) as process:
            before = len(lying(topics, topics.topic(LEVELS)))
            awaited(lambda before=before: not publishing.is_alive() or len(lying(topics, topics.topic(LEVELS))) > before)
            time.sleep(chance.random() * 0.1)
            assert process.poll() is None
    publishing.join()
    check(topics, broker, messages)


def test_the_broker_of_either_side_may_be_killed(tmp_path: Path, broker: Mosquitto) -> None:
    kafka = Broker(BrokerSettings(folder=tmp_path / "kafka"))
    cluster = KafkaSettings(brokers=kafka.bootstrap, drill="away")
    messages = sent(*map(level, range(1500)))
    with kafka:
        prepared(cluster)
        with receiving_elsewhere(cluster, broker) as process:
            awaited(lambda: subscribed(process))
            broker.publish(*messages[:500])
            broker.saved()  # what it had only in memory it loses itself
            broker.kill()
            broker.start()
            kafka.kill()
            broker.publish(*messages[500:1000])
            kafka.start()
            broker.publish(*messages[1000:])
            awaited(lambda: len(lying(cluster, cluster.topic(LEVELS))) >= 1500)
            assert process.poll() is None
        check(cluster, broker, messages)


def check(cluster: KafkaSettings, broker: Mosquitto, messages: list[tuple[str, bytes]]) -> None:
    """Each message lies there once, when a last one has come through."""
    end = sent(level(0, gauge_id="end"))
    broker.publish(*end)
    with receiving_elsewhere(cluster, broker):
        awaited(lambda: any(b"\x06end" in each.value for each in lying(cluster, cluster.topic(LEVELS))))
        awaited(lambda: len(lying(cluster, cluster.topic(LEVELS))) > len(messages))
    found = decode(LEVELS, [each.value for each in lying(cluster, cluster.topic(LEVELS))]).rows["gauge_id"].to_list()
    assert sorted(found) == sorted([*(json.loads(payload)["gauge_id"] for _, payload in messages), "end"])


def slowly(broker: Mosquitto, messages: list[tuple[str, bytes]]) -> None:
    for begin in range(0, len(messages), 50):
        broker.publish(*messages[begin : begin + 50])
        time.sleep(0.5)


@contextmanager
def receiving_elsewhere(cluster: KafkaSettings, broker: Mosquitto) -> Iterator[subprocess.Popen[bytes]]:
    """An ingest in a process of its own, killed at the end."""
    program = "import sys; from jobs.cli import main; sys.exit(main())"
    where = ["--brokers", cluster.brokers, "--drill", str(cluster.drill)]
    arguments = ["ingest", f"mqtt:127.0.0.1:{broker.port}", *where]
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, *arguments], cwd=Path(__file__).parents[2], stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        _, told = process.communicate()
        assert process.returncode == -signal.SIGKILL, told


def subscribed(process: subprocess.Popen[bytes]) -> bool:
    assert process.stderr is not None
    return b"ingest: receives from" in process.stderr.readline()


def awaited(reached: Callable[[], bool]) -> None:
    while not reached():
        time.sleep(0.05)
