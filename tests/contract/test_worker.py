"""Every linkage on workers with a real broker keeps the contract, by one and three workers, over one and eight partitions.

``TSUNAGU_LIVE_SCRIPTS`` is how many arrival scripts are tried in each of the four ways (10); they run together, each in a region of
its own. A failure prints its seed; ``TSUNAGU_SEED=17 make test ARGS=tests/contract/test_worker.py`` plays that one again.
"""

from __future__ import annotations

import importlib
import os
import random
from functools import partial

import pytest

from connectors.kafka import KafkaSettings
from jobs.linkages import LINKAGES
from pipelines.linkage import Route
from tests.contract import checks
from tests.contract.runs import at_once
from tests.contract.worker import lines_at, merged, placed, worker

SCRIPTS = int(os.environ.get("TSUNAGU_LIVE_SCRIPTS", "10"))
SEED = int(os.environ.get("TSUNAGU_SEED", "0"))
MINUTES = 1300
"""Length of the scripts: patience and reach of the evidence, and a flood."""


@pytest.mark.parametrize("order", ["as arrived", "in another order"])
@pytest.mark.parametrize("partitions", [1, 8])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", sorted(name for name, each in LINKAGES.items() if not isinstance(each, Route)))
def test_what_stands_is_the_function_over_everything(name: str, workers: int, partitions: int, order: str, cluster: KafkaSettings) -> None:
    linkage, scripts = LINKAGES[name], importlib.import_module(f"tests.contract.scripts.{name}")
    made = merged({f"r{seed}": scripts.make(seed, MINUTES) for seed in range(SEED, SEED + SCRIPTS)}, linkage.together_by)
    logs = placed(made.logs if order == "as arrived" else made.other, partitions)
    out = worker(cluster, linkage, logs, SEED, kill=0.02, workers=workers, partitions=partitions)
    assert out.kills, "nothing failed: nothing was tried"
    assert made.states - made.passing <= checks.states(out).keys(), "scripts say too little"
    try:
        checks.check(linkage, made, out, logs, at_once(linkage, logs), random.Random(SEED))
        checks.said_again(linkage, out, logs, partitions, partial(lines_at, logs))
    except checks.Broken as broken:
        raise checks.Broken(f"seed {SEED}, {name}, {workers} workers, {partitions} partitions, {order}: {broken}") from broken
