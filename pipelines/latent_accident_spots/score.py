"""Judges ratings against the accidents of a year that they had not seen, beside what simple counting would have flagged.

Shares nothing with the rating or the fit: cells are found, rings are counted and baselines are computed anew.

*PAI* (prediction accuracy index, Chainey 2008): share of the later accidents that lie in the flagged cells ÷ share of the cells
that is flagged. Only cells with a training accident in the cell or in its first ring count, so that forests and sea do not
flatter. Cells that score alike are flagged in part: each of them counts as flagged with the same chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import h3ronpy
import numpy as np
import polars as pl
from h3ronpy.vector import coordinates_to_cells
from numpy.typing import NDArray

__all__ = ["TOPS", "ScoreError", "baselines", "pai", "ratios", "scored"]

Array = NDArray[Any]

TOPS = (0.01, 0.02, 0.05)
REPLICATES = 100
_REGION_RESOLUTION = 4
"""Whole stretches of land (about 45 km across) are drawn again, since neighbours are alike."""


class ScoreError(ValueError):
    """Ratings cannot be judged."""


def scored(ratings: pl.DataFrame, trained_on: pl.DataFrame, brought: pl.DataFrame, resolution: int) -> pl.DataFrame:
    """How well the ratings of one resolution foretold, for all cells and for latent ones, beside four baselines.

    Args:
        ratings: ``cell`` (H3, integer) and ``score`` of every cell that had a training accident in it or in its first ring.
        trained_on: accidents that the ratings may have seen: ``lat_deg``, ``lon_deg``, ``municipality``.
        brought: accidents of the year after: ``lat_deg``, ``lon_deg``.
        resolution: of the cells.

    Returns:
        A row for each group (``all``, ``latent``: at most one training accident, at resolution 11 with those in ring 1) and method:
        pai_1, pai_2, pai_5 at the top 1, 2 and 5 %, to_raw_1, to_raw_2, to_raw_5 (÷ raw counts), and for ``ours`` the ends of the 90 %
        bootstrap intervals of these ratios (low_1, high_1 …), null for the others.

    Raises:
        ScoreError: the cells rated are not the cells to be judged.
    """
    ordered = ratings.sort("cell")
    rated = ordered["cell"].to_numpy()
    own, ring1, ring2, mean = _counted(rated, trained_on, resolution)
    if not ((own + ring1) > 0).all() or len(rated) != _judged(trained_on, resolution):
        raise ScoreError(
            f"ratings must be of all cells with a training accident in them or around (got {len(rated)}, "
            f"expected {_judged(trained_on, resolution)}): rate what was trained on"
        )
    at = np.searchsorted(rated, cells := _cells(brought, resolution)).clip(max=len(rated) - 1)
    hits = np.bincount(at[rated[at] == cells], minlength=len(rated))
    region = np.unique(pl.Series(h3ronpy.change_resolution(rated, _REGION_RESOLUTION)).to_numpy(), return_inverse=True)[1]
    methods = {"raw": own.astype(float)} | baselines(own, ring1, ring2, mean, resolution) | {"ours": ordered["score"].to_numpy()}
    latent = own <= 1 if resolution < 11 else own + ring1 <= 1
    rows = []
    for group, among in (("all", np.ones(len(rated), bool)), ("latent", latent)):
        raw = pai(methods["raw"][among], hits[among])
        for method, score in methods.items():
            found = pai(score[among], hits[among])
            ends = ratios(score[among], methods["raw"][among], hits[among], region[among]) if method == "ours" else None
            rows.append(_row(resolution, group, method, found, raw, ends))
    return pl.DataFrame(rows)


def pai(score: Array, hits: Array, weight: Array | None = None) -> Array:
    """Prediction accuracy index at the top 1, 2 and 5 % of the cells; NaN where nothing was brought.

    Args:
        score: of each cell; higher is flagged first.
        hits: accidents that each cell had later.
        weight: how often each cell counts; None: once.

    Example:
        >>> pai(np.arange(100.0), np.array([0] * 98 + [1, 3])).tolist()
        [75.0, 50.0, 20.0]
    """
    return _Ordered.by(score, hits).pai(weight)


def ratios(score: Array, raw: Array, hits: Array, region: Array) -> Array:
    """90 % intervals of PAI ÷ PAI of raw counts at each of the tops: 2 × 3. Regions are drawn again with replacement.

    NaN where there is nothing to divide by.
    """
    ours, theirs = _Ordered.by(score, hits), _Ordered.by(raw, hits)
    regions = int(region.max(initial=0)) + 1
    found = []
    for replicate in range(REPLICATES):
        drawn = np.bincount(_scrambled(np.arange(regions) + replicate * regions) % np.uint64(regions), minlength=regions)
        mine, simple = (each.pai(drawn[region]) for each in (ours, theirs))
        if (simple > 0).all():  # a few cells may catch nothing: then there is no ratio
            found.append(mine / simple)
    return np.quantile(np.array(found), (0.05, 0.95), axis=0) if found else np.full((2, len(TOPS)), np.nan)


def baselines(own: Array, ring1: Array, ring2: Array, mean: Array, resolution: int) -> dict[str, Array]:
    """Scores that need no learning: empirical Bayes from the cell's own accidents and its municipality, and a sum over neighbours.

    Args:
        own: accidents in each cell.
        ring1: in the six cells around.
        ring2: in the twelve around those.
        mean: mean of ``own`` over the cells of the same municipality.
        resolution: of the cells.
    """
    excess = float(((own - mean) ** 2 - mean).mean())
    shape = float((mean**2).mean()) / max(excess, 1e-9)
    neighbours = own + 0.1 * ring1 if resolution < 11 else own + 0.2 * ring1 + 0.05 * ring2
    return {"empirical_bayes": (shape + own) / (shape / np.maximum(mean, 1e-9) + 1), "neighbours": neighbours}


class _Ordered:
    """Cells from the highest score down, with the places where the score changes."""

    def __init__(self, order: Array, ends: Array, hits: Array) -> None:
        self.order, self.ends, self.hits = order, ends, hits

    @classmethod
    def by(cls, score: Array, hits: Array) -> _Ordered:
        order = np.argsort(-score, kind="stable")
        ranked = score[order]
        ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.zeros(0, np.int64)
        return cls(order, ends, hits[order])

    def pai(self, weight: Array | None) -> Array:
        counts = np.ones(len(self.order)) if weight is None else weight[self.order].astype(float)
        area, caught = (np.concatenate([[0.0], np.cumsum(each)[self.ends]]) for each in (counts, counts * self.hits))
        if not caught[-1]:
            return np.full(len(TOPS), np.nan)
        # Between two ends all cells score alike: as much of their accidents as of their cells.
        found: Array = np.interp(np.array(TOPS) * area[-1], area, caught) / caught[-1] / np.array(TOPS)
        return found


def _counted(rated: Array, seen: pl.DataFrame, resolution: int) -> tuple[Array, Array, Array, Array]:
    """Training accidents in each cell, in its rings 1 and 2, and the mean of its municipality."""
    cell, where = np.unique(_cells(seen, resolution), return_inverse=True)
    count = np.bincount(where)
    disks = h3ronpy.grid_disk_distances(cell, 2)
    around, steps = (pl.Series(disks.column(name)).explode(empty_as_null=False).to_numpy() for name in ("cell", "k"))
    origin = np.repeat(np.arange(len(cell)), pl.Series(disks.column("k")).list.len().to_numpy())
    at = np.searchsorted(rated, around).clip(max=len(rated) - 1)
    there = rated[at] == around
    at, steps, origin = at[there], steps[there], origin[there]
    own, ring1, ring2 = (np.bincount(at[steps == each], count[origin[steps == each]], len(rated)).astype(np.int64) for each in (0, 1, 2))
    # A cell belongs to the municipality of the first accident in it or beside it, in order of its code.
    codes, code = np.unique(seen["municipality"].fill_null("").to_numpy().astype(str), return_inverse=True)
    lowest = np.full(len(cell), len(codes))
    np.minimum.at(lowest, where, code)
    place = np.full(len(rated), len(codes))
    near = steps <= 1
    np.minimum.at(place, at[near], lowest[origin[near]])
    total, cells = np.bincount(place, own, len(codes) + 1), np.bincount(place, minlength=len(codes) + 1)
    return own, ring1, ring2, (total / np.maximum(cells, 1))[place]


def _judged(seen: pl.DataFrame, resolution: int) -> int:
    """How many cells have a training accident in them or in their first ring."""
    return pl.Series(h3ronpy.grid_disk(np.unique(_cells(seen, resolution)), 1)).explode(empty_as_null=False).n_unique()


def _cells(accidents: pl.DataFrame, resolution: int) -> Array:
    found = coordinates_to_cells(accidents["lat_deg"].to_numpy(), accidents["lon_deg"].to_numpy(), resolution)
    return pl.Series(found).to_numpy()


def _row(resolution: int, group: str, method: str, found: Array, raw: Array, ends: Array | None) -> Mapping[str, Any]:
    row: dict[str, Any] = {"resolution": resolution, "group": group, "method": method}
    for at, top in enumerate(("1", "2", "5")):
        row |= {f"pai_{top}": found[at], f"to_raw_{top}": found[at] / raw[at] if raw[at] > 0 else np.nan}
        row |= {f"low_{top}": None if ends is None else ends[0, at], f"high_{top}": None if ends is None else ends[1, at]}
    return row


def _scrambled(numbers: Array) -> Array:
    """Numbers that look like chance and are the same everywhere (splitmix64, Steele 2014)."""
    bits = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits ^ (bits >> np.uint64(31))
