"""The embedded runtime: any linkage over recorded arrivals, in order of arrival, in this process.

All that arrived at one instant is one batch, so that what is said, and when, does not depend on how a source cuts
its chunks. The arrivals before ``since`` warm the past up in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

import numpy as np
import polars as pl

from connectors import Arrivals
from pipelines.linkage import Derive, Engine, Spoken, Start
from schemas import feed

__all__ = ["WARM_UP", "engine", "instants", "replay"]

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
    running.recall({name: frame for name, frame in references.items() if name in linkage.feeds})
    for chunk in arrivals:
        dead = _since(chunk.get("dead.v1"), since)
        if dead is not None:
            yield Spoken(facts=None, late=None, dead=dead)
        for instant, batch in instants({name: frame for name, frame in chunk.items() if name in linkage.feeds}):
            if since is not None and instant < since:
                running.recall(batch)
                continue
            spoken = running.step(batch)
            if spoken.facts is not None or spoken.late is not None or spoken.dead is not None:
                yield spoken


def _since(frame: pl.DataFrame | None, since: datetime | None) -> pl.DataFrame | None:
    if frame is not None and since is not None:
        frame = frame.filter(pl.col("arrived") >= since)
    return frame if frame is not None and frame.height else None


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
