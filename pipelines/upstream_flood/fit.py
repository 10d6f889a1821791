"""Fits the flood model: how much a gauge rises within some hours, from what it and the gauges around it just did.

Offline and deterministic. For each gauge a weighted ridge regression is drawn towards one that is pooled over all
gauges; the errors on readings left out of the fit become the tables from which probabilities are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.linkage.grid import VALUE, Grid, Key
from pipelines.upstream_flood.evidence import FEATURES, USED, VARIANTS, Evidence, evidence
from pipelines.upstream_flood.model import HORIZONS_H
from pipelines.upstream_flood.network import Network, network

if TYPE_CHECKING:
    from schemas.feeds import Feed

__all__ = ["Examples", "FitError", "examples", "fit", "without_spikes"]

Array = NDArray[Any]

EVERY, BRIDGE = timedelta(minutes=10), timedelta(minutes=400)
MU_EDGES = (0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.9)
ERROR_STEPS = tuple(round(-1.0 + 0.05 * i, 2) for i in range(101))
RIDGE_POOLED, RIDGE_GAUGE = 20.0, 1.0
FOLDS, FOLD_DAYS = 5, 10
"""Errors are taken on one of five folds while the other four are fitted; a fold is every fifth ten-day block."""
LEAST_SCALE_M, SCALE_QUANTILE, SCALE_OF_L1 = 0.15, 0.995, 0.35
SPIKE_M, SPIKE_WITHIN = 0.8, timedelta(hours=4)
GAP = timedelta(minutes=150)
"""A reading is no example where a longer gap follows: its highest level is not known."""
RISING = 0.1
"""A level rises when the change of the last hour is above this, in s."""
LEAST_ROWS = 40
"""A bin of mu with fewer errors borrows those of its neighbours."""
LEAST_READINGS = 200
"""A gauge with fewer levels is neither judged nor anyone's input."""


class FitError(ValueError):
    """There is not enough to fit on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Rows to fit on: one for each level of a gauge that was followed by others."""

    row: Array
    """Index of the gauge."""
    slot: Array
    features: Array
    rise: Array
    """rows × horizons: highest level within each horizon less the level, in s, clipped to −.5 … 4; NaN: not known."""
    variant: Array
    """Richest coefficient table whose inputs were fresh."""
    weight: Array
    """Weight in the fit: how much was going on."""
    share: Array
    """Share of an hour that the reading stands for, so that ten-minute data do not outvote hourly ones."""


def fit(
    levels: pl.DataFrame, gauges: pl.DataFrame, *, level_feed: Feed, region: str, valid_from: datetime, fitted_on: str
) -> dict[str, Any]:
    """Fits a model for one region.

    Args:
        levels: readings in ``river.level.v1``, without the periods that are to be left out.
        gauges: gauge records in force; their order does not matter.
        level_feed: the feed of the readings.
        region: which region's gauges to fit.
        valid_from: from when on the rule is to use the model.
        fitted_on: the periods in words, for the record.

    Returns:
        One record of ``river.flood-model.v1``; ``model`` is named after a hash of its numbers.

    Raises:
        FitError: fewer than ``LEAST_READINGS`` levels of every gauge.
    """
    ground, scales = _ground(levels, gauges, region)
    found = examples(levels, ground, level_feed)
    if not len(found.row):
        raise FitError(
            f"levels of {region} must hold floods to learn from (got {levels.height} readings and no example): give a longer period"
        )
    group = ground.inputs.count[:3].sum(axis=0) > 0
    betas, errors = _regress(found, len(ground.keys), group)
    record: dict[str, Any] = {
        "region": region, "valid_from": valid_from, "version": 1, "op": "stated", "model": "", "fitted_on": fitted_on,
        "features": list(FEATURES), "horizons_h": list(HORIZONS_H), "variants": list(VARIANTS),
        "gauges": [
            {"gauge_id": key[1], "median_m": median, "scale_m": scale, "group": "network" if group[at] else "rest",
             "coefficients": betas[at].astype(np.float32).ravel().tolist()}
            for at, key in enumerate(ground.keys) if key in scales for median, scale in [scales[key]]
        ],
        "errors": errors, "keeps_rising": _keeps_rising(found, group),
        "mu_edges": np.array(MU_EDGES, np.float32).tolist(), "error_steps": np.array(ERROR_STEPS, np.float32).tolist(),
    }  # fmt: skip
    digest = hashlib.sha256(repr([record[name] for name in ("gauges", "errors", "keeps_rising")]).encode()).hexdigest()
    return record | {"model": f"{region}-{digest[:10]}"}


