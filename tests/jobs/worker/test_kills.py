"""Workers killed at every point of their loop, by their own hand and from outside, and nothing is lost or said twice.

``TSUNAGU_KILLS`` is how many are killed (200; ``make torture``: 1000), in two groups side by side. A failure prints its seed;
``TSUNAGU_SEED=17 make test ARGS=tests/jobs/worker/test_kills.py`` chooses other scripts and other points.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from connectors.kafka import KafkaSettings
from jobs.worker.faults import POINTS
from tests.jobs.worker.trial import SEED, WITHIN_S, Trial

KILLS = int(os.environ.get("TSUNAGU_KILLS", "200"))
GROUPS = 2
PARTITIONS = 3
OUTSIDE = "from outside"
AT_START = POINTS[: POINTS.index("read")]


def planned(g: random.Random, count: int) -> list[str]:
    """Where to kill, so many times: each point again and again, and now and then anywhere."""
    kinds = [(OUTSIDE, OUTSIDE, *POINTS)[i % (len(POINTS) + 2)] for i in range(count)]
    g.shuffle(kinds)
    # Each seat passes the points of a start once. Those of a commit are passed by the mark first, then by what is said.
    return [kind if kind == OUTSIDE else f"{kind}:{g.randint(1, PARTITIONS if kind in AT_START else 2 * PARTITIONS)}" for kind in kinds]


def killed(trial: Trial, kinds: list[str], g: random.Random) -> Counter[str]:
    """Starts a worker and kills it, once for each kind, while more and more is published; tells where each died."""
    died: Counter[str] = Counter()
    trial.publish(trial.left // 20)  # from here on there is something to say
    for at, kind in enumerate(kinds):
        share = trial.left // (len(kinds) + 1 - at)
        trial.publish(share // 3)  # while nobody runs; the rest little by little while it works, and more where that is not enough
        more = share - share // 3
        with trial.worker(fault=None if kind == OUTSIDE else kind) as worker:
            until = time.monotonic() + (g.uniform(0.3, 4.0) if kind == OUTSIDE else WITHIN_S)
            while worker.code is None and time.monotonic() < until:
                if worker.works:
                    trial.publish(1)
                    more -= 1
                time.sleep(0.05 if more > 0 else 0.2)
            if kind == OUTSIDE:
                worker.kill()
            assert worker.code == -signal.SIGKILL, f"{kind}: {worker.code}\n{worker.said()}"
        died[kind.partition(":")[0]] += 1
    return died


def test_killed_at_every_point_nothing_is_lost_and_nothing_said_twice(cluster: KafkaSettings, tmp_path: Path) -> None:
    def group(number: int) -> Counter[str]:
        g, folder = random.Random(f"{SEED}/{number}"), tmp_path / f"group-{number}"
        folder.mkdir()
        own = replace(cluster, drill=f"{cluster.drill}-kills-{number}")
        trial = Trial(own, folder, SEED + 1000 * number, regions=max(KILLS // GROUPS // 6, 8), partitions=PARTITIONS)
        died = killed(trial, planned(g, KILLS // GROUPS), g)
        trial.finish(died.total())
        return died

    with ThreadPoolExecutor(GROUPS) as pool:
        died = sum(pool.map(group, range(GROUPS)), Counter())
    print(f"{died.total()} killed: {dict(died)}")
    assert died.total() == KILLS // GROUPS * GROUPS
    assert set(died) == {*POINTS, OUTSIDE}
