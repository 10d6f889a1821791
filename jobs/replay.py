"""``tsunagu replay``: a linkage over recorded arrivals, what it says to a file, late and dead records beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol

import polars as pl

from connectors import Arrivals, SourceError, archive, gauges, jsonl, merged, model, open_source
from jobs.embedded import WARM_UP, replay
from jobs.linkages import GAUGES, LINKAGES, MODEL
from jobs.progress import Progress
from pipelines.linkage import Derive
from schemas import feed

__all__ = ["Replay", "SinkError", "placed", "references", "run", "spoken"]


class SinkError(ValueError):
    """The place for what is said cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Settings of a replay. ``since`` and ``until`` are arrival times; None: from the first, to the last."""

    linkage: str
    sources: tuple[str, ...]
    to: str
    gauges: Path = GAUGES
    model: Path = MODEL
    since: datetime | None = None
    until: datetime | None = None


def references(gauges_file: Path, model_file: Path) -> dict[str, pl.DataFrame]:
    """Gauges and model as if known from the day on which they begin to hold."""
    return {"river.gauge.v1": gauges.read(gauges_file), "river.flood-model.v1": model.read(model_file)}


def spoken(
    linkage: Derive, sources: Sequence[str], known: Arrivals, since: datetime | None, until: datetime | None, progress: Progress
) -> Iterator[tuple[str, pl.DataFrame]]:
    """What a replay gives, in order: (feed, frame) of facts, late and dead records that arrived from ``since`` on."""
    warm_up = None if since is None else since - WARM_UP * linkage.reach
    count = 0
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(open_source(name))) for name in sources]
        for said in replay(linkage, progress.watched(merged(opened, warm_up, until)), known, since):
            facts = said.facts
            if facts is not None:
                yield linkage.says, placed(facts, count)
                count += facts.height
                progress.said(facts.height)
            for name, frame in (("late.v1", said.late), ("dead.v1", said.dead)):
                if frame is not None:
                    yield name, frame


def placed(facts: pl.DataFrame, offset: int) -> pl.DataFrame:
    """Facts as records that arrived when they were said, one after another."""
    places = pl.int_range(offset, offset + facts.height, dtype=pl.Int64).alias("offset")
    return facts.with_columns(pl.col("said_at").alias("arrived"), pl.lit(0, pl.Int32).alias("partition"), places)


class Sink(Protocol):
    """Takes what is said."""

    def write(self, feed_name: str, frame: pl.DataFrame) -> None:
        """Takes a frame of a feed."""
        ...


class _Lines:
    """Facts to one file of JSON lines, late and dead records beside it."""

    def __init__(self, path: Path, says: str, stack: ExitStack) -> None:
        beside = {says: path, "late.v1": path.with_suffix(".late.jsonl"), "dead.v1": path.with_suffix(".dead.jsonl")}
        self._files = {name: stack.enter_context(jsonl.open(each, name)) for name, each in beside.items()}

    def write(self, feed_name: str, frame: pl.DataFrame) -> None:
        self._files[feed_name].write(frame)


@dataclass(slots=True)
class _Parts:
    """Facts to an archive, some thousand at a time; the rest when the replay ends well."""

    to: archive.Archive
    held: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    rows: int = 0

    def __enter__(self) -> _Parts:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.flush()

    def write(self, feed_name: str, frame: pl.DataFrame) -> None:
        self.held.setdefault(feed_name, []).append(frame.select(feed(feed_name).frame_schema.keys()))
        self.rows += frame.height
        if self.rows > _PART_ROWS:
            self.flush()

    def flush(self) -> None:
        for name, frames in self.held.items():
            self.to.write(name, pl.concat(frames))
        self.held.clear()
        self.rows = 0


_PART_ROWS = 20_000


def sink(to: str, says: str, stack: ExitStack) -> Sink:
    """The place that ``FILE.jsonl`` or ``archive:DIR`` names.

    Raises:
        SinkError: it names neither, or its folder does not exist.
    """
    kind, colon, path = to.partition(":")
    if colon and kind == "archive":
        if (Path(path) / says).exists():
            raise SinkError(
                f"archive of --to must not hold {says} yet (got {to!r}): what two replays said may not be mixed; give another folder"
            )
        return stack.enter_context(_Parts(archive.open(Path(path))))
    if not to.endswith(".jsonl"):
        raise SinkError(f"--to must be FILE.jsonl or archive:DIR (got {to!r}): for example build/notices.jsonl")
    if not Path(to).parent.is_dir():
        raise SinkError(f"folder of --to must exist (got {to!r}): make it first")
    return _Lines(Path(to), says, stack)


def run(settings: Replay) -> int:
    """Replays, and prints what was said; returns the exit code."""
    linkage = LINKAGES[settings.linkage]
    counts: dict[str, int] = {}
    with Progress() as progress, ExitStack() as stack:
        known = references(settings.gauges, settings.model)
        to = sink(settings.to, linkage.says, stack)
        for name, frame in spoken(linkage, settings.sources, known, settings.since, settings.until, progress):
            to.write(name, frame)
            counts[name] = counts.get(name, 0) + frame.height
        if not progress.records:
            raise SourceError(
                f"sources must hold arrivals in the period (got none from {', '.join(settings.sources)}): check --from and --between"
            )
    late, dead = counts.get("late.v1", 0), counts.get("dead.v1", 0)
    print(f"{counts.get(linkage.says, 0)} statements in {settings.to}; {late} late and {dead} unreadable records beside it")
    return 0
