"""The contract suite fails when any one rule is broken on purpose: each is broken here, and found."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import polars as pl
import pytest

import jobs.start
import pipelines.linkage.engine
from pipelines.linkage.derive import DeriveFold
from pipelines.linkage.edge import Judged
from pipelines.linkage.engine import Engine
from pipelines.linkage.grid import Grid
from pipelines.linkage.reference import Reference
from pipelines.linkage.said import Said
from pipelines.upstream_flood import telling
from pipelines.upstream_flood.rule import FloodRule
from tests.contract import test_contract
from tests.contract.checks import Broken, equal_to_brute_force
from tests.contract.runs import Outcome
from tests.contract.test_contract import keeps

NAME = "upstream_flood"
TRIES = 60
Patch = pytest.MonkeyPatch


def forgets_too_early(patch: Patch) -> None:
    """1: a window loses its far end."""
    settle = DeriveFold.settle

    def short(self: Any, line_ms: int) -> None:
        self._reach = 30
        settle(self, line_ms)

    patch.setattr(DeriveFold, "settle", short)


def last_arrival_wins(patch: Patch) -> None:
    """2: a correction counts by when it came, not by its version."""
    add, number = Grid.add, count(1)

    def renumbered(self: Any, frame: pl.DataFrame) -> Any:
        versions = [next(number) for _ in range(frame.height)]
        return add(self, frame.with_columns(pl.Series("version", versions, dtype=pl.Int64)))

    patch.setattr(Grid, "add", renumbered)


def folds_only_the_newest_slot(patch: Patch) -> None:
    """2: what comes late within patience does not change what follows from earlier."""
    touch = DeriveFold._touch

    def newest_only(self: Any, slot: int | None) -> None:
        touch(self, None if slot is None else max(slot, self._newest or slot))

    patch.setattr(DeriveFold, "_touch", newest_only)


def counts_a_bulletin_from_its_arrival(patch: Patch) -> None:
    """2: what comes within patience changes only what follows."""
    made = Reference.__init__

    def impatient(self: Any, *given: Any) -> None:
        made(self, *given)
        self._patience_ms = 0

    patch.setattr(Reference, "__init__", impatient)


def forgets_what_was_said(patch: Patch) -> None:
    """3: a successor does not read what was said."""
    patch.setattr(Said, "recall", lambda self, facts: None)


def starts_from_the_commit(patch: Patch) -> None:
    """3: a successor speaks before it has read as far as who spoke before it."""
    begin = jobs.start.begin
    patch.setattr(
        "tests.contract.runs.begin",
        lambda linkage, log, committed, said: begin(
            linkage, log, committed, said.with_columns(pl.lit([], said.schema["basis"]).alias("basis"))
        ),
    )


def starts_at_the_last_tick(patch: Patch) -> None:
    """3: the line of a start passes what an input has not read yet."""

    def hasty(linkage: Any, log: Any, positions: Any) -> Any:
        ticks = log.logs["clock.v1"]
        return ticks["at"].max() - timedelta(hours=3) if positions["clock.v1", 0] else None

    patch.setattr(jobs.start, "line_at", hasty)


def weighs_nothing_before_the_line(patch: Patch) -> None:
    """3: a successor does not look back over what was settled."""
    weigh = DeriveFold._weigh
    patch.setattr(
        DeriveFold, "_weigh", lambda self, start, stop: weigh(self, start if self._newest is not None else max(start, stop - 1), stop)
    )


def forgets_before_it_speaks(patch: Patch) -> None:
    """3: the line moves before what follows is said."""
    speak = Engine._speak

    def hasty(self: Any, next_line_ms: int) -> Any:
        self.line_ms = next_line_ms
        self._fold.settle(next_line_ms)
        return speak(self, next_line_ms)

    patch.setattr(Engine, "_speak", hasty)


def compares_with_what_it_said(patch: Patch) -> None:
    """4: a small change of what was said is kept back."""
    differs = Said._differs

    def lazy(self: Any, row: dict[str, Any]) -> bool:
        held = self._facts.get(row["id"])
        near = (
            held is not None
            and abs((row["p_exceed"] or 0) - (held.row["p_exceed"] or 0)) <= 0.1
            and row["ended_ms"] == held.row["ended_ms"]
        )
        return differs(self, row) and not near

    patch.setattr(Said, "_differs", lazy)


def never_speaks_of_who_never_spoke(patch: Patch) -> None:
    """5: a key that nobody has heard of looks like all-clear."""
    patch.setattr(Reference, "keys", lambda self: [])


def calls_a_silent_gauge_known(patch: Patch) -> None:
    """5: a gauge that speaks without a level passes for one that is read."""
    weigh = FloodRule.weigh

    def deaf(self: Any, ground: Any, past: Any, slots: range) -> Any:
        out = dict(weigh(self, ground, past, slots))
        return out | {"no_reading": out["no_reading"] & out["stale"]}

    patch.setattr(FloodRule, "weigh", deaf)


def waits_for_the_slowest(patch: Patch) -> None:
    """6: an unread record keeps the engine from speaking."""
    due, step = DeriveFold.due, Engine.step

    def patient(self: Any, batch: Any, unread: Any = None) -> Any:
        self._fold.waits = bool(unread)
        return step(self, batch, unread)

    patch.setattr(Engine, "step", patient)
    patch.setattr(DeriveFold, "due", lambda self, tick_ms: not getattr(self, "waits", False) and due(self, tick_ms))


def drops_bad_input(patch: Patch) -> None:
    """7: what cannot be used vanishes."""
    judge = pipelines.linkage.engine.judge

    def silent(*given: Any, **named: Any) -> Judged:
        return Judged(good=judge(*given, **named).good, late=None, dead=None)

    patch.setattr(pipelines.linkage.engine, "judge", silent)


def looks_at_the_clock(patch: Patch) -> None:
    """8: a rule asks what time it is."""
    weigh = FloodRule.weigh

    def hurried(self: Any, *given: Any) -> Any:
        time.time()
        return weigh(self, *given)

    patch.setattr(FloodRule, "weigh", hurried)


def never_forgets(patch: Patch) -> None:
    """9: the past grows without end."""
    patch.setattr(DeriveFold, "settle", lambda self, line_ms: None)


def names_too_little(patch: Patch) -> None:
    """10: the reasons leave out readings that weighed."""
    patch.setattr(telling, "REST_ON", timedelta(hours=3))


def names_no_bulletins(patch: Patch) -> None:
    """10: the reasons leave out what is officially said beside."""
    patch.setattr(telling, "_bulletins", lambda *_: [])


def in_runs(_: Patch) -> None:
    """Plays scripts until one fails."""
    for seed in range(TRIES):
        keeps(NAME, "embedded", seed)


HOW: dict[Callable[[Patch], None], Callable[[Patch], None]] = {
    waits_for_the_slowest: lambda _: test_contract.speaks_though_an_input_is_dead(NAME),
    looks_at_the_clock: lambda patch: test_contract.asks_nothing_outside(NAME, patch),
    never_forgets: lambda _: test_contract.holds_no_more_than_it_must(NAME),
}
"""Rules that a random run does not show have a test of their own."""

BREAKS = [
    forgets_too_early, last_arrival_wins, folds_only_the_newest_slot, forgets_what_was_said, starts_from_the_commit,
    starts_at_the_last_tick, weighs_nothing_before_the_line, forgets_before_it_speaks, compares_with_what_it_said,
    never_speaks_of_who_never_spoke, calls_a_silent_gauge_known, waits_for_the_slowest, drops_bad_input, looks_at_the_clock,
    never_forgets, names_too_little, names_no_bulletins, counts_a_bulletin_from_its_arrival,
]  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS, ids=lambda each: each.__name__)
def test_a_broken_rule_is_found(broken: Callable[[Patch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken.__doc__
    rule = broken.__doc__.partition(":")[0]
    with monkeypatch.context() as patch:
        broken(patch)
        with pytest.raises(Broken) as found:
            HOW.get(broken, in_runs)(patch)
    assert found.value.args, rule


def test_a_run_that_says_nothing_is_found() -> None:
    with pytest.raises(Broken, match=r"^1: not said"):
        equal_to_brute_force(test_contract.LINKAGES[NAME], Outcome(), {"small/a/L1/x": {}})
