"""Distances on the ground, against places whose distance is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.linkage.space import EARTH_RADIUS_M, distance_m

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
