"""The newest messages of a name are found, wherever they lie and whatever lies behind them."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors import tail
from connectors.kafka import ClusterError, KafkaSettings
from connectors.tail import Found, Tail
from tests.connectors.lying import made


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody was killed here: nothing is still on its way."""
    monkeypatch.setattr(tail, "SETTLES_S", 0.0)
    monkeypatch.setattr(tail, "FIRST_WINDOW", 4)


def said(cluster: KafkaSettings, topic: str, *origins: str | None) -> None:
    producer = Producer(cluster.client(linger_ms=50))
    for at, origin in enumerate(origins):
        producer.produce(topic, b"x", partition=0, timestamp=1000 + at, headers=None if origin is None else [("from", origin)])
    assert producer.flush(60) == 0


def newest(cluster: KafkaSettings, topic: str, name: str | None, most: int | None = 1) -> list[Found]:
    reader = Tail(cluster)
    try:
        return reader.newest(topic, 0, name, most)
    finally:
        reader.close()


def places(found: list[Found]) -> list[str]:
    return [each.place for each in found]


def test_in_an_empty_topic_nothing_is_found(cluster: KafkaSettings) -> None:
    topic = cluster.topic("levels")
    made(cluster, topic)
    assert newest(cluster, topic, "a") == []
    assert newest(cluster, topic, None) == []


def test_the_newest_message_is_found_with_its_place_and_time(cluster: KafkaSettings) -> None:
    topic = cluster.topic("levels")
    made(cluster, topic)
    said(cluster, topic, "a@0:1", "a@0:2", "b@0:9")
    assert newest(cluster, topic, "a") == [Found(name="a", place="0:2", arrived_ms=1001, offset=1)]
    assert newest(cluster, topic, None) == [Found(name="b", place="0:9", arrived_ms=1002, offset=2)]
    assert newest(cluster, topic, "c") == []


@pytest.mark.parametrize("others", [0, 1, 3, 4, 5, 11, 12, 13, 100, 3000])
def test_it_is_found_behind_any_number_of_others(cluster: KafkaSettings, others: int) -> None:
    topic = cluster.topic(f"levels-{others}")
    made(cluster, topic)
    said(cluster, topic, "b@0:1", "a@0:1", *[None, "b@0:2"] * (others // 2), *["aa@0:1"] * (others % 2))
    assert places(newest(cluster, topic, "a")) == ["0:1"]


def test_several_come_oldest_first(cluster: KafkaSettings) -> None:
    topic = cluster.topic("levels")
    made(cluster, topic)
    said(cluster, topic, *(f"{name}@{n}" for n in range(20) for name in "ab"))
    assert places(newest(cluster, topic, "a", 3)) == ["17", "18", "19"]
    assert places(newest(cluster, topic, "a", None)) == [str(n) for n in range(20)]
    assert len(newest(cluster, topic, None, None)) == 40


def test_a_name_may_hold_what_separates_it_from_the_place(cluster: KafkaSettings) -> None:
    topic = cluster.topic("levels")
    made(cluster, topic)
    said(cluster, topic, "fukui:a@b@0:1", "fukui:a@0:7")
    assert places(newest(cluster, topic, "fukui:a@b")) == ["0:1"]


@pytest.mark.parametrize("ended", ["committed", "aborted", "open"])
def test_it_is_found_before_and_behind_a_transaction(cluster: KafkaSettings, ended: str) -> None:
    topic = cluster.topic(f"dead-{ended}")
    made(cluster, topic)
    said(cluster, topic, "a@0:1")
    worker = Producer(cluster.client(transactional_id=topic))
    worker.init_transactions(60)
    for _ in range(7):
        worker.begin_transaction()
        worker.produce(topic, b"x")
        worker.flush(60)
        if ended == "open":
            break
        (worker.commit_transaction if ended == "committed" else worker.abort_transaction)(60)
    assert places(newest(cluster, topic, "a")) == ["0:1"]
    said(cluster, topic, "a@0:2")
    assert places(newest(cluster, topic, "a")) == ["0:2"]
    if ended == "open":
        worker.abort_transaction(60)


def test_what_was_deleted_is_not_looked_for(cluster: KafkaSettings) -> None:
    topic = cluster.topic("levels")
    made(cluster, topic)
    said(cluster, topic, "a@0:1", *["b@0:1"] * 20)
    admin = AdminClient(cluster.client())
    for done in admin.delete_records([TopicPartition(topic, 0, 5)]).values():
        done.result(60)
    assert newest(cluster, topic, "a") == []
    assert len(newest(cluster, topic, "b", None)) == 16


def test_a_topic_that_is_not_there_is_told(cluster: KafkaSettings) -> None:
    reader = Tail(cluster)
    assert reader.find("nowhere") == 0
    with pytest.raises(ClusterError) as told:
        reader.partitions("nowhere")
    reader.close()
    assert str(told.value) == "topic nowhere must be there (got none, or no right to read it): run tsunagu topics apply"
