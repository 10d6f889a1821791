"""What the readings say about a gauge, against numbers worked out by hand; the same to the last bit however it is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest

from pipelines.upstream_flood.evidence import (
    FEATURES,
    GROUPS,
    LEAST_SPREAD,
    USED,
    VARIANTS,
    Evidence,
    error_spread,
    evidence,
    exceedance,
    forecast_rise,
)
from pipelines.upstream_flood.model import TABLES
from pipelines.upstream_flood.network import Network, network
from tests.upstream_flood.river import gauge, levels, minute_of, model, past_of, reading, river, slot

Records = Sequence[Mapping[str, Any]]


def ground(records: Records, *, scale_m: float = 1.0) -> Network:
    known = {("r", each["gauge_id"]): each for each in records}
    numbers = model([key[1] for key in known])
    for each in numbers["gauges"]:
        each["scale_m"] = scale_m
    return network(sorted(known), known, {("r",): numbers}, FEATURES)


def seen_at(minute: float, readings: Records, gauges: Records | None = None, **fields: Any) -> tuple[Evidence, Network]:
    net = ground(gauges or [gauge("93")], **fields)
    k = slot(minute)
    return evidence(net, past_of(net.keys, readings, until=minute), range(k, k + 1)), net


def features(minute: float, readings: Records, gauges: Records | None = None, *, of: str = "93", **fields: Any) -> dict[str, float]:
    seen, net = seen_at(minute, readings, gauges, **fields)
    return dict(zip(FEATURES, seen.features[0, net.keys.index(("r", of))].tolist(), strict=True))


def approx(expected: Mapping[str, float]) -> Any:
    return pytest.approx(dict(expected), abs=1e-9)


def only(found: Mapping[str, float], *names: str) -> dict[str, float]:
    return {name: found[name] for name in names}


# --- own -------------------------------------------------------------------------------------------------------

HYDROGRAPH = levels("93", 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.1, 1.1, 1.2, 1.4, 1.6, 1.9)
"""Hourly, 1.9 m after twelve hours."""


def test_height_and_changes_of_the_gauge_itself() -> None:
    found = features(720, HYDROGRAPH)
    assert only(found, "u", "lev", "d1", "d2", "d3", "d6", "d12") == approx(
        {"u": 0.9, "lev": 0.9, "d1": 0.3, "d2": 0.2, "d3": 0.2, "d6": 0.2, "d12": 0.0}
    )
    assert only(found, "rise", "rise_high", "rise_faster", "one") == approx(
        {"rise": 0.3, "rise_high": 0.27, "rise_faster": 0.1, "one": 1.0}
    )


def test_all_is_measured_in_the_scale_of_the_gauge() -> None:
    found = features(720, HYDROGRAPH, scale_m=0.5)
    assert only(found, "u", "lev", "d1", "rise_high") == approx({"u": 1.8, "lev": 1.8, "d1": 0.6, "rise_high": 1.08})


def test_what_is_extreme_is_clipped() -> None:
    high = features(720, levels("93", *[1.0] * 12, 9.0), scale_m=0.5)
    assert only(high, "u", "lev", "d1") == approx({"u": 4.0, "lev": 5.0, "d1": 1.5})
    low = features(720, levels("93", *[4.0] * 12, 0.0), scale_m=0.5)
    assert only(low, "u", "lev", "d1", "rise") == approx({"u": 0.0, "lev": -1.0, "d1": -1.5, "rise": 0.0})


def test_the_lowest_level_is_that_of_24_hours() -> None:
    hydrograph = [reading("93", -1440 + 10, 0.2), reading("93", -1440, 0.1), *levels("93", 1.0, 1.0)]
    assert features(0, hydrograph)["u"] == pytest.approx(0.8), "0.1 m is 24 hours old"


def test_half_an_hour_old_readings_are_judged_as_they_were_taken() -> None:
    """Nothing is added for the time since: at 12:30 the features are those of the reading at 12:00."""
    assert features(750, HYDROGRAPH) == approx(features(720, HYDROGRAPH))


def test_between_readings_levels_are_interpolated_and_over_a_wide_gap_changes_count_as_none() -> None:
    bridged = features(400, [reading("93", 0, 1.0), reading("93", 400, 2.0)])
    assert only(bridged, "d1", "d2", "d12") == approx({"d1": 0.15, "d2": 0.15, "d12": 0.0})
    torn = features(410, [reading("93", 0, 1.0), reading("93", 410, 2.0)])
    assert only(torn, "u", "d1", "d2") == approx({"u": 1.0, "d1": 0.0, "d2": 0.0})


def test_below_the_level_where_the_sign_is_lost_nothing_rises_or_falls() -> None:
    found = features(120, levels("93", 0.2, 1.0, 1.8), [gauge("93", sign_lost_below_m=1.5)])
    assert only(found, "u", "lev", "d1", "d2") == approx({"u": 0.3, "lev": 0.8, "d1": 0.3, "d2": 0.0})


@pytest.mark.parametrize(("minute", "fresh"), [(100, True), (101, False), (300, False)])
def test_a_level_older_than_100_minutes_is_missing_and_everything_of_it_is_nought(minute: float, fresh: bool) -> None:
    seen, _ = seen_at(minute, [reading("93", 0, 1.5)])
    assert seen.fresh.tolist() == [[fresh]]
    assert np.isnan(seen.level_m).tolist() == [[not fresh]]
    assert (seen.features == 0).all() == (not fresh)


def test_a_reading_without_level_leaves_the_one_before_it() -> None:
    seen, _ = seen_at(30, [reading("93", 0, 1.5), reading("93", 30, None)])
    assert seen.level_m.tolist() == [[1.5]]
    assert (seen.no_reading.tolist(), seen.stale.tolist()) == ([[True]], [[False]])


def test_a_jump_is_told_from_the_reading_before_it_within_four_hours() -> None:
    assert seen_at(240, [reading("93", 0, 1.0), reading("93", 240, 2.0)])[0].jump_m.tolist() == [[1.0]]
    assert seen_at(250, [reading("93", 0, 1.0), reading("93", 250, 2.0)])[0].jump_m.tolist() == [[0.0]]


# --- upstream and around ---------------------------------------------------------------------------------------

RISING_UPSTREAM = [*levels("90", 1.0, 1.0, 1.0), *levels("91", 1.0, 1.1, 1.3), *levels("92", 1.0, 1.2, 1.8), *levels("93", 1.0, 1.0, 1.1)]


def test_upstream_gauges_are_read_by_class_with_how_far_they_are_ahead() -> None:
    found = features(120, RISING_UPSTREAM, river())
    assert only(found, "near_u", "near_d1", "near_d2", "near_ahead") == approx(
        {"near_u": 0.8, "near_d1": 0.6, "near_d2": 0.2, "near_ahead": 0.7}
    )
    assert only(found, "mid_u", "mid_d1", "mid_ahead") == approx({"mid_u": 0.3, "mid_d1": 0.2, "mid_ahead": 0.2})
    assert only(found, "far_u", "far_d1", "far_ahead") == approx({"far_u": 0.0, "far_d1": 0.0, "far_ahead": -0.1})


def test_neighbours_stand_in_for_rain() -> None:
    """Straight distances to 93: 92 4 km, 91 12 km, 90 24 km; 97 is silent. Weights 1/7, 1/15, 1/27."""
    found = features(120, RISING_UPSTREAM, river())
    total = 1 / 7 + 1 / 15 + 1 / 27
    mean_u, mean_d1 = (0.8 / 7 + 0.3 / 15) / total, (0.6 / 7 + 0.2 / 15) / total
    names = ("around_u", "around_d1", "around_share", "around_most", "around_wet")
    expected = dict(zip(names, (mean_u, mean_d1, 2 / 3, 0.6, mean_d1 * mean_u), strict=True))
    assert only(found, *names) == pytest.approx(expected, rel=1e-4)


def test_of_several_gauges_in_a_class_the_mean_of_those_that_are_fresh_counts() -> None:
    gauges = [gauge("91", north_km=3, downstream_id="93"), gauge("92", north_km=4, downstream_id="93"), gauge("93")]
    both = [*levels("91", 1.0, 1.2), *levels("92", 1.0, 1.6), *levels("93", 1.0, 1.0)]
    assert features(60, both, gauges)["near_d1"] == pytest.approx(0.4)
    assert features(160, both, gauges)["near_d1"] == pytest.approx(0.4)
    later = [*both, reading("93", 170, 1.0), reading("92", 165, 1.6)]
    assert features(170, later, gauges)["near_u"] == pytest.approx(0.6), "91 is 110 minutes old"


def test_what_is_missing_is_nought() -> None:
    found = features(60, levels("93", 1.0, 1.2), river())
    assert {name: value for name, value in found.items() if value and not name.startswith(("u", "lev", "d", "rise", "one"))} == {}


# --- the richest table that may be used ------------------------------------------------------------------------


def variant(*heard: str, gauges: Records | None = None) -> str:
    readings = [reading(each, 0, 1.0) for each in (*heard, "93")]
    seen, net = seen_at(0, readings, gauges or river())
    return VARIANTS[int(seen.variant[0, net.keys.index(("r", "93"))])]


def test_with_all_inputs_fresh_the_full_table_is_used() -> None:
    assert variant("90", "91", "92", "97") == "full"


def test_without_half_of_the_upstream_gauges_only_the_own_table_is_used() -> None:
    """Three gauges lie upstream of 93."""
    assert variant("90", "97") == "own"
    assert variant("90", "91") == "full", "four of seven inputs: each upstream gauge counts in its class and around"


def test_without_half_of_all_inputs_the_table_of_upstream_gauges_is_used() -> None:
    beside = [gauge(f"n{nth}", north_km=-5 - nth) for nth in range(6)]
    gauges = [gauge("92", north_km=4, downstream_id="93"), gauge("93"), *beside]
    assert variant("92", gauges=gauges) == "own_upstream", "two of eight"
    assert variant("92", "n0", "n1", gauges=gauges) == "full", "four of eight"


def test_where_nothing_lies_upstream_the_upstream_table_is_no_worse_than_the_own_one() -> None:
    assert variant(gauges=[gauge("93")]) == "own_upstream"


# --- to the last bit -------------------------------------------------------------------------------------------


def noisy_day(seed: int) -> list[dict[str, Any]]:
    random = Random(seed)
    return [
        reading(each, minute + random.uniform(-3, 3), 1.0 + random.random() if random.random() < 0.95 else None)
        for each, every in (("90", 60), ("91", 10), ("92", 30), ("93", 20), ("97", 10), ("205", 60), ("400", 60))
        for minute in range(10, 1600, every)
        if random.random() < 0.8
    ]


def slot_by_slot(seen: Evidence) -> dict[str, Any]:
    """What is seen in each slot that was asked for; equal slots are computed once."""
    return {name: getattr(seen, name)[seen.of] for name in Evidence.__slots__ if name != "of"}


def assert_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name, each in expected.items():
        np.testing.assert_array_equal(found[name], each, err_msg=name)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_same_to_the_last_bit_slot_by_slot_and_all_at_once(seed: int) -> None:
    net, slots = ground(river()), range(slot(600), slot(1600))
    past = past_of(net.keys, noisy_day(seed), until=1600)
    whole = slot_by_slot(evidence(net, past, slots))
    mu = forecast_rise(net.learned, whole["features"], whole["variant"])
    for at, k in enumerate(slots):
        one = slot_by_slot(evidence(net, past, range(k, k + 1)))
        assert_same({name: each[0] for name, each in one.items()}, {name: each[at] for name, each in whole.items()})
        np.testing.assert_array_equal(forecast_rise(net.learned, one["features"], one["variant"])[0], mu[at])


def test_it_is_the_same_to_the_last_bit_whatever_comes_after() -> None:
    net, day = ground(river()), noisy_day(9)
    upto = [each for each in day if minute_of(each["observed_at"]) <= 900]
    assert len(upto) < len(day)
    slots = range(slot(900) - 30, slot(900) + 1)
    known, later = (past_of(net.keys, each, until=1600) for each in (upto, day))
    assert_same(slot_by_slot(evidence(net, known, slots)), slot_by_slot(evidence(net, later, slots)))


def test_slots_in_which_nobody_speaks_or_falls_silent_are_computed_once() -> None:
    net = ground(river())
    past = past_of(net.keys, [reading(each["gauge_id"], minute) for each in river() for minute in (0, 60, 120)], until=120)
    assert evidence(net, past, range(slot(0), slot(120) + 1)).of.tolist() == [0] * 6 + [1] * 6 + [2]


def test_the_order_of_the_rows_does_not_matter() -> None:
    day, k = noisy_day(4), slot(1200)
    found = []
    for keys in (
        sorted(("r", each["gauge_id"]) for each in river()),
        [("r", each) for each in ("97", "93", "400", "90", "92", "205", "91")],
    ):
        net = network(keys, {("r", each["gauge_id"]): each for each in river()}, {("r",): model()}, FEATURES)
        seen = evidence(net, past_of(keys, day, until=1200), range(k, k + 1))
        found.append({key: seen.features[0, row].tolist() for row, key in enumerate(keys)})
    assert found[0] == found[1]


# --- names and numbers -----------------------------------------------------------------------------------------


def test_every_column_is_explained_once_and_each_table_uses_a_beginning_of_them() -> None:
    assert sorted(column for columns in GROUPS.values() for column in columns) == list(range(len(FEATURES)))
    assert [USED[each] for each in TABLES] == sorted(USED.values())
    assert USED["full"] == len(FEATURES)
    assert {name.partition("_")[0] for name in FEATURES[USED["own"] : USED["own_upstream"]]} == {"near", "mid", "far"}


def chance(mu: float, delta: float, spread: float = 1.0) -> float:
    net = ground([gauge("93")])
    return float(exceedance(net.learned, np.array([0]), np.array([0]), 2, np.array([mu]), np.array([spread]), np.array([delta]))[0])


@pytest.mark.parametrize(
    ("mu", "delta", "p"),
    [
        (0.0, 0.0, 1.0),
        (-1.0, -0.1, 1.0),
        (0.0, 0.3, 0.0),
        (0.0, 0.15, 0.25),
        (0.5, 0.5, 0.5),
        (0.5, 0.425, 0.625),
        (1.0, 0.1, 1.0),
        (0.0, 99.0, 0.0),
    ],
)
def test_the_probability_is_the_share_of_errors_that_would_carry_the_water_over_the_level(mu: float, delta: float, p: float) -> None:
    assert chance(mu, delta) == pytest.approx(p, abs=1e-6)


def test_an_error_is_measured_in_the_size_that_is_expected_of_it() -> None:
    assert chance(0.5, 0.8, spread=2.0) == chance(0.0, 0.15)
    assert chance(0.5, 0.2, spread=0.5) == pytest.approx(1.0)
    assert chance(0.5, 0.575, spread=0.5) == chance(0.0, 0.15)


@pytest.mark.parametrize(
    ("u", "mu", "size"), [(0.0, 0.0, 0.1), (1.0, 0.0, 0.3), (1.0, 0.5, 0.45), (1.0, -0.5, 0.3), (-9.0, 0.0, LEAST_SPREAD)]
)
def test_the_higher_the_river_and_the_greater_the_rise_the_less_sure_is_the_forecast(u: float, mu: float, size: float) -> None:
    net = network([("r", "93")], {("r", "93"): gauge("93")}, {("r",): model(errors=fitted_spread())}, FEATURES)
    features = np.zeros((1, 1, len(FEATURES)))
    features[..., FEATURES.index("u")] = u
    assert error_spread(net.learned, features, np.array([[2]]), np.full((1, 1, 4), mu)) == pytest.approx(np.full((1, 1, 4), size))


def fitted_spread() -> list[dict[str, Any]]:
    return [each | {"spread": [0.1, 0.2, 0.3]} for each in model()["errors"]]


def test_without_a_model_or_a_threshold_there_is_no_probability() -> None:
    assert np.isnan(chance(np.nan, 0.5))
    assert np.isnan(chance(0.5, np.nan))
