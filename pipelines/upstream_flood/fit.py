"""Fits the flood model: how much a gauge rises within some hours, from what it and the gauges around it just did.

Offline and deterministic. For each gauge a weighted ridge regression is drawn towards one that is pooled over all
gauges; the errors on readings left out of the fit become the tables from which probabilities are read. How large an error
is to be expected is fitted, too: a forecast of a great rise, or of a river that is high already, is less sure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.linkage.grid import VALUE, Grid, Key
from pipelines.upstream_flood import rain
from pipelines.upstream_flood.evidence import FEATURES, LEAST_SPREAD, USED, VARIANTS, Evidence, evidence
from pipelines.upstream_flood.model import HORIZONS_H, RAIN, RAIN_TABLE, SPREAD, TABLES, WITH_RAIN
from pipelines.upstream_flood.network import Network, network

if TYPE_CHECKING:
    from schemas.feeds import Feed

__all__ = ["Examples", "FitError", "How", "Sky", "examples", "fit", "prepared", "regressed", "without_spikes"]

Array = NDArray[Any]

EVERY, BRIDGE = timedelta(minutes=10), timedelta(minutes=400)
Fitted = tuple[Array, Array]
"""Pooled coefficients (features × 2) and those of each gauge (rows × features × 2), of rise and change."""
ERROR_STEPS = tuple(round(-4.0 + 0.1 * i, 1) for i in range(161))
RIDGE_POOLED, RIDGE_SPREAD = 20.0, 1e-3
FOLDS, FOLD_DAYS = 5, 10
"""Errors are taken on one of five folds while the other four are fitted; a fold is every fifth ten-day block."""
LEAST_SCALE_M, SCALE_QUANTILE, SCALE_OF_L1 = 0.15, 0.995, 0.35
SPIKE_M, SPIKE_WITHIN = 0.8, timedelta(hours=4)
GAP = timedelta(minutes=150)
"""A reading is no example where a longer gap follows: its highest level is not known."""
RISING = 0.1
"""A level rises when the change of the last hour is above this, in s."""
LEAST_READINGS = 200
"""A gauge with fewer levels is neither judged nor anyone's input."""


class FitError(ValueError):
    """There is not enough to fit on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What a fit can do one way or another. The defaults are what was chosen by leaving floods out (``choice.py``)."""

    ridge_gauge: float = 0.3
    """κ: how strongly the regression of a gauge is drawn to the pooled one."""
    weight_power: float = 0.5
    """A row counts by this power of its weight."""
    spread: Literal["fitted", "constant"] = "fitted"
    """Whether how large an error is to be expected depends on the river, or is one number for each table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sky:
    """Rain, where it is to be learned from: ``weather.rain.v1`` with its feed, and ``weather.station.v1``."""

    rain: pl.DataFrame
    stations: pl.DataFrame
    feed: Feed

    def places(self) -> dict[Key, dict[str, Any]]:
        """The newest record of each station."""
        return {(row["region"], row["station_id"]): row for row in self.stations.sort("valid_from", "version").iter_rows(named=True)}

    def past(self, begin: datetime, end: datetime) -> Grid:
        """The hours that end from so long before ``begin`` as rain is looked back at."""
        grid = Grid(self.feed, value="rain_mm", every=rain.EVERY, bridge=timedelta(0))
        grid.add(self.rain.filter(pl.col("observed_at").is_between(begin - rain.REACH, end)))
        return grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Rows to fit on: one for each level of a gauge that was followed by others."""

    row: Array
    """Index of the gauge."""
    slot: Array
    features: Array
    rise: Array
    """rows × horizons: highest level within each horizon less the level, in s, clipped to −.5 … 4; NaN: not known."""
    change: Array
    """rows × horizons: level at the end of each horizon less the level, in s, clipped to −3 … 4; NaN: not known."""
    variant: Array
    """Richest coefficient table whose inputs were fresh."""
    weight: Array
    """How much was going on, .02 to 1, times the share."""
    rain: Array
    """rows × columns of rain."""
    share: Array
    """Share of an hour that the reading stands for, so that ten-minute data do not outvote hourly ones."""


def fit(
    levels: pl.DataFrame,
    gauges: pl.DataFrame,
    *,
    level_feed: Feed,
    region: str,
    valid_from: datetime,
    fitted_on: str,
    how: How | None = None,
    sky: Sky | None = None,
) -> dict[str, Any]:
    """Fits a model for one region.

    Args:
        levels: readings in ``river.level.v1``, without the periods that are to be left out.
        gauges: gauge records in force; their order does not matter.
        level_feed: the feed of the readings.
        region: which region's gauges to fit.
        valid_from: from when on the rule is to use the model.
        fitted_on: the periods in words, for the record.
        how: what to do otherwise than was chosen; None: nothing.
        sky: rain, where a table is to be fitted for it; one is where rain is known of readings of all groups of gauges.

    Returns:
        One record of ``river.flood-model.v1``; ``model`` is named after a hash of its numbers.

    Raises:
        FitError: fewer than ``LEAST_READINGS`` levels of every gauge.
    """
    ground, found = prepared(levels, gauges, level_feed=level_feed, region=region, sky=sky)
    return regressed(ground, found, region=region, valid_from=valid_from, fitted_on=fitted_on, how=how or How())


