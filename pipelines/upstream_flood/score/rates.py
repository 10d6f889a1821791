"""Figures of what came of the notices, and how sure they are.

Notices of one flood are right or wrong together, so floods are drawn again rather than events: the spread of a figure over such draws
is its uncertainty. Which floods are drawn is given from outside (there is no chance in here).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.upstream_flood.score.groups import Group, pairs
from pipelines.upstream_flood.score.outcomes import Scored
from pipelines.upstream_flood.score.river import PAIR

__all__ = ["OF_EVENTS", "QUIET", "RATES", "drawn", "floods", "interval", "spread", "summary"]

Array = NDArray[Any]

QUIET = timedelta(hours=72)
"""A flood is over when for so long no level was passed and no notice was raised."""

RATES = ("pod", "far", "far_with_near", "csi", "lead_median_min", "lead_q25_min")
"""Figures that have an interval."""

OF_EVENTS = ("pod", "lead_median_min", "lead_q25_min")
"""Those that rest on events alone."""

_YEAR_H = 365.25 * 24


def summary(scored: Scored, group: Group) -> pl.DataFrame:
    """One row of figures for a group of gauges and levels.

    Returns:
        group, events, hits, misses, false, near, late, open, pod, far, far_with_near, csi, lead_median_min, lead_q25_min,
        false_h_per_gauge_year (a year in which the river was seen). A rate is null when there is nothing to divide by.
    """
    events, notices = _of(scored, group)
    hits = events.filter(pl.col("outcome") == "hit").height
    misses = events.height - hits
    near, false = _alarms(notices, pl.col("outcome") == "near"), _alarms(notices, pl.col("outcome") != "near")
    among = pairs(scored.thresholds, group).unique("gauge_id")
    years = float(scored.seen.join(among, on="gauge_id", how="semi")["hours"].sum()) / _YEAR_H
    return pl.DataFrame(
        {
            "group": group.name, "events": events.height, "hits": hits, "misses": misses, "false": false, "near": near,
            "late": notices.filter(pl.col("outcome") == "late").height, "open": notices.filter(pl.col("outcome") == "open").height,
            "pod": _share(hits, hits + misses), "far": _share(false, false + hits),
            "far_with_near": _share(false + near, false + near + hits), "csi": _share(hits, hits + misses + false),
            "lead_median_min": events["lead_min"].median(), "lead_q25_min": events["lead_min"].quantile(0.25, "linear"),
            "false_h_per_gauge_year": _share(float(notices["useless_h"].sum()), years),
        }
    )  # fmt: skip


def _of(scored: Scored, group: Group) -> tuple[pl.DataFrame, pl.DataFrame]:
    among = pairs(scored.thresholds, group)
    return scored.events.join(among, on=PAIR, how="semi"), scored.notices.join(among, on=PAIR, how="semi")


def _alarms(notices: pl.DataFrame, which: pl.Expr) -> int:
    return int(notices.filter(which)["alarms"].sum())


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


# How sure they are ----------------------------------------------------------------------------------------------------


def floods(scored: Iterable[Scored], group: Group) -> list[datetime]:
    """When each flood of a group began: what was passed or raised after more than 72 quiet hours.

    Give it all forecasts that are to be compared, so that each is judged on the same floods.
    """
    both = [part for each in scored for part in _of(each, group)]
    times = pl.concat(
        [pl.Series("at", [], pl.Datetime("ms", "UTC"))]
        + [each["crossed_at" if "crossed_at" in each.columns else "said_at"].alias("at").cast(pl.Datetime("ms", "UTC")) for each in both]
    ).sort()
    return times.filter((times.diff() > QUIET).fill_null(True)).to_list()


def drawn(scored: Scored, group: Group, begins: Sequence[datetime], times: Array) -> dict[str, Array]:
    """Figures of a group when floods are drawn again.

    Args:
        scored: what came of the notices.
        group: whose figures.
        begins: what ``floods`` gives.
        times: draws × floods, how often each flood was drawn.

    Returns:
        Of each name in ``RATES`` an array of draws; NaN where there was nothing to divide by.
    """
    events, notices = _both(scored, group, begins)
    hit, near = (events["outcome"] == "hit").to_numpy(), (notices["outcome"] == "near").to_numpy()
    alarms = notices["alarms"].to_numpy()
    counted = {
        "hits": _sums(events, hit, times), "misses": _sums(events, ~hit, times),
        "false": _sums(notices, np.where(near, 0, alarms), times), "near": _sums(notices, np.where(near, alarms, 0), times),
    }  # fmt: skip
    hits, misses, false, near_hits = counted.values()
    lead = np.sort(events["lead_min"].to_numpy())
    weights = times[:, events["flood"].to_numpy()[np.argsort(events["lead_min"].to_numpy(), kind="stable")]]
    return {
        "pod": _ratio(hits, hits + misses), "far": _ratio(false, false + hits),
        "far_with_near": _ratio(false + near_hits, false + near_hits + hits), "csi": _ratio(hits, hits + misses + false),
        "lead_median_min": _quantile(lead, weights, 0.5), "lead_q25_min": _quantile(lead, weights, 0.25),
    }  # fmt: skip


def spread(scored: Scored, group: Group, begins: Sequence[datetime]) -> tuple[int, int]:
    """In how many floods there is an event, and in how many one or a false alarm. Where these are few, drawing them again tells nothing."""
    events, notices = _both(scored, group, begins)
    alarms = notices.filter(pl.col("alarms") > 0)["flood"]
    return events["flood"].n_unique(), pl.concat([events["flood"], alarms]).n_unique()


def interval(figures: Array) -> tuple[float, float] | None:
    """The 90 % interval of a figure over its draws. None: it could not be had in most of them."""
    told = figures[np.isfinite(figures)]
    if 2 * len(told) <= len(figures):
        return None
    low, high = np.quantile(told, (0.05, 0.95))
    return float(low), float(high)


def _both(scored: Scored, group: Group, begins: Sequence[datetime]) -> tuple[pl.DataFrame, pl.DataFrame]:
    events, notices = _of(scored, group)
    return _numbered(events, "crossed_at", begins), _numbered(notices, "said_at", begins)


def _numbered(rows: pl.DataFrame, time: str, begins: Sequence[datetime]) -> pl.DataFrame:
    """Rows with the number of the flood in which they lie."""
    numbers = pl.DataFrame({"begin": begins}, schema={"begin": pl.Datetime("ms", "UTC")}).with_row_index("flood")
    return rows.sort(time).join_asof(numbers, left_on=time, right_on="begin")


def _sums(rows: pl.DataFrame, counts: Array, times: Array) -> Array:
    """For each draw how many there are."""
    of_flood = np.bincount(rows["flood"].to_numpy(), weights=counts.astype(float), minlength=times.shape[1])
    sums: Array = times @ of_flood
    return sums


def _ratio(part: Array, whole: Array) -> Array:
    share: Array = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return share


def _quantile(ordered: Array, weights: Array, share: float) -> Array:
    """For each draw the quantile of ordered values that stand there ``weights`` times, linear between neighbours."""
    upto = weights.cumsum(axis=1)
    count = upto[:, -1] if upto.shape[1] else np.zeros(len(weights))
    place = share * np.maximum(count - 1, 0)
    below, above = (_nth(ordered, upto, np.floor(place)), _nth(ordered, upto, np.ceil(place)))
    return np.where(count > 0, below + (above - below) * (place - np.floor(place)), np.nan)


def _nth(ordered: Array, upto: Array, nth: Array) -> Array:
    """The value at a place (from 0) among the repeated ones."""
    if not len(ordered):
        return np.full(len(upto), np.nan)
    found: Array = ordered[np.minimum((upto <= nth[:, None]).sum(axis=1), len(ordered) - 1)]
    return found
