"""The embedded runtime: any linkage over recorded arrivals, in order of arrival, in this process.

All that arrived at one instant is one batch, so that what is said, and when, does not depend on how a source cuts
its chunks. The arrivals before ``since`` warm the past up in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl

from connectors import Arrivals
from pipelines.linkage import AHEAD, CLOCK, AsOf, Derive, Engine, Spoken, Start
from schemas import feed

__all__ = ["WARM_UP", "engine", "instants", "line_at", "replay", "resume"]

WARM_UP = 2
"""The past before ``since`` is read so many times as far back as the linkage reaches: an episode that began a day or two
before is then told with its true onset."""


def engine(linkage: Derive, start: Start | None = None) -> Engine:
    """The engine of a linkage with the feeds that it names."""
    return Engine(linkage, {name: feed(name) for name in (*linkage.feeds, linkage.says)}, start)


def replay(linkage: Derive, arrivals: Iterable[Arrivals], references: Arrivals, since: datetime | None = None) -> Iterator[Spoken]:
    """Runs a linkage over recorded arrivals.

    Args:
        linkage: what to run.
        arrivals: chunks in order of arrival, from some time before ``since`` on.
        references: reference feeds that are known from the beginning.
        since: from which arrival on to speak; None: from the first.

    Yields:
        What each batch gave, where it gave anything. What a source could not read comes once for each chunk.
    """
    running = engine(linkage)
    first_since = since
    running.recall({name: frame for name, frame in references.items() if name in linkage.feeds})
    for chunk in arrivals:
        dead = _since(chunk.get("dead.v1"), since)
        if dead is not None:
            yield Spoken(facts=None, late=None, dead=dead)
        for instant, batch in instants({name: frame for name, frame in chunk.items() if name in linkage.feeds}):
            if since is not None and instant < since:
                running.recall(batch)
                continue
            spoken = _standing(running.step(batch), first_since)
            first_since = None
            if spoken.facts is not None or spoken.late is not None or spoken.dead is not None:
                yield spoken


def _standing(spoken: Spoken, since: datetime | None) -> Spoken:
    """Of the first word of a replay only what had not ended before: the past is warmed up, not told."""
    if since is None or spoken.facts is None:
        return spoken
    facts = spoken.facts.filter(pl.col("ended_at").is_null() | (pl.col("ended_at") >= since))
    return replace(spoken, facts=facts if facts.height else None)


def _since(frame: pl.DataFrame | None, since: datetime | None) -> pl.DataFrame | None:
    if frame is not None and since is not None:
        frame = frame.filter(pl.col("arrived") >= since)
    return frame if frame is not None and frame.height else None


def resume(linkage: Derive, logs: Arrivals, committed: Mapping[str, int], said: pl.DataFrame) -> tuple[Engine, dict[str, int]]:
    """Starts again after a kill, from the logs of the inputs, how far they were committed, and what was said.

    The line follows from the committed positions of all inputs. What arrived since line − reach is read again in silence, as
    far as the basis of the last thing said, so that a successor never knows less than who spoke before it.

    Args:
        linkage: what to run.
        logs: every input feed in order of arrival, offsets counted from 0.
        committed: feed → how many of its records were committed.
        said: all facts said so far.

    Returns:
        The engine, which evaluates every key at its next step, and how far each log was read.
    """
    line = line_at(linkage, logs, committed)
    read = dict(committed)
    for positions in said["basis"].to_list():
        for each in positions:
            read[each["feed"]] = max(read[each["feed"]], each["offset"] + 1)
    running = engine(linkage, Start(line=line, said=said))
    since = None if line is None else line - linkage.reach - AHEAD
    for name, log in logs.items():
        past = log[: read[name]]
        whole = since is None or not feed(name).patience or isinstance(linkage.input(name), AsOf)
        running.recall({name: past if whole else past.filter(pl.col("arrived") >= since)})
    return running, read


def line_at(linkage: Derive, logs: Arrivals, positions: Mapping[str, int]) -> datetime | None:
    """Where the line stands when the logs were read so far: least of the last tick and the next unread arrivals, less patience."""
    ticks = logs[CLOCK][: positions[CLOCK]]
    if not ticks.height:
        return None
    unread = [log["arrived"][positions[name]] for name, log in logs.items() if positions[name] < log.height]
    return min([ticks["at"].max(), *unread]) - max(feed(name).patience for name in linkage.feeds)


def instants(chunk: Mapping[str, pl.DataFrame]) -> Iterator[tuple[datetime, dict[str, pl.DataFrame]]]:
    """Cuts a chunk into batches of what arrived at one instant."""
    arrived = {name: frame["arrived"].to_physical().to_numpy() for name, frame in chunk.items() if frame.height}
    if not arrived:
        return
    times = np.unique(np.concatenate(list(arrived.values())))
    edges = {name: np.searchsorted(each, np.append(times, times[-1] + 1)).tolist() for name, each in arrived.items()}
    for at, time_ms in enumerate(times.tolist()):
        batch = {name: chunk[name][edge[at] : edge[at + 1]] for name, edge in edges.items() if edge[at] < edge[at + 1]}
        yield datetime.fromtimestamp(time_ms / 1000, UTC), batch
