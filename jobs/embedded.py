"""The embedded runtime: any linkage over recorded arrivals, in order of arrival, in this process.

All that arrived at one instant is one batch, so that what is said, and when, does not depend on how a source cuts
its chunks. The arrivals before ``since`` warm the past up in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import polars as pl

from connectors import Arrivals
from jobs.chain import Chain
from jobs.start import Positions
from pipelines.linkage import CLOCK, Linkage, Spoken
from pipelines.linkage.engine import together
from schemas import feed

__all__ = ["WARM_UP", "Recorded", "instants", "replay"]

WARM_UP = 2
"""The past before ``since`` is read so many times as far back as the linkage reaches: an episode that began a day or two
before is then told with its true onset."""


def replay(linkage: Linkage, arrivals: Iterable[Arrivals], references: Arrivals, since: datetime | None = None) -> Iterator[Spoken]:
    """Runs a linkage over recorded arrivals.

    Args:
        linkage: what to run.
        arrivals: chunks in order of arrival, from some time before ``since`` on.
        references: reference feeds that are known from the beginning.
        since: from which arrival on to speak; None: from the first.

    Yields:
        What each chunk gave, where it gave anything.
    """
    running = Chain(linkage)
    running.recall(references)
    fresh = since
    for chunk in arrivals:
        spoken = [Spoken(says=feed(linkage.says), dead=_since(chunk.get("dead.v1"), since))]
        for instant, batch in instants({name: frame for name, frame in chunk.items() if name in running.feeds}, running):
            if since is not None and instant < since:
                running.recall(batch)
            else:
                spoken.append(_first(running.step(batch), fresh))
                fresh = None
        if any(spoken):
            yield _together(spoken)


def _together(spoken: Sequence[Spoken]) -> Spoken:
    """What several steps gave, as one."""
    return replace(
        spoken[0],
        facts=together(each.facts for each in spoken),
        late=together(each.late for each in spoken),
        dead=together(each.dead for each in spoken),
    )


def _first(spoken: Spoken, since: datetime | None) -> Spoken:
    """Of the first word of a replay only what had not ended before: the past is warmed up, not told."""
    if since is None or spoken.facts is None:
        return spoken
    until = pl.col("ended_at" if "ended_at" in spoken.facts.columns else "time")
    facts = spoken.facts.filter(until.is_null() | (until >= since))
    return replace(spoken, facts=facts if facts.height else None)


def _since(frame: pl.DataFrame | None, since: datetime | None) -> pl.DataFrame | None:
    if frame is not None and since is not None:
        frame = frame.filter(pl.col("arrived") >= since)
    return frame if frame is not None and frame.height else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Recorded feeds as a log: each in order of arrival, in one partition, offsets counted from 0."""

    logs: Arrivals

    def newest_tick(self, until: Positions) -> datetime | None:
        """The last tick before a position; None: there is none."""
        newest: datetime | None = self.logs[CLOCK][: until[CLOCK, 0]]["at"].max()  # type: ignore[assignment]
        return newest

    def unread(self, after: Positions) -> dict[str, datetime]:
        """Of each feed the arrival of the next record; feeds that were read to their end are absent."""
        return {name: log["arrived"][after[name, 0]] for name, log in self.logs.items() if after[name, 0] < log.height}

    def lines(self, until: Positions) -> dict[str, datetime | None]:
        """None are needed: what had arrived lies in the logs."""
        return {}

    def oldest(self) -> None:
        """Nothing was deleted."""

    def arrivals(self, feed_name: str, since: datetime | None, until: Positions) -> Iterator[pl.DataFrame]:
        """What arrived since an instant (None: all), as far as a position; of ticks also the last one before."""
        log = self.logs[feed_name][: until[feed_name, 0]]
        if since is not None and log.height:
            first = int((log["arrived"] < since).sum())
            log = log[max(first - 1, 0) if feed_name == CLOCK else first :]
        yield log


def instants(chunk: Arrivals, running: Chain) -> Iterator[tuple[datetime, dict[str, pl.DataFrame]]]:
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
