"""Learns from the years before how many accidents the next year brings to a place.

The score of a place is the mean of a gamma distribution, so that next year's count is negative binomial with the same shape; its
likelihood is climbed by Gauss–Newton steps with expected weights over all terms at once, each halved until it helps. What a window
of years counts is set against the year after: with files of 2019 to 2021 that is 2019 → 2020 and 2019–2020 → 2021.

Offline and deterministic: the same accidents give the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.latent_accident_spots.cells import index_of
from pipelines.latent_accident_spots.near import NearMisses, NearMissTerm, fit_term
from pipelines.latent_accident_spots.rating import OWN, TERMS, CellModel, own_columns, rating, term_columns
from pipelines.latent_accident_spots.tallies import RESOLUTIONS, placed, tallies
from pipelines.linkage.space import cells

__all__ = ["WINDOW_YEARS", "Examples", "FitError", "examples", "fit", "fit_cells", "log_likelihood", "windows"]

Array = NDArray[Any]

WINDOW_YEARS = 3
"""So many years are counted at most: what is older says little of a street that has changed."""

RIDGE = 1.0
_PART, _STEPS, _GAIN = 200_000, 40, 0.5
_LEAST_ACCIDENTS = 500


class FitError(ValueError):
    """There is not enough to fit on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Places before a year, and what the year brought: rows to fit on."""

    terms: Array
    own: Array
    """Accidents in the cell."""
    kinds: Array
    """rows × ``OWN``"""
    years: Array
    """How many years were counted."""
    brought: Array
    """Accidents of the year after."""
    cells: Array

    def part(self, rows: Array | slice) -> Examples:
        """Some of the rows."""
        return Examples(
            terms=self.terms[rows], own=self.own[rows], kinds=self.kinds[rows], years=self.years[rows],
            brought=self.brought[rows], cells=self.cells[rows],
        )  # fmt: skip


def windows(years: Sequence[int]) -> list[tuple[tuple[int, ...], int]]:
    """The years to count and the year to foretell, for all years but the first.

    Example:
        >>> windows([2019, 2020, 2021])
        [((2019,), 2020), ((2019, 2020), 2021)]
    """
    ordered = sorted(years)
    return [(tuple(ordered[max(0, at - WINDOW_YEARS) : at]), ordered[at]) for at in range(1, len(ordered))]


def fit(
    accidents: pl.DataFrame,
    *,
    region: str,
    years: Sequence[int],
    valid_from: datetime,
    fitted_on: str,
    near_misses: NearMisses | None = None,
) -> dict[str, Any]:
    """Fits a model for one region.

    Args:
        accidents: records of ``road.accident.v1``; the highest version of each, none withdrawn. Their order does not matter.
        region: what is judged together.
        years: the years whose files are out.
        valid_from: from when on the rule is to use the model.
        fitted_on: years and source in words, for the record.
        near_misses: near misses and passes, if there are any; see ``fit_term`` for when they weigh.

    Returns:
        One record of ``road.spot-model.v1``; ``model`` is named after a hash of its numbers.

    Raises:
        FitError: fewer than two years, or fewer than 500 accidents in them.
    """
    known = placed(accidents).filter(pl.col("year").is_in(list(years)))
    if len(set(years)) < 2 or known.height < _LEAST_ACCIDENTS:
        raise FitError(
            f"accidents of {region} must be of two years and at least {_LEAST_ACCIDENTS} "
            f"(got {known.height} of {', '.join(map(str, sorted(set(years)))) or 'no year'}): give more files"
        )
    entries, term = [], NearMissTerm.none("no near misses were given")
    for resolution in RESOLUTIONS:
        found = examples(known, resolution, years)
        model = fit_cells(found, resolution)
        entries.append(_entry(model))
        if resolution == RESOLUTIONS[0] and near_misses is not None:
            newest = examples(known, resolution, years, last=1)
            term = fit_term(newest.cells, _prior(newest, model), newest.brought, near_misses.at(newest.cells, resolution))
    record: dict[str, Any] = {
        "region": region, "valid_from": valid_from, "version": 1, "op": "stated", "model": "", "fitted_on": fitted_on,
        "cells": entries, "near_misses": term.record(),
    }  # fmt: skip
    digest = hashlib.sha256(repr([record["cells"], record["near_misses"]]).encode()).hexdigest()
    return record | {"model": f"{region}-{digest[:10]}"}


def examples(known: pl.DataFrame, resolution: int, years: Sequence[int], *, last: int | None = None) -> Examples:
    """Rows to fit on, of all windows of the years or of the ``last`` ones.

    Args:
        known: accidents in ``road.accident.v1``, or what ``placed`` made of them.
        resolution: of the cells.
        years: whose files are out.
        last: how many windows, counted from the newest; None: all.
    """
    known = known if "year" in known.columns else placed(known)
    parts = [_window(known, resolution, before, year) for before, year in windows(years)[-last if last else None :]]
    return Examples(
        **{name: np.concatenate([getattr(each, name) for each in parts]) for name in ("terms", "own", "kinds", "years", "brought", "cells")}
    )


def _window(known: pl.DataFrame, resolution: int, before: tuple[int, ...], year: int) -> Examples:
    counted = tallies(known, resolution, before)
    later = known.filter(pl.col("year") == year)
    at, there = index_of(counted.cells, cells(later["lat_deg"].to_numpy(), later["lon_deg"].to_numpy(), resolution))
    rows = len(counted.cells)
    return Examples(
        terms=term_columns(counted).astype(np.float32), own=counted.own, kinds=own_columns(counted).astype(np.float32),
        years=np.full(rows, len(before)), brought=np.bincount(at[there], minlength=rows), cells=counted.cells,
    )  # fmt: skip


def fit_cells(found: Examples, resolution: int) -> CellModel:
    """The numbers under which what the years brought was most likely, drawn to 0 by a little."""
    terms = found.terms.shape[1]
    theta = np.zeros(terms + found.kinds.shape[1] + 2)
    theta[0], theta[-2] = np.log(max(found.brought.mean(), 1e-6)), np.log(0.4)
    held = np.full(len(theta), RIDGE)
    held[[0, -2, -1]] = 0.0
    best = _penalised(theta, found, held)
    for _ in range(_STEPS):
        slope, bend = _derivatives(theta, found)
        step = np.linalg.solve(bend + np.diag(held + 1e-6), slope - held * theta)
        theta, gain = _along(theta, step, found, held, best)
        best += gain
        if gain < _GAIN:
            break
    return _model(theta, resolution, terms)


def log_likelihood(model: CellModel, found: Examples, near: Array | float = 0.0) -> float:
    """How likely the model found what the years brought, without what does not depend on it."""
    theta = np.concatenate([model.weights, model.own_weights, [np.log(model.shape), model.shape_power]])
    score, _, shape, _ = _estimate(theta, found, near)
    return _likelihood(score, shape, found.brought)


def _along(theta: Array, step: Array, found: Examples, held: Array, best: float) -> tuple[Array, float]:
    """The farthest of some halved steps that makes it likelier, and by how much; no step where none does."""
    for halving in range(12):
        tried = theta + step / 2**halving
        gain = _penalised(tried, found, held) - best
        if gain > 0:
            return tried, gain
    return theta, 0.0


def _estimate(theta: Array, found: Examples, near: Array | float = 0.0) -> tuple[Array, Array, Array, Array]:
    """Score, ln m, posterior shape and prior shape."""
    terms = found.terms.shape[1]
    log_m = found.terms @ theta[:terms] + near
    rated = rating(log_m, found.own + found.kinds @ theta[terms:-2], found.years, np.exp(theta[-2]), theta[-1])  # type: ignore[arg-type]
    return rated.score, log_m, rated.shape, np.exp(theta[-2] + theta[-1] * log_m)


def _penalised(theta: Array, found: Examples, held: Array) -> float:
    total = -0.5 * float(np.sum(held * theta**2))
    for part in _parts(found):
        score, _, shape, _ = _estimate(theta, part)
        total += _likelihood(score, shape, part.brought)
    return total if np.isfinite(total) else -np.inf


def _likelihood(score: Array, shape: Array, brought: Array) -> float:
    """Negative binomial with that mean and shape. ln Γ(k + a)/Γ(a) is a sum of k logarithms."""
    total = float(np.sum(brought * np.log(score / (score + shape)) + shape * np.log(shape / (score + shape))))
    rows = np.arange(len(brought))
    for step in range(int(brought.max(initial=0))):
        rows = rows[brought[rows] > step]
        total += float(np.sum(np.log(shape[rows] + step)))
    return total


def _derivatives(theta: Array, found: Examples) -> tuple[Array, Array]:
    """First derivatives, and expected second ones, of ln score."""
    terms, size = found.terms.shape[1], len(theta)
    slope, bend = np.zeros(size), np.zeros((size, size))
    for part in _parts(found):
        score, log_m, shape, phi = _estimate(theta, part)
        rate = phi / np.exp(log_m)
        drawn = rate / (rate + part.years)
        by_phi = phi / shape - drawn
        by = np.empty((len(score), size))
        by[:, :terms] = part.terms * (theta[-1] * by_phi + drawn)[:, None]
        by[:, terms:-2] = part.kinds / shape[:, None]
        by[:, -2], by[:, -1] = by_phi, by_phi * log_m
        weight = score / (1 + score / shape)
        slope += by.T @ ((part.brought - score) / score * weight)
        bend += (by * weight[:, None]).T @ by
    return slope, bend


def _parts(found: Examples) -> Any:
    for begin in range(0, len(found.own), _PART):
        yield found.part(slice(begin, begin + _PART))


def _model(theta: Array, resolution: int, terms: int) -> CellModel:
    """Rounded to six digits, so that the last bits of a machine make no other model."""
    told = np.array([float(f"{each:.6g}") for each in theta])
    return CellModel(
        resolution=resolution, weights=told[:terms], own_weights=told[terms:-2],
        shape=float(f"{np.exp(told[-2]):.6g}"), shape_power=float(told[-1]),
    )  # fmt: skip


def _entry(model: CellModel) -> dict[str, Any]:
    return {
        "resolution": model.resolution, "terms": list(TERMS), "weights": model.weights.tolist(), "own_kinds": list(OWN),
        "own_weights": model.own_weights.tolist(), "shape": model.shape, "shape_power": model.shape_power,
    }  # fmt: skip


def _prior(found: Examples, model: CellModel) -> tuple[Array, Array, Array, CellModel]:
    """ln m, y*, years and the model: what a term of ln m is fitted within."""
    return found.terms @ model.weights, found.own + found.kinds @ model.own_weights, found.years, model
