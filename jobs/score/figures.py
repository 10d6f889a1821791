"""The figures of each group and level, with their intervals, for notices and for the forecasts beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from pipelines.upstream_flood.score import (
    OF_EVENTS,
    RATES,
    Group,
    Scored,
    after,
    drawn,
    floods,
    interval,
    pairs,
    reliability,
    score,
    spread,
    summary,
)

__all__ = ["ALL", "DRAWS", "OURS", "SEED", "Judged", "judged"]

OURS = "notices"
ALL = "all"
DRAWS, SEED = 1000, 1
"""Floods are drawn again so many times; chance begins here, so that the same notices give the same intervals."""

LEAST_FLOODS = 5
"""Fewer floods than this have no interval: it would look narrow because there is so little to draw from."""

PAIR = ["gauge_id", "level"]
AHEAD = timedelta(hours=3)
"""A probability tells of so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A group as it was judged.

    ``rows``: a row for each level (``all`` first) and forecast: ``level``, ``forecast``, what ``summary`` gives, and for each of
    ``RATES`` its 90 % interval under ``<rate>_90``, null where what happened lies in fewer than ``LEAST_FLOODS`` floods.
    ``quiet``: levels that were not passed and of which no forecast said anything in vain. ``gains``: CSI of the notices less
    that of each forecast beside them, with its interval. ``told``: the reliability of the probabilities. ``sudden``: how often a
    level was passed less than 3 h after the first reading that followed a silence, which nobody can tell before.
    """

    name: str
    about: str
    gauges: int
    thresholds: int
    floods: int
    sudden: int
    rows: Sequence[Mapping[str, Any]]
    quiet: Sequence[str]
    gains: Sequence[Mapping[str, Any]]
    told: Sequence[Mapping[str, Any]]


def judged(
    truth: pl.DataFrame,
    thresholds: pl.DataFrame,
    forecasts: Mapping[str, pl.DataFrame],
    period: tuple[datetime, datetime],
    groups: Sequence[Group],
) -> tuple[list[Judged], Scored]:
    """All groups that have a threshold, and what came of the notices.

    Args:
        truth: what ``clean`` gives.
        thresholds: what the notices are about.
        forecasts: name → notices; those to be judged are named ``OURS``.
        period: from (inclusive) and to (exclusive), time of arrival.
        groups: the groups to tell of.
    """
    scored = {name: score(truth, thresholds, notices, period) for name, notices in forecasts.items()}
    told = _told(forecasts[OURS], truth, period)
    return [_of(group, scored, told) for group in groups if pairs(thresholds, group).height], scored[OURS]


def _of(group: Group, scored: Mapping[str, Scored], told: pl.DataFrame) -> Judged:
    among = pairs(scored[OURS].thresholds, group)
    begins = floods(scored.values(), group)
    count = max(len(begins), 1)
    times = np.random.default_rng(SEED).multinomial(count, [1 / count] * count, size=DRAWS)
    levels = {ALL: group} | {level: replace(group, levels=(level,)) for level in group.levels}
    rows: list[dict[str, Any]] = []
    draws: dict[str, Mapping[str, Any]] = {}
    gains: list[dict[str, Any]] = []
    for level, part in levels.items():
        lies_in = {name: spread(each, part, begins) for name, each in scored.items()}
        if any(each != (0, 0) for each in lies_in.values()):
            for name, each in scored.items():
                draws[name] = _sure(drawn(each, part, begins, times), *lies_in[name])
                ends = {f"{rate}_90": interval(draws[name][rate]) for rate in RATES}
                rows.append({"level": level, "forecast": name} | summary(each, part).row(0, named=True) | ends)
            gains = gains or [_gain(rows, draws, name) for name in scored if name != OURS]
    return Judged(
        name=group.name,
        about=group.about,
        gauges=among["gauge_id"].n_unique(),
        thresholds=among.height,
        floods=len(begins),
        sudden=scored[OURS].events.join(among, on=PAIR, how="semi").filter(pl.col("crossed_at") - pl.col("seen_since") < AHEAD).height,
        rows=rows,
        quiet=[each for each in among["level"].unique().sort() if each not in {row["level"] for row in rows}],
        gains=gains,
        told=reliability(told.join(among, on=PAIR, how="semi")).to_dicts(),
    )


def _sure(draws: Mapping[str, Any], with_events: int, with_any: int) -> dict[str, Any]:
    """Draws of figures that rest on floods enough; NaN for the others."""
    enough = {name: (with_events if name in OF_EVENTS else with_any) >= LEAST_FLOODS for name in draws}
    return {name: each if enough[name] else np.full(len(each), np.nan) for name, each in draws.items()}


def _gain(rows: Sequence[Mapping[str, Any]], draws: Mapping[str, Mapping[str, Any]], beside: str) -> dict[str, Any]:
    """How much more CSI the notices have than another forecast, on the same floods."""
    ours, theirs = (next(row["csi"] for row in rows if (row["level"], row["forecast"]) == (ALL, name)) for name in (OURS, beside))
    gain = None if ours is None or theirs is None else ours - theirs
    return {"over": beside, "csi": gain, "csi_90": interval(draws[OURS]["csi"] - draws[beside]["csi"])}


def _told(notices: pl.DataFrame, truth: pl.DataFrame, period: tuple[datetime, datetime]) -> pl.DataFrame:
    """The probabilities that were told while the level was not passed, with what the river did in the three hours after."""
    told = notices.drop_nulls(["level", "p_exceed", "observed_m"]).filter(
        pl.col("state").is_in(["raised", "updated"]),
        pl.col("observed_m") < pl.col("threshold_m"),
        pl.col("said_at").is_between(*period, closed="left"),
    )
    return after(truth, told.select("gauge_id", "level", "threshold_m", at="time", p="p_exceed"), AHEAD)
