"""Rates places: how many injury accidents a year to expect there, and how sure that is.

With y* the accidents in the cell, each weighed by what kind it was, and m what the surroundings let expect,

    score = (φ + y*) / (φ/m + T)        φ = shape · m^power        90 % interval: Gamma(φ + y*, rate φ/m + T)

which is the gamma–Poisson estimate (empirical Bayes, Hauer 1997) with a mean of its own for every place. ``ln m`` is a sum of
terms, each of which can be told; T is the number of years that were counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import lgamma
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.latent_accident_spots.kinds import KINDS, SHARES
from pipelines.latent_accident_spots.tallies import AROUND, Tallies

__all__ = [
    "LATENT_AT_MOST",
    "OWN",
    "TERMS",
    "CellModel",
    "Rating",
    "fault",
    "gamma_quantile",
    "own_columns",
    "rank_share",
    "rate",
    "term_columns",
]

Array = NDArray[Any]

TERMS = ("one", "ring1", "ring2", "ring3", *(f"around{each}" for each in AROUND), "one_sided", *(f"{each}_share" for each in SHARES))
OWN = (*KINDS, "central", "at_edge", "near1", "near2", "near3")
"""What weighs in y* beside the accidents themselves. Near ones lie outside the cell: positions are good to 30 to 50 m."""

LATENT_AT_MOST = 1
"""A place is latent with at most so many accidents on record."""
INTERVAL = 0.9
_OFFSET_A_YEAR = 0.25
_LEAST_SHAPE = 1e-3


def fault(record: Mapping[str, Any]) -> str | None:
    """What is wrong with a record of ``road.spot-model.v1``; None: it can be used."""
    for each in record["cells"]:
        for names, numbers in (("terms", "weights"), ("own_kinds", "own_weights")):
            if len(each[names]) != len(each[numbers]):
                got = f"{len(each[numbers])} for {len(each[names])}"
                return f"{numbers} of model {record['model']} must be as many as {names} (got {got} at resolution {each['resolution']})"
        if not each["shape"] > 0:
            return f"shape of model {record['model']} must be positive (got {each['shape']!r} at resolution {each['resolution']})"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class CellModel:
    """The fitted numbers for one resolution, in the order of ``TERMS`` and ``OWN``."""

    resolution: int
    weights: Array
    own_weights: Array
    shape: float
    shape_power: float

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> CellModel:
        """From an entry of ``cells`` of a ``road.spot-model.v1`` record; terms that it does not know weigh nothing."""
        weights, own = (
            dict(zip(record["terms"], record["weights"], strict=True)),
            dict(zip(record["own_kinds"], record["own_weights"], strict=True)),
        )
        return cls(
            resolution=record["resolution"],
            weights=np.array([weights.get(each, 0.0) for each in TERMS]),
            own_weights=np.array([own.get(each, 0.0) for each in OWN]),
            shape=record["shape"],
            shape_power=record["shape_power"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """Expected accidents a year, in the order of the tallies' cells."""

    score: Array
    expected: Array
    """m: what the surroundings let expect."""
    shape: Array
    """φ + y*"""
    exposure: Array
    """φ/m + T, years."""

    def interval(self, among: Array | slice = slice(None)) -> tuple[Array, Array]:
        """Lower and upper end of the 90 % interval, accidents a year."""
        shape, exposure = self.shape[among], self.exposure[among]
        tail = (1 - INTERVAL) / 2
        return gamma_quantile(shape, tail) / exposure, gamma_quantile(shape, 1 - tail) / exposure


def rate(counted: Tallies, model: CellModel, near_misses: Array | float = 0.0) -> Rating:
    """Rates all cells of some tallies.

    Args:
        counted: the tallies; their resolution is the model's.
        model: fitted numbers.
        near_misses: what near misses add to ln m, one for each cell.
    """
    log_m = term_columns(counted) @ model.weights + near_misses
    return rating(log_m, counted.own + own_columns(counted) @ model.own_weights, len(counted.years), model.shape, model.shape_power)


def rating(log_m: Array, weighed: Array, years: float, shape: float, power: float) -> Rating:
    """The estimate itself, from ln m and y*."""
    phi = shape * np.exp(power * log_m)
    posterior = np.maximum(phi + weighed, _LEAST_SHAPE)
    exposure = phi / np.exp(log_m) + years
    return Rating(score=posterior / exposure, expected=np.exp(log_m), shape=posterior, exposure=exposure)


def term_columns(counted: Tallies) -> Array:
    """cells × ``TERMS``."""
    years = len(counted.years)
    columns = [np.ones(len(counted.cells))]
    columns += [np.log(counted.ring[:, each] / years + _OFFSET_A_YEAR) for each in (1, 2, 3)]
    columns += [np.log(counted.around[:, each] / years + _OFFSET_A_YEAR) for each in range(len(AROUND))]
    columns += [counted.one_sided, *(counted.share(each) for each in SHARES)]
    return np.stack(columns, axis=1)


def own_columns(counted: Tallies) -> Array:
    """cells × ``OWN``."""
    return np.concatenate([counted.kinds, counted.central[:, None], counted.at_edge[:, None], counted.near], axis=1).astype(np.float64)


def rank_share(score: Array, among: Array) -> Array:
    """For each score the share of ``among`` that is at least as high: .01 is the top 1 %; above 0 wherever it is one of them."""
    if not len(among):
        return np.ones(len(score))
    ranked = np.sort(among)
    share: Array = (len(ranked) - np.searchsorted(ranked, score, side="left")) / len(ranked)
    return share


_SHAPES = np.exp(np.linspace(np.log(_LEAST_SHAPE), np.log(500.0), 1000))


def gamma_quantile(shape: Array, p: float) -> Array:
    """Quantile of a gamma distribution of rate 1, by interpolation between shapes; to .1 %.

    Example:
        >>> gamma_quantile(np.array([1.0]), 0.95).round(2).tolist()
        [3.0]
    """
    known = _quantiles(p)
    found: Array = np.exp(np.interp(np.log(np.clip(shape, _SHAPES[0], _SHAPES[-1])), np.log(_SHAPES), known))
    return found


@cache
def _quantiles(p: float) -> Array:
    """Logarithms of the quantiles at ``_SHAPES``, by bisection."""
    low, high = np.full(len(_SHAPES), -700.0), np.log(_SHAPES + 12 * np.sqrt(_SHAPES) + 20)
    for _ in range(60):
        middle = (low + high) / 2
        above = _below(_SHAPES, middle) > p
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    found: Array = high
    return found


def _below(shape: Array, log_x: Array) -> Array:
    """Regularised lower incomplete gamma function by its series (DLMF 8.11.4)."""
    x = np.exp(log_x)
    term = np.ones(len(shape))
    total = term.copy()
    for step in range(1, 6000):
        term = term * x / (shape + step)
        total += term
        if (term < total * 1e-12).all():
            break
    scale: Array = np.exp(np.minimum(shape * log_x - x - _LOG_GAMMA, 700)) * total
    return scale


_LOG_GAMMA = np.array([lgamma(each + 1) for each in _SHAPES])
