"""The fit on waves made by hand: it finds that upstream foretells downstream, and gives the same bytes for the same readings.

A wave passes 92, is at 93, 15 km further down, two hours later, and at 97 never. Readings are hourly, for sixty days.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipelines.upstream_flood.evidence import FEATURES, evidence, forecast_change, forecast_rise
from pipelines.upstream_flood.fit import FitError, How, fit, prepared, regressed, without_spikes
from pipelines.upstream_flood.network import network
from tests.upstream_flood.river import FEEDS, GAUGE, LEVEL, MODEL, Watch, at, frame, gauge, levels, minute_of, past_of, reading, slot, story

DAYS = 60
GAUGES = [gauge("92", north_km=12, downstream_id="93"), gauge("93"), gauge("97", north_km=-20)]


def waves(hour: float, *, lag_h: float) -> float:
    """A wave every three days or so, of every size: up within four hours, down within twelve."""
    random, level = Random(7), 0.0
    for nth in range(DAYS // 3):
        since = hour - lag_h - (72 * nth + random.uniform(8, 60))
        level += random.uniform(0.3, 2.0) * float(np.clip(since / 4, 0, 1) if since < 4 else np.exp(-(since - 4) / 6))
    return level


@cache
def watched(days: int = DAYS) -> pl.DataFrame:
    hours = range(days * 24)
    noise = Random(1)
    rows = levels("92", *(round(1.0 + waves(hour, lag_h=0) + noise.gauss(0, 0.005), 2) for hour in hours))
    rows += levels("93", *(round(1.0 + 0.7 * waves(hour, lag_h=2) + noise.gauss(0, 0.005), 2) for hour in hours))
    rows += levels("97", *(round(1.0 + 0.1 * np.sin(hour / 20) + noise.gauss(0, 0.005), 2) for hour in hours))
    return frame(LEVEL, rows)


def fitted(readings: pl.DataFrame, gauges: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return fit(readings, frame(GAUGE, gauges or GAUGES), level_feed=FEEDS[LEVEL], region="r", valid_from=at(-9999), fitted_on="made waves")


@cache
def learned() -> Mapping[str, Any]:
    return fitted(watched())


def test_it_says_what_it_was_fitted_on_and_is_named_after_its_numbers() -> None:
    record = learned()
    assert (record["region"], record["fitted_on"], record["features"], record["horizons_h"]) == (
        "r",
        "made waves",
        list(FEATURES),
        [1, 2, 3, 6],
    )
    assert [each["gauge_id"] for each in record["gauges"]] == ["92", "93", "97"]
    assert record["model"].startswith("r-")
    assert len(record["model"]) == 12


def test_a_region_with_a_single_gauge_is_fitted_on_what_it_says_itself() -> None:
    record = fitted(watched().filter(pl.col("gauge_id") == "93"), [gauge("93")])
    assert [(each["gauge_id"], each["group"]) for each in record["gauges"]] == [("93", "rest")]
    own = np.array(record["gauges"][0]["coefficients"]).reshape(3, 4, len(FEATURES))
    assert own[0, :, :11].any()
    assert not own[2].any()


def test_it_fits_the_feed() -> None:
    (row,) = frame(MODEL, [learned() | {"arrived": at(0)}]).to_dicts()
    assert {name: row[name] == learned()[name] for name in learned()} == dict.fromkeys(learned(), True)
    coefficients = {len(each["coefficients"]) for each in row["gauges"]}
    assert coefficients == {len(each["level_coefficients"]) for each in row["gauges"]} == {3 * 4 * len(FEATURES)}
    assert {(len(each["exceedance"]), len(each["spread"])) for each in row["errors"]} == {(161, 3)}


def forecast(variant: int, upstream: list[float], own: list[float]) -> float:
    """How much 93 is expected to rise within three hours, metres, after hourly levels of 92 and its own."""
    known = {("r", each["gauge_id"]): each for each in GAUGES}
    net = network(sorted(known), known, {("r",): learned()}, FEATURES)
    quiet = [*levels("97", *[1.0] * len(own))]
    k = slot(60 * (len(own) - 1))
    seen = evidence(net, past_of(net.keys, [*levels("92", *upstream), *levels("93", *own), *quiet]), range(k, k + 1))
    mu = forecast_rise(net.learned, seen.features, np.full_like(seen.variant, variant))
    return float(mu[0, 1, 2] * net.learned.scale_m[1])


CALM = [1.0] * 24


def test_a_wave_upstream_foretells_a_rise_downstream() -> None:
    """Two hours of a rise of .8 m are .56 m at 93 two hours later; its own level has not moved."""
    assert forecast(2, [*CALM, 1.4, 1.8], [*CALM, 1.0, 1.0]) > 0.3
    assert forecast(1, [*CALM, 1.4, 1.8], [*CALM, 1.0, 1.0]) > 0.3


def test_a_falling_river_is_foretold_to_fall_though_its_highest_level_is_now() -> None:
    known = {("r", each["gauge_id"]): each for each in GAUGES}
    net = network(sorted(known), known, {("r",): learned()}, FEATURES)
    fall = [1.0, 1.6, 2.2, 2.0, 1.85, 1.72, 1.61]
    k = slot(60 * 30)
    rows = [*levels("92", *CALM, *fall), *levels("93", *CALM, *fall), *levels("97", *[1.0] * 31)]
    seen = evidence(net, past_of(net.keys, rows), range(k, k + 1))
    rise, change = (each(net.learned, seen.features, seen.variant)[0, 1, 2] for each in (forecast_rise, forecast_change))
    assert change < -0.1 < rise


def test_without_a_wave_no_rise_is_foretold() -> None:
    assert abs(forecast(2, [*CALM, 1.0, 1.0], [*CALM, 1.0, 1.0])) < 0.05


def test_the_table_of_its_own_level_sees_nothing_upstream() -> None:
    assert abs(forecast(0, [*CALM, 1.4, 1.8], [*CALM, 1.0, 1.0])) < 0.15


def test_the_greater_the_wave_the_greater_the_rise() -> None:
    small, large = (forecast(2, [*CALM, 1 + height / 2, 1 + height], [*CALM, 1.0, 1.0]) for height in (0.4, 1.2))
    assert large > small + 0.2


def width(variant: str, *, u: float, mu: float) -> float:
    """Width of the middle four fifths of the errors of the three-hour forecast, in scales."""
    (table,) = [e for e in learned()["errors"] if (e["group"], e["variant"], e["horizon_h"]) == ("network", variant, 3)]
    above, steps = np.array(table["exceedance"]), np.array(learned()["error_steps"])
    size = table["spread"] @ np.array([1.0, u, mu])
    return float(size * (steps[np.argmax(above < 0.1)] - steps[np.argmax(above < 0.9)]))


def test_the_errors_are_shares_that_only_fall_and_upstream_makes_them_smaller() -> None:
    for each in learned()["errors"]:
        above = np.array(each["exceedance"])
        assert (np.diff(above) <= 0).all()
        assert above.min() >= 0
        assert above.max() <= 1
    assert width("own_upstream", u=0.5, mu=0.4) < width("own", u=0.5, mu=0.4)


def test_the_greater_the_forecast_the_larger_an_error_is_expected_to_be() -> None:
    assert width("own", u=0.5, mu=0.4) > 1.5 * width("own", u=0.0, mu=0.0)


def test_a_fit_may_take_errors_to_be_of_one_size() -> None:
    ground, found = prepared(watched(20), frame(GAUGE, GAUGES), level_feed=FEEDS[LEVEL], region="r")
    record = regressed(ground, found, region="r", valid_from=at(-9999), fitted_on="", how=How(spread="constant"))
    assert {tuple(size != 0 for size in each["spread"]) for each in record["errors"]} <= {(True, False, False), (False, False, False)}


def test_the_fitted_model_warns_downstream_before_the_water_is_there() -> None:
    """93 passes 2 m at minute 1730 or so; its own rise begins at minute 1560."""
    watch = Watch(*GAUGES, {**learned(), "arrived": at(-9999)})
    hours = range(36)
    flood = [1.8 * float(np.clip((hour - 24) / 4, 0, 1)) for hour in range(-2, 36)]
    rows = [
        *levels("92", *(1 + flood[hour + 2] for hour in hours)),
        *levels("93", *(1 + 0.7 * flood[hour] for hour in hours)),
        *levels("97", *[1.0] * 36),
    ]
    watch.hears(*rows)
    crossing = next(minute_of(each["observed_at"]) for each in rows if each["gauge_id"] == "93" and each["level_m"] >= 2)
    (raised, state), *_ = story(watch.said)
    assert state == "raised"
    assert crossing - raised >= 120
    assert {each["model"] for each in watch.said if each["level"] == "L1"} == {learned()["model"]}


# --- scales ----------------------------------------------------------------------------------------------------


def scale(gauge_id: str, **of_97: Any) -> tuple[float, float]:
    record = fitted(watched(20), [*GAUGES[:2], GAUGES[2] | of_97])
    return next((each["median_m"], each["scale_m"]) for each in record["gauges"] if each["gauge_id"] == gauge_id)


def test_the_scale_of_a_gauge_is_its_high_water_or_a_third_of_its_way_to_l1_and_never_less_than_15_centimetres() -> None:
    level = watched(20).filter(pl.col("gauge_id") == "92")["level_m"].to_numpy()
    assert scale("92") == pytest.approx((np.median(level), np.quantile(level, 0.995) - np.median(level)))
    median, found = scale("97")
    assert found == pytest.approx(0.35 * (2.0 - median))
    assert scale("97", l1_standby_m=None)[1] == 0.15


def test_levels_below_which_the_sign_is_lost_are_not_believed() -> None:
    assert scale("97", sign_lost_below_m=1.05)[0] == 1.05


# --- the same bytes --------------------------------------------------------------------------------------------


def test_the_same_readings_in_any_order_give_the_same_bytes() -> None:
    readings = watched(20)
    shuffled = readings[Random(3).sample(range(readings.height), readings.height)]
    one, other, backwards = fitted(readings), fitted(shuffled), fitted(readings, GAUGES[::-1])
    assert repr(one) == repr(other) == repr(backwards)


def test_other_readings_give_another_name() -> None:
    assert fitted(watched(20))["model"] != learned()["model"]


# --- spikes ----------------------------------------------------------------------------------------------------


def kept(*hour_and_level: tuple[float, float | None], scale_m: float = 0.3) -> list[float]:
    rows = [reading("93", 60 * hour, level) for hour, level in hour_and_level]
    return without_spikes(frame(LEVEL, rows), {"93": scale_m})["level_m"].to_list()


def test_a_level_that_stands_alone_is_a_spike() -> None:
    assert kept((0, 1.0), (1, 1.9), (2, 1.0)) == [1.0, 1.0]


def test_a_flood_that_stays_is_none() -> None:
    assert kept((0, 1.0), (1, 1.9), (2, 1.8), (3, 1.0)) == [1.0, 1.9, 1.8, 1.0]


@pytest.mark.parametrize(("level", "scale_m"), [(1.79, 0.3), (2.4, 1.5)])
def test_up_to_80_centimetres_or_the_scale_it_is_none(level: float, scale_m: float) -> None:
    assert kept((0, 1.0), (1, level), (2, 1.0), scale_m=scale_m) == [1.0, level, 1.0]


def test_within_more_than_four_hours_it_may_have_risen_and_fallen() -> None:
    assert kept((0, 1.0), (2, 1.9), (4, 1.0)) == [1.0, 1.0]
    assert kept((0, 1.0), (2, 1.9), (4.1, 1.0)) == [1.0, 1.9, 1.0]


def test_the_first_and_the_last_level_are_kept_and_readings_without_one_are_not() -> None:
    assert kept((0, 9.0), (1, None), (2, 1.0), (3, 9.0)) == [9.0, 1.0, 9.0]


def test_gauges_are_not_mixed() -> None:
    rows = [reading("92", 0, 1.0), reading("93", 60, 9.0), reading("92", 120, 1.0)]
    assert without_spikes(frame(LEVEL, rows), {}).height == 3


# --- too little ------------------------------------------------------------------------------------------------


def test_too_few_readings_are_refused() -> None:
    with pytest.raises(FitError) as caught:
        fitted(watched(8))
    assert str(caught.value) == "levels of r must hold 200 readings of a gauge at least (got 576 rows): give a longer period"


def test_readings_too_far_apart_to_learn_from_are_refused() -> None:
    rare = watched().filter(pl.col("observed_at").dt.hour() % 4 == 0)
    with pytest.raises(FitError) as caught:
        fitted(rare)
    assert str(caught.value) == "levels of r must hold floods to learn from (got 1080 readings and no example): give a longer period"


def test_a_gauge_with_too_few_readings_is_left_out() -> None:
    few = watched(20).filter((pl.col("gauge_id") != "97") | (pl.col("observed_at") < at(0) + timedelta(hours=199)))
    assert [each["gauge_id"] for each in fitted(few)["gauges"]] == ["92", "93"]


def test_readings_of_gauges_that_are_not_known_are_left_out() -> None:
    assert repr(fitted(watched(20), GAUGES[:2])) == repr(fitted(watched(20).filter(pl.col("gauge_id") != "97"), GAUGES[:2]))
