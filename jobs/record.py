"""``tsunagu record``: copies recorded arrivals into an archive, with their arrival times and positions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from connectors import archive
from jobs.progress import Progress
from jobs.sources import arrivals

__all__ = ["Record", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Settings of a copy. ``since`` and ``until`` are arrival times."""

    sources: tuple[str, ...]
    to: Path
    since: datetime | None = None
    until: datetime | None = None


def run(settings: Record) -> int:
    """Copies, and prints how much; returns the exit code."""
    to, rows = archive.open(settings.to), 0
    with Progress() as progress:
        for chunk in progress.watched(arrivals(settings.sources, settings.since, settings.until)):
            for name, frame in chunk.items():
                if frame.height:
                    to.write(name, frame)
                    rows += frame.height
    print(f"{rows} records in archive:{settings.to}")
    return 0
