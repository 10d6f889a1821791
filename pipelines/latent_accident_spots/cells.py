"""H3 cells of accidents: the rings around them, their centres, and where they stand among others."""

from __future__ import annotations

from typing import Any

import h3ronpy
import numpy as np
import polars as pl
from h3ronpy.vector import cells_to_coordinates
from numpy.typing import NDArray

__all__ = ["centres", "index_of", "rings"]

Array = NDArray[Any]


def rings(of: Array, k: int) -> tuple[Array, Array, Array]:
    """The cells at most ``k`` steps away from each of some cells: index of the origin, cell, steps."""
    if not len(of):
        return np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.uint32)
    found = h3ronpy.grid_disk_distances(of, k)
    cell, steps = (pl.Series(found.column(name)) for name in ("cell", "k"))
    origin = np.repeat(np.arange(len(of)), cell.list.len().to_numpy())
    return origin, cell.explode(empty_as_null=False).to_numpy(), steps.explode(empty_as_null=False).to_numpy()


def centres(of: Array) -> tuple[Array, Array]:
    """Latitude and longitude of the centre of each cell, WGS84 degrees."""
    found = cells_to_coordinates(of)
    lat_deg, lon_deg = (pl.Series(found.column(name)).to_numpy() for name in ("lat", "lng"))
    return lat_deg, lon_deg


def index_of(among: Array, wanted: Array) -> tuple[Array, Array]:
    """Where each wanted cell stands among sorted cells, and whether it is there at all."""
    if not len(among):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    at = np.minimum(np.searchsorted(among, wanted), len(among) - 1)
    return at, among[at] == wanted
