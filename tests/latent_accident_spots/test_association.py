"""Streets with more near misses have more accidents, told apart from chance: planted streets, and a district of Berlin."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from connectors import simra
from pipelines.latent_accident_spots.association import AssociationError, association, near_segments
from pipelines.linkage.space import distance_m

DATA = Path(__file__).parents[2] / "data" / "simra"
STREETS = 400


def chances(of: int, times: int = 99, seed: int = 1) -> Iterator[np.ndarray]:
    drawn = np.random.default_rng(seed)
    return (drawn.random(of) for _ in range(times))


def planted(slope: float, seed: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Accidents, near misses and lengths of streets; those without an accident are not listed."""
    drawn = np.random.default_rng(seed)
    length_m = drawn.uniform(30, 600, 4 * STREETS)
    near = drawn.poisson(length_m / 100)
    accidents = drawn.poisson(np.exp(-2 + slope * np.log(near + 0.5) + 0.4 * np.log(length_m)))
    listed = np.flatnonzero(accidents)[:STREETS]
    return accidents[listed], near[listed], length_m[listed]


# --- near which streets ------------------------------------------------------------------------------------------


def street(*corners: tuple[float, float]) -> dict[str, list[float]]:
    return {"lat_deg": [lat for lat, _ in corners], "lon_deg": [lon for _, lon in corners]}


def by_hand(streets: pl.DataFrame, lat_deg: float, lon_deg: float) -> list[float]:
    """Distance of a place from each street, metres, by trying 400 places of each piece."""
    share = np.linspace(0, 1, 400)
    told = []
    for lats, lons in streets.select("lat_deg", "lon_deg").iter_rows():
        along = [np.interp(share + at, np.arange(len(lats)), values) for at in range(len(lats) - 1) for values in (lats, lons)]
        pieces = zip(along[::2], along[1::2], strict=True)
        told.append(min(float(distance_m(lat_deg, lon_deg, lat, lon).min()) for lat, lon in pieces))
    return told


def test_a_near_miss_belongs_to_every_street_within_the_distance() -> None:
    crossing = pl.DataFrame(
        [street((52.5, 13.40), (52.5, 13.41)), street((52.49, 13.405), (52.51, 13.405)), street((52.6, 13.4), (52.6, 13.5))]
    )
    assert near_segments(crossing, [52.5001, 52.505, 52.55], [13.4051, 13.4052, 13.45]).rows() == [(0, 0), (0, 1), (1, 1)]
    assert near_segments(crossing, [], []).is_empty()


@pytest.mark.parametrize("within_m", [5.0, 20.0, 60.0])
def test_pairs_are_those_that_a_slow_search_finds(within_m: float) -> None:
    drawn = np.random.default_rng(3)
    corners = 52.5 + drawn.uniform(-0.002, 0.002, (12, 3)), 13.4 + drawn.uniform(-0.003, 0.003, (12, 3))
    streets = pl.DataFrame({"lat_deg": corners[0].tolist(), "lon_deg": corners[1].tolist()})
    lats, lons = 52.5 + drawn.uniform(-0.002, 0.002, 40), 13.4 + drawn.uniform(-0.003, 0.003, 40)
    found = set(near_segments(streets, lats, lons, within_m).iter_rows())
    apart_m = {(point, line): m for point in range(40) for line, m in enumerate(by_hand(streets, lats[point], lons[point]))}
    clear = {pair: m for pair, m in apart_m.items() if abs(m - within_m) > 0.6}  # the slow search steps by up to a metre
    assert {pair for pair, m in clear.items() if m < within_m} == found & clear.keys()
    assert found


# --- association -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [0.4, 0.8])
def test_a_planted_association_is_found_and_beats_every_shuffle(slope: float) -> None:
    accidents, near, length_m = planted(slope)
    found = association(accidents, near, length_m, chances(STREETS))
    assert found.coefficient == pytest.approx(slope, abs=0.12)
    assert found.coefficient > max(found.shuffled)
    assert found.p == 1 / 100


