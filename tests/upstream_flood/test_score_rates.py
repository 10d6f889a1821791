"""How sure the figures are, and what forecasters of known worth get."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from connectors import gauges
from pipelines.upstream_flood.score import (
    BOTH,
    NET,
    NETP,
    OTHC,
    ROUTINE,
    Scored,
    drawn,
    floods,
    groups,
    interval,
    official,
    pairs,
    spread,
    summary,
)
from tests.upstream_flood.test_score import ASA, PERIOD, START, at, gauge, hourly, readings, said, scored

GAUGES = Path(__file__).parents[2] / "data" / "fukui" / "gauges.csv"

WAVE = [1.0] * 8 + [1.4, 1.8, 2.2, 2.0, 1.4] + [1.0] * 107
"""Five days with one flood: L1 is passed at hour 10."""

WEEKS = (START, START + timedelta(days=60))


def waves(*notices: pl.DataFrame) -> Scored:
    """Twelve floods, five days apart."""
    return scored(hourly(*WAVE * 12), *notices, period=WEEKS)


def notice(hour: float, hours: float, id: str) -> pl.DataFrame:
    return said((hour, "raised"), (hour + hours, "cleared"), id=id)


def half_known() -> Scored:
    """The first six floods were told two hours before, the others not; in the last two something was said in vain instead."""
    told = [notice(120 * nth + 8, 6, str(nth)) for nth in range(6)]
    return waves(*told, notice(120 * 10 + 50, 5, "vain"), notice(120 * 11 + 50, 5, "again"))


def times(floods_drawn: int, draws: int = 500, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).multinomial(floods_drawn, [1 / floods_drawn] * floods_drawn, size=draws)


def test_a_forecaster_who_knows_gets_everything() -> None:
    (row,) = summary(waves(*(notice(120 * nth + 7, 8, str(nth)) for nth in range(12))), ASA).to_dicts()
    assert (row["pod"], row["far"], row["far_with_near"], row["csi"]) == (1.0, 0.0, 0.0, 1.0)
    assert (row["lead_median_min"], row["lead_q25_min"], row["false_h_per_gauge_year"]) == (180.0, 180.0, 0.0)


def test_a_forecaster_who_guesses_is_poor() -> None:
    guesses = np.random.default_rng(4).choice(1440, 40, replace=False)
    (row,) = summary(waves(*(notice(float(hour), 3, str(hour)) for hour in guesses)), ASA).to_dicts()
    assert row["pod"] < 0.4
    assert row["far"] > 0.8
    assert row["csi"] < 0.15


def test_a_flood_begins_after_three_quiet_days() -> None:
    assert floods([waves()], ASA) == [at(120 * nth + 10) for nth in range(12)]
    # What is said counts, too: a notice halfway leaves less than 72 hours on either side.
    assert floods([waves(notice(120 + 70, 2, "a"))], ASA) == [at(10), *(at(120 * nth + 10) for nth in range(1, 12) if nth != 2)]
    # Whatever one of the forecasts said.
    assert floods([waves(), waves(notice(120 + 70, 2, "a"))], ASA) == floods([waves(notice(120 + 70, 2, "a"))], ASA)


def test_where_nothing_happened_there_are_no_floods_and_no_figures() -> None:
    nothing = scored(readings())
    assert floods([nothing], ASA) == []
    found = drawn(nothing, ASA, [], times(1)[:, :0])
    assert all(np.isnan(each).all() for each in found.values())
    assert [interval(each) for each in found.values()] == [None] * 6


def test_every_flood_drawn_once_gives_the_figures_themselves() -> None:
    result = half_known()
    begins = floods([result], ASA)
    found = drawn(result, ASA, begins, np.ones((1, len(begins)), np.int64))
    (row,) = summary(result, ASA).to_dicts()
    assert {name: each[0] for name, each in found.items()} == pytest.approx({name: row[name] for name in found})
    assert (row["pod"], row["csi"], row["lead_median_min"]) == (0.5, 6 / 14, 60.0)


def test_a_flood_drawn_twice_counts_twice() -> None:
    result = half_known()
    begins = floods([result], ASA)
    # The first flood three times, the last one (missed, and cried in vain two days later) once: three hits, one miss, one false alarm.
    weights = np.zeros((1, len(begins)), np.int64)
    weights[0, 0], weights[0, -1] = 3, 1
    found = drawn(result, ASA, begins, weights)
    assert {name: each[0] for name, each in found.items()} == {
        "pod": 0.75, "far": 0.25, "far_with_near": 0.25, "csi": 0.6, "lead_median_min": 120.0, "lead_q25_min": 90.0,
    }  # fmt: skip


def test_intervals_hold_the_figure_and_are_the_same_again() -> None:
    result = half_known()
    begins = floods([result], ASA)
    first, again, other = (drawn(result, ASA, begins, times(len(begins), seed=seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name], equal_nan=True) for name in first)
    assert not np.array_equal(first["csi"], other["csi"])
    low, high = interval(first["pod"]) or (1.0, 0.0)
    # Twelve draws with a chance of one half each: 3 to 9 hits are the middle 90 % or more.
    assert low == pytest.approx(3.5 / 12, abs=0.09)
    assert high == pytest.approx(8.5 / 12, abs=0.09)


def test_a_figure_that_most_draws_do_not_have_has_no_interval() -> None:
    assert interval(np.array([0.5, np.nan, np.nan])) is None
    assert interval(np.array([0.5, 0.5, np.nan])) == (0.5, 0.5)


def test_the_spread_is_in_how_many_floods_something_happened() -> None:
    result = half_known()
    begins = floods([result], ASA)
    assert (len(begins), spread(result, ASA, begins)) == (12, (12, 12))
    lonely = scored(hourly(*[1.0] * 300), notice(20, 3, "a"), notice(150, 3, "b"))
    assert spread(lonely, ASA, floods([lonely], ASA)) == (0, 2)
    assert spread(scored(readings()), ASA, []) == (0, 0)


def test_hours_in_false_alarm_are_those_of_a_year_in_which_the_river_was_seen() -> None:
    # Ten days of readings (and three hours in which the last one stands) in a period of sixty.
    result = scored(hourly(*[1.0] * 241), notice(100, 12, "a"), period=WEEKS)
    (row,) = summary(result, ASA).to_dicts()
    assert result.seen.rows() == [("朝", 243.0)]
    assert row["false_h_per_gauge_year"] == pytest.approx(12 / 243 * 365.25 * 24)


def test_groups_of_a_region_that_nobody_sorted_are_all_gauges_and_those_with_a_routine_level() -> None:
    both = pl.concat([gauge("1", l1_is="rare"), gauge("2", l1_is="routine")])
    assert [(each.name, each.gauges, each.are) for each in groups("r", both)] == [("all", ("2",), "others"), ("routine", ("2",), "these")]
    assert [each.name for each in groups("r", gauge(l1_is="rare"))] == ["all"]
    assert groups("fukui", both) == (NET, OTHC, BOTH, ROUTINE)


def test_no_gauge_is_in_two_groups_of_official_levels() -> None:
    assert not set(NET.gauges) & set(ROUTINE.gauges)
    assert {*NET.gauges, *ROUTINE.gauges} < set(OTHC.gauges)
    assert NETP.levels == ("L1", "L2")
    thresholds = official(gauges.read(GAUGES)).filter(pl.col("level").is_in(BOTH.levels))
    apart = pl.concat([pairs(thresholds, NET), pairs(thresholds, OTHC)]).sort("gauge_id", "level")
    assert_frame_equal(pairs(thresholds, BOTH).sort("gauge_id", "level"), apart)


def test_the_period_of_a_flood_is_that_of_the_judge() -> None:
    assert floods([scored(hourly(*WAVE * 12), period=PERIOD)], ASA) == [at(10), at(130)]
