"""``tsunagu bench live``: one worker on a broker of its own, then the same rule given to peers.

Everything runs on this machine: what is measured on one core, the broker and whoever publishes and listens on the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from jobs.bench import program, report
from jobs.bench.figures import Flow, Layout, Waits
from jobs.words import JST

if TYPE_CHECKING:
    from jobs.bench.contestant import Contestant
    from jobs.bench.measure import Where

__all__ = ["Bench", "run"]

Volume = tuple[int, datetime, datetime]
"""Regions, and the arrivals that each is given."""

MUCH: Volume = (20, datetime(2024, 5, 20, tzinfo=JST), datetime(2024, 6, 1, tzinfo=JST))
LESS: Volume = (20, datetime(2024, 5, 27, tzinfo=JST), datetime(2024, 5, 30, tzinfo=JST))
LITTLE: Volume = (2, datetime(2024, 5, 28, tzinfo=JST), datetime(2024, 5, 29, tzinfo=JST))

FLOOD_FROM, FLOOD_LASTS = datetime(2024, 5, 28, 10, tzinfo=JST), timedelta(hours=14)
PER_S, PEER_WITHIN_S = 1000, 60.0

PATIENT = {"broker.session.timeout.ms": "60000"}
"""A broker that shares its core would otherwise take itself for dead, and everybody would wait for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Settings of a bench.

    Attributes:
        what: a replay in this process, replays at the width of a nation, live on a broker, or the match of two large inputs.
        layout: of the tables.
        size: part of the full volume, up to 1.
        against: peers beside us, where they are installed.
    """

    what: Literal["replay", "width", "live", "match"] = "replay"
    layout: Layout = "plain"
    size: float = 1.0
    against: Literal["peers", "nobody"] = "peers"


def run(settings: Bench) -> int:
    """Measures, and prints what was measured; returns the exit code."""
    from infra.kafka import Broker, BrokerSettings
    from jobs.bench.measure import Where

    core = program.apart()
    with (
        TemporaryDirectory(prefix="tsunagu-bench-") as folder,
        Broker(BrokerSettings(folder=Path(folder) / "kafka", more=PATIENT)) as broker,
    ):
        print(report.machine(core), flush=True)
        for told in _measured(Where(brokers=broker.bootstrap, core=core, folder=Path(folder)), settings):
            print(f"\n{told}", flush=True)
    return 0


def _measured(where: Where, settings: Bench) -> Iterator[str]:
    from jobs.bench.contestant import OURS, PEERS, STAGED
    from jobs.bench.measure import flow, stages
    from jobs.bench.recording import recorded

    much, less, little = (recorded(max(round(regions * settings.size), 1), *period) for regions, *period in (MUCH, LESS, LITTLE))
    yield f"One worker, {len(much.regions)} regions, one partition, topic to topic:"
    yield report.flows([flow(where, OURS, much)], settings.layout)
    yield f"Where its time goes ({less.readings:,} readings):"
    yield report.spent(stages(where, STAGED, less), less.readings, settings.layout)
    peers = [each for each in PEERS if settings.against == "peers" and each.there]
    absent = [each.name for each in PEERS if settings.against == "peers" and not each.there]
    if absent:
        yield f"Not measured, since not installed (make bench brings them): {', '.join(absent)}"
    yield f"The same rule on the same input, {len(little.regions)} regions:"
    measured = [flow(where, each, little, PEER_WITHIN_S) for each in (OURS, *peers)]
    yield report.flows(measured, settings.layout)
    yield "From the arrival of the newest reading behind a statement until a reader has it:"
    told = [told for who, one in zip((OURS, *peers), measured, strict=True) for told in _paced(where, who, one, settings)]
    yield report.waited(told, settings.layout)


def _paced(where: Where, who: Contestant, one: Flow, settings: Bench) -> Iterator[Waits]:
    """At a thousand a second; and where that is too much, at about a third of what it did when all lay there."""
    from jobs.bench.contestant import OURS
    from jobs.bench.measure import Pace, waits
    from jobs.bench.pace import flood
    from jobs.bench.recording import LEVELS, recorded

    levels = recorded(1, FLOOD_FROM - timedelta(days=1), FLOOD_FROM + 2 * FLOOD_LASTS).one[LEVELS]
    of, regions = flood(levels, FLOOD_FROM, FLOOD_LASTS), max(round(10 * settings.size), 1)
    long_s, short_s = (10 + seconds * max(settings.size, 0.25) for seconds in (40, 15))
    told = waits(where, who, of, Pace(per_s=PER_S, seconds=long_s if who is OURS else short_s, regions=regions))
    yield told
    if told.falls_behind and who is not OURS:
        held = max(round(one.per_s / 3 / 25), 1) * 25
        yield waits(where, who, of, Pace(per_s=held, seconds=long_s, regions=regions))
