"""``tsunagu fit``: learns the flood model from recorded arrivals and publishes it as a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from connectors import gauges, model
from jobs.linkages import GAUGES
from jobs.progress import Progress
from jobs.sink import in_folder
from jobs.sources import arrivals
from jobs.words import JST
from pipelines.upstream_flood.fit import FitError, fit
from schemas import feed

__all__ = ["Fit", "readings", "run"]

LEVELS = "river.level.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Settings of a fit. Times are those of arrival; what arrived in ``without`` is left out."""

    sources: tuple[str, ...]
    to: Path
    gauges: Path = GAUGES
    since: datetime | None = None
    until: datetime | None = None
    without: tuple[datetime, datetime] | None = None


def run(settings: Fit) -> int:
    """Fits, writes the model, and prints what it was fitted on; returns the exit code."""
    in_folder(settings.to)
    known = gauges.read(settings.gauges)
    levels, region = readings(settings.sources, settings.since, settings.until, settings.without)
    record = fit(
        levels, known, level_feed=feed(LEVELS), region=region, valid_from=known["valid_from"].min(),  # type: ignore[arg-type]
        fitted_on=_period(levels, settings.without),
    )  # fmt: skip
    model.write(record, settings.to)
    print(f"{record['model']} in {settings.to}: {len(record['gauges'])} gauges, fitted on {record['fitted_on']}")
    return 0


def readings(
    sources: Sequence[str], since: datetime | None, until: datetime | None, without: tuple[datetime, datetime] | None = None
) -> tuple[pl.DataFrame, str]:
    """The levels that arrived in [since, until) and not in ``without``, and their region.

    Raises:
        FitError: there are none, or of more than one region, or nothing is left out.
    """
    with Progress() as progress:
        frames, before = [], 0
        for chunk in progress.watched(arrivals(sources, since, until)):
            if LEVELS in chunk:
                before += chunk[LEVELS].height
                frames.append(_left(chunk[LEVELS], without))
    levels = pl.concat(frames) if frames else feed(LEVELS).empty()
    if not levels.height:
        raise FitError("sources of a fit must hold readings (got none between the times given): check --from and --between")
    if without is not None and levels.height == before:
        raise FitError(f"--without must leave readings out (got {_span(without)}, in which none arrived): check the period")
    regions = levels["region"].unique().sort().to_list()
    if len(regions) != 1:
        raise FitError(f"readings of a fit must be of one region (got {', '.join(regions)}): fit each on its own")
    return levels, regions[0]


def _left(levels: pl.DataFrame, without: tuple[datetime, datetime] | None) -> pl.DataFrame:
    return levels if without is None else levels.filter(~pl.col("arrived").is_between(*without, closed="left"))


def _period(levels: pl.DataFrame, without: tuple[datetime, datetime] | None) -> str:
    """The months with readings, for the record."""
    months = levels["arrived"].dt.convert_time_zone("Asia/Tokyo").dt.strftime("%Y-%m").unique().sort()
    left_out = "" if without is None else f", without {_span(without)}"
    return f"{levels.height} readings of {', '.join(months)}{left_out}"


def _span(period: tuple[datetime, datetime]) -> str:
    return " to ".join(each.astimezone(JST).isoformat(timespec="minutes") for each in period)
