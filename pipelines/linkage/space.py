"""Where things are: distances on the ground in metres, and the cells of places."""

from __future__ import annotations

from typing import Any

import h3ronpy
import numpy as np
import polars as pl
from h3ronpy.vector import coordinates_to_cells
from numpy.typing import NDArray

from pipelines.linkage.errors import DeclarationError

__all__ = ["EARTH_RADIUS_M", "FARTHEST_M", "are_cells", "cells", "covering", "disks", "distance_m", "geodesic_m", "named", "parents"]

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the Earth (IUGG): great-circle distances are within .5 % of the geodesic."""

_A_M, _E2 = 6_378_137.0, 0.006_694_379_990_141_317
"""WGS84: semi-major axis, first eccentricity squared."""

REACHES_M = {
    6: (2700.0, 6500.0),
    7: (950.0, 2500.0),
    8: (385.0, 940.0),
    9: (137.0, 365.0),
    10: (54.0, 136.0),
    11: (19.3, 51.0),
    12: (7.8, 19.5),
}
"""H3 resolution → how far from any point of a cell the disks of k = 1 and 2 reach at least, metres: 5 % less than the smallest distance
found between a cell and the ring behind its disk, over Japan (tests/linkage/test_space.py measures it). Tables of mean edge
lengths promise too much."""

FARTHEST_M = REACHES_M[6][1]
"""The widest circle that a disk of cells is known to cover."""


def distance_m(lat_deg: Any, lon_deg: Any, other_lat_deg: Any, other_lon_deg: Any) -> NDArray[np.float64]:
    """Great-circle distance (haversine), metres; arguments are WGS84 degrees and may be arrays.

    Example:
        >>> round(float(distance_m(36.06306, 136.21139, 35.99611, 136.37222)) / 1000, 1)
        16.3
    """
    lat, lon, other_lat, other_lon = (np.radians(np.asarray(each, np.float64)) for each in (lat_deg, lon_deg, other_lat_deg, other_lon_deg))
    chord = np.sin((other_lat - lat) / 2) ** 2 + np.cos(lat) * np.cos(other_lat) * np.sin((other_lon - lon) / 2) ** 2
    distance: NDArray[np.float64] = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(chord))
    return distance


def geodesic_m(lat_deg: Any, lon_deg: Any, other_lat_deg: Any, other_lon_deg: Any) -> NDArray[np.float64]:
    """Distance on the WGS84 ellipsoid between neighbours, metres: within a millimetre up to ``FARTHEST_M``, to 80° north and south.

    Gauss' mid-latitude formula with the terms of third order of the sphere. It is the same to the last bit both ways: whoever asks,
    a pair at exactly the radius is one. Arguments are degrees and may be arrays.

    Example:
        >>> round(float(geodesic_m(35.0, 139.0, 35.0, 139.001)), 3)
        91.288
    """
    lat, lon, other_lat, other_lon = (np.asarray(each, np.float64) for each in (lat_deg, lon_deg, other_lat_deg, other_lon_deg))
    north = np.radians(other_lat - lat)
    apart_deg = np.abs(other_lon - lon)
    east = np.radians(np.minimum(apart_deg, 360.0 - apart_deg))
    middle = np.radians((lat + other_lat) / 2)
    w2 = 1 - _E2 * np.sin(middle) ** 2
    across = _A_M / np.sqrt(w2) * np.cos(middle) * east * (1 - east**2 / 24)
    along = _A_M * (1 - _E2) / (w2 * np.sqrt(w2)) * north * (1 - east**2 / 8 - north**2 / 24)
    chord = np.hypot(across, along)
    distance: NDArray[np.float64] = chord * (1 + (chord * w2 / _A_M) ** 2 / (24 * (1 - _E2)))
    return distance


def cells(lat_deg: NDArray[np.float64], lon_deg: NDArray[np.float64], resolution: int) -> NDArray[np.uint64]:
    """H3 cells of places; WGS84 degrees, finite and within ±90 and ±180."""
    return np.asarray(coordinates_to_cells(lat_deg, lon_deg, resolution)).astype(np.uint64, copy=False)


def parents(of: NDArray[np.uint64], resolution: int) -> NDArray[np.uint64]:
    """The cell of a coarser resolution that each cell belongs to."""
    return pl.Series(h3ronpy.change_resolution(of, resolution)).to_numpy()


def named(of: NDArray[np.uint64]) -> pl.Series:
    """The hexadecimal names of cells.

    Example:
        >>> named(np.array([622306066524962815], np.uint64)).to_list()
        ['8a2e01204ca7fff']
    """
    return pl.Series(h3ronpy.cells_to_string(of)).cast(pl.String)


def are_cells(names: pl.Series, resolution: int) -> NDArray[np.bool_]:
    """Which of some texts name an H3 cell of a resolution.

    Example:
        >>> are_cells(pl.Series(["8b2e63580c40fff", "8a2e63580c47fff", "nonsense"]), 11).tolist()
        [True, False, False]
    """
    texts = names.fill_null("")
    whole = texts.str.contains(f"^8{resolution:x}[0-9a-f]{{13}}$")
    cells = texts.set(~whole, "0").str.to_integer(base=16, dtype=pl.UInt64).to_numpy()
    valid: NDArray[np.bool_] = pl.Series(h3ronpy.cells_valid(cells, booleanarray=True)).to_numpy() & whole.to_numpy()
    return valid


def disks(of: NDArray[np.uint64], k: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """The cells at most ``k`` steps away from each of some cells, itself included: index of the origin, cell."""
    found = pl.Series(h3ronpy.grid_disk(of, k))
    origin = np.repeat(np.arange(len(of)), found.list.len().to_numpy())
    return origin, found.explode(empty_as_null=False).to_numpy()


def covering(within_m: float) -> tuple[int, int]:
    """Resolution and k of disks that hold every point of a circle: of those with the fewest cells the finest.

    Raises:
        DeclarationError: no disk is known to be wide enough.

    Example:
        >>> covering(50), covering(100), covering(5000)
        ((10, 1), (9, 1), (6, 2))
    """
    for k in (1, 2):
        fine = [resolution for resolution, reaches in REACHES_M.items() if within_m <= reaches[k - 1]]
        if fine:
            return max(fine), k
    raise DeclarationError(f"within_m must be at most {FARTHEST_M} (got {within_m!r}): a wider circle is no neighbourhood")
