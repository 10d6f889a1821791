"""A worker that stands still beyond its session, while another takes over, changes nothing when it goes on.

It was stopped at a point of its loop, also in the middle of a transaction, and knows of nothing. What it still writes is refused by
the broker; and where a broker would let it pass, it lies behind the mark of whoever came after, and is void to every reader.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from confluent_kafka import Message, Producer

from connectors.epochs import EPOCH, MARK
from connectors.kafka import KafkaSettings
from connectors.wire import decode, encode
from jobs.worker import told
from schemas import feed
from tests.connectors.lying import lies_in
from tests.contract import checks
from tests.contract.runs import at_once, newest, value
from tests.jobs.worker.trial import LINKAGE, SEED, WITHIN_S, Trial

OUTSIDE = "from outside"
STEPS = 10
STOPS = ("stop@told:2", "stop@stepped:20", "stop@half said:8", "stop@said:9", "stop@offsets sent:10", OUTSIDE)


def facts(messages: list[Message]) -> list[dict[str, Any]]:
    return told.tell_apart(feed(LINKAGE.says), messages)[0].to_dicts()


def stood_still(trial: Trial, how: str) -> None:
    """Stops a worker, lets another take over and go on, and wakes the first."""
    with trial.worker("a", None if how == OUTSIDE else how) as one:
        until, whole = time.monotonic() + WITHIN_S, trial.left
        while not one.stopped:
            if one.works:
                trial.publish(max(trial.left // 100, 1))
            time.sleep(0.05)
            assert time.monotonic() < until, one.said()
            if how == OUTSIDE and trial.left < 0.7 * whole:
                one.send(signal.SIGSTOP)
        with trial.worker("b") as other:
            trial.publish(trial.left // 2)
            trial.settle()
            one.send(signal.SIGCONT)
            one.until_it_says("has lost")
            trial.flow(trial.left)
            trial.settle()
            other.end()
        one.end()


def test_a_worker_that_stood_still_changes_nothing_when_it_goes_on(cluster: KafkaSettings, tmp_path: Path) -> None:
    def round_of(number: int) -> None:
        folder = tmp_path / f"stop-{number}"
        folder.mkdir()
        own = replace(cluster, drill=f"{cluster.drill}-stop-{number}")
        trial = Trial(own, folder, SEED + 100 * number, regions=5)
        stood_still(trial, STOPS[number])
        out = trial.check(1)
        for partition in range(trial.partitions):
            committed, everything = (
                lies_in(own, own.topic(LINKAGE.says), partition, isolation) for isolation in ("read_committed", "read_uncommitted")
            )
            assert facts(committed) == out.streams[partition]
            assert len(committed) == len(out.streams[partition]) + sum(each.key() == MARK for each in committed), "void and committed"
            # Whoever reads what was not committed sees, ahead of a mark, what was begun there; the epochs hide from him nothing that holds.
            seen = iter(facts(everything))
            assert all(fact in seen for fact in out.streams[partition])

    with ThreadPoolExecutor(len(STOPS)) as pool:
        list(pool.map(round_of, range(len(STOPS))))


def forged(row: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return row | {"revision": row["revision"] + 1} | fields


def tell(cluster: KafkaSettings, row: dict[str, Any], headers: dict[str, bytes]) -> None:
    """Writes a fact past all transactions and marks."""
    producer = Producer(cluster.client(acks="all"))
    (value,) = encode(LINKAGE.says, pl.DataFrame([row], schema=feed(LINKAGE.says).columns))
    producer.produce(cluster.topic(LINKAGE.says), value, row["id"], 0, headers=headers)
    assert producer.flush(60) == 0


def kept(cluster: KafkaSettings) -> dict[str, dict[str, Any]]:
    """What compaction leaves: of each id the newest message, whoever wrote it."""
    newest = {message.key(): message for message in lies_in(cluster, cluster.topic(LINKAGE.says), 0, "read_uncommitted")}
    del newest[MARK]
    rows = decode(LINKAGE.says, [message.value() for message in newest.values()]).rows
    return {row["id"]: row for row in rows.iter_rows(named=True)}


def worth(rows: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {id_: value(LINKAGE, row) for id_, row in rows.items()}


@pytest.mark.parametrize("owned", ["seen by the owner", "while nobody runs"])
def test_what_is_written_behind_a_mark_is_void_and_said_over(owned: str, cluster: KafkaSettings, tmp_path: Path) -> None:
    trial = Trial(cluster, tmp_path, SEED, partitions=1)
    with trial.worker() as worker:
        worker.until_it_says("takes")
        for _ in range(STEPS):  # what is withdrawn must have been said first
            trial.publish(trial.whole // 2 // STEPS)
            trial.settle()
        before = newest(trial.outcome(0).facts)
        stands = next(row for row in before.values() if row["state"] not in {"withdrawn", "cleared"})
        fell = next(row for row in before.values() if row["state"] == "withdrawn")
        never = stands | {"id": "r0/x/L1/20240528T0000Z"}
        if owned == "while nobody runs":
            worker.end()
        tell(cluster, forged(stands, state="withdrawn"), {EPOCH: b"0"})
        tell(cluster, forged(fell, state="raised"), {})
        tell(cluster, forged(never, revision=7), {EPOCH: b"strange"})
        after = newest(trial.outcome(0).facts)
        assert worth({id_: after[id_] for id_ in before}) == worth(before), "believed"
        if owned == "seen by the owner":
            worker.until_it_says("must have one owner")
    lies = {stands["id"]: stands["revision"] + 1, fell["id"]: fell["revision"] + 1, never["id"]: 7}
    with trial.worker() as worker:
        until = time.monotonic() + WITHIN_S
        while any(kept(cluster)[id_]["revision"] <= revision for id_, revision in lies.items()):
            assert time.monotonic() < until, worker.said()
        trial.settle()
        assert worth(kept(cluster)) == worth(before | {never["id"]: never | {"state": "withdrawn"}})
        trial.publish()
        trial.settle()
        worker.end()
    checks.equal_to_brute_force(LINKAGE, trial.outcome(1), at_once(LINKAGE, trial.logs))
    checks.silence_is_said(trial.script, trial.outcome(1))
    assert kept(cluster) == newest(trial.outcome(1).facts)
