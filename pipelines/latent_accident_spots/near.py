"""Near misses as evidence: at most two of each vehicle, told only where enough vehicles passed, and weighed only if that helps.

A term ``weight · ln((a + n*) / (a + E))`` is added to ln m, with n* near misses, E = passes × the mean rate of near misses. Its weight
stays 0 until it was fitted on places with both near misses and accidents, and did better than 95 % of permutations of
the near misses among comparable places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.latent_accident_spots.cells import index_of
from pipelines.latent_accident_spots.rating import CellModel, rating
from pipelines.linkage.space import cells, parents

__all__ = ["PERMUTATIONS", "STEADINESS", "NearMissTerm", "NearMisses", "fit_term", "near_misses"]

Array = NDArray[Any]

STEADINESS = 1.0
MOST_A_VEHICLE = 2
LEAST_VEHICLES, LEAST_PASSES, LEAST_VEHICLE_DAYS = 3, 200, 5
"""The gates. A pseudonym that changes every day makes three vehicles of one car on three days: who sends says how often it changes."""

PERMUTATIONS, LEVEL = 99, 0.05
LEAST_PLACES = 50
_GRID = np.round(np.arange(0.0, 2.01, 0.05), 2)
_KINDS = ("hard_brake", "swerve", "report")
"""Brakes seen by GPS alone are another kind of measurement: never counted together with these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearMisses:
    """What vehicles told: near misses by cell (resolution 11) and vehicle, passes by cell, vehicle and day."""

    events: pl.DataFrame
    """cell10, cell11, vehicle, year, time"""
    passes: pl.DataFrame
    """cell10, cell11, vehicle, day, passes, year, time"""

    def within(self, years: Sequence[int]) -> NearMisses:
        """What was told in these years (JST)."""
        events, passes = (each.filter(pl.col("year").is_in(list(years))) for each in (self.events, self.passes))
        return NearMisses(events=events, passes=passes)

    def at(self, wanted: Array, resolution: int) -> Seen:
        """Counts at sorted cells."""
        column = f"cell{resolution}"
        by_vehicle = self.events.group_by(column, "vehicle").agg(pl.len().alias("n"))
        events = by_vehicle.group_by(column).agg(pl.col("n").sum(), pl.col("n").clip(upper_bound=MOST_A_VEHICLE).sum().alias("capped"))
        exposure = self.passes.group_by(column).agg(
            pl.col("passes").sum(), pl.col("vehicle").n_unique().alias("vehicles"), pl.struct("vehicle", "day").n_unique().alias("days")
        )
        n, capped = (_spread(events, column, each, wanted) for each in ("n", "capped"))
        passes, vehicles, days = (_spread(exposure, column, each, wanted) for each in ("passes", "vehicles", "days"))
        enough = (vehicles >= LEAST_VEHICLES) & ((passes >= LEAST_PASSES) | (days >= LEAST_VEHICLE_DAYS))
        newest = (
            pl.concat([each.select(pl.col(column), "time") for each in (self.events, self.passes)])
            .group_by(column)
            .agg(pl.col("time").max())
        )
        return Seen(n=n, capped=capped, passes=passes, vehicles=vehicles, enough=enough, newest_ms=_spread(newest, column, "time", wanted))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Near misses and passes at some cells, and where they are enough to be told."""

    n: Array
    capped: Array
    passes: Array
    vehicles: Array
    enough: Array
    newest_ms: Array
    """Time of the newest near miss or pass."""

    @property
    def rate(self) -> float:
        """Near misses for each pass, over all cells that may be told."""
        passes = float(self.passes[self.enough].sum())
        return float(self.capped[self.enough].sum()) / passes if passes else 0.0

    def excess(self, rate: float, steadiness: float = STEADINESS) -> Array:
        """ln((a + n*) / (a + E)); 0 where nothing may be told."""
        told = np.log((steadiness + self.capped) / (steadiness + self.passes * rate))
        return np.where(self.enough, told, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NearMissTerm:
    """The term as it was fitted."""

    weight: float
    rate: float
    p: float | None
    reason: str

    @classmethod
    def none(cls, reason: str) -> NearMissTerm:
        """A term that weighs nothing, and why."""
        return cls(weight=0.0, rate=0.0, p=None, reason=reason)

    def record(self) -> dict[str, Any]:
        """As it stands in ``road.spot-model.v1``."""
        return {"weight": self.weight, "steadiness": STEADINESS, "rate": self.rate, "p": self.p, "reason": self.reason}


def near_misses(events: pl.DataFrame, passes: pl.DataFrame) -> NearMisses:
    """Takes records of ``road.near-miss.v1`` and ``road.passes.v1``; the highest version of each, none withdrawn."""
    placed = events.filter(
        pl.col("kind").is_in(_KINDS) & pl.col("lat_deg").is_finite() & pl.col("lon_deg").is_finite()
    )  # a report without a vehicle is a person of its own
    who = pl.coalesce(pl.col("vehicle"), pl.col("event_id"))
    lat, lon = placed["lat_deg"].to_numpy(), placed["lon_deg"].to_numpy()
    found = placed.select(who.alias("vehicle"), *_time("occurred_at")).with_columns(
        *(pl.Series(f"cell{each}", cells(lat, lon, each), dtype=pl.UInt64) for each in (10, 11))
    )
    at = passes["cell"].str.to_integer(base=16, dtype=pl.UInt64).to_numpy()  # the edge has let through cells only
    told = passes.select("vehicle", "day", "passes", *_time("day")).with_columns(
        pl.Series("cell11", at, dtype=pl.UInt64), pl.Series("cell10", parents(at, 10) if len(at) else at, dtype=pl.UInt64)
    )
    return NearMisses(events=found, passes=told)


def _time(column: str) -> list[pl.Expr]:
    year = pl.col(column).dt.convert_time_zone("Asia/Tokyo").dt.year().alias("year")
    return [year, pl.col(column).dt.epoch("ms").alias("time")]


def fit_term(where: Array, prior: tuple[Array, Array, Array, CellModel], brought: Array, seen: Seen) -> NearMissTerm:
    """The weight of near misses, 0 unless it beats its own permutations.

    Args:
        where: cells of the rows.
        prior: ln m and y* without near misses, years counted, and the model.
        brought: accidents of the year after.
        seen: near misses at the same cells.

    Returns:
        A weight above 0 only where at most 5 % of 99 permutations of the near misses, among places of like passes and like
        expectation, make what came at least as likely.
    """
    told = np.flatnonzero(seen.enough)
    if len(told) < LEAST_PLACES or not brought[told].any() or not seen.capped[told].any():
        return NearMissTerm.none(f"fewer than {LEAST_PLACES} places have near misses, passes and accidents of their own")
    rate, (log_m, weighed, years, model) = seen.rate, prior
    rows = (log_m[told], weighed[told], years[told], brought[told])
    # Passes stay where they are: what is permuted is how many near misses there are beside what they let expect.
    excess = seen.excess(rate)[told]
    best, gain = _likeliest(rows, model, excess)
    strata = _strata(seen.passes[told], log_m[told])
    others = [_likeliest(rows, model, excess[_permuted(where[told], strata, each)])[1] for each in range(PERMUTATIONS)]
    p = (1 + sum(each >= gain for each in others)) / (1 + PERMUTATIONS)
    if best <= 0 or p > LEVEL:
        return NearMissTerm(weight=0.0, rate=rate, p=p, reason="no better than its own permutations")
    return NearMissTerm(weight=best, rate=rate, p=p, reason="better than its own permutations")


def _likeliest(rows: tuple[Array, Array, Array, Array], model: CellModel, excess: Array) -> tuple[float, float]:
    """The weight under which what came is likeliest, and by how much more than under 0."""
    log_m, weighed, years, brought = rows
    found = []
    for weight in _GRID:
        rated = rating(log_m + weight * excess, weighed, years, model.shape, model.shape_power)  # type: ignore[arg-type]
        score, shape = rated.score, rated.shape
        rows_of = brought * np.log(score / (score + shape)) + shape * np.log(shape / (score + shape))
        found.append(float(rows_of.sum()) + _rising(shape, brought))
    at = int(np.argmax(found))
    return float(_GRID[at]), found[at] - found[0]


def _rising(shape: Array, brought: Array) -> float:
    """Sum of ln Γ(k + a)/Γ(a)."""
    return float(sum(np.log(shape[brought > step] + step).sum() for step in range(int(brought.max(initial=0)))))


def _strata(passes: Array, log_m: Array) -> Array:
    """Comparable places: quarters of the passes by quarters of the expectation."""
    quarters = [np.searchsorted(np.quantile(each, (0.25, 0.5, 0.75)), each) for each in (passes, log_m)]
    stratum: Array = quarters[0] * 4 + quarters[1]
    return stratum


def _permuted(where: Array, strata: Array, number: int) -> Array:
    """An order that exchanges rows within their stratum: by a scramble of cell and number, so that chance needs no clock."""
    bits = where ^ np.uint64((0x9E3779B97F4A7C15 * (number + 1)) & 0xFFFFFFFFFFFFFFFF)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    bits ^= bits >> np.uint64(31)
    order = np.empty(len(where), np.int64)
    order[np.lexsort((where, strata))] = np.lexsort((bits, strata))
    return order


def _spread(counted: pl.DataFrame, column: str, name: str, wanted: Array) -> Array:
    """A column of counts at wanted cells, 0 where there is none."""
    ordered = counted.filter(pl.col(column).is_not_null()).sort(column)
    at, there = index_of(ordered[column].to_numpy(), wanted)
    values = ordered[name].cast(pl.Int64).to_numpy()
    return np.where(there, values[at], 0) if len(values) else np.zeros(len(wanted), np.int64)
