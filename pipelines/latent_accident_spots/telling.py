"""What is said of a place, as facts of ``road.spot.v1``: numbers, evidence, reasons, and one sentence in two languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.latent_accident_spots.cells import centres, index_of, rings
from pipelines.latent_accident_spots.kinds import SHARES
from pipelines.latent_accident_spots.near import Seen
from pipelines.latent_accident_spots.rating import INTERVAL, Rating
from pipelines.latent_accident_spots.tallies import Tallies
from pipelines.latent_accident_spots.words import headlines
from pipelines.linkage.space import cells, named, parents
from schemas.feeds import feed

__all__ = ["RULE", "Spots", "empty", "told"]

Array = NDArray[Any]

RULE = "latent_accident_spots 1"
MOST_WEIGHED = 5
READ_RESOLUTION = 7
"""All that a score rests on lies in the cell of this resolution that holds the place, and in the six around it."""

_JST = timezone(timedelta(hours=9))
_FEED = "road.spot.v1"
_REASONS = {"candidate": "few_but_high", "known": "many_on_record", "confirmed": "two_in_three_years", "cleared": "below_exit_twice"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spots:
    """Places of which something is said, through one year. ``row`` says where each stands among what was counted and rated."""

    cells: Array
    state: Array
    onset: Array
    ended: bool
    year: int
    row: Array
    counted: Tallies
    rated: Rating
    rank: Array
    latent_rank: Array
    seen: Seen


def empty() -> pl.DataFrame:
    """No facts."""
    return pl.DataFrame(schema=_columns())


def told(found: Spots, records: pl.DataFrame, model: Mapping[str, Any]) -> pl.DataFrame:
    """Facts without their envelope, in the order of the cells.

    Args:
        found: places of which something is said.
        records: ``road.accident.v1`` with ``year`` of occurrence.
        model: the record of ``road.spot-model.v1`` that rated them.
    """
    counted, row, resolution = found.counted, found.row, found.counted.resolution
    low, high = found.rated.interval(row)
    lat_deg, lon_deg = centres(found.cells)
    through, seen = _end_of(found.year), found.seen
    enough = seen.enough[row]
    frame = pl.DataFrame(
        {
            "at": found.cells, "cell": named(found.cells), "state": found.state, "onset_year": found.onset,
            "lat_deg": lat_deg, "lon_deg": lon_deg, "score": found.rated.score[row], "low": low, "high": high,
            "rank_share": found.rank, "latent_rank_share": found.latent_rank, "ring1": counted.ring[row, 1],
            "on_record": counted.on_record[row], "expected": found.rated.expected[row], "time": np.where(enough, seen.newest_ms[row], 0),
            "enough": enough, "near_misses": seen.n[row], "near_misses_capped": seen.capped[row], "passes": seen.passes[row],
            "vehicles": seen.vehicles[row], **{f"share_{each}": counted.share(each)[row] for each in SHARES},
            **{f"year_{each}": counted.by_year[row, column] for column, each in enumerate(counted.years)},
        }
    )  # fmt: skip
    frame = frame.with_columns(pl.from_epoch("time", time_unit="ms").dt.replace_time_zone("UTC").clip(lower_bound=through))
    frame = frame.join(_evidence(found, records), on="at", how="left", maintain_order="left")
    frame = frame.join(_read(found.cells), on="at", how="left", maintain_order="left")
    region = model["region"]
    observed = [pl.when("enough").then(pl.col(each)).alias(each) for each in ("near_misses", "near_misses_capped", "passes", "vehicles")]
    ready = frame.with_columns(
        *observed,
        *headlines(counted.years, resolution),
        _latent_rank(),
        _because(found, region),
        pl.format(f"{region}/{resolution}/{{}}/{{}}", "cell", "onset_year").alias("id"),
        pl.lit(region).alias("region"),
        pl.lit(resolution).alias("resolution"),
        _instant("onset_year").alias("onset"),
        pl.lit(through if found.ended else None).alias("ended_at"),
        pl.col("score").round_sig_figs(5),
        pl.struct(
            pl.col("low").round_sig_figs(3), pl.col("high").round_sig_figs(3), pl.lit(INTERVAL).alias("level")
        ).alias("interval"),
        pl.col("rank_share").round_sig_figs(3),
        _by_year(counted.years),
        pl.struct(pl.col(f"share_{each}").round(2).alias(each) for each in SHARES).alias("shares"),
        pl.lit(found.year).alias("through_year"),
        pl.col("state").replace_strict(_REASONS).alias("reason"),
        pl.lit(RULE).alias("rule"),
        pl.lit(model["model"]).alias("model"),
    )  # fmt: skip
    return ready.select(pl.col(name).cast(dtype) for name, dtype in _columns().items())


def _by_year(years: Sequence[int]) -> pl.Expr:
    counts = (pl.struct(pl.lit(each).alias("year"), pl.col(f"year_{each}").alias("count")) for each in years)
    return pl.concat_list(counts).alias("accidents")


def _columns() -> dict[str, pl.DataType]:
    spot = feed(_FEED)
    return {name: dtype for name, dtype in spot.columns.items() if name not in spot.envelope}


def _end_of(year: int) -> datetime:
    return datetime(year + 1, 1, 1, tzinfo=_JST)


def _instant(year: str) -> pl.Expr:
    """End of a year in Japan."""
    return pl.datetime(pl.col(year) + 1, 1, 1, time_unit="ms", time_zone="Asia/Tokyo").dt.convert_time_zone("UTC")


def _latent_rank() -> pl.Expr:
    return pl.when(pl.col("latent_rank_share").is_finite()).then(pl.col("latent_rank_share").round_sig_figs(3)).alias("latent_rank_share")


def _because(found: Spots, region: str) -> pl.Expr:
    """The records read, and those that weighed most."""
    accidents = pl.struct(
        pl.lit("road.accident.v1").alias("feed"),
        pl.col("read").alias("keys"),
        pl.lit(_end_of(found.counted.years[0] - 1)).dt.cast_time_unit("ms").alias("from_time"),
        pl.lit(_end_of(found.year) - timedelta(milliseconds=1)).dt.cast_time_unit("ms").alias("to_time"),
    )
    return pl.struct(
        pl.concat_list(accidents).alias("ranges"), pl.col("weighed_most").fill_null([]), pl.col("expected").round_sig_figs(3)
    ).alias("because")


def _read(of: Array) -> pl.DataFrame:
    """For each cell the names of the larger cells whose accidents were read."""
    holds = parents(of, READ_RESOLUTION)
    large = np.unique(holds)
    origin, cell, _ = rings(large, 1)
    names = (
        pl.DataFrame({"large": large[origin], "read": named(cell)}).sort("large", "read").group_by("large", maintain_order=True).agg("read")
    )
    return pl.DataFrame({"at": of, "large": holds}).join(names, on="large", how="left", maintain_order="left").drop("large")


def _evidence(found: Spots, records: pl.DataFrame) -> pl.DataFrame:
    """For each cell what is known of its accidents by hour and weather, and the accidents that weighed most."""
    within = records.filter(pl.col("year").is_in(list(found.counted.years)) & pl.col("lat_deg").is_finite() & pl.col("lon_deg").is_finite())
    at = cells(within["lat_deg"].to_numpy(), within["lon_deg"].to_numpy(), found.counted.resolution)
    origin, cell, steps = rings(at, 1)
    row, there = index_of(found.cells, cell)
    pairs = pl.DataFrame({"at": found.cells[row[there]], "ring": steps[there], "of": origin[there].astype(np.uint32)})
    named_records = within.with_row_index("of").select("of", "accident_id", "occurred_at", "weather")
    pairs = pairs.join(named_records, on="of", how="left")
    weighed = (
        pairs.sort("at", "ring", "occurred_at", "accident_id", descending=[False, False, True, False])
        .group_by("at", maintain_order=True)
        .head(MOST_WEIGHED)
        .group_by("at", maintain_order=True)
        .agg(pl.struct("accident_id", "ring", "occurred_at").alias("weighed_most"))
    )
    own = pairs.filter(pl.col("ring") == 0)
    hour = pl.col("occurred_at").dt.convert_time_zone("Asia/Tokyo").dt.hour().cast(pl.Int32) // 6
    bands = hour.replace_strict({each: f"hour:{each * 6:02d}-{each * 6 + 5:02d}" for each in range(4)}, return_dtype=pl.String)
    weather = pl.format("weather:{}", "weather").alias("what")
    what = pl.concat([own.select("at", bands.alias("what")), own.select("at", weather).drop_nulls()])
    counts = what.group_by("at", "what").len("count").sort("at", "what")
    evidence = counts.group_by("at", maintain_order=True).agg(pl.struct("what", "count").alias("evidence"))
    every = pl.DataFrame({"at": found.cells})
    joined = every.join(weighed, on="at", how="left").join(evidence, on="at", how="left")
    return joined.with_columns(pl.col("evidence").fill_null([]))
