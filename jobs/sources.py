"""Every kind of source by name: the recordings that connectors read, and those that need a rule to be told from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import datetime
from functools import partial
from pathlib import Path

from connectors import SOURCES as RECORDED
from connectors import Arrivals, Source, merged, probe, ticked
from connectors import open_source as opened
from pipelines.latent_accident_spots.braking import near_misses

__all__ = ["SOURCES", "arrivals", "open_source"]

SOURCES: Mapping[str, Callable[[Path], Source]] = {**RECORDED, "probe": ticked(partial(probe.open, detect=near_misses))}


def open_source(name: str) -> Source:
    """The source that ``kind:PATH`` names.

    Raises:
        SourceError: the kind is unknown, or there is nothing at the path.
    """
    return opened(name, SOURCES)


def arrivals(names: Sequence[str], since: datetime | None = None, until: datetime | None = None) -> Iterator[Arrivals]:
    """What some sources give together in [since, until), in order of arrival; they are open for as long.

    Raises:
        SourceError: a kind is unknown, or there is nothing at a path.
    """
    with ExitStack() as stack:
        yield from merged([stack.enter_context(closing(open_source(name))) for name in names], since, until)
