"""``tsunagu replay``: a linkage over recorded arrivals, what it says to a file, late and dead records beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from connectors import Arrivals, SourceError, gauges, model
from jobs.embedded import WARM_UP, replay
from jobs.linkages import GAUGES, LINKAGES, MODELS
from jobs.progress import Progress
from jobs.sink import sink
from jobs.sources import STATIONS, arrivals, stations_before
from pipelines.latent_accident_spots.rating import fault as spot_fault
from pipelines.linkage import Linkage
from pipelines.upstream_flood.evidence import FEATURES
from pipelines.upstream_flood.model import fault

__all__ = ["Replay", "placed", "references", "run", "spoken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Settings of a replay. ``since`` and ``until`` are arrival times; None: from the first, to the last."""

    linkage: str
    sources: tuple[str, ...]
    to: str
    gauges: Path = GAUGES
    model: Path | None = None
    since: datetime | None = None
    until: datetime | None = None


def references(linkage: Linkage, gauges_file: Path = GAUGES, model_file: Path | None = None) -> dict[str, pl.DataFrame]:
    """What a linkage reads of gauges and models, as if known from the day on which they begin to hold."""
    out = {name: model.read(model_file or usual, name) for name, usual in MODELS.items() if name in linkage.feeds}
    for name, frame in out.items():
        for record in frame.iter_rows(named=True):
            wrong = fault(record, FEATURES) if name == "river.flood-model.v1" else spot_fault(record)
            if wrong is not None:
                raise model.ModelError(f"{wrong} ({(model_file or MODELS[name]).name})")
    if "river.gauge.v1" not in linkage.feeds:
        return out
    known = gauges.read(gauges_file)
    return {name: _of_regions(frame, known, model_file) for name, frame in out.items()} | {"river.gauge.v1": known}


def _of_regions(models: pl.DataFrame, known: pl.DataFrame, model_file: Path | None) -> pl.DataFrame:
    """The models of the regions in which there are gauges; others would only make all that is said rest on the day of their fit.

    Raises:
        ModelError: a model that was asked for is of no such region.
    """
    mine = models.join(known.select("region").unique(), on="region", how="semi")
    if model_file is not None and mine.is_empty():
        regions = ", ".join(models["region"].unique().sort())
        raise model.ModelError(f"model {model_file.name} must be of a region of the gauges (got {regions}): fit one over these gauges")
    return mine


def spoken(
    linkage: Linkage, sources: Sequence[str], known: Arrivals, since: datetime | None, until: datetime | None, progress: Progress
) -> Iterator[tuple[str, pl.DataFrame]]:
    """What a replay gives, in order: (feed, frame) of facts, late and dead records that arrived from ``since`` on."""
    warm_up = None if since is None else since - WARM_UP * linkage.reach
    stations = stations_before(sources, warm_up) if STATIONS in linkage.feeds else []
    known = {**known, STATIONS: pl.concat(stations)} if stations else known
    count = 0
    for said in replay(linkage, progress.watched(arrivals(sources, warm_up, until)), known, since):
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


def run(settings: Replay) -> int:
    """Replays, and prints what was said; returns the exit code."""
    linkage = LINKAGES[settings.linkage]
    counts: dict[str, int] = {}
    with Progress() as progress, ExitStack() as stack:
        known = references(linkage, settings.gauges, settings.model)
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
