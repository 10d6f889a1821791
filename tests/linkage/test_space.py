"""Distances on the ground, against places whose distance is known; cells, against their own outlines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from geographiclib.geodesic import Geodesic
from h3ronpy.vector import cells_to_wkb_polygons
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.linkage import DeclarationError
from pipelines.linkage.space import EARTH_RADIUS_M, FARTHEST_M, REACHES_M, cells, covering, disks, distance_m, geodesic_m

TOKYO, OSAKA = (35.681236, 139.767125), (34.702485, 135.495951)
lat, lon = st.floats(-90, 90), st.floats(-180, 180)


def test_a_degree_of_latitude_is_a_degree_of_the_meridian() -> None:
    assert float(distance_m(35.0, 136.0, 36.0, 136.0)) == pytest.approx(math.radians(1) * EARTH_RADIUS_M, abs=0.01)


def test_a_degree_of_longitude_shrinks_with_the_latitude() -> None:
    at_60 = float(distance_m(60.0, 10.0, 60.0, 10.01))
    assert at_60 == pytest.approx(math.radians(0.01) * EARTH_RADIUS_M / 2, rel=1e-4)


def test_the_stations_of_tokyo_and_osaka() -> None:
    """403 km on the ellipsoid (GRS80); the sphere is within half a per cent."""
    assert float(distance_m(*TOKYO, *OSAKA)) == pytest.approx(403_000, rel=0.005)


def test_latitude_comes_before_longitude() -> None:
    assert float(distance_m(0.0, 90.0, 0.0, 0.0)) == pytest.approx(math.pi / 2 * EARTH_RADIUS_M)
    assert float(distance_m(90.0, 0.0, 90.0, 77.0)) == pytest.approx(0, abs=1e-6)


def test_the_date_line_is_no_wall() -> None:
    assert float(distance_m(36.0, 179.99, 36.0, -179.99)) == pytest.approx(1799, rel=0.01)


def test_arrays_are_measured_element_by_element() -> None:
    found = distance_m(36.0, 136.0, np.array([36.0, 36.5]), np.array([136.0, 136.5]))
    assert found[0] == 0
    assert found[1] == distance_m(36.0, 136.0, 36.5, 136.5)


@given(lat, lon, lat, lon)
def test_it_is_the_same_way_back_and_never_more_than_half_the_earth(a: float, b: float, c: float, d: float) -> None:
    there, back = float(distance_m(a, b, c, d)), float(distance_m(c, d, a, b))
    assert there == pytest.approx(back, abs=1e-6)
    assert 0 <= there <= math.pi * EARTH_RADIUS_M + 1


# --- between neighbours --------------------------------------------------------------------------------------------

WGS84 = Geodesic.WGS84
"""Karney's own: exact to nanometres."""


def away(lat_deg: float, lon_deg: float, bearing_deg: float, metres: float) -> tuple[float, float]:
    """The place so many metres from another in a direction."""
    there = WGS84.Direct(lat_deg, lon_deg, bearing_deg, metres)
    return there["lat2"], there["lon2"]


@given(st.floats(-80, 80), lon, st.floats(0, 360), st.floats(0, FARTHEST_M))
def test_neighbours_are_measured_to_a_millimetre(a: float, b: float, bearing: float, metres: float) -> None:
    assert float(geodesic_m(a, b, *away(a, b, bearing, metres))) == pytest.approx(metres, abs=0.001)


@given(st.floats(-80, 80), st.floats(-0.05, 0.05), st.floats(45, 135), st.floats(3000, FARTHEST_M))
def test_the_date_line_is_no_wall_between_neighbours(a: float, east: float, bearing: float, metres: float) -> None:
    b = 180.0 + east if east < 0 else east - 180.0
    assert float(geodesic_m(a, b, *away(a, b, bearing, metres))) == pytest.approx(metres, abs=0.001)


def test_whoever_asks_it_is_the_same_to_the_last_bit_also_across_the_date_line() -> None:
    g = np.random.default_rng(1)
    a, c = g.uniform(-80, 80, 20_000), g.uniform(-0.05, 0.05, 20_000)
    for west, east in ((123, 150), (179.9, 180.1)):
        b, d = ((g.uniform(west, east, 20_000) + 180) % 360 - 180 for _ in range(2))
        assert (geodesic_m(a, b, a + c, d) == geodesic_m(a + c, d, a, b)).all()


def test_a_place_is_no_metre_away_from_itself() -> None:
    assert float(geodesic_m(36.0, 136.0, 36.0, 136.0)) == 0
    assert float(geodesic_m(36.0, 180.0, 36.0, -180.0)) == 0


# --- cells -----------------------------------------------------------------------------------------------------------

OVER = {"Japan": ((20.4, 45.6), (122.9, 154.0)), "Berlin": ((52.3, 52.7), (13.0, 13.8))}


def some_places(where: str, count: int, seed: int = 3) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    g = np.random.default_rng(seed)
    (south, north), (west, east) = OVER[where]
    return g.uniform(south, north, count), g.uniform(west, east, count)


