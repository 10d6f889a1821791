"""How good the numbers were, notices aside: forecasts of the level, and probabilities that were told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.upstream_flood.score.river import SEEN_WITHIN

__all__ = ["BINS", "after", "persistence_index", "reliability"]

Array = NDArray[Any]

BINS = (0.0, 0.175, 0.325, 0.475, 0.625, 0.775, 1.0)
"""Edges between the probabilities of a reliability table, so that steps of .05 lie on no edge."""


def after(truth: pl.DataFrame, asked: pl.DataFrame, within: timedelta) -> pl.DataFrame:
    """What the river did next.

    Args:
        truth: what ``clean`` gives.
        asked: gauge_id, at.
        within: how far ahead to look.

    Returns:
        ``asked`` with then_m (level at the end of the span, linear between readings) and highest_m (highest reading after
        ``at``, up to the end of the span; at least then_m), both null where the river was not seen throughout: where readings are more than
        180 min apart.
    """
    parts = asked.with_row_index("nth").partition_by("gauge_id", as_dict=True)
    readings = truth.partition_by("gauge_id", as_dict=True)
    told = [_after_one(readings[key], part, within) for key, part in parts.items() if key in readings]
    nothing = asked.clear().with_row_index("nth").with_columns(then_m=pl.lit(None, pl.Float64), highest_m=pl.lit(None, pl.Float64))
    found = pl.concat([nothing, *told]).select("nth", "then_m", "highest_m")
    return asked.with_row_index("nth").join(found, on="nth", how="left", maintain_order="left").drop("nth")


def _after_one(readings: pl.DataFrame, asked: pl.DataFrame, within: timedelta) -> pl.DataFrame:
    """The same for one gauge."""
    time, level = readings["observed_at"].dt.epoch("ms").to_numpy(), readings["level_m"].to_numpy()
    begin = asked["at"].dt.epoch("ms").to_numpy()
    end = begin + within // timedelta(milliseconds=1)
    apart = SEEN_WITHIN // timedelta(milliseconds=1)
    torn = np.concatenate([[0], np.cumsum(np.diff(time) > apart)])
    since, last = (np.searchsorted(time, each, side="right") for each in (begin, end))
    following = np.searchsorted(time, end, side="left")
    known = (since > 0) & (following < len(time))
    before, beyond = np.maximum(since - 1, 0), np.minimum(following, len(time) - 1)
    known &= torn[beyond] == torn[before]
    earlier = np.maximum(beyond - (time[beyond] > end), 0)
    span = np.maximum(time[beyond] - time[earlier], 1)
    then = level[earlier] + (level[beyond] - level[earlier]) * (end - time[earlier]) / span
    edges = np.stack([since, np.maximum(last, since)], axis=1)
    most = np.maximum.reduceat(np.append(level, -np.inf), edges.ravel())[::2] if len(edges) else np.empty(0)
    highest = np.fmax(np.where(edges[:, 1] > edges[:, 0], most, -np.inf), then)
    both = {
        name: pl.Series(name, np.where(known, values, np.nan)).fill_nan(None) for name, values in (("then_m", then), ("highest_m", highest))
    }
    return asked.with_columns(**both)


def persistence_index(forecasts: pl.DataFrame, happened: str) -> float | None:
    """Of the squared error of "the level stays" the share that a forecast saves, 1 − Σ(f − y)² ÷ Σ(y − z)².

    1 is perfect, 0 no better than persistence, below 0 worse (Kitanidis and Bras, 1980). Errors count in each gauge's own scale.

    Args:
        forecasts: level_m (now), forecast_m, scale_m, and what came in the column ``happened``; rows where one is null do not count.
        happened: ``then_m`` or ``highest_m``.

    Returns:
        The index; None: the level never moved.
    """
    rows = forecasts.drop_nulls(["level_m", "forecast_m", "scale_m", happened])
    level, forecast, scale, came = (rows[name].to_numpy() for name in ("level_m", "forecast_m", "scale_m", happened))
    of_persistence = float((((came - level) / scale) ** 2).sum())
    return 1 - float((((came - forecast) / scale) ** 2).sum()) / of_persistence if of_persistence else None


def reliability(told: pl.DataFrame, bins: Sequence[float] = BINS) -> pl.DataFrame:
    """How often what was told with a probability came true.

    Args:
        told: p (told), threshold_m, highest_m (what came; null: nobody saw).
        bins: edges between probabilities, from 0 to 1.

    Returns:
        from_p, to_p, told (mean of what was told), happened (share that came true), count; a row for each bin that is not empty.
    """
    seen = told.drop_nulls(["p", "threshold_m", "highest_m"])
    number = pl.Series("bin", np.clip(np.searchsorted(bins, seen["p"].to_numpy(), "right") - 1, 0, len(bins) - 2))
    edges = pl.DataFrame({"bin": range(len(bins) - 1), "from_p": bins[:-1], "to_p": bins[1:]}, schema_overrides={"bin": pl.Int64})
    return (
        seen.with_columns(number.cast(pl.Int64), came=pl.col("highest_m") >= pl.col("threshold_m"))
        .group_by("bin")
        .agg(pl.mean("p").alias("told"), pl.mean("came").alias("happened"), pl.len().alias("count"))
        .join(edges, on="bin")
        .sort("bin")
        .select("from_p", "to_p", "told", "happened", "count")
    )