def test_where_nothing_is_planted_shuffles_reach_as_far() -> None:
    found = [association(*planted(0.0, seed), chances(STREETS)).p for seed in range(12)]
    assert sum(p <= 0.05 for p in found) <= 2
    assert min(found) < 0.5 < max(found)


def test_length_alone_makes_no_association() -> None:
    accidents, near, length_m = planted(0.0)
    assert np.corrcoef(np.log(near + 0.5), accidents)[0, 1] > 0.1
    assert abs(association(accidents, near, length_m, []).coefficient) < 0.12


def test_the_coefficient_is_where_the_likelihood_is_highest() -> None:
    accidents, near, length_m = planted(0.4)
    best = association(accidents, near, length_m, []).coefficient

    def likelihood(b1: float) -> float:
        """Highest over the other two, by a search that knows nothing of derivatives."""

        def at(b0: float, b2: float) -> float:
            rate = np.exp(b0 + b1 * np.log(near + 0.5) + b2 * np.log(length_m))
            return float(np.sum(accidents * np.log(rate) - rate - np.log(-np.expm1(-rate))))

        where, step = (-2.0, 0.4), 0.5
        while step > 1e-7:
            tried = [(where[0] + x * step, where[1] + y * step / 5) for x in (-1, 0, 1) for y in (-1, 0, 1)]
            better = max(tried, key=lambda each: at(*each))
            where, step = (better, step) if at(*better) > at(*where) else (where, step / 2)
        return at(*where)

    assert likelihood(best) > max(likelihood(best - 0.01), likelihood(best + 0.01))


def test_shuffles_stay_within_streets_of_one_length() -> None:
    accidents, near, length_m = planted(0.4)
    near = np.where(length_m > np.median(length_m), 30, 0)  # a tenth is all 30 or all 0, so that no shuffle changes anything
    found = association(accidents, near, length_m, chances(STREETS, 9))
    assert found.shuffled == pytest.approx([found.coefficient] * 9)
    assert found.p == 1.0


@pytest.mark.parametrize(
    ("accidents", "near", "length_m", "message"),
    [
        ([1, 2], [1], [9, 9], "accidents, near misses and lengths must be one for each street (got (2,), (1,), (2,))"),
        ([0, 2], [1, 2], [9, 9], "streets must have an accident, a length, and near misses that differ (got others): leave them out"),
        ([1, 2], [1, 1], [9, 9], "streets must have an accident, a length, and near misses that differ (got others): leave them out"),
        ([1, 2], [1, 2], [0, 9], "streets must have an accident, a length, and near misses that differ (got others): leave them out"),
    ],
    ids=["lengths differ", "no accident", "all the same", "no length"],
)
def test_counts_from_which_nothing_is_learned_are_refused(accidents: Any, near: Any, length_m: Any, message: str) -> None:
    with pytest.raises(AssociationError, match=f"^{re.escape(message)}$"):
        association(accidents, near, length_m, [])


def test_in_a_district_of_berlin_near_misses_and_accidents_go_together() -> None:
    (chunk,) = simra.open(DATA / "friedrichshain-kreuzberg-incidents.csv").read()
    reports, streets = chunk["road.near-miss.v1"], simra.segments(DATA / "segments-friedrichshain-kreuzberg.geo.json")
    pairs = near_segments(streets, reports["lat_deg"], reports["lon_deg"])
    near = np.bincount(pairs["segment"].to_numpy(), minlength=streets.height)
    assert (pairs["point"].n_unique(), pairs.height, int((near > 0).sum()), int((near >= 5).sum())) == (877, 1341, 343, 68)
    found = association(streets["accidents"], near, streets["length_m"], chances(streets.height))
    assert found.coefficient == pytest.approx(0.31, abs=0.01)
    assert max(found.shuffled) < 0.2
    assert found.p == 1 / 100
    assert math.isclose(float(np.mean(found.shuffled)), 0.0, abs_tol=0.03)
