"""Whether streets with more near misses have more accidents, and whether that is more than chance.

Streets without an accident are often not listed, so a count of accidents begins at one. It is taken as Poisson, cut off at zero:

    ln λ = b0 + b1 ln(near misses + .5) + b2 ln(length),    P(n | n ≥ 1) = λⁿ e^-λ / (n! (1 - e^-λ))

The control shuffles near misses among streets of about the same length (tenths). A b1 that shuffled near misses reach too says nothing.
What this cannot tell: where people ride much there are more near misses and more accidents, so b1 is not what a near miss is worth
at equal traffic, and it says nothing of which came first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
import shapely  # it has no types of its own
from numpy.typing import ArrayLike, NDArray

from pipelines.linkage.space import EARTH_RADIUS_M

__all__ = ["Association", "AssociationError", "association", "near_segments"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_TENTHS = 10
_STEPS = 100
_CLOSE = 1e-10


class AssociationError(ValueError):
    """Counts of streets from which nothing can be learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """How accidents of streets go with their near misses.

    Attributes:
        coefficient: b1, on ln(near misses + .5).
        shuffled: the same for each shuffle, in their order.
        p: share of shuffles, the true order counted as one, that reach the coefficient or more.
    """

    coefficient: float
    shuffled: tuple[float, ...]
    p: float


def near_segments(segments: pl.DataFrame, lat_deg: ArrayLike, lon_deg: ArrayLike, within_m: float = 20.0) -> pl.DataFrame:
    """Which near misses happened on which streets: pairs no further apart than a distance.

    A near miss at a crossing is on all of its streets.

    Args:
        segments: a row for each street, its line as lists ``lat_deg`` and ``lon_deg`` of two points or more.
        lat_deg: of the near misses, WGS84 degrees.
        lon_deg: likewise.
        within_m: the distance from the line, metres, in a plane that touches the Earth in the middle of the streets (for one city).

    Returns:
        ``point`` and ``segment``, both row numbers, sorted; empty where nothing is near.

    Example:
        >>> street = pl.DataFrame({"lat_deg": [[52.50, 52.50]], "lon_deg": [[13.40, 13.41]]})
        >>> near_segments(street, [52.5001, 52.5003], [13.405, 13.405]).rows()
        [(0, 0)]
    """
    corners = segments.with_row_index("segment").explode("lat_deg", "lon_deg")
    lats, lons = (corners[each].to_numpy().astype(np.float64) for each in ("lat_deg", "lon_deg"))
    middle = (float(np.mean(lats)), float(np.mean(lons))) if len(lats) else (0.0, 0.0)
    lines = shapely.linestrings(_plane(lats, lons, middle), indices=corners["segment"].to_numpy())
    points = shapely.points(_plane(np.asarray(lat_deg, np.float64), np.asarray(lon_deg, np.float64), middle))
    pairs = shapely.STRtree(lines).query(points, predicate="dwithin", distance=within_m)
    return pl.DataFrame({"point": pairs[0], "segment": pairs[1]}, schema={"point": pl.Int64, "segment": pl.Int64}).sort("point", "segment")


def _plane(lat_deg: Floats, lon_deg: Floats, middle: tuple[float, float]) -> Floats:
    """Metres east and north of the middle."""
    lat, lon = middle
    east, north = np.radians(lon_deg - lon) * np.cos(np.radians(lat)), np.radians(lat_deg - lat)
    return np.column_stack([east, north]) * EARTH_RADIUS_M


def association(accidents: ArrayLike, near_misses: ArrayLike, length_m: ArrayLike, chances: Iterable[ArrayLike]) -> Association:
    """How accidents of streets go with near misses, beside near misses that were shuffled.

    Args:
        accidents: of each street, one or more.
        near_misses: of each street.
        length_m: of each street, metres.
        chances: for each shuffle a number for each street, drawn by the caller: chance has no place here. Streets of one
            tenth of length change places in the order of these numbers.

    Raises:
        AssociationError: the three do not fit each other, a street has no accident or no length, or near misses do not differ.
    """
    n, x, length = np.asarray(accidents, np.float64), np.asarray(near_misses, np.float64), np.asarray(length_m, np.float64)
    if not n.shape == x.shape == length.shape or n.ndim != 1:
        raise AssociationError(f"accidents, near misses and lengths must be one for each street (got {n.shape}, {x.shape}, {length.shape})")
    if not (np.all(n >= 1) and np.all(x >= 0) and np.all(length > 0)) or not np.ptp(x):
        raise AssociationError("streets must have an accident, a length, and near misses that differ (got others): leave them out")
    tenth = (np.argsort(np.argsort(length, kind="stable"), kind="stable") * _TENTHS) // len(length)
    true = _coefficient(n, x, length)
    shuffled = tuple(_coefficient(n, x[_shuffle(tenth, np.asarray(each, np.float64))], length) for each in chances)
    reached = 1 + sum(each >= true for each in shuffled)
    return Association(coefficient=true, shuffled=shuffled, p=reached / (1 + len(shuffled)))


def _shuffle(tenth: Counts, chance: Floats) -> Counts:
    """For each street the one of its tenth whose near misses it gets."""
    order: Counts = np.empty(len(tenth), np.int64)
    order[np.lexsort((np.arange(len(tenth)), tenth))] = np.lexsort((chance, tenth))
    return order


def _coefficient(n: Floats, near_misses: Floats, length_m: Floats) -> float:
    """b1 of the regression above, by Fisher scoring."""
    design = np.column_stack([np.ones_like(n), np.log(near_misses + 0.5), np.log(length_m)])
    b = np.zeros(3)
    for _ in range(_STEPS):
        rate = np.exp(design @ b)
        mean = rate / -np.expm1(-rate)
        spread = mean * (1 + rate - mean)
        step = np.linalg.solve(design.T @ (design * spread[:, None]), design.T @ (n - mean))
        b += np.clip(step, -1, 1)
        if np.max(np.abs(step)) < _CLOSE:
            return float(b[1])
    raise AssociationError(f"regression must come to rest (got {_STEPS} steps without): do all streets have one accident?")
