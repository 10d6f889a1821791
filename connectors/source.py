"""What every recorded source gives: arrivals, in order, in chunks that fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol

import polars as pl

from connectors import archive, fukui

__all__ = ["SOURCES", "Arrivals", "Source", "SourceError", "open_source"]

Arrivals = Mapping[str, pl.DataFrame]
"""Feed name to frame (the feed's ``frame_schema``), each in order of arrival. What could not be read is under
``dead.v1``. All rows of one chunk arrived no later than those of the next."""


class SourceError(ValueError):
    """A source cannot be opened, or its name is not understood."""


class Source(Protocol):
    """Recorded arrivals."""

    def read(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[Arrivals]:
        """Chunks of what arrived in [since, until), in order of arrival. Times are aware."""
        ...

    def close(self) -> None:
        """Gives back what was opened."""
        ...


SOURCES: Mapping[str, Callable[[Path], Source]] = {"archive": archive.open, "fukui": fukui.open}


def open_source(name: str) -> Source:
    """The source that ``kind:PATH`` names, for example ``fukui:data/fukui/2024-05``.

    Raises:
        SourceError: the kind is unknown, or there is nothing at the path.
    """
    kind, colon, path = name.partition(":")
    if not colon or kind not in SOURCES:
        raise SourceError(f"source must be KIND:PATH with KIND one of {', '.join(SOURCES)} (got {name!r}): for example fukui:data/fukui/flood")
    if not Path(path).exists():
        raise SourceError(f"path of source {kind} must exist (got {path!r}): give a folder or an archive file")
    return SOURCES[kind](Path(path))
