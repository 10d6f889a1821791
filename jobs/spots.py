"""``tsunagu fit`` and ``tsunagu score latent_accident_spots``: learns from police files, and judges what was learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from connectors import model
from jobs.progress import Progress
from jobs.sink import in_folder
from jobs.sources import arrivals
from jobs.words import JST
from pipelines.latent_accident_spots.fit import FitError, examples, fit_cells, windows
from pipelines.latent_accident_spots.fit import fit as fitted
from pipelines.latent_accident_spots.near import near_misses
from pipelines.latent_accident_spots.rating import CellModel, rate
from pipelines.latent_accident_spots.score import ScoreError, scored
from pipelines.latent_accident_spots.tallies import RESOLUTIONS, occurred_year, placed, tallies
from schemas import feed

__all__ = ["Fit", "Score", "fit", "score"]

ACCIDENTS, YEARS, NEAR, PASSES, MODEL = (
    "road.accident.v1",
    "road.accident-year.v1",
    "road.near-miss.v1",
    "road.passes.v1",
    "road.spot-model.v1",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Settings of a fit. Times are those of arrival."""

    sources: tuple[str, ...]
    to: Path
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Settings of a judgement: which year to foretell (the newest), with which model (one that is fitted on the years before)."""

    sources: tuple[str, ...]
    year: int | None = None
    model: Path | None = None


def fit(settings: Fit) -> int:
    """Fits, writes the model, and prints what it was fitted on; returns the exit code."""
    in_folder(settings.to)
    read = _read(settings.sources, settings.since, settings.until)
    accidents, out = read[ACCIDENTS], _years(read)
    region = _region(accidents)
    told = near_misses(read[NEAR], read[PASSES]) if read[NEAR].height else None
    record = fitted(
        accidents, region=region, years=out, valid_from=datetime(out[0] if out else 1970, 1, 1, tzinfo=JST), near_misses=told,
        fitted_on=f"{accidents.height} accidents in the files of {', '.join(map(str, out))}, each year foretold from the years before",
    )  # fmt: skip
    model.write(record, settings.to, MODEL)
    print(f"{record['model']} in {settings.to}: fitted on {record['fitted_on']}")
    print(f"near misses weigh {record['near_misses']['weight']:g}: {record['near_misses']['reason']}")
    return 0


def score(settings: Score) -> int:
    """Prints how well a year was foretold from those before it, beside simple counting; returns the exit code."""
    read = _read(settings.sources, None, None)
    accidents, out = read[ACCIDENTS], _years(read)
    if not out:
        raise ScoreError(f"sources must hold police files (got none from {', '.join(settings.sources)}): for example npa:PATH")
    year = settings.year or max(out)
    before = [each for each in windows(out) if each[1] == year]
    if not before:
        raise ScoreError(f"year must have a file and one before it (got {year}, files of {', '.join(map(str, out))}): give another")
    ((window, _),) = before
    known = placed(accidents)
    happened = accidents.filter(pl.col("lat_deg").is_finite()).with_columns(occurred_year().alias("year"))
    models = _models(settings, known, [each for each in out if each < year])
    frames = []
    for resolution in RESOLUTIONS:
        counted = tallies(known, resolution, window)
        ratings = pl.DataFrame({"cell": counted.cells, "score": rate(counted, models[resolution]).score})
        seen, brought = happened.filter(pl.col("year").is_in(list(window))), happened.filter(pl.col("year") == year)
        frames.append(scored(ratings, seen, brought, resolution))
    print(f"PAI at the top 1 / 2 / 5 % of cells; counted in {', '.join(map(str, window))}, judged by {year}; in brackets: ÷ raw counts")
    for line in _table(pl.concat(frames)):
        print(line)
    return 0


def _models(settings: Score, known: pl.DataFrame, before: Sequence[int]) -> dict[int, CellModel]:
    """The model in a file, or one that has seen nothing of the year to foretell."""
    if settings.model is not None:
        record = model.read(settings.model, MODEL).row(0, named=True)
        print(f"model {record['model']}, fitted on {record['fitted_on']}: figures of a year it has seen are in sample")
        return {each["resolution"]: CellModel.of(each) for each in record["cells"]}
    if not windows(before):
        raise FitError(f"years before the one to foretell must be two or more (got {', '.join(map(str, before))}): give a model")
    print(f"fitted on {', '.join(map(str, before))}: it has not seen the year that it is judged by")
    return {each: fit_cells(examples(known, each, before), each) for each in RESOLUTIONS}


def _read(sources: Sequence[str], since: datetime | None, until: datetime | None) -> dict[str, pl.DataFrame]:
    """All records of the four inputs: of each its highest version, unless that is a withdrawal."""
    frames: dict[str, list[pl.DataFrame]] = {name: [feed(name).empty()] for name in (ACCIDENTS, YEARS, NEAR, PASSES)}
    with Progress() as progress:
        for chunk in progress.watched(arrivals(sources, since, until)):
            for name, held in frames.items():
                if name in chunk:
                    held.append(chunk[name])
    return {name: _highest(name, pl.concat(held)) for name, held in frames.items()}


def _highest(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    identity = list(feed(name).identity)
    newest = frame.sort("version", maintain_order=True).unique(identity, keep="last", maintain_order=True)
    return newest.filter(pl.col("op") == "stated")


def _years(read: dict[str, pl.DataFrame]) -> list[int]:
    """The years whose files are out."""
    return read[YEARS]["year"].unique().sort().to_list()


def _region(accidents: pl.DataFrame) -> str:
    regions = accidents["region"].unique().sort().to_list()
    if not regions:
        raise FitError("sources of a fit must hold accidents (got none): for example npa:PATH")
    if len(regions) != 1:
        raise FitError(f"accidents of a fit must be of one region (got {', '.join(regions)}): fit each on its own")
    return str(regions[0])


def _table(found: pl.DataFrame) -> list[str]:
    """Figures as people read them."""
    lines = []
    for (resolution, group), rows in found.group_by("resolution", "group", maintain_order=True):
        lines.append(f"\nres {resolution}, {group}")
        for row in rows.iter_rows(named=True):
            figures = " / ".join(f"{row[f'pai_{top}']:6.2f}" for top in ("1", "2", "5"))
            parts = " / ".join(f"{row[f'to_raw_{top}']:.3f}" for top in ("1", "2", "5"))
            ends = (
                " / ".join(f"{row[f'low_{top}']:.3f}–{row[f'high_{top}']:.3f}" for top in ("1", "2", "5"))
                if row["low_1"] is not None
                else ""
            )
            lines.append(f"  {row['method']:16}{figures}   ({parts})" + (f"   90 %: {ends}" if ends else ""))
    return lines
