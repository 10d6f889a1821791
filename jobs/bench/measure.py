"""One measurement: a contestant works off what lies in topics, or follows readings as they come."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from connectors.kafka import KafkaSettings
from jobs.bench.contestant import Contestant
from jobs.bench.figures import Flow, Standing, Waits
from jobs.bench.pace import TICK_S, Flood, Live
from jobs.bench.program import Program, ProgramError
from jobs.bench.recording import Recording, standing
from jobs.bench.topics import Ear, Group, made, publish, said

__all__ = ["Pace", "Where", "flow", "stages", "waits"]

LOOKS_EVERY_S = 0.02
STARTS_WITHIN_S = 120.0
DRAINS_WITHIN_S = 5.0


@dataclass(slots=True, kw_only=True)
class Where:
    """The broker, the core that is left to contestants (None: any), and a folder for logs. Each measurement has topics of its own."""

    brokers: str
    core: int | None
    folder: Path
    drills: int = 0

    def fresh(self) -> KafkaSettings:
        """A namespace that nobody has used, with its topics."""
        self.drills += 1
        return made(KafkaSettings(brokers=self.brokers, drill=f"bench-{self.drills}"))

    def program(self, who: Contestant, cluster: KafkaSettings) -> Program:
        """A contestant that is ready to start."""
        own = self.folder / str(cluster.drill)
        own.mkdir()
        return Program(who.command(cluster, own), self.core, own / "log")


def flow(where: Where, who: Contestant, recording: Recording, within_s: float = 600.0) -> Flow:
    """Publishes a recording, lets a contestant work it off, and compares what stands with what should.

    Raises:
        ProgramError: it ends by itself, or has committed nothing in time.
    """
    cluster = where.fresh()
    publish(cluster, recording)
    with Group(cluster, who.group_in(cluster)) as group, where.program(who, cluster) as running:
        begin = end = _moved_on(group, running, -1, STARTS_WITHIN_S)
        until = time.monotonic() + within_s
        while end.offset < recording.readings and time.monotonic() < until:
            end = _moved_on(group, running, end.offset, max(until - time.monotonic(), 0.0), end)
        peak_mb = running.peak_mb
    rows, done = said(cluster), end.offset >= recording.readings
    return Flow(
        name=who.name,
        records=end.offset - begin.offset,
        seconds=end.at_s - begin.at_s,
        cpu_s=end.cpu_s - begin.cpu_s,
        peak_mb=peak_mb,
        said=len(rows),
        standing=Standing.of(standing(rows), recording.should_stand()) if done else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A commit when it was seen: how far, when, and the processor time of the contestant until then."""

    offset: int
    at_s: float
    cpu_s: float


def _moved_on(group: Group, running: Program, before: int, within_s: float, otherwise: _Seen | None = None) -> _Seen:
    """The next commit that is further than one before."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        running.check()
        offset = group.committed()
        if offset is not None and offset > before:
            return _Seen(offset=offset, at_s=time.monotonic(), cpu_s=running.cpu_s)
        time.sleep(LOOKS_EVERY_S)
    if otherwise is None:
        raise ProgramError(f"program must commit within {within_s:.0f} s (got no commit beyond {before}): read its log")
    return otherwise


def stages(where: Where, who: Contestant, recording: Recording) -> Mapping[str, tuple[float, float]]:
    """Of each stage of our worker the processor time and the time that went by, seconds."""
    cluster = where.fresh()
    publish(cluster, recording)
    with Group(cluster, who.group_in(cluster)) as group, where.program(who, cluster) as running:
        while (group.committed() or 0) < recording.readings:
            running.check()
            time.sleep(LOOKS_EVERY_S)
        spent: dict[str, tuple[float, float]] = json.loads(running.end())
    return spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Readings a second and for how long, of which the first seconds are not counted; hours of readings that lie there before."""

    per_s: int
    seconds: float
    warm_s: float = 10.0
    before_h: int = 3
    regions: int = 10


def waits(where: Where, who: Contestant, of: Flood, pace: Pace) -> Waits:
    """Lets a contestant follow readings as they come, and looks when a reader has each statement.

    Counted is what was said of a level because of a reading, and neither what a tick brought about nor what is said at the start.
    """
    cluster = where.fresh()
    live = Live(cluster, of, [f"fukui-{at}" for at in range(1, pace.regions + 1)])
    before = live.begin(pace.before_h)
    with Group(cluster, who.group_in(cluster)) as group, where.program(who, cluster) as running, Ear(cluster) as ear:
        _moved_on(group, running, before - 1, STARTS_WITHIN_S)
        begun = time.time()
        live.run(pace.per_s, pace.seconds)
        ended = time.time()
        time.sleep(DRAINS_WITHIN_S)
        running.check()
    told = ear.statements().sort("seen_s").with_columns((pl.col("said_at").to_physical() / 1000).alias("said_s"))
    newest: Any = told.filter(pl.col("seen_s") <= ended)["said_s"].max()
    counted = told.filter(pl.col("level").is_not_null(), pl.col("said_s") >= begun + pace.warm_s, pl.col("said_s") % TICK_S != 0)
    return Waits(
        name=who.name,
        per_s=pace.per_s,
        waits_ms=((counted["seen_s"] - counted["said_s"]) * 1000).to_list(),
        behind_s=math.inf if newest is None else ended - newest,
    )
