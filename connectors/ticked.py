"""Ticks for recordings that hold none: one at each midnight in Japan that follows a day on which something arrived.

**Delivery guarantee.** That of the source within; a tick comes after all that arrived before it, its offset is decided by the day alone.

**What is lost when.** Nothing: read in pieces, it gives the same. Where a recording is read only up to an instant, ticks end there, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl

from connectors.span import holds, within
from schemas import feed

if TYPE_CHECKING:
    from connectors.source import Arrivals, Source

__all__ = ["Ticked", "ticked"]

CLOCK = "clock.v1"
_DAY = timedelta(days=1)
_JST = ZoneInfo("Asia/Tokyo")


def ticked(opens: Callable[[Path], Source]) -> Callable[[Path], Source]:
    """A way to open a source, with ticks beside what it gives."""

    def open(path: Path) -> Source:
        return Ticked(opens(path))

    return open


class Ticked:
    """A recording with ticks."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def read(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[Arrivals]:
        """The chunks of the source, each with the ticks up to its last arrival; the last tick on its own.

        It is read from a day earlier on: the midnight that follows may lie within.
        """
        due: set[datetime] = set()
        for chunk in self._source.read(None if since is None else since - _DAY, until):
            arrived = pl.concat([frame["arrived"] for frame in chunk.values() if frame.height])
            newest: datetime = arrived.max()  # type: ignore[assignment]
            due |= {each for each in _midnights(arrived) if holds(each, since, until)}
            ready = {each for each in due if each <= newest}
            asked = {name: frame.filter(within(since, until)) for name, frame in chunk.items()}
            if ready or any(frame.height for frame in asked.values()):
                yield {**{name: frame for name, frame in asked.items() if frame.height}, CLOCK: _ticks(ready)}
            due -= ready
        if due:
            yield {CLOCK: _ticks(due)}

    def close(self) -> None:
        """Closes the source."""
        self._source.close()


def _midnights(arrived: pl.Series) -> set[datetime]:
    """The ends of the days on which something arrived."""
    days = arrived.dt.convert_time_zone(str(_JST)).dt.date().unique().to_list()
    return {(datetime(day.year, day.month, day.day, tzinfo=_JST) + _DAY).astimezone(UTC) for day in days}


def _ticks(times: set[datetime]) -> pl.DataFrame:
    rows = [{"at": at, "arrived": at, "partition": 0, "offset": int(at.timestamp()) // 86_400} for at in sorted(times)]
    return pl.DataFrame(rows, schema=feed(CLOCK).frame_schema)