def without_spikes(levels: pl.DataFrame, scale_m: Mapping[str, float]) -> pl.DataFrame:
    """Drops levels that stand alone above those before and after by more than max(.8 m, s) within four hours."""
    level, time = pl.col("level_m"), pl.col("observed_at")
    limit = pl.col("gauge_id").replace_strict(scale_m, default=SPIKE_M, return_dtype=pl.Float64).clip(lower_bound=SPIKE_M)
    alone = (level - level.shift(1).over("gauge_id") > limit) & (level - level.shift(-1).over("gauge_id") > limit)
    quick = time.shift(-1).over("gauge_id") - time.shift(1).over("gauge_id") <= SPIKE_WITHIN
    ordered = levels.filter(level.is_not_null()).unique(["gauge_id", "observed_at"], keep="last").sort("gauge_id", "observed_at")
    return ordered.filter(~(alone & quick).fill_null(value=False))


def _ground(levels: pl.DataFrame, gauges: pl.DataFrame, region: str) -> tuple[Network, dict[Key, tuple[float, float]]]:
    """The network, with medians and scales only."""
    records: dict[Key, dict[str, Any]] = {
        (row["region"], row["gauge_id"]): row for row in gauges.sort("valid_from").iter_rows(named=True) if row["region"] == region
    }
    keys = sorted(records)
    scales = _scales(levels, records)
    if not scales:
        raise FitError(
            f"levels of {region} must hold {LEAST_READINGS} readings of a gauge at least (got {levels.height} rows): give a longer period"
        )
    bare = network(keys, records, {}, FEATURES)
    median, scale = (np.array([scales[key][i] if key in scales else np.nan for key in keys]) for i in (0, 1))
    return network(keys, records, {}, FEATURES, replace(bare.learned, median_m=median, scale_m=scale)), scales


def _scales(levels: pl.DataFrame, records: Mapping[Key, Mapping[str, Any]]) -> dict[Key, tuple[float, float]]:
    """Median level and scale s = max(.15 m, q99.5 − median, .35 (L1 − median)) of each gauge, metres."""
    out = {}
    for (gauge_id,), frame in levels.filter(pl.col("level_m").is_not_null()).group_by("gauge_id"):
        key = next((key for key in records if key[1] == gauge_id), None)
        if key is None or frame.height < LEAST_READINGS:
            continue
        floor = records[key]["sign_lost_below_m"]
        level = np.maximum(frame["level_m"].to_numpy(), -np.inf if floor is None else floor)
        median, high = float(np.median(level)), float(np.quantile(level, SCALE_QUANTILE))
        l1 = records[key]["l1_standby_m"]
        out[key] = (median, max(LEAST_SCALE_M, high - median, 0.0 if l1 is None else SCALE_OF_L1 * (l1 - median)))
    return out


def examples(levels: pl.DataFrame, ground: Network, level_feed: Feed) -> Examples:
    """One example for each level: what was known then, and how far the gauge rose."""
    scale = {key[1]: float(s) for key, s in zip(ground.keys, ground.learned.scale_m, strict=True) if np.isfinite(s)}
    clean = without_spikes(levels, scale).sort("observed_at")
    parts = [_month(clean, begin, end, ground, level_feed) for begin, end in _months(clean)]
    return Examples(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in Examples.__slots__})


def _months(levels: pl.DataFrame) -> Iterator[tuple[datetime, datetime]]:
    """The periods of at most 30 days that hold readings."""
    days = levels["observed_at"].dt.truncate("30d").unique().sort()
    for begin in days.to_list():
        yield begin, begin + timedelta(days=30)