def prepared(
    levels: pl.DataFrame, gauges: pl.DataFrame, *, level_feed: Feed, region: str, sky: Sky | None = None
) -> tuple[Network, Examples]:  # fmt: skip
    """The network with medians and scales, and the rows to fit on."""
    ground = _ground(levels, gauges, region, sky)
    found = examples(levels, ground, level_feed, sky)
    if not len(found.row):
        raise FitError(
            f"levels of {region} must hold floods to learn from (got {levels.height} readings and no example): give a longer period"
        )
    return ground, found


def regressed(
    ground: Network,
    found: Examples,
    *,
    region: str,
    valid_from: datetime,
    fitted_on: str,
    how: How,
    horizons: Sequence[int] = HORIZONS_H,
) -> dict[str, Any]:
    """The model of what ``prepared`` gives. Numbers of other ``horizons`` than these are nil: what raises needs 3 h alone."""
    group = ground.inputs.count[:3].sum(axis=0) > 0
    rained = _knows_rain(ground, found, group, horizons)
    tables = TABLES if rained else VARIANTS
    betas, of_levels, errors = _regress(found, tables, len(ground.keys), group, how, horizons)
    known = ground.learned
    record: dict[str, Any] = {
        "region": region, "valid_from": valid_from, "version": 1, "op": "stated", "model": "", "fitted_on": fitted_on,
        "features": [*FEATURES, *(RAIN if rained else ())], "horizons_h": list(HORIZONS_H), "variants": list(tables),
        "gauges": [
            {"gauge_id": key[1], "median_m": float(known.median_m[at]), "scale_m": float(known.scale_m[at]),
             "group": "network" if group[at] else "rest", "coefficients": betas[at].astype(np.float32).ravel().tolist(),
             "level_coefficients": of_levels[at].astype(np.float32).ravel().tolist()}
            for at, key in enumerate(ground.keys) if np.isfinite(known.scale_m[at])
        ],
        "errors": errors, "keeps_rising": _keeps_rising(found, group),
        "mu_edges": [], "error_steps": np.array(ERROR_STEPS, np.float32).tolist(),
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


def _ground(levels: pl.DataFrame, gauges: pl.DataFrame, region: str, sky: Sky | None) -> Network:
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
    tables = np.full(len(keys), len(VARIANTS) - 1 if sky is None else RAIN_TABLE)
    known = replace(bare.learned, median_m=median, scale_m=scale, richest=tables)
    return network(keys, records, {}, FEATURES, known, None if sky is None else sky.places())


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


def examples(levels: pl.DataFrame, ground: Network, level_feed: Feed, sky: Sky | None = None) -> Examples:
    """One example for each level: what was known then, and how far the gauge rose."""
    scale = {key[1]: float(s) for key, s in zip(ground.keys, ground.learned.scale_m, strict=True) if np.isfinite(s)}
    clean = without_spikes(levels, scale).sort("observed_at")
    parts = [_month(clean, begin, end, ground, level_feed, sky) for begin, end in _months(clean)]
    return Examples(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in Examples.__slots__})


def _months(levels: pl.DataFrame) -> Iterator[tuple[datetime, datetime]]:
    """The periods of at most 30 days that hold readings."""
    days = levels["observed_at"].dt.truncate("30d").unique().sort()
    for begin in days.to_list():
        yield begin, begin + timedelta(days=30)


def _month(levels: pl.DataFrame, begin: datetime, end: datetime, ground: Network, level_feed: Feed, sky: Sky | None) -> Examples:
    before, after = timedelta(hours=48), timedelta(hours=HORIZONS_H[-1]) + GAP
    past = Grid(level_feed, value="level_m", every=EVERY, bridge=BRIDGE)
    past.know(ground.keys)
    past.add(
        levels.filter(
            pl.col("observed_at").is_between(begin - before, end + after), pl.col("gauge_id").is_in([key[1] for key in ground.keys])
        )
    )
    if sky is not None:
        past.beside["rain"] = sky.past(begin, end)
    start, stop = (int(past.slot_of(int(each.timestamp() * 1000))) for each in (begin, end))
    start, stop = max(start, past.slots.first), min(stop, past.slots.stop)
    parts = [_part(past, ground, range(a, min(a + 720, stop))) for a in range(start, stop, 720)]
    return Examples(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in Examples.__slots__})


