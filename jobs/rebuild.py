"""``tsunagu rebuild``: a linkage over everything that ever arrived, late or not, and what that changes of what was said.

For a file that came too late, a repaired rule or table, or a record that must not count any more: nothing is settled here. What comes
out are the next revisions of what was said, withdrawals among them; give all that was said, and all that it rested on.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import polars as pl

from connectors import Arrivals, SourceError
from jobs.chain import Chain
from jobs.linkages import GAUGES, LINKAGES
from jobs.progress import Progress
from jobs.replay import placed, references
from jobs.said import place_of, said_in
from jobs.sink import sink
from jobs.sources import arrivals
from pipelines.linkage import CLOCK, Linkage, Spoken, Start
from schemas import feed

__all__ = ["Rebuild", "again", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """Settings of a rebuild. ``said``: FILE.jsonl or archive:DIR; ``key``: only what is kept together under it."""

    linkage: str
    sources: tuple[str, ...]
    said: str
    to: str
    key: str | None = None
    gauges: Path = GAUGES
    model: Path | None = None


def run(settings: Rebuild) -> int:
    """Writes what differs, and prints how much does; returns the exit code."""
    linkage = LINKAGES[settings.linkage]
    if place_of(settings.said).resolve() == place_of(settings.to).resolve():
        raise SourceError(
            f"--to must not be what was said (got {settings.to!r} for both): give another file, and publish it behind the first"
        )
    said = said_in(settings.said, linkage.says)
    if settings.key is not None:
        said = said.filter(pl.col(linkage.together_by) == settings.key)
        if not said.height:
            raise SourceError(
                f"--key must be one under which something was said (got {settings.key!r}): look at {linkage.together_by} there"
            )
    with Progress() as progress, ExitStack() as stack:
        known = references(linkage, settings.gauges, settings.model)
        spoken = again(linkage, chain([known], progress.watched(arrivals(settings.sources))), said, settings.key)
        if not progress.records:
            raise SourceError(f"sources must hold arrivals (got none from {', '.join(settings.sources)}): give all that was ever read")
        to = sink(settings.to, linkage.says, stack)
        if spoken.facts is not None:
            to.write(linkage.says, placed(spoken.facts, said.height))
    count = 0 if spoken.facts is None else spoken.facts.height
    withdrawn = 0 if spoken.facts is None else spoken.facts.filter(pl.col("state") == "withdrawn").height
    print(f"{count} revisions in {settings.to}, {withdrawn} of them withdrawals; {said.height} statements were given")
    return 0


def again(linkage: Linkage, chunks: Iterable[Arrivals], said: pl.DataFrame, key: str | None = None) -> Spoken:
    """What a linkage says of everything, as revisions of what was said.

    Args:
        linkage: what to run.
        chunks: all that ever arrived, in order.
        said: all facts said so far, in the order in which they were said.
        key: only what is kept together under this value of ``together_by``; None: all.
    """
    running = Chain(linkage, Start(line=None, said=said), late="used", key=key)
    ticks = [feed(CLOCK).empty()]
    for chunk in chunks:
        ticks += [frame for name, frame in chunk.items() if name == CLOCK]
        running.recall({name: frame for name, frame in chunk.items() if name != CLOCK})
    return running.step({CLOCK: pl.concat(ticks)})
