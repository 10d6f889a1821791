"""The cluster fails under its workers: a broker killed, away, out of disk; records deleted unread; commits forgotten."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from connectors.kafka import KafkaSettings
from infra.kafka import Broker, BrokerSettings
from tests.jobs.worker.trial import LINKAGE, SEED, WITHIN_S, Trial

KILLS = 3
AWAY_S = 35
"""Longer than anything a worker waits for at a broker."""

needs_java = pytest.mark.skipif(
    not shutil.which("java") or not shutil.which("mvn"), reason="java or mvn is not here: the broker runs on them"
)


@needs_java
def test_a_broker_that_is_killed_under_load_or_long_away_loses_nothing(tmp_path: Path) -> None:
    g = random.Random(SEED)
    with Broker(BrokerSettings(folder=tmp_path / "kafka")) as broker:
        trial = Trial(KafkaSettings(brokers=broker.bootstrap), tmp_path, SEED)
        with trial.worker("a") as one, trial.worker("b") as other:
            one.until_it_says("takes")
            with trial.flowing():
                for away_s in [*(g.uniform(0, 3) for _ in range(KILLS)), AWAY_S]:
                    time.sleep(g.uniform(1, 5))
                    broker.kill()
                    time.sleep(away_s)
                    broker.start()
            trial.publish()
            trial.settle()
            assert one.code is other.code is None
            one.end()
            other.end()
        trial.check(KILLS)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder of a broker whose data lie on a small disk of their own."""
    data = tmp_path / "kafka" / "data"
    data.mkdir(parents=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", data], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk may not be mounted here: {done.stderr.decode(errors='replace').strip()}")
    yield tmp_path / "kafka"
    subprocess.run(["umount", "-l", data], check=True)


@needs_java
def test_a_disk_that_is_full_until_space_is_made_loses_nothing(disk: Path, tmp_path: Path) -> None:
    with Broker(BrokerSettings(folder=disk)) as broker:
        trial = Trial(KafkaSettings(brokers=broker.bootstrap), tmp_path, SEED)
        with trial.worker("a") as one, trial.worker("b") as other:
            one.until_it_says("takes")
            trial.flow(trial.left // 4)
            left = os.statvfs(disk / "data").f_bavail * os.statvfs(disk / "data").f_frsize
            with (disk / "data" / "ballast").open("wb") as ballast:
                ballast.write(b"\1" * (left - 100_000))
            with trial.flowing():
                until = time.monotonic() + WITHIN_S
                while broker.lives:
                    assert time.monotonic() < until, "a full disk must be noticed"
                    time.sleep(0.1)
                broker.kill()
                (disk / "data" / "ballast").unlink()
                broker.start()
            trial.publish()
            trial.settle()
            assert one.code is other.code is None
            one.end()
            other.end()
        trial.check(1)


def test_a_group_whose_commits_are_forgotten_says_nothing_twice(cluster: KafkaSettings, tmp_path: Path) -> None:
    trial, admin = Trial(cluster, tmp_path, SEED), AdminClient(cluster.client())
    group = cluster.topic(f"tsunagu.{LINKAGE.name}")
    for _ in range(3):
        with trial.worker(None) as worker:  # a member without a name leaves the group when it ends
            worker.until_it_says("takes")
            trial.flow(trial.left // 2)
            trial.settle()
            worker.end()
        trial.publish(trial.left // 5)
        admin.delete_consumer_groups([group])[group].result(60)
    trial.finish(3)