def _month(levels: pl.DataFrame, begin: datetime, end: datetime, ground: Network, level_feed: Feed) -> Examples:
    before, after = timedelta(hours=48), timedelta(hours=HORIZONS_H[-1]) + GAP
    past = Grid(level_feed, value="level_m", every=EVERY, bridge=BRIDGE)
    past.know(ground.keys)
    past.add(
        levels.filter(
            pl.col("observed_at").is_between(begin - before, end + after), pl.col("gauge_id").is_in([key[1] for key in ground.keys])
        )
    )
    start, stop = (int(past.slot_of(int(each.timestamp() * 1000))) for each in (begin, end))
    start, stop = max(start, past.slots.first), min(stop, past.slots.stop)
    parts = [_part(past, ground, range(a, min(a + 720, stop))) for a in range(start, stop, 720)]
    return Examples(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in Examples.__slots__})


def _part(past: Grid, ground: Network, slots: range) -> Examples:
    seen = evidence(ground, past, slots)
    rise = _rises(past, ground, slots)
    is_reading = (past.slots.window("kind", slots.start, slots.stop) == VALUE) & seen.fresh[seen.of]
    is_reading &= np.isfinite(ground.learned.scale_m)
    at, row = np.nonzero(is_reading & np.isfinite(rise).any(axis=-1))
    last = past.slots.window("last", slots.start - 1, slots.stop - 1)[at, row]
    share = np.clip((slots.start + at - last) / 6, 1 / 6, 1)
    return Examples(
        row=row, slot=slots.start + at, features=seen.features[seen.of[at], row], rise=rise[at, row],
        variant=seen.variant[seen.of[at], row], weight=_weight(seen, seen.of[at], row) * share, share=share,
    )  # fmt: skip


def _weight(seen: Evidence, at: Array, row: Array) -> Array:
    x = {name: seen.features[at, row, FEATURES.index(name)] for name in ("u", "d1", "around_d1", "around_share")}
    going_on = np.max([x["u"], 2 * np.abs(x["d1"]), 2 * x["around_d1"], x["around_share"]], axis=0)
    weight: Array = np.clip(going_on, 0.02, 1)
    return weight


