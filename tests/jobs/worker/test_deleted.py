"""Records are deleted while nobody runs: a worker tells which are lost, takes nothing back for want of them, and goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.kafka import KafkaSettings, partition_of
from connectors.kafka_reader import Place
from connectors.wire import decode
from schemas import feed
from tests.connectors.lying import lies_in
from tests.contract.runs import newest
from tests.contract.worker import gathered, made, messages, produce, settled
from tests.jobs.worker.trial import LINKAGE, WITHIN_S, Worker
from tests.upstream_flood.river import LEVEL, feed_of, frame, levels, model, river, tick

PARTITIONS = 2
MINE = partition_of("r", PARTITIONS)


class Town:
    """The small river on a cluster, with as much of it published as was told."""

    def __init__(self, cluster: KafkaSettings) -> None:
        self.cluster = cluster
        self._producer = Producer(cluster.client(enable_idempotence=True))
        self._ends: dict[Place, int] = {(name, p): 0 for name in LINKAGE.feeds for p in range(PARTITIONS if feed(name).key else 1)}
        made(cluster, LINKAGE, PARTITIONS)

    def hears(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Publishes records in order of arrival."""
        ordered = sorted(records, key=lambda each: each["arrived"])
        logs = {}
        for name in dict.fromkeys(map(feed_of, ordered)):
            mine = [{**each, "partition": MINE if feed(name).key else 0} for each in ordered if feed_of(each) == name]
            logs[name] = frame(name, mine)
            self._ends[name, mine[0]["partition"]] += len(mine)
        produce(self._producer, self.cluster, messages(logs))

    def end(self, name: str) -> int:
        """How many records of a feed there were."""
        return self._ends[name, MINE if feed(name).key else 0]

    def settle(self) -> None:
        settled(self.cluster, LINKAGE, self._ends, WITHIN_S)

    def facts(self) -> list[dict[str, Any]]:
        return gathered(self.cluster, LINKAGE, PARTITIONS).facts

    def delete(self, name: str, before: int) -> None:
        """Deletes the oldest records, as retention does."""
        place = TopicPartition(self.cluster.topic(name), MINE if feed(name).key else 0, before)
        admin = AdminClient(self.cluster.client())
        for done in admin.delete_records([place]).values():
            done.result(60)

    def lost(self) -> list[str]:
        """What the dead letters tell of deleted records."""
        letters = lies_in(self.cluster, self.cluster.topic(LEVEL, "dead"))
        return [row["reason"] for row in decode("dead.v1", [each.value() for each in letters]).rows.iter_rows(named=True)]


def hours(gauge_id: str, first: int, *heights: float) -> list[dict[str, Any]]:
    return levels(gauge_id, *heights, first=60 * first)


def ticks(first: int, last: int) -> list[dict[str, Any]]:
    return [tick(minute) for minute in range(60 * first, 60 * last + 1, 10)]


def test_what_was_deleted_unread_is_told_and_nothing_is_taken_back_for_want_of_it(cluster: KafkaSettings, tmp_path: Path) -> None:
    town = Town(cluster)
    town.hears([*river(), model(), *hours("93", 0, 1.0, 1.0, 1.0, 1.6, 2.4, 2.5), *hours("97", 0, *[1.0] * 6), *ticks(0, 6)])
    with Worker(cluster, tmp_path, "a") as worker:
        town.settle()
        worker.end()
    before, read = newest(town.facts()), town.end(LEVEL)
    assert any(row["gauge_id"] == "93" and row["ended_at"] is None for row in before.values()), "a flood is under way"

    town.hears([*hours("93", 6, 2.5, 2.5), *hours("97", 6, 1.0, 1.0), *ticks(6, 8)])
    deleted = town.end(LEVEL) - 1
    town.delete(LEVEL, deleted)
    with Worker(cluster, tmp_path, "a") as worker:
        town.settle()
        worker.end()
    place = f"{LEVEL}[{MINE}]"
    told = f"records {read} to {deleted - 1} of {place} must be kept until they are read (got: deleted): keep them longer"
    assert town.lost() == [told]

    town.hears([*hours("97", 8, 1.0, 1.6, 2.4, 2.5), *hours("93", 8, 2.4, 2.4, 2.4, 2.4), *ticks(8, 12)])
    for _ in range(2):  # the second finds nothing new
        with Worker(cluster, tmp_path, "a") as worker:
            worker.until_it_says("takes")
            town.settle()
            worker.end()
    after = town.facts()
    assert town.lost() == [told]
    assert [row for row in after if row["state"] == "withdrawn"] == []
    assert {id_ for id_, row in newest(after).items() if row["state"] == "raised"} - before.keys() == {
        "r/97/L1/20240528T0900Z",
        "r/97/L2/20240528T1000Z",
    }
