"""What every recorded source gives: arrivals, in order, in chunks that fit in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import polars as pl

from connectors import amedas, archive, crisis, fukui, honhyo, jma_bulletins, kyushu, mlit, npa, simra, uk_river
from connectors.ticked import ticked

__all__ = ["SOURCES", "Arrivals", "Source", "SourceError", "merged", "open_source"]

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


SOURCES: Mapping[str, Callable[[Path], Source]] = {
    "amedas": ticked(amedas.open),
    "archive": archive.open,
    "crisis": crisis.open,
    "fukui": fukui.open,
    "honhyo": ticked(honhyo.open),
    "jma-bulletins": ticked(jma_bulletins.open),
    "jma-drills": ticked(jma_bulletins.drills),
    "kyushu": kyushu.open,
    "mlit": mlit.open,
    "npa": ticked(npa.open),
    "simra": ticked(simra.open),
    "uk": uk_river.open,
}
CLUSTER = re.compile(r"(?P<brokers>[^/]+:\d+)(?:/(?P<drill>[a-z0-9][a-z0-9-]*))?")


def open_source(name: str, kinds: Mapping[str, Callable[[Path], Source]] = SOURCES) -> Source:
    """The source that ``kind:PATH`` names, for example ``fukui:data/fukui/flood-2024-05``; ``kinds``: those there are.

    Raises:
        SourceError: the kind is unknown, or there is nothing at the path.
    """
    kind, colon, path = name.partition(":")
    if kind == "kafka":
        return _cluster(path)
    if not colon or kind not in kinds:
        known = ", ".join([*kinds, "kafka"])
        raise SourceError(f"source must be KIND:PATH with KIND one of {known} (got {name!r}): for example fukui:data/fukui/flood-2024-05")
    if not Path(path).exists():
        raise SourceError(f"path of source {kind} must exist (got {path!r}): give a folder or an archive file")
    return kinds[kind](Path(path))


def _cluster(path: str) -> Source:
    from connectors import kafka_source  # a clone that only replays files does without the broker's clients
    from connectors.kafka import KafkaSettings

    found = CLUSTER.fullmatch(path)
    if found is None:
        raise SourceError(f"source kafka must be kafka:HOST:PORT or kafka:HOST:PORT/DRILL (got {path!r}): for example kafka:127.0.0.1:9092")
    return kafka_source.open(KafkaSettings(brokers=found["brokers"], drill=found["drill"]))


def merged(sources: Sequence[Source], since: datetime | None = None, until: datetime | None = None) -> Iterator[Arrivals]:
    """Several sources as one, in order of arrival; what arrived at one instant is never torn apart.

    Each of several sources is a partition of its own, the first one 0: each counts its positions by itself.
    """
    if len(sources) == 1:
        yield from sources[0].read(since, until)
        return
    streams = [_Stream(_apart(each.read(since, until), at)) for at, each in enumerate(sources)]
    while any(each.frames for each in streams):
        safe = min((each.newest() for each in streams if each.frames and not each.ended), default=None)
        yield _joined([each.take(safe) for each in streams])
        for each in streams:
            each.fill(beyond=safe)


def _apart(chunks: Iterator[Arrivals], at: int) -> Iterator[Arrivals]:
    for chunk in chunks:
        yield {name: frame.with_columns(pl.lit(at, pl.Int32).alias("partition")) for name, frame in chunk.items()}


class _Stream:
    """One source, read ahead so far that it holds more than one instant or has ended."""

    def __init__(self, chunks: Iterator[Arrivals]) -> None:
        self._chunks = chunks
        self.frames: dict[str, pl.DataFrame] = {}
        self.ended = False
        self.fill(beyond=None)

    def newest(self) -> datetime:
        newest: datetime = max(frame["arrived"][-1] for frame in self.frames.values())
        return newest

    def fill(self, beyond: datetime | None) -> None:
        """Reads on until something newer than ``beyond`` is held."""
        while not self.ended and not (self.frames and (beyond is None or self.newest() > beyond)):
            chunk = next(self._chunks, None)
            self.ended = chunk is None
            self.frames = _joined([self.frames, chunk or {}])

    def take(self, before: datetime | None) -> dict[str, pl.DataFrame]:
        """Gives what arrived before an instant (None: all) and keeps the rest."""
        if before is None:
            ready, self.frames = self.frames, {}
            return ready
        ready = _joined([{name: frame.filter(pl.col("arrived") < before) for name, frame in self.frames.items()}])
        self.frames = _joined([{name: frame.filter(pl.col("arrived") >= before) for name, frame in self.frames.items()}])
        return ready


def _joined(chunks: Sequence[Arrivals]) -> dict[str, pl.DataFrame]:
    """Chunks as one: of each feed all rows in order of arrival, feeds without rows left out."""
    names = dict.fromkeys(name for chunk in chunks for name in chunk)
    frames = {name: pl.concat([chunk[name] for chunk in chunks if name in chunk]) for name in names}
    return {name: frame.sort("arrived", "partition", "offset", maintain_order=True) for name, frame in frames.items() if frame.height}
