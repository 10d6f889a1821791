"""Counts accidents around every place that had one nearby: in the cell, in the rings around it, at its edge, in the neighbourhood.

All tallies are sums over the set of accidents, so that no order of arrival can matter; an accident counts in the year in which it
happened (JST), whichever year's file holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.latent_accident_spots.cells import centres, index_of, rings
from pipelines.latent_accident_spots.kinds import KINDS, NEAR_M, SHARES, kinds_of
from pipelines.linkage.space import cells, parents

__all__ = ["AROUND", "RESOLUTIONS", "Tallies", "TallyError", "occurred_year", "placed", "tallies"]

Array = NDArray[Any]

RESOLUTIONS = (10, 11)
AROUND = (9, 8, 7)
"""Resolutions of the neighbourhoods: the larger cell that holds a cell, and the six around that."""

_METRES_A_DEGREE = 111_195.0
_PART = 1 << 17


class TallyError(ValueError):
    """Accidents cannot be counted as asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallies:
    """What was counted, a row for each cell that had an accident in it or in its first ring. Arrays are in the order of ``cells``."""

    resolution: int
    years: tuple[int, ...]
    cells: Array
    """Sorted."""
    judged: Array
    """Whether the cell had an accident in it or in its first ring; False for those counted only because they were asked for."""
    by_year: Array
    """cells × years: accidents in the cell."""
    kinds: Array
    """cells × kinds: of the accidents in the cell."""
    ring: Array
    """cells × 4: accidents in the cell and in rings 1, 2, 3."""
    ring_kinds: Array
    """cells × kinds: of the accidents in ring 1."""
    central: Array
    at_edge: Array
    near: Array
    """cells × 3: accidents of ring 1 by their distance from the centre of the cell."""
    around: Array
    """cells × ``AROUND``: accidents in the larger cell that holds the cell and in the six around that."""
    one_sided: Array
    """0: the accidents of ring 1 lie all around, or there are none; 1: all on one side."""

    @property
    def own(self) -> Array:
        """Accidents in the cell."""
        own: Array = self.ring[:, 0]
        return own

    @property
    def on_record(self) -> Array:
        """Accidents that speak for the place: in a cell of about 50 m also those in ring 1, since positions are good to 30 to 50 m."""
        own: Array = self.ring[:, 0] if self.resolution < 11 else self.ring[:, 0] + self.ring[:, 1]
        return own

    def share(self, name: str) -> Array:
        """Share of a kind among the accidents in the cell and in ring 1, drawn to 0 by one accident."""
        columns = [list(KINDS).index(each) for each in SHARES[name]]
        count = self.kinds[:, columns].sum(axis=1) + self.ring_kinds[:, columns].sum(axis=1)
        share: Array = count / (self.ring[:, 0] + self.ring[:, 1] + 1)
        return share


def occurred_year() -> pl.Expr:
    """The year in which an accident happened, as a clock in Japan said."""
    return pl.col("occurred_at").dt.convert_time_zone("Asia/Tokyo").dt.year()


def placed(accidents: pl.DataFrame) -> pl.DataFrame:
    """Accidents that have a place, with their year and the columns of kinds."""
    told = accidents.filter(pl.col("lat_deg").is_finite() & pl.col("lon_deg").is_finite())
    return told.select("lat_deg", "lon_deg", occurred_year().alias("year")).hstack(kinds_of(told))


