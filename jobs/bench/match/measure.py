"""One contestant at the match: its input laid there, run, and its pairs beside the true ones."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # offered there, not declared so

from jobs.bench.match.contestants import OURS, Contestant, Lies, Place
from jobs.bench.match.files import messages, read_pairs, with_cells, write
from jobs.bench.match.inputs import Inputs
from jobs.bench.match.truth import Compared, compare
from jobs.bench.match.watch import Watched, watch
from jobs.bench.program import Program

__all__ = ["Matched", "Where", "matched", "stages"]

_QUEUED = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The core that is left to contestants (None: any), a folder for files, and a broker (None: those who need one are left out)."""

    core: int | None
    folder: Path
    brokers: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """Two sides matched by one contestant.

    Attributes:
        name: who.
        given: events of both sides.
        events: of these, worked off in the time that it had.
        seconds: from its first event to its last pair.
        cpu_s: processor time meanwhile, of all its processes.
        peak_mb: the most memory that they held.
        compared: its pairs beside the true ones; None: it did not come to its end.
    """

    name: str
    given: int
    events: float
    seconds: float
    cpu_s: float
    peak_mb: float
    compared: Compared | None

    @property
    def per_s(self) -> float:
        """Events a second."""
        return self.events / self.seconds if self.seconds > 0 else float("nan")

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time for an event."""
        return self.cpu_s / self.events * 1e6 if self.events else float("nan")


def matched(where: Where, who: Contestant, given: Inputs, truth: pl.DataFrame, within_s: float = 600.0) -> Matched:
    """Gives a contestant its share of the inputs, for so long at most, and compares.

    Raises:
        ProgramError: it ends by itself.
    """
    mine = given.share(who.share) if who.share < 1 else given
    folder = where.folder / who.name.replace(" ", "-")
    folder.mkdir()
    at = _laid(where, who, mine, folder)
    seen = watch(Program(who.command(at), where.core, folder / "log"), within_s)
    worked = mine.events if seen.done else mine.events * (seen.so_far or 0) / max(at.messages, 1)
    compared = compare(read_pairs(at.to), mine, truth) if seen.done else None
    shutil.rmtree(folder)
    return Matched(
        name=who.name,
        given=mine.events,
        events=worked,
        seconds=seen.seconds,
        cpu_s=seen.cpu_s,
        peak_mb=seen.peak_mb,
        compared=compared,
    )


def stages(where: Where, given: Inputs) -> Mapping[str, float]:
    """Of each stage of our match its processor time, seconds."""
    folder = where.folder / "stages"
    folder.mkdir()
    at = _laid(where, OURS, given, folder)
    seen: Watched = watch(Program([*OURS.command(at), "--stages"], where.core, folder / "log"), 600.0)
    shutil.rmtree(folder)
    spent: dict[str, float] = json.loads(seen.lines[-1])
    return spent


def _laid(where: Where, who: Contestant, given: Inputs, folder: Path) -> Place:
    """Lays the input of a contestant where it finds it."""
    left, right, to = folder / "left.csv", folder / "right.csv", folder / "pairs"
    if isinstance(who.input, Lies):
        name = f"match-{folder.name.lower()}-{time.time_ns()}".replace(",", "")
        count = _published(str(where.brokers), name, given, who.input)
        brokers = str(where.brokers)
        return Place(left=f"{name}.left", right=f"{name}.right", to=to, folder=folder / "state", name=name, brokers=brokers, messages=count)
    if who.input == "cells":
        with_cells(given.left, left, around=True)
        with_cells(given.right, right, around=False)
    else:
        write(given.left, left)
        write(given.right, right)
    return Place(left=str(left), right=str(right), to=to, folder=folder, name=folder.name)


def _published(brokers: str, name: str, given: Inputs, lies: Lies) -> int:
    """Lays both sides in topics of one partition each; returns how many messages lie there."""
    # Events of long ago: whoever keeps a week would throw them away at once.
    topics = [NewTopic(f"{name}.{side}", 1, 1, config={"retention.ms": "-1"}) for side in ("left", "right")]
    admin = AdminClient({"bootstrap.servers": brokers})
    for answer in admin.create_topics(topics).values():
        answer.result()
    to = Producer({"bootstrap.servers": brokers, "linger.ms": 20, "queue.buffering.max.messages": _QUEUED, "log_level": 2})
    count = 0
    for topic, side, around in ((topics[0].topic, given.left, True), (topics[1].topic, given.right, False)):
        for key, value, stamp in messages(side, around=around, wire=lies.wire, stamp=lies.stamp):
            while len(to) >= _QUEUED:
                to.poll(0.1)
            to.produce(topic, value, key, 0, timestamp=stamp)
            count += 1
    to.flush()
    return count
