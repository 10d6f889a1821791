"""What the bench of width is given: the recorded flood of 福井県 in any number of regions, a reading of each gauge every ten minutes.

The recording is hourly. A reading is repeated every ten minutes until the next one, for 100 minutes at most; a gauge that was silent
longer is silent here, too. Every copy lies a little further east, and has its flood up to an hour later than the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Literal

import polars as pl

from connectors import Arrivals, archive, open_source
from jobs.bench.recording import HOME, LEVELS, SOURCE, known
from pipelines.linkage import CLOCK
from schemas import feed

__all__ = ["ABOUT", "EVERY", "FROM", "GAUGES", "LATER", "REPEATED", "SPEAKS_FROM", "Width", "recorded", "region"]

GAUGES = "river.gauge.v1"
FROM = datetime(2024, 5, 28, 0, tzinfo=UTC)
"""From when on is measured: an hour before the flood."""
SPEAKS_FROM = FROM - timedelta(hours=1)
"""The first step reads all that was before; it is not counted."""
WARM_UP, LASTS = timedelta(hours=30), timedelta(hours=6)
EVERY, REPEATED = timedelta(minutes=10), timedelta(minutes=100)
EAST_DEG = 2.0
LATER = 6
"""So many copies each have their flood ten minutes after the one before, then it begins again."""
DRY_DAYS = 12
ABOUT = (
    f"{LASTS // timedelta(hours=1)} h of the flood in 福井県 from {FROM:%Y-%m-%d %H:%M} UTC, "
    f"after {WARM_UP // timedelta(hours=1)} h that are not counted. Its gauges are repeated, each copy a region\n"
    "of its own, further east and up to an hour later; the hourly readings are repeated so that there is one every ten minutes.\n"
    "All that was read at one time arrives at that time, with a tick, as in the recording. Times are of the processor."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Width:
    """A nation of so many regions.

    Attributes:
        regions: how many; the first says what was recorded, under another name.
        weather: whether all have the flood at once, or each of twelve neighbours on another day of the twelve until then.
            lasts: how long is measured.
    """

    regions: int
    weather: Literal["flood everywhere", "one region in twelve"] = "flood everywhere"
    lasts: timedelta = LASTS

    @property
    def name(self) -> str:
        """For tables."""
        return self.weather

    def shift(self, at: int) -> timedelta:
        """How much later than recorded all is in a region."""
        days = at % DRY_DAYS if self.weather == "one region in twelve" else 0
        return at % LATER * EVERY + timedelta(days=days)

    def record(self, folder: Path) -> None:
        """Writes readings and ticks to an archive."""
        to = archive.open(folder)
        begin, end = FROM - WARM_UP, FROM + self.lasts
        while begin < end:  # a day at a time: all of it would be much memory
            until = min(begin.replace(hour=0) + timedelta(days=1), end)
            to.write(LEVELS, self.readings(begin, until))
            to.write(CLOCK, _ticks(begin, until))
            begin = until

    def readings(self, since: datetime, until: datetime) -> pl.DataFrame:
        """What was read in [since, until), in order of arrival."""
        regions = [
            _repeated(since - self.shift(at), until - self.shift(at)).with_columns(
                pl.lit(region(at)).alias("region"), pl.col("observed_at") + self.shift(at)
            )
            for at in range(self.regions)
        ]
        rows = pl.concat(regions).sort("observed_at", maintain_order=True)
        first = (since - FROM + WARM_UP) // EVERY * self.regions * known()[GAUGES].height
        return rows.with_columns(
            pl.lit(1, pl.Int64).alias("version"),
            pl.lit("stated").alias("op"),
            pl.col("observed_at").alias("arrived"),
            pl.lit(0, pl.Int32).alias("partition"),
            pl.int_range(first, first + rows.height, dtype=pl.Int64).alias("offset"),
        ).select(pl.col(name).cast(dtype) for name, dtype in feed(LEVELS).frame_schema.items())

    def references(self) -> dict[str, pl.DataFrame]:
        """Gauges and models of all regions."""
        frames = [_further_east(region(at), at) for at in range(self.regions)]
        return {name: pl.concat([each[name] for each in frames]) for name in frames[0]}


def region(at: int) -> str:
    """Its name."""
    return f"{HOME}-{at}"


def _further_east(name: str, at: int) -> dict[str, pl.DataFrame]:
    there = known(name)
    turned = (pl.col("lon_deg") + 180 + EAST_DEG * at) % 360 - 180
    return there | {GAUGES: there[GAUGES].with_columns(turned if at else pl.col("lon_deg"))}


def _ticks(since: datetime, until: datetime) -> pl.DataFrame:
    at = pl.datetime_range(since, until, EVERY, closed="left", time_unit="ms", eager=True).alias("at")
    return pl.DataFrame(at).with_columns(
        pl.col("at").alias("arrived"), pl.lit(0, pl.Int32).alias("partition"), (pl.col("at").to_physical() // 600_000).alias("offset")
    )


@cache
def recorded() -> pl.DataFrame:
    """The recording, as far back as a region may need it."""
    since = FROM - WARM_UP - timedelta(days=DRY_DAYS + 1)
    with closing(open_source(f"fukui:{SOURCE}")) as source:
        levels = pl.concat(list(_levels(source.read(since, FROM + timedelta(days=1)))))
    mine = levels.join(known()[GAUGES], on="gauge_id", how="semi")
    newest = mine.sort("observed_at", "version").unique(["gauge_id", "observed_at"], keep="last", maintain_order=True)
    return newest.select("gauge_id", "observed_at", "level_m")


def _levels(chunks: Iterator[Arrivals]) -> Iterator[pl.DataFrame]:
    return (chunk[LEVELS] for chunk in chunks if LEVELS in chunk)


@cache
def _repeated(since: datetime, until: datetime) -> pl.DataFrame:
    """A reading of each gauge for every ten minutes in [since, until)."""
    at = pl.DataFrame({"observed_at": pl.datetime_range(since, until, EVERY, closed="left", time_unit="ms", eager=True)})
    wanted = known()[GAUGES].select("gauge_id").join(at, how="cross").sort("observed_at", maintain_order=True)
    taken = recorded().with_columns(pl.col("observed_at").alias("taken_at"))
    found = wanted.join_asof(taken, on="observed_at", by="gauge_id", tolerance=REPEATED, check_sortedness=False)
    return found.filter(pl.col("taken_at").is_not_null()).drop("taken_at")
