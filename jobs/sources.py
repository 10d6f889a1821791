"""Every kind of source by name: the recordings that connectors read, and those that need a rule to be told from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import datetime
from functools import partial
from pathlib import Path

import polars as pl

from connectors import SOURCES as RECORDED
from connectors import Arrivals, Source, merged, probe, ticked
from connectors import open_source as opened
from pipelines.latent_accident_spots.braking import near_misses

__all__ = ["SOURCES", "STATIONS", "arrivals", "open_source", "stations_before"]

STATIONS = "weather.station.v1"
_HOLD_STATIONS = ("amedas", "archive")

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


def stations_before(names: Sequence[str], until: datetime | None) -> list[pl.DataFrame]:
    """The weather stations that were known before a period begins: they are told once, long before what they measure.

    Each source keeps the partition that ``arrivals`` gives it. A cluster is not read for them, since all that it holds would have to be;
    nor are sources that tell none.
    """
    out: list[pl.DataFrame] = []
    for at, name in enumerate(names):
        if until is not None and name.partition(":")[0] in _HOLD_STATIONS:
            found = [chunk[STATIONS] for chunk in arrivals([name], None, until) if STATIONS in chunk]
            out += [frame.with_columns(pl.lit(at, pl.Int32).alias("partition")) for frame in found] if len(names) > 1 else found
    return out
