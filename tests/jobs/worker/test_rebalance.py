"""Workers come and go under load: each partition is always worked on by somebody again, and nothing is lost or said twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.kafka import KafkaSettings
from jobs.worker import Member, Metrics
from tests.contract.worker import made
from tests.jobs.worker.trial import LINKAGE, NAME, SEED, WITHIN_S, Trial

COMES_AND_GOES = 25


@contextmanager
def member(cluster: KafkaSettings, metrics: Metrics) -> Iterator[Member]:
    """A worker in this process, without a name: the group is given out anew when it comes and when it goes."""
    stop, one = threading.Event(), Member(LINKAGE, cluster, metrics, lambda _: None)
    thread = threading.Thread(target=one.run, args=[stop])
    thread.start()
    try:
        yield one
    finally:
        stop.set()
        thread.join(WITHIN_S)
        assert not thread.is_alive()


def working(*all_metrics: Metrics) -> list[int]:
    """The partitions that somebody works on."""
    return sorted(
        partition
        for each in all_metrics
        for (name, partition), seat in list(each.seats.items())
        if name == NAME and seat["state"] == "working"
    )


def until_all_work(trial: Trial, *all_metrics: Metrics) -> None:
    """Waits until each partition is worked on by one of these workers, and each of them works."""
    until = time.monotonic() + WITHIN_S
    while working(*all_metrics) != list(range(trial.partitions)) or not all(map(working, all_metrics)):
        assert time.monotonic() < until, [dict(each.seats) for each in all_metrics]
        time.sleep(0.02)


def test_whoever_comes_and_goes_leaves_no_gap(cluster: KafkaSettings, tmp_path: Path) -> None:
    trial, stays = Trial(cluster, tmp_path, SEED, partitions=4), Metrics()
    with member(cluster, stays):
        until_all_work(trial, stays)
        with trial.flowing():
            for _ in range(COMES_AND_GOES):
                comes = Metrics()
                with member(cluster, comes):
                    until_all_work(trial, stays, comes)
                until_all_work(trial, stays)
        trial.publish()
        trial.settle()
    trial.check(2 * COMES_AND_GOES)


def test_what_the_group_gives_out_while_it_is_left_is_not_worked_on(cluster: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    made(cluster, LINKAGE, 8)
    monkeypatch.setattr("jobs.worker.member.POLLED_EVERY_S", WITHIN_S)  # it hears of its group when it is asked to stop, not before
    with member(cluster, Metrics()):
        time.sleep(5)
    assert [each.name for each in threading.enumerate() if each.name.startswith(f"{LINKAGE.name}[")] == []