def outlines(of: NDArray[np.uint64]) -> list[NDArray[np.float64]]:
    """The corners of cells in order, lat before lon: a well-known binary polygon holds them behind 13 bytes, the first one twice."""
    return [np.frombuffer(bytes(wkb)[13:], "<f8").reshape(-1, 2)[:-1, ::-1] for wkb in cells_to_wkb_polygons(of).to_pylist()]


def in_plane(corners: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners as metres in a plane that touches the ellipsoid at a place: good to a tenth of a per mille over 20 km."""
    north = geodesic_m(at[0] - 0.05, at[1], at[0] + 0.05, at[1]) / 0.1
    east = geodesic_m(corners[:, 0], at[1] - 0.05, corners[:, 0], at[1] + 0.05) / 0.1
    return np.stack([(corners[:, 1] - at[1]) * east, (corners[:, 0] - at[0]) * north], -1)


def to_edges(points: NDArray[np.float64], polygon: NDArray[np.float64]) -> float:
    """From the nearest of some points to the nearest edge of a polygon."""
    along = np.roll(polygon, -1, 0) - polygon
    behind = points[:, None] - polygon
    share = np.clip((behind * along).sum(-1) / (along**2).sum(-1), 0, 1)
    return float(np.linalg.norm(behind - share[..., None] * along, axis=-1).min())


def clearance_m(cell: np.uint64, k: int) -> float:
    """How far a cell lies from the ring behind its disk of k; two outlines are nearest at a corner of one of them."""
    (own,) = outlines(np.array([cell]))
    at = own.mean(0)
    ring = outlines(np.setdiff1d(disks(np.array([cell]), k + 1)[1], disks(np.array([cell]), k)[1]))
    mine, theirs = in_plane(own, at), [in_plane(each, at) for each in ring]
    return min(min(to_edges(mine, each), to_edges(each, mine)) for each in theirs)


@pytest.mark.parametrize("where", sorted(OVER))
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("resolution", sorted(REACHES_M))
def test_a_disk_reaches_as_far_as_the_table_says(resolution: int, k: int, where: str) -> None:
    """Over Japan, where cells are smallest, the least that is found is not much more: the table does not promise too little."""
    found = min(clearance_m(cell, k) for cell in cells(*some_places(where, 40), resolution))
    assert found > REACHES_M[resolution][k - 1]
    assert where != "Japan" or found < 1.4 * REACHES_M[resolution][k - 1]


@pytest.mark.parametrize("where", sorted(OVER))
@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("resolution", sorted(REACHES_M))
def test_no_neighbour_at_the_full_reach_is_missed(resolution: int, k: int, where: str) -> None:
    lat_deg, lon_deg = some_places(where, 300, seed=5)
    bearings = np.random.default_rng(6).uniform(0, 360, 300)
    there = np.array([away(*each, REACHES_M[resolution][k - 1]) for each in zip(lat_deg, lon_deg, bearings, strict=True)])
    origin, near = disks(cells(lat_deg, lon_deg, resolution), k)
    assert set(enumerate(cells(there[:, 0], there[:, 1], resolution).tolist())) <= set(zip(origin.tolist(), near.tolist(), strict=True))


def test_a_disk_is_a_cell_and_the_rings_around_it() -> None:
    of = cells(np.array([36.0, 43.0]), np.array([136.0, 141.0]), 9)
    for k, count in ((0, 1), (1, 7), (2, 19)):
        origin, near = disks(of, k)
        assert origin.tolist() == [0] * count + [1] * count
        assert len(set(near.tolist())) == 2 * count
        assert set(of.tolist()) <= set(near.tolist())


def test_places_become_cells_one_by_one_and_none_become_none() -> None:
    together = cells(np.array([36.0, 43.0]), np.array([136.0, 141.0]), 9)
    assert together.dtype == np.uint64
    assert together.tolist() == [cells(np.array([a]), np.array([b]), 9)[0] for a, b in ((36.0, 136.0), (43.0, 141.0))]
    assert cells(np.zeros(0), np.zeros(0), 9).tolist() == []


@pytest.mark.parametrize(
    ("within_m", "found"),
    [(0.1, (12, 1)), (7.8, (12, 1)), (7.9, (11, 1)), (50, (10, 1)), (2700, (6, 1)), (2701, (6, 2)), (FARTHEST_M, (6, 2))],
)
def test_the_finest_cells_that_cover_a_circle_with_the_fewest(within_m: float, found: tuple[int, int]) -> None:
    assert covering(within_m) == found


@pytest.mark.parametrize("within_m", [6500.1, math.inf, math.nan])
def test_a_circle_that_no_disk_covers_is_refused(within_m: float) -> None:
    with pytest.raises(DeclarationError) as caught:
        covering(within_m)
    assert str(caught.value) == f"within_m must be at most 6500.0 (got {within_m!r}): a wider circle is no neighbourhood"
