"""Runs a linkage through a script on a runtime, as life would have it: batches cut anywhere, killed anywhere."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from jobs.embedded import Recorded
from jobs.start import begin, engine
from pipelines.linkage import AsOf, Engine, Linkage, Spoken
from schemas import feed

__all__ = ["RUNTIMES", "Outcome", "at_once", "drawn", "embedded", "newest", "replayed", "standing", "unread", "upto", "value"]

Logs = Mapping[str, pl.DataFrame]


@dataclass(slots=True)
class Outcome:
    """All that a run left behind."""

    streams: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    """What was said into each partition, in order."""
    late: int = 0
    dead: int = 0
    held: int = 0
    """Most readings held at any time."""
    kills: int = 0
    torn: int = 0
    """How often only half of what was to be said was said before a kill."""

    @property
    def facts(self) -> list[dict[str, Any]]:
        """All that was said, partition by partition."""
        return [row for stream in self.streams.values() for row in stream]


def at_once(linkage: Linkage, logs: Logs) -> dict[str, dict[str, Any]]:
    """The function over everything: one evaluation of all records, nothing settled. Id → value."""
    running = engine(linkage)
    running.recall(logs)
    return standing(linkage, running.step({}).rows)


def value(linkage: Linkage, row: Mapping[str, Any]) -> dict[str, Any]:
    """A fact without its envelope, and without the word that tells a first statement from a later one."""
    return {name: each for name, each in row.items() if name not in feed(linkage.says).envelope} | {"state": linkage.later(row["state"])}


def newest(facts: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The highest revision of each id."""
    out: dict[str, dict[str, Any]] = {}
    for row in facts:
        if row["id"] not in out or row["revision"] > out[row["id"]]["revision"]:
            out[row["id"]] = row
    return out


def standing(linkage: Linkage, facts: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What stands: the newest revisions that are not withdrawn, without their envelope."""
    return {id_: value(linkage, row) for id_, row in newest(facts).items() if row["state"] != "withdrawn"}


def replayed(linkage: Linkage, logs: Logs, batches: int) -> Outcome:
    """In order of arrival, in so many batches of equal time, never killed."""
    out = Outcome()
    running = engine(linkage)
    times = pl.concat([log["arrived"] for log in logs.values()]).sort()
    edges = [times[len(times) * at // batches] for at in range(1, batches)]
    begin: datetime | None = None
    for end in [*edges, None]:
        batch = {name: _between(log, begin, end) for name, log in logs.items()}
        _take(linkage, out, running, running.step({name: frame for name, frame in batch.items() if frame.height}))
        begin = end
    return out


def _between(log: pl.DataFrame, begin: datetime | None, end: datetime | None) -> pl.DataFrame:
    if begin is not None:
        log = log.filter(pl.col("arrived") >= begin)
    return log if end is None else log.filter(pl.col("arrived") < end)


class Killed(Exception):
    """The process died here."""


def embedded(linkage: Linkage, logs: Logs, seed: int, *, kill: float = 0.15) -> Outcome:
    """Any interleaving of the feeds, any batches, killed between any two steps or within one, and started again."""
    g, out = random.Random(seed), Outcome()
    committed = dict.fromkeys(logs, 0)
    running, read = engine(linkage), dict(committed)
    while any(committed[name] < log.height for name, log in logs.items()):
        where = g.choice(["read", "half said", "said", "committed"]) if g.random() < kill else ""
        take = drawn(g, logs, read)
        try:
            _step(linkage, out, running, logs, read, take, where)
            committed = dict(read)
            if where == "committed":
                raise Killed
        except Killed:
            out.kills += 1
            places = {(name, 0): count for name, count in committed.items()}
            running, positions = begin(linkage, Recorded(logs=logs), places, _said(linkage, out))
            read = {name: count for (name, _), count in positions.items()}
            _take(linkage, out, running, running.step({}, unread(logs, read)))
    return out


def _step(linkage: Linkage, out: Outcome, running: Engine, logs: Logs, read: dict[str, int], take: Mapping[str, int], where: str) -> None:
    batch = {name: logs[name][read[name] : read[name] + count] for name, count in take.items()}
    for name, count in take.items():
        read[name] += count
    spoken = running.step(batch, unread(logs, read))
    if where == "read":
        raise Killed
    if where == "half said" and spoken.facts is not None:
        half = replace(spoken, facts=spoken.facts.head(spoken.facts.height // 2))
        _take(linkage, out, running, half)
        out.torn += 1
        raise Killed
    _take(linkage, out, running, spoken)
    if where == "said":
        raise Killed


def drawn(g: random.Random, logs: Logs, read: Mapping[str, int]) -> dict[str, int]:
    """How many records of which feeds to read next; feeds lag behind each other by some hours at most."""
    left = {name: log for name, log in logs.items() if read[name] < log.height}
    if not left:
        return {}
    next_ = {name: log["arrived"][read[name]] for name, log in left.items()}
    behind = min(next_.values()) + timedelta(minutes=g.choice([0, 30, 200]))
    near = [name for name in left if next_[name] <= behind]
    chosen = g.sample(near, g.randint(1, len(near)))
    until = max(next_[name] for name in chosen) + timedelta(minutes=g.choice([0, 10, 60, 300, 600]))
    return {name: max(1, min(int((logs[name]["arrived"][read[name] :] <= until).sum()), g.choice([3, 40, 1000]))) for name in chosen}


def unread(logs: Logs, read: Mapping[str, int]) -> dict[str, datetime]:
    """Of each feed the arrival of the next record."""
    return {name: log["arrived"][read[name]] for name, log in logs.items() if read[name] < log.height}


def _said(linkage: Linkage, out: Outcome) -> pl.DataFrame:
    return pl.DataFrame(out.facts, schema=feed(linkage.says).columns)


def _take(linkage: Linkage, out: Outcome, running: Engine, spoken: Spoken) -> None:
    out.streams.setdefault(0, []).extend(spoken.rows)
    out.late += 0 if spoken.late is None else spoken.late.height
    out.dead += 0 if spoken.dead is None else spoken.dead.height
    held = running.held()
    out.held = max(out.held, sum(held[name] for name, each in linkage.given.items() if not isinstance(each, AsOf)))


def upto(logs: Logs, basis: list[dict[str, Any]]) -> dict[str, pl.DataFrame]:
    """The logs as far as a basis."""
    read = {(each["feed"], each["partition"]): each["offset"] for each in basis}
    return {name: _upto(log, {p: offset for (feed_name, p), offset in read.items() if feed_name == name}) for name, log in logs.items()}


def _upto(log: pl.DataFrame, read: Mapping[int, int]) -> pl.DataFrame:
    return log.filter(pl.col("offset") <= pl.col("partition").replace_strict(read, default=-1, return_dtype=pl.Int64)) if read else log[:0]


RUNTIMES = {"embedded": embedded}
"""Every runtime there is: (linkage, logs, seed) → what it left behind after being cut and killed at random."""
