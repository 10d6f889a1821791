"""The arithmetic of the bench, on counts and times that were made up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from jobs.bench.figures import Flow, Standing, Waits, factor, number, percentile, table

NOT_KNOWN = math.nan


def flow(*, records: int = 1000, seconds: float = 2.0, cpu_s: float = 1.0) -> Flow:
    return Flow(name="somebody", records=records, seconds=seconds, cpu_s=cpu_s, peak_mb=100.0, said=7, standing=None)


def waits(*waits_ms: float) -> Waits:
    return Waits(name="somebody", per_s=1000, waits_ms=waits_ms, behind_s=0.0)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        (range(1, 101), 50, 50),
        (range(1, 101), 99, 99),
        (range(1, 102), 99, 100),
        ([7.0], 99, 7.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([3.0, 1.0, 2.0], 100, 3.0),
    ],
)
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(values: Sequence[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_a_percentile_of_nothing_is_not_known() -> None:
    assert math.isnan(percentile([], 99))


def test_a_flow_is_told_by_the_second_and_by_the_reading() -> None:
    assert flow().per_s == 500
    assert flow().cpu_us == 1000


def test_a_flow_that_never_moved_on_has_no_rate() -> None:
    assert math.isnan(flow(seconds=0.0).per_s)
    assert math.isnan(flow(records=0).cpu_us)


def test_what_stands_is_compared_by_id_and_value() -> None:
    stands = {"a": {"p": 0.5}, "b": {"p": 0.5}, "c": {"p": 0.5}}
    should = {"a": {"p": 0.5}, "b": {"p": 0.6}, "d": {"p": 0.5}, "e": {"p": 0.5}}
    assert Standing.of(stands, should) == Standing(right=1, lost=2, extra=1, other=1)
    assert str(Standing.of(stands, should)) == "1 right, 2 lost, 1 extra, 1 other"
    assert str(Standing.of(should, should)) == "all 4 right"


def test_who_answers_ever_later_falls_behind() -> None:
    assert waits(*range(100, 20_000, 50)).falls_behind


def test_who_has_answered_nothing_yet_falls_behind() -> None:
    assert waits().falls_behind


@pytest.mark.parametrize("steady", [[20.0] * 40, [20.0] * 30 + [900.0] * 10, [3000.0] * 20 + [4000.0] * 20])
def test_who_answers_about_as_late_as_before_keeps_up(steady: list[float]) -> None:
    assert not waits(*steady).falls_behind


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (1000.0, 400.0, "2.5"),
        (16_000.0, 160.0, "100"),
        (100.0, 400.0, "0.2"),
        (1.0, 0.0, "–"),
        (1.0, NOT_KNOWN, "–"),
        (NOT_KNOWN, 1.0, "–"),
    ],
)
def test_a_factor_tells_how_many_times(ours: float, theirs: float, expected: str) -> None:
    assert factor(ours, theirs) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [(12_345.6, "", "12,346"), (28.84, "", "28.8"), (1.234, "s", "1.23 s"), (0.0, "", "0"), (NOT_KNOWN, "ms", "–"), (math.inf, "s", "–")],
)
def test_a_number_has_three_digits_that_count(value: float, unit: str, expected: str) -> None:
    assert number(value, unit) == expected


def test_a_table_is_for_people_or_markdown() -> None:
    head, rows = ("", "readings/s"), [["tsunagu", "1"], ["a peer", "22"]]
    assert table(head, rows, "plain") == "         readings/s\ntsunagu  1\na peer   22"
    assert table(head, rows, "markdown") == "|  | readings/s |\n|---|---|\n| tsunagu | 1 |\n| a peer | 22 |"