def tallies(accidents: pl.DataFrame, resolution: int, years: Sequence[int], *, also: Array | None = None) -> Tallies:
    """What was counted at all cells that had an accident in them or in their first ring.

    Args:
        accidents: records of ``road.accident.v1`` (or what ``placed`` made of them); the highest version of each, none withdrawn.
        resolution: 10 or 11.
        years: years of occurrence (JST) to count.
        also: cells to count even where there was no accident nearby.

    Raises:
        TallyError: the resolution is another, or no year is given.
    """
    if resolution not in RESOLUTIONS:
        raise TallyError(f"resolution must be one of {RESOLUTIONS} (got {resolution!r}): distances are set for these")
    if not years:
        raise TallyError(f"years must hold at least one (got {list(years)!r}): name the years to count")
    seen = (accidents if "year" in accidents.columns else placed(accidents)).filter(pl.col("year").is_in(list(years)))
    lat_deg, lon_deg = seen["lat_deg"].to_numpy(), seen["lon_deg"].to_numpy()
    at = cells(lat_deg, lon_deg, resolution)
    occupied, where = np.unique(at, return_inverse=True)
    origin, cell, steps = rings(occupied, 3)
    known = _distinct(cell[steps <= 1])
    every = known if also is None else _distinct(np.concatenate([known, also]))
    row, there = index_of(every, cell)
    edges = _Edges(len(occupied), origin[there], row[there], steps[there], len(every))
    own = index_of(every, occupied)[0]
    kinds = seen.select(list(KINDS)).to_numpy()
    by_kind = np.stack([np.bincount(where, kinds[:, column], len(occupied)) for column in range(kinds.shape[1])], axis=1)
    by_year = np.zeros((len(every), len(years)), np.int32)
    year = seen["year"].to_numpy()
    for column, each in enumerate(years):
        by_year[own, column] = np.bincount(where[year == each], minlength=len(occupied))
    count = np.bincount(where, minlength=len(occupied))
    middle = centres(every)
    central, at_edge, near = _by_distance(every, middle, (lat_deg, lon_deg), at, resolution)
    all_kinds = np.zeros((len(every), kinds.shape[1]), np.float32)
    all_kinds[own] = by_kind
    return Tallies(
        resolution=resolution, years=tuple(years), cells=every, judged=index_of(known, every)[1], by_year=by_year, kinds=all_kinds,
        ring=np.stack([edges.sums(count, each) for each in range(4)], axis=1).astype(np.int32),
        ring_kinds=np.stack([edges.sums(by_kind[:, column], 1) for column in range(kinds.shape[1])], axis=1).astype(np.float32),
        central=central, at_edge=at_edge, near=near,
        around=np.stack([_around(every, occupied, count, each) for each in AROUND], axis=1),
        one_sided=edges.one_sided(count, centres(occupied), middle),
    )  # fmt: skip


def _distinct(of: Array) -> Array:
    """Sorted; many times quicker than np.unique, which hashes every one of millions."""
    return pl.Series(of, dtype=pl.UInt64).unique().sort().to_numpy()


@dataclass(frozen=True, slots=True)
class _Edges:
    """From each cell that had accidents to the cells that count them, by steps."""

    occupied: int
    origin: Array
    row: Array
    steps: Array
    rows: int

    def sums(self, of: Array, steps: int) -> Array:
        chosen = self.steps == steps
        return np.bincount(self.row[chosen], of[self.origin[chosen]], self.rows)

    def one_sided(self, count: Array, origins: tuple[Array, Array], middle: tuple[Array, Array]) -> Array:
        """Length of the mean of the directions towards the accidents of ring 1, each cell by the root of its count."""
        chosen = self.steps == 1
        origin, row = self.origin[chosen], self.row[chosen]
        (from_lat, from_lon), (lat, lon) = origins, middle
        north, east = from_lat[origin] - lat[row], (from_lon[origin] - lon[row]) * np.cos(np.radians(lat[row]))
        length = np.hypot(north, east)
        weight = np.sqrt(count[origin])
        n, e, total = (np.bincount(row, each, self.rows) for each in (weight * north / length, weight * east / length, weight))
        return (np.hypot(n, e) / np.maximum(total, 1e-9)).astype(np.float32)


def _by_distance(
    every: Array, middle: tuple[Array, Array], places: tuple[Array, Array], at: Array, resolution: int
) -> tuple[Array, Array, Array]:
    """Accidents in the middle of their cell, at its edge, and near the cells around: part by part, for the memory's sake."""
    limits = np.array(NEAR_M[resolution])
    (lat, lon), (lat_deg, lon_deg) = middle, places
    inside, near = np.zeros((2, len(every)), np.int32), np.zeros((3, len(every)), np.int32)
    for begin in range(0, len(at), _PART):
        part = slice(begin, begin + _PART)
        origin, cell, steps = rings(at[part], 1)
        row, there = index_of(every, cell)
        origin, row, steps = origin[there], row[there], steps[there]
        north = lat_deg[part][origin] - lat[row]
        east = (lon_deg[part][origin] - lon[row]) * np.cos(np.radians(lat[row]))
        step = np.searchsorted(limits, _METRES_A_DEGREE * np.hypot(north, east))
        own = steps == 0
        inside[0] += np.bincount(row[own & (step == 0)], minlength=len(every)).astype(np.int32)
        inside[1] += np.bincount(row[own & (step >= 2)], minlength=len(every)).astype(np.int32)
        for column, chosen in enumerate((step <= 2, step == 3, step == 4)):
            near[column] += np.bincount(row[~own & chosen], minlength=len(every)).astype(np.int32)
    return inside[0], inside[1], near.T


def _around(every: Array, occupied: Array, count: Array, resolution: int) -> Array:
    """Accidents in the larger cell that holds each cell, and in the six around that."""
    large, where = np.unique(parents(occupied, resolution), return_inverse=True)
    origin, cell, _ = rings(large, 1)
    wanted, back = np.unique(parents(every, resolution), return_inverse=True)
    row, there = index_of(wanted, cell)
    total = np.bincount(where, count, len(large))
    return np.bincount(row[there], total[origin[there]], len(wanted))[back].astype(np.int32)
