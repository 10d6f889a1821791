"""Near misses: who is counted, what may be told, and when they weigh."""

from __future__ import annotations

from datetime import UTC, datetime

import h3
import numpy as np
import polars as pl
import pytest

from pipelines.latent_accident_spots.near import LEAST_PLACES, NearMissTerm, Seen, fit_term, near_misses
from pipelines.latent_accident_spots.rating import CellModel, rating
from tests.latent_accident_spots.streets import LAT, LON, frame, model, near_miss, passes

CELL = h3.latlng_to_cell(LAT, LON, 11)
DAYS = [datetime(2020, 6, each, tzinfo=UTC) for each in range(1, 6)]


def at_the_place(events: list[dict[str, object]], passed: list[dict[str, object]], resolution: int = 11) -> Seen:
    told = near_misses(frame(events, "road.near-miss.v1"), frame(passed, "road.passes.v1"))
    return told.at(np.array([h3.str_to_int(h3.cell_to_parent(CELL, resolution))], np.uint64), resolution)


def test_one_vehicle_counts_at_most_twice() -> None:
    seen = at_the_place([*(near_miss(vehicle="a") for _ in range(9)), near_miss(vehicle="b")], [])
    assert (seen.n.tolist(), seen.capped.tolist()) == ([10], [3])


def test_a_brake_that_only_gps_saw_is_not_counted_with_the_others() -> None:
    assert at_the_place([near_miss(kind="hard_brake_gps"), near_miss(kind="swerve")], []).n.tolist() == [1]


def test_reports_without_a_vehicle_are_each_a_person_of_their_own() -> None:
    assert at_the_place([near_miss(kind="report", vehicle=None) for _ in range(3)], []).capped.tolist() == [3]


@pytest.mark.parametrize("resolution", [10, 11])
@pytest.mark.parametrize(
    ("passed", "enough"),
    [
        ([("a", 0, 1), ("b", 1, 1), ("c", 2, 1), ("c", 3, 1), ("c", 4, 1)], True),
        ([("a", 0, 1), ("b", 1, 1), ("c", 2, 1), ("c", 3, 1)], False),
        ([("a", 0, 100), ("b", 0, 50), ("c", 0, 50)], True),
        ([("a", 0, 100), ("b", 0, 50), ("c", 0, 49)], False),
        ([("a", 0, 1000), ("b", 1, 1000)], False),
    ],
    ids=["five days of three", "four days", "two hundred passes", "one pass less", "two vehicles"],
)
def test_few_vehicles_or_passes_are_not_told(passed: list[tuple[str, int, int]], enough: bool, resolution: int) -> None:
    seen = at_the_place([], [passes(CELL, vehicle, DAYS[day], number) for vehicle, day, number in passed], resolution)
    assert seen.enough.tolist() == [enough]
    assert seen.passes.tolist() == [sum(number for _, _, number in passed)]


def test_what_was_told_in_other_years_is_left_out() -> None:
    told = near_misses(frame([near_miss(year=2019), near_miss(year=2020)], "road.near-miss.v1"), frame([], "road.passes.v1"))
    assert told.within([2020]).events.height == 1


def made(effect: float, seed: int, places: int = 3000) -> tuple[np.ndarray, tuple[np.ndarray, ...], np.ndarray, Seen]:
    """Places whose near misses tell of their true rate as strongly as asked."""
    chance = np.random.default_rng(seed)
    hidden = chance.normal(0, 0.8, places)
    log_m, passed = chance.normal(-2, 0.5, places), chance.integers(200, 2000, places)
    n = chance.poisson(passed * 0.01 * np.exp(effect * hidden))
    brought = chance.poisson(np.exp(log_m + hidden * 0.7))
    seen = Seen(
        n=n, capped=n, passes=passed, vehicles=np.full(places, 5), enough=np.ones(places, bool), newest_ms=np.zeros(places, np.int64)
    )  # fmt: skip
    years = np.full(places, 2)
    weighed = chance.poisson(np.exp(log_m) * 2).astype(float)
    numbers = CellModel.of(model()["cells"][0])
    return np.arange(places, dtype=np.uint64), (log_m, weighed, years, numbers), brought, seen


def test_near_misses_that_tell_of_accidents_weigh() -> None:
    term = fit_term(*made(effect=1.0, seed=1))
    assert term.weight > 0.1
    assert (term.p, term.reason) == (0.01, "better than its own permutations")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_near_misses_that_tell_nothing_do_not_weigh(seed: int) -> None:
    where, prior, brought, seen = made(effect=0.0, seed=seed)
    term = fit_term(where, prior, brought, seen)
    assert (term.weight, term.reason) == (0.0, "no better than its own permutations")
    assert term.p is not None
    assert term.p > 0.05


def test_more_accidents_are_expected_where_near_misses_exceed_their_passes() -> None:
    _, (log_m, weighed, years, numbers), _, seen = made(effect=1.0, seed=1)
    more = seen.excess(seen.rate) > 0
    plain, moved = (
        rating(log_m + each, weighed, years, numbers.shape, numbers.shape_power) for each in (0.0, 0.5 * seen.excess(seen.rate))
    )
    assert (moved.score > plain.score)[more].all()
    assert (moved.score <= plain.score)[~more].all()


def test_too_few_places_leave_the_weight_at_nothing() -> None:
    where, prior, brought, seen = made(effect=1.0, seed=1, places=LEAST_PLACES - 1)
    assert fit_term(where, prior, brought, seen) == NearMissTerm.none(
        "fewer than 50 places have near misses, passes and accidents of their own"
    )


def test_places_without_enough_passes_move_nothing() -> None:
    seen = at_the_place([near_miss(vehicle=each) for each in "abc"], [])
    assert seen.excess(0.01).tolist() == [0.0]
    assert isinstance(near_misses(frame([], "road.near-miss.v1"), frame([], "road.passes.v1")).events, pl.DataFrame)
