"""Every linkage on every runtime keeps the contract, under random arrival scripts.

``TSUNAGU_SCRIPTS`` is how many scripts are tried (500; ``make torture``: 10,000). A failure prints its seed;
``TSUNAGU_SEED=17 make test ARGS=tests/contract`` plays that one script again.
"""

from __future__ import annotations

import builtins
import importlib
import os
import random
import socket
import time
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from jobs.linkages import LINKAGES
from jobs.start import engine
from pipelines.linkage import Derive, Route
from schemas import Feed, feed
from tests.contract import checks
from tests.contract.runs import RUNTIMES, Outcome, at_once, replayed, standing
from tests.contract.script import Script

SCRIPTS = int(os.environ.get("TSUNAGU_SCRIPTS", "500"))
ONLY = os.environ.get("TSUNAGU_SEED")
BLOCK = 25
SLOWER = {"latent_accident_spots": 20, "witnessed_near_misses": 5}
"""So many times fewer scripts are tried of these: a script of theirs takes as much longer."""
SAY = sorted(name for name, each in LINKAGES.items() if not isinstance(each, Route))
"""Linkages that say facts; what a route hands on is tried in test_route.py."""
DERIVED = sorted(name for name, each in LINKAGES.items() if isinstance(each, Derive))
"""Linkages that hold a past of hours: what matches and tallies hold is tested beside them."""


def script(name: str, seed: int) -> Script:
    """The script of a linkage; a linkage without scripts fails here."""
    made: Script = importlib.import_module(f"tests.contract.scripts.{name}").make(seed)
    return made


def past_feed(name: str) -> Feed:
    """The feed whose past a linkage folds along."""
    return feed(LINKAGES[name].observes[0])


def keeps(name: str, runtime: str, seed: int) -> list[Outcome]:
    """Plays a script twice on a runtime, in two orders of arrival, and checks all that a run can show."""
    linkage, made = LINKAGES[name], script(name, seed)
    whole, g = at_once(linkage, made.logs), random.Random(seed)
    outcomes = []
    for logs, kill in ((made.logs, 0.15), (made.other, 0.0)):
        out = RUNTIMES[runtime](linkage, logs, seed, kill=kill)
        try:
            checks.check(linkage, made, out, logs, whole, g)
            if not out.torn and seed % 5 == 0:  # as long again as all the rest
                checks.said_again(linkage, out, logs)
        except checks.Broken as broken:
            which = "as arrived" if logs is made.logs else "in another order"
            raise checks.Broken(f"seed {seed}, {name} on {runtime}, {which}: {broken}") from broken
        outcomes.append(out)
    return outcomes


@pytest.mark.parametrize(
    ("name", "begin"),
    [(name, begin) for name in SAY for begin in ([int(ONLY)] if ONLY else range(0, max(SCRIPTS // SLOWER.get(name, 1), BLOCK), BLOCK))],
)
@pytest.mark.parametrize("runtime", sorted(RUNTIMES))
def test_what_stands_is_the_function_over_everything(name: str, runtime: str, begin: int) -> None:
    outcomes = [each for seed in range(begin, begin + (1 if ONLY else BLOCK)) for each in keeps(name, runtime, seed)]
    said = sum((checks.states(each) for each in outcomes), start=checks.Counter())
    if not ONLY:
        assert script(name, begin).states <= said.keys(), "scripts say too little"
        assert sum(each.kills for each in outcomes) > 0


@pytest.mark.parametrize("name", SAY)
def test_a_replay_says_the_same_bytes(name: str) -> None:
    for seed in range(5):
        made = script(name, seed)
        assert replayed(LINKAGES[name], made.logs, 40).facts == replayed(LINKAGES[name], made.logs, 40).facts


@pytest.mark.parametrize("name", SAY)
def test_batches_of_any_size_come_to_the_same(name: str) -> None:
    for seed in range(5):
        made = script(name, seed)
        stood = [standing(LINKAGES[name], replayed(LINKAGES[name], made.logs, batches).facts) for batches in (1, 7, 200)]
        assert stood[0] == stood[1] == stood[2] == at_once(LINKAGES[name], made.logs), f"seed {seed}"


@pytest.mark.parametrize("name", DERIVED)
def test_a_dead_input_delays_forgetting_and_never_speaking(name: str) -> None:
    speaks_though_an_input_is_dead(name)


def speaks_though_an_input_is_dead(name: str) -> None:
    """Rule 6: readings lie unread for hours while ticks go on; silence is said by then, and the line waits."""
    linkage, made = LINKAGES[name], script(name, 1)
    running = engine(linkage)
    past = past_feed(name)
    log, clock = made.logs[past.name], made.logs["clock.v1"]
    stuck = log["arrived"][log.height // 2]
    heard = {feed_name: each.filter(pl.col("arrived") < stuck) for feed_name, each in made.logs.items()}
    running.step(heard, {past.name: stuck})
    said = []
    for tick in clock.filter(pl.col("arrived") >= stuck).head(24).iter_slices(1):
        spoken = running.step({"clock.v1": tick}, {past.name: stuck})
        said += spoken.rows
    if not any(row["state"] in made.own for row in said):
        raise checks.Broken("6: a dead input keeps the others from speaking")
    if running.line is None or running.line > stuck - past.patience:
        raise checks.Broken(f"6: the line ({running.line}) passed an unread record of {stuck}")


@pytest.mark.parametrize("name", SAY)
def test_nothing_outside_is_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asks_nothing_outside(name, monkeypatch)


def asks_nothing_outside(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 8: no clock, file, network or random number."""
    made = script(name, 2)
    at_once(LINKAGES[name], made.logs)  # whatever is imported on first use is imported now

    def forbidden(*_: Any, **__: Any) -> Any:
        raise checks.Broken("8: a linkage asks for something outside")

    with monkeypatch.context() as patch:
        for module, attribute in ((time, "time"), (time, "monotonic"), (random, "random"), (socket, "socket"), (builtins, "open")):
            patch.setattr(module, attribute, forbidden)
        replayed(LINKAGES[name], made.logs, 20)


@pytest.mark.parametrize("name", DERIVED)
def test_what_is_held_is_bounded(name: str) -> None:
    holds_no_more_than_it_must(name)


def holds_no_more_than_it_must(name: str) -> None:
    """Rule 9: readings of patience + reach, and no more, however long it runs."""
    linkage = LINKAGES[name]
    made = next(each for each in (script(name, seed) for seed in range(100)) if each.logs["clock.v1"].height > 6 * 60)
    out = replayed(linkage, made.logs, 300)
    pasts = {each: feed(each).time for each in linkage.observes}
    observed = pl.concat([made.logs[each].filter(pl.col(time) <= pl.col("arrived"))[time] for each, time in pasts.items()]).sort()
    span = linkage.reach + timedelta(hours=5)
    most = max(int(((observed > at - span) & (observed <= at)).sum()) for at in observed.to_list())
    if out.held > most:
        raise checks.Broken(f"9: {out.held} readings held, where {most} lie within patience and reach")
    assert most < len(observed)
