"""What the river did, as it can be known afterwards: readings that can be trusted, thresholds, and when they were passed.

>>> pseudo(pl.DataFrame({"id": [12, 31], "P1": [1.15, 1.31], "P2": [1.70, None]})).rows()
[('12', 'L1', 1.15), ('12', 'L2', 1.7), ('31', 'L1', 1.31)]
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["BELOW_FOR", "LEVELS", "PAIR", "SEEN_WITHIN", "clean", "official", "passings", "pseudo", "scales", "watched"]

LEVELS = {"L1": "l1_standby_m", "L2": "l2_caution_m", "L3": "l3_evacuation_m", "L4": "l4_danger_m"}
"""Official levels, and the field of the gauge record that holds each."""

PAIR = ["gauge_id", "level"]

BELOW_FOR = timedelta(hours=6)
"""A level must have been undercut this long before passing it counts as new."""

SEEN_WITHIN = timedelta(minutes=180)
"""The reading before a crossing may be this old; otherwise nobody knows when the level was passed."""

SPIKE_WITHIN = timedelta(hours=4)
SPIKE_M = 0.8
"""A spike stands out by more than this, or by more than the gauge moves in a flood."""
LEAST_MOVE_M = 0.15

# Readings -------------------------------------------------------------------------------------------------------------


def clean(levels: pl.DataFrame, gauges: pl.DataFrame) -> pl.DataFrame:
    """Readings that can be trusted afterwards: the last word on each, with a level, sign restored, without spikes.

    Give it the whole record rather than one flood: what counts as a spike depends on how high the gauge ever goes.

    Args:
        levels: ``river.level.v1`` of one region.
        gauges: ``river.gauge.v1`` of that region; readings of unknown gauges are kept as they are.

    Returns:
        gauge_id, observed_at, arrived, level_m (metres above the gauge's zero), sorted by gauge and time.
    """
    known = _newest(gauges).select("gauge_id", "sign_lost_below_m", "l1_standby_m")
    readings = (
        _last_word(levels, "gauge_id", "observed_at")
        .drop_nulls("level_m")
        .join(known, on="gauge_id", how="left")
        .with_columns(level_m=pl.max_horizontal("level_m", "sign_lost_below_m"))
        .sort("gauge_id", "observed_at")
        .with_columns(spike_m=pl.max_horizontal(_moves_m(SPIKE_M)))
    )
    keep = ~_spikes(
        readings["gauge_id"].rank("dense").to_numpy(),
        readings["observed_at"].dt.epoch("ms").to_numpy(),
        readings["level_m"].to_numpy(),
        readings["spike_m"].to_numpy(),
    )
    return readings.filter(pl.Series(keep)).select("gauge_id", "observed_at", "arrived", "level_m")


def _last_word(records: pl.DataFrame, *identity: str) -> pl.DataFrame:
    """The highest version of each record, the last of equal ones, unless it is withdrawn."""
    ranked = records.sort("version", maintain_order=True) if "version" in records.columns else records
    last = ranked.unique(identity, keep="last", maintain_order=True)
    return last.filter(pl.col("op") != "withdrawn") if "op" in records.columns else last


def _newest(gauges: pl.DataFrame) -> pl.DataFrame:
    """The newest record of each gauge."""
    if "valid_from" not in gauges.columns:
        return gauges
    return _last_word(gauges, "gauge_id", "valid_from").sort("valid_from", maintain_order=True).unique("gauge_id", keep="last")


def _moves_m(at_least: float) -> list[pl.Expr]:
    """How far a gauge moves in a flood, metres: the largest of these."""
    level, median = pl.col("level_m"), pl.col("level_m").median().over("gauge_id")
    high = level.quantile(0.995, "linear").over("gauge_id") - median
    return [pl.lit(at_least), high, 0.35 * (pl.col("l1_standby_m") - median)]


def scales(truth: pl.DataFrame, gauges: pl.DataFrame) -> pl.DataFrame:
    """How far each gauge moves in a flood: max(.15 m, 99.5 % quantile − median, .35 (L1 − median)).

    Returns:
        gauge_id, scale_m.
    """
    known = truth.join(_newest(gauges).select("gauge_id", "l1_standby_m"), on="gauge_id", how="left", maintain_order="left")
    moves = known.with_columns(scale_m=pl.max_horizontal(_moves_m(LEAST_MOVE_M)))
    return moves.unique("gauge_id", keep="first", maintain_order=True).select("gauge_id", "scale_m")


def _spikes(
    gauge: NDArray[np.uint32], at_ms: NDArray[np.int64], level_m: NDArray[np.float64], by_m: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """True for readings in a run that stands out by more than ``by_m`` against the readings next to it on both sides.

    Both steps must be that steep, and the two sides at most 4 h apart: a flood that climbs over several readings is none.
    """
    spike = np.zeros(len(level_m), dtype=np.bool_)
    within_ms = SPIKE_WITHIN // timedelta(milliseconds=1)
    first = np.flatnonzero((np.diff(level_m) > by_m[1:]) & (np.diff(gauge) == 0)) + 1
    low, length = level_m[first], 0
    while first.size:
        length += 1
        after = np.minimum(first + length, len(level_m) - 1)
        inside = (first + length < len(level_m)) & (gauge[after] == gauge[first]) & (at_ms[after] - at_ms[first - 1] <= within_ms)
        found = inside & (low - np.maximum(level_m[first - 1], level_m[after]) > by_m[first])
        for start in first[found]:
            spike[start : start + length] = True
        going = inside & ~found
        first, low = first[going], np.minimum(low, level_m[after])[going]
    return spike


# Thresholds -----------------------------------------------------------------------------------------------------------


def official(gauges: pl.DataFrame) -> pl.DataFrame:
    """Thresholds that can be scored: those of the gauge records that lie above the level under which the sign is lost.

    Returns:
        gauge_id, level (L1 to L4), threshold_m.
    """
    return (
        _newest(gauges)
        .rename({field: level for level, field in LEVELS.items()})
        .unpivot(on=list(LEVELS), index=["gauge_id", "sign_lost_below_m"], variable_name="level", value_name="threshold_m")
        .drop_nulls("threshold_m")
        .filter(pl.col("sign_lost_below_m").is_null() | (pl.col("threshold_m") > pl.col("sign_lost_below_m")))
        .select("gauge_id", "level", pl.col("threshold_m").cast(pl.Float64))
        .sort("gauge_id", "level")
    )


def pseudo(table: pl.DataFrame) -> pl.DataFrame:
    """Thresholds from a table id, P1, P2, under the names L1 and L2 that notices can carry."""
    named = table.select(pl.col("id").cast(pl.String).alias("gauge_id"), pl.col("P1").alias("L1"), pl.col("P2").alias("L2"))
    return (
        named.unpivot(on=["L1", "L2"], index="gauge_id", variable_name="level", value_name="threshold_m")
        .drop_nulls("threshold_m")
        .sort("gauge_id", "level")
    )


# What the river did ---------------------------------------------------------------------------------------------------


def passings(truth: pl.DataFrame, thresholds: pl.DataFrame) -> pl.DataFrame:
    """Every time a level was passed.

    Returns:
        gauge_id, level, threshold_m, crossed_at (its first reading at or above), arrived (of that reading), until (its last
        reading at or above), peak_m, seen_since (from when on readings followed each other within 180 min), and ``begin``: *observed*, or
        *unobserved* where the reading before is older than 180 min or there is none.
    """
    seen = (pl.col("observed_at") - pl.col("before_at") <= SEEN_WITHIN).fill_null(False)
    since = pl.when(~seen).then("observed_at").forward_fill().over("gauge_id")
    above = (
        truth.sort("gauge_id", "observed_at")
        .with_columns(before_at=pl.col("observed_at").shift().over("gauge_id"))
        .with_columns(seen=seen, seen_since=since)
        .join(thresholds, on="gauge_id")
        .filter(pl.col("level_m") >= pl.col("threshold_m"))
        .sort(*PAIR, "observed_at")
    )
    fresh = (pl.col("observed_at") - pl.col("observed_at").shift() >= BELOW_FOR).over(PAIR).fill_null(True)
    return (
        above.with_columns(nth=fresh.cum_sum().over(PAIR))
        .group_by(*PAIR, "nth", maintain_order=True)
        .agg(
            pl.first("threshold_m"),
            pl.first("observed_at").alias("crossed_at"),
            pl.first("arrived"),
            pl.last("observed_at").alias("until"),
            pl.max("level_m").alias("peak_m"),
            pl.first("seen_since"),
            pl.when(pl.first("seen")).then(pl.lit("observed")).otherwise(pl.lit("unobserved")).alias("begin"),
        )
        .drop("nth")
    )


def watched(truth: pl.DataFrame) -> pl.DataFrame:
    """A clock for each gauge that runs only while its river is seen: for 180 min after each reading, at most."""
    step = pl.min_horizontal(pl.col("observed_at").diff().over("gauge_id").fill_null(timedelta(0)), SEEN_WITHIN)
    return truth.select("gauge_id", "observed_at", clock=step).with_columns(pl.col("clock").cum_sum().over("gauge_id"))
