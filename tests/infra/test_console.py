"""Our topics read along with tools that are not ours: what docs/live.md shows is what kcat and Kafka's console consumer print."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from confluent_kafka import Producer

from connectors.kafka import KafkaSettings, partition_of
from connectors.wire import encode
from infra.maven import one_at_a_time
from jobs import topics
from schemas import feed
from tests.live_page import ROOT, shown

LEVELS = "river.level.v1"
JARS = ROOT / "build" / "consumer"
COMMAND_SECONDS = 300


def run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=COMMAND_SECONDS, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def here(text: str, cluster: KafkaSettings) -> str:
    """What the page says, for this cluster and this drill."""
    return text.replace("127.0.0.1:9092", cluster.brokers).replace(LEVELS, cluster.topic(LEVELS))


def level(minute: int, level_m: float | None) -> bytes:
    at = datetime(2024, 5, 28, 7, minute, tzinfo=UTC)
    row = {"region": "fukui", "gauge_id": "12", "observed_at": at, "version": 1, "op": "stated", "level_m": level_m}
    return encode(LEVELS, pl.DataFrame([row], schema=feed(LEVELS).columns))[0]


def said(cluster: KafkaSettings, topic: str, *values: bytes | None) -> None:
    """Messages of two minutes past seven and every ten minutes after."""
    producer = Producer(cluster.client(enable_idempotence=True))
    for i, value in enumerate(values):
        arrived = datetime(2024, 5, 28, 7, 2, tzinfo=UTC) + timedelta(minutes=10 * i)
        producer.produce(topic, value, "fukui", partition_of("fukui", 8), timestamp=int(arrived.timestamp() * 1000))
    assert producer.flush(60) == 0


@pytest.fixture
def drill(cluster: KafkaSettings) -> KafkaSettings:
    """The two readings of the page."""
    topics.apply(topics.Topics(cluster=cluster))
    said(cluster, cluster.topic(LEVELS), level(0, 0.82), level(10, None))
    return cluster


@pytest.fixture(scope="session")
def jars() -> Path:
    """The consumer, built as the page says."""
    if not shutil.which("java") or not shutil.which("mvn"):
        pytest.skip("java or mvn is not here: the console consumer is built and run by them")
    ((build, _),) = shown("mvn ")
    with one_at_a_time():
        run(build)
    return JARS


@pytest.mark.skipif(not shutil.which("kcat"), reason="kcat is not here: it reads along")
def test_kcat_shows_what_the_page_says(drill: KafkaSettings) -> None:
    commands = list(shown("kcat "))
    assert len(commands) == 2
    for command, output in commands:
        assert run([here(word, drill) for word in command]) == output


def test_the_console_consumer_shows_what_the_page_says(drill: KafkaSettings, jars: Path) -> None:
    ((command, output),) = shown("java ")
    assert run([here(word, drill) for word in command]) == here(output, drill)


def test_what_cannot_be_read_is_shown_with_its_bytes_and_its_neighbours_pass(cluster: KafkaSettings, jars: Path) -> None:
    topics.apply(topics.Topics(cluster=cluster))
    wrong = [b"scribble", b"\0\0\0\0\x07abc", level(0, 0.82)[:-3], level(0, 0.82) + b"x"]
    said(cluster, cluster.topic(LEVELS), *wrong, None, level(10, 0.9))
    ((command, _),) = shown("java ")
    command[command.index("--max-messages") + 1] = "6"
    lines = [json.loads(line) for line in run([here(word, cluster) for word in command]).splitlines()]
    *told, tombstone, neighbour = lines
    assert [base64.b64decode(each["raw"]) for each in told] == wrong
    reasons = [each["unreadable"] for each in told]
    assert reasons[0] == "value must begin with byte 0 and a schema id"
    assert reasons[1] == "schema id must be a kept version (got 7): bring the clone up to date"
    assert reasons[3] == "value must end with its record (got bytes behind it)"
    assert tombstone["record"] is None
    assert neighbour["record"]["level_m"] == 0.9


def test_without_schemas_the_formatter_says_what_is_missing(drill: KafkaSettings, jars: Path) -> None:
    ((command, _),) = shown("java ")
    bare = [here(word, drill) for word in command if not word.startswith(("--formatter-property", "schemas="))]
    done = subprocess.run(bare, cwd=ROOT, capture_output=True, timeout=COMMAND_SECONDS, check=False, encoding="utf-8")
    assert done.returncode != 0
    assert "schemas must be given (got none): --formatter-property schemas=schemas/kept" in done.stdout + done.stderr
