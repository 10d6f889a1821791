"""Where things are: distances on the ground in metres."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EARTH_RADIUS_M", "distance_m"]

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the Earth (IUGG): great-circle distances are within .5 % of the geodesic."""


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
