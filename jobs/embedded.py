"""The embedded runtime: any linkage over recorded arrivals, in order of arrival, in this process.

All that arrived at one instant is one batch, so that what is said, and when, does not depend on how a source cuts
its chunks. The arrivals before ``since`` warm the past up in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
        What each chunk gave, where it gave anything.
    """
    running = engine(linkage)
    running.recall({name: frame for name, frame in references.items() if name in linkage.feeds})
    fresh = since
    for chunk in arrivals:
        spoken = [Spoken(says=feed(linkage.says), dead=_since(chunk.get("dead.v1"), since))]
        for instant, batch in instants({name: frame for name, frame in chunk.items() if name in linkage.feeds}, running):
            if since is not None and instant < since:
                running.recall(batch)
            else:
                spoken.append(_first(running.step(batch), fresh))
                fresh = None
        if any(spoken):
            yield _together(spoken)


def _together(spoken: Sequence[Spoken]) -> Spoken:
    """What several steps gave, as one."""
    late, dead = (
        [frame for frame in frames if frame is not None] for frames in zip(*((each.late, each.dead) for each in spoken), strict=True)
    )
    return replace(
        spoken[0],
        rows=[row for each in spoken for row in each.rows],
        late=pl.concat(late) if late else None,
        dead=pl.concat(dead) if dead else None,
    )


def _first(spoken: Spoken, since: datetime | None) -> Spoken:
    """Of the first word of a replay only what had not ended before: the past is warmed up, not told."""
    if since is None:
        return spoken
    return replace(spoken, rows=[row for row in spoken.rows if row["ended_at"] is None or row["ended_at"] >= since])


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
    until: datetime = min([ticks["at"].max(), *unread])
    return until - max(feed(name).patience for name in linkage.feeds)


def instants(chunk: Arrivals, running: Engine) -> Iterator[tuple[datetime, dict[str, pl.DataFrame]]]:
    """Cuts a chunk into batches of what arrived at one instant; ticks after which nothing can follow go together."""
    arrived = {name: frame["arrived"].to_numpy().astype(np.int64) for name, frame in chunk.items() if frame.height}
    if not arrived:
        return
    times = np.unique(np.concatenate(list(arrived.values())))
    edges = {name: np.searchsorted(each, np.append(times, times[-1] + 1)).tolist() for name, each in arrived.items()}
    alone = ~np.isin(times, np.concatenate([each for name, each in arrived.items() if name != CLOCK] or [times[:0]]))
    begin = 0
    while begin < len(times):
        end = begin + 1
        if alone[begin] and running.wakes_at is not None:
            wakes_ms = running.wakes_at.timestamp() * 1000
            while end < len(times) and alone[end] and times[end] < wakes_ms and times[begin] < wakes_ms:
                end += 1
        batch = {name: chunk[name][edge[begin] : edge[end]] for name, edge in edges.items() if edge[begin] < edge[end]}
        yield datetime.fromtimestamp(int(times[begin]) / 1000, UTC), batch
        begin = end
