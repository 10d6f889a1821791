"""The judge of numbers: what the river did next, persistence index, reliability."""

from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import pipelines.upstream_flood.score as scorer
from pipelines.upstream_flood.score import after, clean, persistence_index, reliability, scales
from tests.upstream_flood.test_score import FLOOD, at, gauge, hourly, readings

THREE = timedelta(hours=3)


def then(levels: pl.DataFrame, *hours: float, within: timedelta = THREE, gauge_id: str = "朝") -> list[tuple[float | None, float | None]]:
    asked = pl.DataFrame(
        {"gauge_id": [gauge_id] * len(hours), "at": [at(each) for each in hours]}, schema_overrides={"at": pl.Datetime("ms", "UTC")}
    )
    return after(clean(levels, gauge()), asked, within).select("then_m", "highest_m").rows()


# What came ------------------------------------------------------------------------------------------------------------


def test_what_came_is_the_level_at_the_end_and_the_highest_until_then() -> None:
    assert then(FLOOD, 8, 11, 14) == [(2.6, 2.6), (1.8, 2.4), (1.0, 1.4)]


def test_between_readings_the_level_is_on_the_line_between_them() -> None:
    ((level, highest),) = then(FLOOD, 7.5)
    assert level == pytest.approx(2.4)  # halfway from 2.2 at hour 10 to 2.6 at hour 11
    assert highest == pytest.approx(2.4)
    assert then(hourly(1.0, 1.2, 1.0), 0, within=timedelta(minutes=30)) == [(pytest.approx(1.1), pytest.approx(1.1))]


def test_the_reading_of_now_is_not_what_came() -> None:
    assert then(hourly(3.0, 1.0, 1.0, 1.0), 0) == [(1.0, 1.0)]


def test_nobody_knows_what_came_where_readings_are_too_far_apart() -> None:
    gap = readings((0, 1.0), (1, 1.0), (4.1, 1.0), (5, 1.0), (8, 1.2))
    assert then(gap, 0, 1, 4.1) == [(None, None), (None, None), (pytest.approx(1.0 + 0.2 * 2.1 / 3), pytest.approx(1.0 + 0.2 * 2.1 / 3))]
    assert then(gap, 6, -1) == [(None, None), (None, None)]  # the record ends, or has not begun
    assert then(gap, 4.1, gauge_id="村") == [(None, None)]


def test_what_came_is_told_row_by_row_in_the_order_of_the_questions() -> None:
    both = pl.concat([FLOOD, FLOOD.with_columns(gauge_id=pl.lit("村"), level_m=pl.col("level_m") + 1)])
    asked = pl.DataFrame(
        {"gauge_id": ["村", "朝", "村"], "at": [at(8), at(8), at(11)], "tag": [1, 2, 3]}, schema_overrides={"at": pl.Datetime("ms", "UTC")}
    )
    assert after(clean(both, gauge()), asked, THREE).select("tag", "then_m").rows() == [(1, 3.6), (2, 2.6), (3, 2.8)]


def test_the_scale_of_a_gauge_is_how_far_it_moves() -> None:
    calm = hourly(*[1.0] * 300)
    assert scales(clean(calm, gauge()), gauge()).rows() == [("朝", pytest.approx(0.35))]  # .35·(2.00 − 1.00)
    assert scales(clean(calm, gauge(l1_standby_m=1.1)), gauge(l1_standby_m=1.1)).rows() == [("朝", 0.15)]


# Persistence index ----------------------------------------------------------------------------------------------------


def forecasts(seed: int = 3) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    level = draw.normal(2, 0.5, 400)
    return pl.DataFrame({"level_m": level, "then_m": level + draw.normal(0, 0.3, 400), "scale_m": draw.uniform(0.2, 2, 400)})


def index(forecast: pl.Expr) -> float | None:
    return persistence_index(forecasts().with_columns(forecast_m=forecast), "then_m")


def test_the_index_of_persistence_itself_is_nought_and_of_the_truth_one() -> None:
    assert index(pl.col("level_m")) == 0.0
    assert index(pl.col("then_m")) == 1.0


def test_half_of_every_change_foretold_saves_three_quarters_of_the_squared_error() -> None:
    assert index((pl.col("level_m") + pl.col("then_m")) / 2) == pytest.approx(0.75)
    assert index(2 * pl.col("level_m") - pl.col("then_m")) == pytest.approx(-3.0)


def test_errors_count_in_the_scale_of_each_gauge() -> None:
    # A large river foretold perfectly and a small one that goes the other way: each moved by one of its scales.
    two = pl.DataFrame({"level_m": [0.0, 0.0], "then_m": [4.0, 0.2], "forecast_m": [4.0, -0.2], "scale_m": [4.0, 0.2]})
    assert persistence_index(two, "then_m") == pytest.approx(1 - 4 / 2)


def test_rows_that_nobody_saw_do_not_count_and_a_level_that_never_moves_has_no_index() -> None:
    rows = pl.DataFrame({"level_m": [1.0, 1.0], "then_m": [2.0, None], "forecast_m": [2.0, 9.0], "scale_m": [1.0, 1.0]})
    assert persistence_index(rows, "then_m") == 1.0
    assert persistence_index(rows.with_columns(then_m=pl.col("level_m")), "then_m") is None


# Reliability ----------------------------------------------------------------------------------------------------------


def told(p: np.ndarray, happened: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({"p": p, "threshold_m": np.full(len(p), 2.0), "highest_m": np.where(happened, 2.0, 1.99)})


def test_probabilities_that_are_right_lie_on_the_diagonal() -> None:
    draw = np.random.default_rng(5)
    p = draw.integers(1, 20, 40_000) / 20
    found = reliability(told(p, draw.uniform(size=40_000) < p))
    assert found.height == 6
    assert found["count"].sum() == 40_000
    assert found["happened"].to_numpy() == pytest.approx(found["told"].to_numpy(), abs=0.02)


def test_probabilities_that_are_too_high_lie_below_it() -> None:
    draw = np.random.default_rng(5)
    p = draw.integers(1, 20, 40_000) / 20
    found = reliability(told(p, draw.uniform(size=40_000) < p**2))
    assert (found["happened"] < found["told"]).all()


def test_each_step_of_a_probability_lies_in_one_bin_and_what_nobody_saw_in_none() -> None:
    frame = told(np.array([0.0, 0.15, 0.2, 0.3, 1.0]), np.array([False, True, False, True, True])).vstack(
        pl.DataFrame({"p": [0.5], "threshold_m": [2.0], "highest_m": [None]}, schema_overrides={"highest_m": pl.Float64})
    )
    assert reliability(frame).select("from_p", "to_p", "told", "happened", "count").rows() == [
        (0.0, 0.175, pytest.approx(0.075), 0.5, 2),
        (0.175, 0.325, pytest.approx(0.25), 0.5, 2),
        (0.775, 1.0, 1.0, 1.0, 1),
    ]
    assert reliability(told(np.array([]), np.array([], bool))).is_empty()


# Independence ---------------------------------------------------------------------------------------------------------


def test_the_judge_knows_nothing_of_the_rule() -> None:
    paths = sorted(Path(scorer.__file__).parent.glob("*.py"))
    named = {
        node.module or ""
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
    }
    assert len(paths) == 6
    assert {each for each in named if each.startswith("pipelines")} == {
        f"pipelines.upstream_flood.score.{each}" for each in ("forecasts", "groups", "outcomes", "rates", "river")
    }