def _part(past: Grid, ground: Network, slots: range) -> Examples:
    seen = evidence(ground, past, slots)
    rise, change = _rises(past, ground, slots)
    is_reading = (past.slots.window("kind", slots.start, slots.stop) == VALUE) & seen.fresh[seen.of]
    is_reading &= np.isfinite(ground.learned.scale_m)
    at, row = np.nonzero(is_reading & np.isfinite(rise).any(axis=-1))
    last = past.slots.window("last", slots.start - 1, slots.stop - 1)[at, row]
    share = np.clip((slots.start + at - last) / 6, 1 / 6, 1)
    return Examples(
        row=row, slot=slots.start + at, features=seen.features[seen.of[at], row], rise=rise[at, row], change=change[at, row],
        variant=seen.variant[seen.of[at], row], rain=seen.rain[seen.of[at], row],
        weight=_weight(seen, seen.of[at], row) * share, share=share,
    )  # fmt: skip


def _weight(seen: Evidence, at: Array, row: Array) -> Array:
    x = {name: seen.features[at, row, FEATURES.index(name)] for name in ("u", "d1", "around_d1", "around_share")}
    going_on = np.max([x["u"], 2 * np.abs(x["d1"]), 2 * x["around_d1"], x["around_share"]], axis=0)
    weight: Array = np.clip(going_on, 0.02, 1)
    return weight


