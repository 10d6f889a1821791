"""The contract suite on workers fails when any one rule of the worker is broken on purpose: each is broken here, and found."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from connectors.kafka import KafkaSettings
from jobs.linkages import LINKAGES
from jobs.worker import told
from jobs.worker.inputs import Inputs, Taken
from jobs.worker.seat import Seat
from jobs.worker.voice import Voice
from tests.contract import checks
from tests.contract.runs import at_once
from tests.contract.scripts import upstream_flood
from tests.contract.worker import ends, gathered, made, merged, placed, publish, running, settled, worker

FLOOD = LINKAGES["upstream_flood"]
Patch = pytest.MonkeyPatch


def speaks_for_keys_of_others(patch: Patch) -> None:
    """Every seat speaks for every silent gauge."""
    patch.setattr(Seat, "_owns", lambda self, reader: lambda value: True)


def forgets_what_was_said(patch: Patch) -> None:
    """A successor does not read what was said."""
    read = told.read

    def nothing(*given: Any) -> told.Told:
        found = read(*given)
        return replace(found, facts=found.facts[:0])

    patch.setattr(told, "read", nothing)


def drops_bad_input(patch: Patch) -> None:
    """Late and unreadable records are not said anywhere."""
    patch.setattr(Voice, "_side", lambda self, side, frame: [])


@pytest.mark.parametrize(
    "broken",
    [speaks_for_keys_of_others, forgets_what_was_said, drops_bad_input],
    ids=lambda each: each.__name__,
)
def test_a_broken_rule_is_found(broken: Callable[[Patch], None], cluster: KafkaSettings, monkeypatch: Patch) -> None:
    made_up = merged({f"r{seed}": upstream_flood.make(seed, 1300) for seed in range(3)})
    logs = placed(made_up.logs, 4)
    with monkeypatch.context() as patch:
        broken(patch)
        out = worker(cluster, FLOOD, logs, 1, kill=0.04, workers=1, partitions=4)
    with pytest.raises(checks.Broken):
        checks.check(FLOOD, made_up, out, logs, at_once(FLOOD, logs), random.Random(1))


@pytest.mark.parametrize("rule", ["kept", "broken"])
def test_an_input_that_is_dead_for_a_while_holds_the_line_and_nobody(rule: str, cluster: KafkaSettings, monkeypatch: Patch) -> None:
    """All ticks are read long before the readings: silence is said meanwhile, and what lies unread holds the line."""
    begin, take, taken = Inputs.__init__, Inputs.take, count()

    def stuck(self: Inputs, *given: Any) -> None:
        begin(self, *given)
        self._reader.hold([("river.level.v1", 0)])

    def freed(self: Inputs, wait_s: float) -> Taken:
        if next(taken) == 30:
            self._reader.let_go([("river.level.v1", 0)])
        return take(self, wait_s)

    monkeypatch.setattr(Inputs, "__init__", stuck)
    monkeypatch.setattr(Inputs, "take", freed)
    if rule == "broken":
        monkeypatch.setattr(Inputs, "unread", lambda self: {})
    made_up = merged({f"r{seed}": upstream_flood.make(seed, 2500) for seed in range(3)})
    logs = placed(made_up.logs, 1)
    made(cluster, FLOOD, 1)
    publish(cluster, logs)
    with running(cluster, FLOOD, 1, lambda _: None):
        settled(cluster, FLOOD, ends(cluster, logs, 1))
    out = gathered(cluster, FLOOD, 1)
    if rule == "kept":
        checks.check(FLOOD, made_up, out, logs, at_once(FLOOD, logs), random.Random(1))
        spoken = [row for row in out.facts if "river.level.v1" not in {each["feed"] for each in row["basis"]}]
        assert any(row["state"] in made_up.own for row in spoken), "silence is said while the input is dead"
    else:
        with pytest.raises(checks.Broken):
            checks.equal_to_brute_force(FLOOD, out, at_once(FLOOD, logs))
