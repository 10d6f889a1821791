"""Measures our match, where its time goes and what a longer past costs it, then its peers on the same events."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from jobs.bench import program

if TYPE_CHECKING:
    from jobs.bench.live import Bench
    from jobs.bench.match.contestants import Contestant
    from jobs.bench.match.held import Held
    from jobs.bench.match.measure import Where

__all__ = ["run"]

PEER_WITHIN_S = 400.0
HELD_WITHIN_S = 900.0


def run(settings: Bench) -> int:
    """Measures, and prints what was measured; returns the exit code."""
    from jobs.bench import report
    from jobs.bench.match.measure import Where

    core = program.apart()
    print(report.machine(core), flush=True)
    with TemporaryDirectory(prefix="tsunagu-match-") as folder, ExitStack() as stack:
        for told in _measured(Where(core=core, folder=Path(folder)), settings, stack):
            print(f"\n{told}", flush=True)
    return 0


def _measured(where: Where, settings: Bench, stack: ExitStack) -> Iterator[str]:
    from jobs.bench.match import report
    from jobs.bench.match.contestants import OURS
    from jobs.bench.match.held import AMOUNTS
    from jobs.bench.match.inputs import inputs
    from jobs.bench.match.measure import matched, stages
    from jobs.bench.match.truth import true_pairs

    given = inputs(settings.size)
    truth = true_pairs(given)
    yield f"Two inputs of {given.left.height:,} events each, {truth.height:,} true pairs:"
    measured = [matched(where, OURS, given, truth)]
    if settings.against == "peers":
        yield from _absent()
        where = _with_broker(where, stack)
        for each in _there():
            print(f"{each.name} …", file=sys.stderr, flush=True)
            measured.append(matched(where, each, given, truth, PEER_WITHIN_S))
    yield report.rows(measured, settings.layout)
    yield "Where its time goes:"
    yield report.spent(stages(where, given), given.events, settings.layout)
    yield "The same town, more of the past held:"
    amounts = sorted({max(round(amount * settings.size), AMOUNTS[0]) for amount in AMOUNTS})
    yield report.grown([_held(where, amount) for amount in amounts], settings.layout)


def _there() -> list[Contestant]:
    from jobs.bench.match.contestants import PEERS

    return [each for each in PEERS if each.there()]


def _absent() -> Iterator[str]:
    from jobs.bench.match.contestants import PEERS

    absent = [each.name for each in PEERS if not each.there()]
    if absent:
        yield f"Not measured, since not installed (make bench brings them): {', '.join(absent)}"


def _with_broker(where: Where, stack: ExitStack) -> Where:
    """The same place with a broker, which is stopped at the end."""
    from infra.kafka import Broker, BrokerSettings
    from jobs.bench.live import PATIENT
    from jobs.bench.match.measure import Where

    broker = stack.enter_context(Broker(BrokerSettings(folder=where.folder / "kafka", more=PATIENT)))
    return Where(core=where.core, folder=where.folder, brokers=broker.bootstrap)


def _held(where: Where, amount: int) -> Held:
    """What a record costs while so many are held, found by a process of its own."""
    from jobs.bench.match.held import Held
    from jobs.bench.match.watch import watch
    from jobs.bench.program import Program

    command = [sys.executable, "-m", "jobs.bench.match.held", "--amount", str(amount)]
    seen = watch(Program(command, where.core, where.folder / "held.log"), HELD_WITHIN_S)
    return Held(**json.loads(seen.lines[-1]))