def _rises(past: Grid, ground: Network, slots: range) -> tuple[Array, Array]:
    """slots × rows × horizons: the highest level of the hours after each slot less its level, and that at their end, in s."""
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
    out, then = (np.full((len(slots), filled.shape[1], len(HORIZONS_H)), np.nan) for _ in range(2))
    highest, broken = np.full(out.shape[:2], -np.inf), np.zeros(out.shape[:2], bool)
    for lag in range(1, longest + 1):
        highest = np.fmax(highest, filled[lag : lag + len(slots)])
        broken |= torn[lag : lag + len(slots)]
        if lag % 6 == 0 and lag // 6 in HORIZONS_H:
            rise = np.clip((highest - filled[: len(slots)]) / ground.learned.scale_m, -0.5, 4)
            change = np.clip((filled[lag : lag + len(slots)] - filled[: len(slots)]) / ground.learned.scale_m, -3, 4)
            unknown, h = broken | ~np.isfinite(rise), HORIZONS_H.index(lag // 6)
            out[..., h], then[..., h] = np.where(unknown, np.nan, rise), np.where(unknown, np.nan, change)
    return out, then


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


def _knows_rain(ground: Network, found: Examples, group: Array, horizons: Sequence[int]) -> bool:
    """Whether there is rain to fit on for each group of gauges and horizon."""
    wet = found.variant == RAIN_TABLE
    judged = np.isfinite(ground.learned.scale_m)
    wanted = [(found.rise[:, HORIZONS_H.index(each)], of_group) for each in horizons for of_group in np.unique(group[judged])]
    return bool(wet.any()) and all((wet & np.isfinite(rise) & (group[found.row] == of_group)).any() for rise, of_group in wanted)


def _regress(
    found: Examples, tables: Sequence[str], rows: int, group: Array, how: How, horizons: Sequence[int]
) -> tuple[Array, Array, list[dict[str, Any]]]:
    """Coefficients (rows × tables × horizons × features) of rise and change on all folds; errors of the rise on folds left out.

    What is known with rain is drawn to what is known without, of which there is more to learn from.
    """
    fold = (found.slot // (FOLD_DAYS * 144)) % FOLDS
    order = np.lexsort((fold, found.row))
    found = Examples(**{name: getattr(found, name)[order] for name in Examples.__slots__})
    cell = found.row * FOLDS + fold[order]
    weight, of_network = found.weight**how.weight_power, group[found.row]
    width = len(FEATURES) + (len(RAIN) if WITH_RAIN in tables else 0)
    betas = np.zeros((rows, len(tables), len(HORIZONS_H), width, 2))
    errors = []
    without: dict[int, list[Fitted]] = {}
    for v, variant in enumerate(tables):
        used, wet = USED[variant], variant == WITH_RAIN
        for h, horizon in enumerate(HORIZONS_H):
            take = np.flatnonzero(np.isfinite(found.rise[:, h]) & (found.variant >= v))
            if horizon not in horizons or not len(take):
                errors += [{"group": name, "variant": variant, "horizon_h": horizon} | _NIL for name in ("network", "rest")]
                continue
            x, y = found.features[take, :used], np.stack([found.rise[take, h], found.change[take, h]], axis=-1)
            if wet:
                x = np.concatenate([x, found.rain[take]], axis=1)
            begins = np.flatnonzero(np.diff(cell[take], prepend=-1))
            cells = [(slice(a, b), *divmod(int(cell[take[a]]), FOLDS)) for a, b in pairwise([*begins, len(take)])]
            sums = _sums(x, y, weight[take], cells, rows)
            drawn_to = without[h] if wet else [None] * (FOLDS + 1)
            fitted = [
                _solve(*(each.sum(axis=1) - each[:, out] for each in sums), ridge_gauge=how.ridge_gauge, drawn_to=drawn_to[out])
                for out in range(FOLDS)
            ]
            fitted.append(_solve(*(each.sum(axis=1) for each in sums), ridge_gauge=how.ridge_gauge, drawn_to=drawn_to[FOLDS]))
            without[h] = fitted
            betas[:, v, h, : x.shape[1]] = fitted[FOLDS][1]
            mu = np.empty(len(y))
            rise = y[:, 0]
            for rows_of, row, out in cells:
                mu[rows_of] = x[rows_of] @ fitted[out][1][row, :, 0]
            share = weight[take] * found.share[take]
            for name, of_group in (("network", True), ("rest", False)):
                mine = of_network[take] == of_group
                of_error = _errors(mu[mine], (rise - mu)[mine], x[mine, FEATURES.index("u")], share[mine], how) if mine.any() else _NIL
                errors.append({"group": name, "variant": variant, "horizon_h": horizon} | of_error)
    return betas[..., 0], betas[..., 1], errors


def _sums(x: Array, y: Array, weight: Array, cells: Sequence[tuple[slice, int, int]], rows: int) -> tuple[Array, Array]:
    """XᵀWX and XᵀWy for each gauge and fold."""
    xx, xy = np.zeros((rows, FOLDS, x.shape[1], x.shape[1])), np.zeros((rows, FOLDS, x.shape[1], y.shape[1]))
    for rows_of, row, out in cells:
        weighted = x[rows_of] * weight[rows_of, None]
        xx[row, out], xy[row, out] = weighted.T @ x[rows_of], weighted.T @ y[rows_of]
    return xx, xy


def _solve(xx: Array, xy: Array, *, ridge_gauge: float, drawn_to: Fitted | None = None) -> Fitted:
    """The pooled ridge regression, and each gauge's, drawn towards it: β = (XᵀWX + κI)⁻¹ (XᵀWy + κβ₀).

    ``drawn_to``: what was fitted on fewer columns; the pooled one is drawn to that, and each gauge's to its own of that
    and what is new in the pooled one.
    """
    size = xx.shape[-1]
    penalty = np.full(size, RIDGE_POOLED)
    penalty[FEATURES.index("one")] = 0.0
    if drawn_to is None:
        pooled = towards = np.linalg.solve(xx.sum(axis=0) + np.diag(penalty), xy.sum(axis=0))
    else:
        before, of_gauges = (np.concatenate([each, np.zeros((*each.shape[:-2], size - each.shape[-2], 2))], axis=-2) for each in drawn_to)
        pooled = np.linalg.solve(xx.sum(axis=0) + np.diag(penalty), xy.sum(axis=0) + penalty[:, None] * before)
        towards = of_gauges + (pooled - before)
    return pooled, np.linalg.solve(xx + ridge_gauge * np.eye(size), xy + ridge_gauge * towards)


def _errors(mu: Array, error: Array, u: Array, share: Array, how: How) -> dict[str, Any]:
    """How large errors are expected to be, and the share of them at or above each step when measured in that."""
    depends = np.stack([np.ones(len(mu)), u, np.maximum(mu, 0)], axis=-1)[:, : len(SPREAD) if how.spread == "fitted" else 1]
    weighted = depends * share[:, None]
    size = weighted.T @ depends + RIDGE_SPREAD * np.eye(depends.shape[1])
    spread = np.zeros(len(SPREAD), np.float32)
    spread[: depends.shape[1]] = np.linalg.solve(size, weighted.T @ np.abs(error))
    expected = np.maximum(depends @ spread[: depends.shape[1]].astype(np.float64), LEAST_SPREAD)
    return {"exceedance": _share_above(error / expected, share).astype(np.float32).tolist(), "spread": spread.tolist()}


_NIL: dict[str, Any] = {"exceedance": [0.0] * len(ERROR_STEPS), "spread": [0.0] * len(SPREAD)}
"""What is known of errors where there are none."""


def _share_above(error: Array, share: Array) -> Array:
    """Share of the errors at or above each step."""
    reached = np.searchsorted(np.array(ERROR_STEPS), error, side="right")
    at_most = np.bincount(reached, weights=share, minlength=len(ERROR_STEPS) + 1)
    above: Array = np.cumsum(at_most[::-1])[::-1][1:] / at_most.sum()
    return above
