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
from jobs.sources import STATIONS, arrivals, stations_before
from jobs.words import JST
from pipelines.upstream_flood.fit import FitError, Sky, fit
from schemas import feed

__all__ = ["Fit", "readings", "run"]

LEVELS, RAIN = "river.level.v1", "weather.rain.v1"


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
    levels, region, sky = readings(settings.sources, settings.since, settings.until, settings.without)
    record = fit(
        levels, known, level_feed=feed(LEVELS), region=region, valid_from=known["valid_from"].min(),  # type: ignore[arg-type]
        fitted_on=_period(levels, sky, settings.without), sky=sky,
    )  # fmt: skip
    model.write(record, settings.to)
    print(f"{record['model']} in {settings.to}: {len(record['gauges'])} gauges, fitted on {record['fitted_on']}")
    return 0


def readings(
    sources: Sequence[str], since: datetime | None, until: datetime | None, without: tuple[datetime, datetime] | None = None
) -> tuple[pl.DataFrame, str, Sky | None]:
    """The levels that arrived in [since, until) and not in ``without``, their region, and the rain that arrived, if any did.

    Raises:
        FitError: there are none, or of more than one region, or nothing is left out.
    """
    with Progress() as progress:
        frames, before = [], 0
        wet: dict[str, list[pl.DataFrame]] = {RAIN: [], STATIONS: stations_before(sources, since)}
        for chunk in progress.watched(arrivals(sources, since, until)):
            if LEVELS in chunk:
                before += chunk[LEVELS].height
                frames.append(_left(chunk[LEVELS], without))
            for name in wet.keys() & chunk.keys():
                wet[name].append(chunk[name])
    levels = pl.concat(frames) if frames else feed(LEVELS).empty()
    if not levels.height:
        raise FitError("sources of a fit must hold readings (got none between the times given): check --from and --between")
    if without is not None and levels.height == before:
        raise FitError(f"--without must leave readings out (got {_span(without)}, in which none arrived): check the period")
    regions = levels["region"].unique().sort().to_list()
    if len(regions) != 1:
        raise FitError(f"readings of a fit must be of one region (got {', '.join(regions)}): fit each on its own")
    sky = Sky(rain=pl.concat(wet[RAIN]), stations=pl.concat(wet[STATIONS]), feed=feed(RAIN)) if all(wet.values()) else None
    return levels, regions[0], sky


def _left(levels: pl.DataFrame, without: tuple[datetime, datetime] | None) -> pl.DataFrame:
    return levels if without is None else levels.filter(~pl.col("arrived").is_between(*without, closed="left"))


def _period(levels: pl.DataFrame, sky: Sky | None, without: tuple[datetime, datetime] | None) -> str:
    """The months with readings, and with rain, for the record."""
    rained = "" if sky is None else f", rain of {_months(sky.rain)}"
    left_out = "" if without is None else f", without {_span(without)}"
    return f"{levels.height} readings of {_months(levels)}{rained}{left_out}"


def _months(arrived: pl.DataFrame) -> str:
    return ", ".join(arrived["arrived"].dt.convert_time_zone("Asia/Tokyo").dt.strftime("%Y-%m").unique().sort())


def _span(period: tuple[datetime, datetime]) -> str:
    return " to ".join(each.astimezone(JST).isoformat(timespec="minutes") for each in period)