def _rises(past: Grid, ground: Network, slots: range) -> Array:
    """slots × rows × horizons: the highest level of the hours after each slot less its level, in s."""
    longest = HORIZONS_H[-1] * 6
    filled = np.maximum(past.slots.window("filled", slots.start, slots.stop + longest), ground.floor_m)
    last = past.slots.window("last", slots.start, slots.stop + longest)
    kinds = past.slots.window("kind", slots.start, slots.stop + longest + 40)
    following = np.full(last.shape, 2**40)
    after = np.full(last.shape[1], 2**40)
    for k in range(len(kinds) - 1, -1, -1):
        after = np.where(kinds[k] == VALUE, slots.start + k, after)
        if k < len(last):
            following[k] = after
    torn = np.isnan(filled) | (following - last > GAP // EVERY)
    out = np.full((len(slots), filled.shape[1], len(HORIZONS_H)), np.nan)
    highest, broken = np.full(out.shape[:2], -np.inf), np.zeros(out.shape[:2], bool)
    for lag in range(1, longest + 1):
        highest = np.fmax(highest, filled[lag : lag + len(slots)])
        broken |= torn[lag : lag + len(slots)]
        if lag % 6 == 0 and lag // 6 in HORIZONS_H:
            rise = np.clip((highest - filled[: len(slots)]) / ground.learned.scale_m, -0.5, 4)
            out[..., HORIZONS_H.index(lag // 6)] = np.where(broken | ~np.isfinite(rise), np.nan, rise)
    return out


def _keeps_rising(found: Examples, group: Array) -> list[dict[str, Any]]:
    """How much of the last hour's rise follows within 3 hours, at most all of it: mean of min(rise, d1) ÷ d1 where the level rises.

    This is the chance that a level is passed that lies anywhere within that rise above the water.
    """
    d1, rise = found.features[:, FEATURES.index("d1")], found.rise[:, HORIZONS_H.index(3)]
    rising = (d1 > RISING) & np.isfinite(rise)
    out = []
    for name, of_group in (("network", True), ("rest", False)):
        mine = rising & (group[found.row] == of_group)
        share = np.average(np.clip(rise[mine] / d1[mine], 0, 1), weights=found.share[mine]) if mine.any() else 0.0
        out.append({"group": name, "share": float(np.float32(share))})
    return out


def _regress(found: Examples, rows: int, group: Array) -> tuple[Array, list[dict[str, Any]]]:
    """Coefficients (rows × variants × horizons × features) on all folds, and the errors on folds left out."""
    fold = (found.slot // (FOLD_DAYS * 144)) % FOLDS
    betas = np.zeros((rows, len(VARIANTS), len(HORIZONS_H), len(FEATURES)))
    errors = []
    for v, variant in enumerate(VARIANTS):
        used = USED[variant]
        for h, horizon in enumerate(HORIZONS_H):
            take = np.isfinite(found.rise[:, h]) & (found.variant >= v)
            x, y = found.features[take, :used], found.rise[take, h]
            sums = _sums(x, y, found.weight[take], found.row[take], fold[take], rows)
            betas[:, v, h, :used] = _solve(*(each.sum(axis=1) for each in sums))
            mu = np.empty(len(y))
            for left_out in range(FOLDS):
                beta = _solve(*(each.sum(axis=1) - each[:, left_out] for each in sums))
                mine = fold[take] == left_out
                mu[mine] = (x[mine] * beta[found.row[take][mine]]).sum(axis=1)
            for name, of_group in (("network", True), ("rest", False)):
                mine = group[found.row[take]] == of_group
                table = _exceedance(mu[mine], (y - mu)[mine], found.share[take][mine])
                errors.append(
                    {"group": name, "variant": variant, "horizon_h": horizon, "exceedance": table.astype(np.float32).ravel().tolist()}
                )
    return betas, errors


def _sums(x: Array, y: Array, weight: Array, row: Array, fold: Array, rows: int) -> tuple[Array, Array]:
    """XᵀWX and XᵀWy for each gauge and fold."""
    xx, xy = np.zeros((rows, FOLDS, x.shape[1], x.shape[1])), np.zeros((rows, FOLDS, x.shape[1]))
    order = np.lexsort((fold, row))
    cell = row[order] * FOLDS + fold[order]
    edges = np.flatnonzero(np.diff(cell, prepend=-1))
    for begin, end in zip(edges, [*edges[1:], len(cell)], strict=True):
        at = order[begin:end]
        weighted = x[at] * weight[at, None]
        xx[row[at[0]], fold[at[0]]], xy[row[at[0]], fold[at[0]]] = weighted.T @ x[at], weighted.T @ y[at]
    return xx, xy


def _solve(xx: Array, xy: Array) -> Array:
    """Each gauge's ridge regression, drawn towards the pooled one: β = (XᵀWX + κI)⁻¹ (XᵀWy + κβ₀)."""
    size = xx.shape[-1]
    penalty = np.full(size, RIDGE_POOLED)
    penalty[FEATURES.index("one")] = 0.0
    pooled = np.linalg.solve(xx.sum(axis=0) + np.diag(penalty), xy.sum(axis=0))
    solved: Array = np.linalg.solve(xx + RIDGE_GAUGE * np.eye(size), (xy + RIDGE_GAUGE * pooled)[..., None])[..., 0]
    return solved


def _exceedance(mu: Array, error: Array, share: Array) -> Array:
    """bins × steps: the share of errors at or above each step."""
    bins = np.searchsorted(MU_EDGES, mu, side="right")
    out = np.zeros((len(MU_EDGES) + 1, len(ERROR_STEPS)))
    for b in range(len(out)):
        mine, wider = bins == b, 0
        while mine.sum() < LEAST_ROWS and wider < len(out):
            wider += 1
            mine = np.abs(bins - b) <= wider
        if mine.any():
            out[b] = _share_above(error[mine], share[mine])
    return out


def _share_above(error: Array, share: Array) -> Array:
    order = np.argsort(error, kind="stable")
    above = np.concatenate([np.cumsum(share[order][::-1])[::-1], [0.0]])
    out: Array = above[np.searchsorted(error[order], np.array(ERROR_STEPS), side="left")] / above[0]
    return out
