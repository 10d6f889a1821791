"""The scorer on hand-made hydrographs: every figure here was worked out by hand.

The gauge is called 朝 and passes L1 at 2.00 m and L2 at 3.00 m. Hours are counted from 2024-05-28 00:00 UTC, the period is
seven days long, and readings arrive ten minutes after they were taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.upstream_flood import score as scorer
from pipelines.upstream_flood.score import NET, Group, Scored, clean, official, pairs, passings, pseudo, score, spells, summary, together
from schemas.feeds import feed

START = datetime(2024, 5, 28, tzinfo=UTC)
PERIOD = (START, START + timedelta(days=7))
ASA = Group(name="朝", gauges=("朝",))


def at(hour: float) -> datetime:
    return START + timedelta(hours=hour)


def gauge(gauge_id: str = "朝", **fields: Any) -> pl.DataFrame:
    known = {"gauge_id": gauge_id, "valid_from": at(-9999), "version": 1, "op": "stated", "l1_standby_m": 2.0, "l2_caution_m": 3.0}
    columns = feed("river.gauge.v1").columns
    return pl.DataFrame([{name: None for name in columns} | known | fields], schema=columns)


def readings(*hour_and_level: tuple[float, float | None], gauge_id: str = "朝") -> pl.DataFrame:
    rows = [
        {"region": "r", "gauge_id": gauge_id, "observed_at": at(h), "version": 1, "op": "stated", "level_m": m, "arrived": at(h + 1 / 6)}
        for h, m in hour_and_level
    ]
    return pl.DataFrame(rows, schema=feed("river.level.v1").frame_schema)


def hourly(*levels: float, first: float = 0, gauge_id: str = "朝") -> pl.DataFrame:
    return readings(*((first + hour, level) for hour, level in enumerate(levels)), gauge_id=gauge_id)


def said(*hour_and_state: tuple[float, str], id: str = "n", level: str | None = "L1", gauge_id: str = "朝") -> pl.DataFrame:
    """All revisions of one notice."""
    rows = [
        {"id": id, "revision": nth, "state": state, "gauge_id": gauge_id, "level": level, "said_at": at(hour)}
        for nth, (hour, state) in enumerate(hour_and_state, 1)
    ]
    columns = feed("river.flood-notice.v1").columns
    return pl.DataFrame(rows, schema={name: columns[name] for name in ("id", "revision", "state", "gauge_id", "level", "said_at")})


def scored(levels: pl.DataFrame, *notices: pl.DataFrame, period: tuple[datetime, datetime] = PERIOD) -> Scored:
    known = gauge()
    return score(clean(levels, known), official(known), pl.concat([said(), *notices]), period)


def outcomes(result: Scored) -> list[str]:
    return result.notices["outcome"].to_list()


FLOOD = hourly(*[1.0] * 8, 1.4, 1.8, 2.2, 2.6, 2.4, 2.1, 1.8, 1.4, *[1.0] * 20)
"""Passes L1 at hour 10, peaks at 2.60 m at hour 11, stands above it for the last time at hour 13."""


# What can be trusted -------------------------------------------------------------------------------------------


def levels_of(frame: pl.DataFrame, known: pl.DataFrame | None = None) -> list[float]:
    return clean(frame, gauge() if known is None else known)["level_m"].to_list()


def test_readings_without_a_level_are_dropped() -> None:
    assert levels_of(readings((0, 1.0), (1, None), (2, 1.2))) == [1.0, 1.2]


def test_the_last_word_on_a_reading_holds_and_a_withdrawn_one_is_gone() -> None:
    twice = pl.concat(
        [readings((0, 1.0), (1, 1.1), (2, 1.2)), readings((1, 1.5)), readings((2, 9.9)).with_columns(version=pl.lit(0, pl.Int64))]
    )
    assert levels_of(twice) == [1.0, 1.5, 1.2]
    gone = readings((1, 1.1)).with_columns(version=pl.lit(2, pl.Int64), op=pl.lit("withdrawn"))
    assert levels_of(pl.concat([twice, gone])) == [1.0, 1.2]


def test_below_the_level_where_the_sign_is_lost_a_reading_says_no_more_than_that() -> None:
    assert levels_of(hourly(0.3, 1.7, 1.4, -0.2), gauge(sign_lost_below_m=1.65)) == [1.65, 1.7, 1.65, 1.65]


CALM = [1.0] * 300
"""So much calm that the spike height of the gauge is 0.8 m: .35·(2.00 − 1.00) is less, and the 99.5 % quantile is the calm."""


@pytest.mark.parametrize(
    ("name", "levels", "kept"),
    [
        ("one reading", [1.0, 1.9, 1.0], [1.0, 1.0]),
        ("two readings", [1.0, 1.9, 2.5, 1.0], [1.0, 1.0]),
        ("up by no more than 0.8 m", [1.0, 1.8, 1.0], [1.0, 1.8, 1.0]),
        ("down by no more than 0.8 m", [1.0, 1.9, 1.2], [1.0, 1.9, 1.2]),
        ("back only after five hours", [1.0, 1.9, 1.9, 1.9, 1.9, 1.0], [1.0, 1.9, 1.9, 1.9, 1.9, 1.0]),
        ("a flood that climbs", [1.0, 1.7, 2.4, 1.7, 1.0], [1.0, 1.7, 2.4, 1.7, 1.0]),
        ("down and back is none", [1.7, 2.4, 1.5, 2.4], [1.7, 2.4, 1.5, 2.4]),
        ("not back yet", [1.0, 3.0], [1.0, 3.0]),
    ],
)
def test_a_spike_is_up_and_back_within_four_hours(name: str, levels: list[float], kept: list[float]) -> None:
    assert levels_of(hourly(*CALM, *levels))[len(CALM) :] == kept, name


def test_a_gauge_that_moves_a_lot_needs_more_for_a_spike() -> None:
    # .35·(7.00 − 1.00) = 2.10 m
    levels = hourly(*CALM, 3.0, 1.0, 3.2, 1.0)
    assert levels_of(levels, gauge(l1_standby_m=7.0))[len(CALM) :] == [3.0, 1.0, 1.0]


def test_the_next_gauge_is_not_the_other_side_of_a_spike() -> None:
    both = pl.concat([hourly(*CALM, 3.0), hourly(1.0, 1.0, first=400, gauge_id="村")])
    assert clean(both, gauge()).height == both.height


# Thresholds ----------------------------------------------------------------------------------------------------


def test_thresholds_under_which_the_sign_is_lost_are_not_scored() -> None:
    assert official(gauge()).rows() == [("朝", "L1", 2.0), ("朝", "L2", 3.0)]
    assert official(gauge(sign_lost_below_m=2.0)).rows() == [("朝", "L2", 3.0)]
    assert official(gauge(l1_standby_m=None, l2_caution_m=None)).is_empty()


def test_the_newest_record_of_a_gauge_gives_the_thresholds() -> None:
    newer, withdrawn = gauge(valid_from=at(-99), l1_standby_m=2.5), gauge(valid_from=at(-9), l1_standby_m=9.0, op="withdrawn")
    assert official(pl.concat([newer, gauge(), withdrawn])).rows() == [("朝", "L1", 2.5), ("朝", "L2", 3.0)]


def test_groups_name_gauges_or_all_others() -> None:
    thresholds = pseudo(pl.DataFrame({"id": [12, 14, 99], "P1": [1.0, 1.0, 1.0], "P2": [2.0, None, 2.0]}))
    assert pairs(thresholds, NET).rows() == [("12", "L1"), ("12", "L2")]
    assert pairs(thresholds, scorer.OTHC).rows() == [("99", "L1"), ("99", "L2")]
    assert pairs(thresholds, Group(name="", gauges=("99",), levels=("L2",))).rows() == [("99", "L2")]


def test_groups_are_as_large_as_the_method_says() -> None:
    assert (len(NET.gauges), len(scorer.NETP.gauges)) == (26, 26)
    assert set(scorer.OTHC.gauges) - set(NET.gauges) == {"205", "14", "16", "17", "48", "134"}


# What the river did --------------------------------------------------------------------------------------------


def passed(levels: pl.DataFrame) -> list[tuple[Any, ...]]:
    found = passings(clean(levels, gauge()), official(gauge()))
    return [
        (level, (crossed - START) / timedelta(hours=1), (until - START) / timedelta(hours=1), peak, begin)
        for level, crossed, until, peak, begin in found.select("level", "crossed_at", "until", "peak_m", "begin").rows()
    ]


def test_a_passing_has_a_beginning_a_peak_and_an_end() -> None:
    assert passed(FLOOD) == [("L1", 10.0, 13.0, 2.6, "observed")]


def test_each_level_is_passed_on_its_own() -> None:
    assert passed(hourly(1.0, 1.9, 2.5, 3.0, 2.9, 1.0)) == [("L1", 2.0, 4.0, 3.0, "observed"), ("L2", 3.0, 3.0, 3.0, "observed")]


def test_at_the_level_is_passed() -> None:
    assert passed(hourly(1.4, 1.99, 2.0, 1.4)) == [("L1", 2.0, 2.0, 2.0, "observed")]


@pytest.mark.parametrize(("below", "times"), [(4, 1), (5, 2)])
def test_it_is_passed_anew_only_after_six_hours_below(below: int, times: int) -> None:
    # So many readings below between two at hourly distance mean one hour more from the last above to the next.
    assert len(passed(hourly(1.0, 2.1, *[1.5] * below, 2.1, 1.0))) == times


@pytest.mark.parametrize(("minutes", "begin"), [(180, "observed"), (181, "unobserved")])
def test_the_beginning_is_observed_if_the_reading_before_is_at_most_three_hours_old(minutes: int, begin: str) -> None:
    assert [row[-1] for row in passed(readings((0, 1.0), (minutes / 60, 2.1)))] == [begin]


def test_a_record_that_begins_above_the_level_does_not_show_a_beginning() -> None:
    assert passed(hourly(2.4, 2.1, 1.0)) == [("L1", 0.0, 1.0, 2.4, "unobserved")]


def test_a_passing_tells_since_when_its_river_was_seen() -> None:
    found = passings(clean(readings((0, 1.0), (4, 1.0), (5, 1.5), (6, 2.1), (7, 1.5)), gauge()), official(gauge()))
    assert found["seen_since"].to_list() == [at(4)]
    assert passings(clean(FLOOD, gauge()), official(gauge()))["seen_since"].to_list() == [at(0)]


# What was said -------------------------------------------------------------------------------------------------


def spans(*notices: pl.DataFrame) -> list[tuple[Any, ...]]:
    found = spells(pl.concat(notices)).select("notice_id", "ids", "said_at", "over_at").rows()
    return [(first, ids, *((each - START) / timedelta(hours=1) if each else None for each in times)) for first, ids, *times in found]


def test_a_notice_is_active_from_raised_until_cleared() -> None:
    assert spans(said((1, "raised"), (2, "updated"), (5, "cleared"))) == [("n", ["n"], 1.0, 5.0)]


def test_a_notice_that_stands_has_no_end() -> None:
    assert spans(said((1, "raised"), (2, "updated"))) == [("n", ["n"], 1.0, None)]


def test_a_notice_first_heard_of_as_updated_is_active() -> None:
    assert spans(said((1, "updated"), (3, "withdrawn"))) == [("n", ["n"], 1.0, 3.0)]


def test_a_clearing_that_is_corrected_opens_the_notice_again() -> None:
    revisions = said((1, "raised"), (3, "cleared"), (4, "cleared"), (5, "updated"), (8, "cleared"))
    assert spans(revisions) == [("n", ["n"], 1.0, 3.0), ("n", ["n"], 5.0, 8.0)]


def test_an_onset_that_moves_does_not_break_the_spell() -> None:
    moved = said((1, "raised"), (3, "withdrawn"), id="a"), said((3, "raised"), (9, "cleared"), id="b")
    assert spans(*moved) == spans(*reversed(moved)) == [("a", ["a", "b"], 1.0, 9.0)]


def test_notices_that_overlap_are_one_spell() -> None:
    assert spans(said((1, "raised"), id="a"), said((3, "raised"), (4, "cleared"), id="b")) == [("a", ["a", "b"], 1.0, None)]
    assert len(spans(said((1, "raised"), id="a"), said((3, "raised"), id="b", level="L2"))) == 2


def test_word_about_the_gauge_itself_is_no_notice_of_a_level() -> None:
    assert spans(said((1, "stale"), level=None)) == []


# The two put together ------------------------------------------------------------------------------------------


def test_a_notice_before_the_crossing_is_a_hit_and_its_lead_is_counted_to_the_crossing() -> None:
    result = scored(FLOOD, said((8.5, "raised"), (9, "updated"), (16, "cleared")))
    (event,) = result.events.to_dicts()
    assert event == {
        "gauge_id": "朝", "level": "L1", "threshold_m": 2.0, "crossed_at": at(10), "arrived": at(10 + 1 / 6), "until": at(13),
        "peak_m": 2.6, "seen_since": at(0), "outcome": "hit", "lead_min": 90.0, "late_min": None, "said_at": at(8.5), "notice_id": "n",
    }  # fmt: skip
    (notice,) = result.notices.to_dicts()
    assert notice == {
        "gauge_id": "朝", "level": "L1", "threshold_m": 2.0, "notice_id": "n", "ids": ["n"], "said_at": at(8.5), "over_at": at(16),
        "peak_m": 2.6, "outcome": "hit", "hours": 7.5, "alarms": 0, "useless_h": 0.0,
    }  # fmt: skip


def test_what_nobody_was_told_is_a_miss() -> None:
    (event,) = scored(FLOOD).events.to_dicts()
    assert (event["outcome"], event["lead_min"], event["late_min"], event["said_at"], event["notice_id"]) == ("miss", 0.0, None, None, None)


@pytest.mark.parametrize(("hour", "late_min"), [(10, 0.0), (10.25, 15.0), (18.75, 525.0)])
def test_a_notice_at_or_after_the_crossing_is_late_and_the_event_missed(hour: float, late_min: float) -> None:
    result = scored(FLOOD, said((hour, "raised"), (20, "cleared")))
    (event,) = result.events.to_dicts()
    assert (event["outcome"], event["lead_min"], event["late_min"], event["notice_id"]) == ("miss", 0.0, late_min, "n")
    assert outcomes(result) == ["late"]
    assert result.notices["alarms"].sum() == 0


def test_six_hours_after_the_river_fell_a_notice_is_no_longer_late_but_false() -> None:
    result = scored(FLOOD, said((19, "raised"), (20, "cleared")))
    assert result.events["late_min"].to_list() == [None]
    assert outcomes(result) == ["false"]


def test_a_notice_cleared_before_the_crossing_is_no_hit() -> None:
    result = scored(FLOOD, said((8.5, "raised"), (10, "cleared")))
    assert result.events["outcome"].to_list() == ["miss"]
    assert outcomes(result) == ["false"]  # the highest it saw was 1.80 m at hour 9


@pytest.mark.parametrize(("peak_m", "outcome"), [(1.89, "false"), (1.90, "near"), (1.99, "near")])
def test_a_peak_within_ten_centimetres_is_a_near_hit(peak_m: float, outcome: str) -> None:
    assert outcomes(scored(hourly(1.0, 1.5, peak_m, 1.2, 1.0, 1.0), said((1.5, "raised"), (4, "cleared")))) == [outcome]


def test_the_reading_that_stood_when_it_was_said_counts_for_a_near_hit_unless_it_is_old() -> None:
    notice = said((2.5, "raised"), (9, "cleared"))
    assert outcomes(scored(readings((0, 1.0), (2, 1.95), (3, 1.2), (4, 1.0)), notice)) == ["near"]
    assert outcomes(scored(readings((-1, 1.95), (3, 1.2), (4, 1.0)), notice)) == ["false"]


@pytest.mark.parametrize(("hours", "alarms"), [(0.5, 1), (24, 1), (24.5, 2), (72, 3)])
def test_each_day_of_useless_notice_is_a_false_alarm(hours: float, alarms: int) -> None:
    result = scored(hourly(*[1.0] * 100), said((1, "raised"), (1 + hours, "cleared")))
    assert result.notices.select("outcome", "hours", "alarms", "useless_h").rows() == [("false", hours, alarms, hours)]


def test_an_open_notice_counts_by_whole_days_only() -> None:
    result = scored(hourly(*[1.0] * 168), said((168 - 25, "raised")))
    assert result.notices.select("outcome", "over_at", "hours", "alarms", "useless_h").rows() == [("open", None, 25.0, 1, 24.0)]
    # Cleared after the period is over: within the period nobody can know that.
    assert outcomes(scored(hourly(*[1.0] * 168), said((165, "raised"), (170, "cleared")))) == ["open"]


def test_a_notice_that_never_ends_is_paid_for_although_it_hits() -> None:
    # Useless before: hour 0 to 60, two days and a half of which the first is free; after: 62 to 168, 106 h or 4.4 days.
    levels = hourly(*[1.0] * 59, 1.5, 2.1, 2.1, 2.1, *[1.0] * 106)
    result = scored(levels, said((0, "raised")))
    assert result.events.select("outcome", "lead_min").rows() == [("hit", 3600.0)]
    assert result.notices.select("outcome", "alarms", "useless_h").rows() == [("hit", 2 + 4, 36.0 + 82.0)]


def test_one_notice_can_serve_two_events() -> None:
    result = scored(hourly(1.0, 1.5, 2.1, *[1.5] * 8, 2.1, 1.5, 1.0), said((1.5, "raised"), (13, "cleared")))
    assert result.events.select("outcome", "lead_min").rows() == [("hit", 30.0), ("hit", 570.0)]
    assert outcomes(result) == ["hit"]


def test_while_the_gauge_is_silent_no_notice_is_useless() -> None:
    # Three readings, then ten days of silence: seen are the hours 0 to 5 (the last reading stands for three).
    week = (START, START + timedelta(days=20))
    result = scored(readings((0, 1.0), (1, 1.1), (2, 1.2), (242, 1.0)), said((1, "raised"), (242, "cleared")), period=week)
    assert result.notices.select("outcome", "hours", "alarms").rows() == [("false", 4.0, 1)]


def test_a_notice_that_no_reading_can_judge_is_not_counted() -> None:
    assert outcomes(scored(readings((0, 1.0), (20, 1.0)), said((10, "raised"), (12, "cleared")))) == ["uncounted"]


def test_a_passing_that_began_unobserved_is_neither_event_nor_false_alarm() -> None:
    result = scored(readings((0, 1.0), (4, 2.2), (5, 1.0)), said((2, "raised"), (6, "cleared")))
    assert result.events.is_empty()
    assert result.notices.select("outcome", "alarms").rows() == [("uncounted", 0)]


def test_a_notice_without_usable_threshold_is_shown_but_not_counted() -> None:
    result = scored(FLOOD, said((1, "raised"), (2, "cleared"), level="L4"))
    assert outcomes(result) == ["unscored"]
    assert summary(result, ASA)["false"].to_list() == [0]


def test_a_notice_of_another_level_or_gauge_does_not_help() -> None:
    others = said((9, "raised"), (12, "cleared"), id="a", level="L2"), said((9, "raised"), (12, "cleared"), id="b", gauge_id="村")
    assert scored(FLOOD, *others).events["outcome"].to_list() == ["miss"]


def test_the_period_is_one_of_arrival() -> None:
    """The crossing at hour 10 arrived ten minutes later."""
    assert scored(FLOOD, period=(at(10.1), at(24))).events.height == 1
    assert scored(FLOOD, period=(at(0), at(10.1))).events.height == 0
    assert scored(FLOOD, period=(at(10.2), at(24))).events.height == 0
    # What was said before the period still helps in it, but is judged where it was said.
    result = scored(FLOOD, said((8.5, "raised"), (16, "cleared")), period=(at(9), at(24)))
    assert result.events["outcome"].to_list() == ["hit"]
    assert result.notices.is_empty()


def test_nothing_at_all_gives_empty_tables_and_no_rates() -> None:
    result = scored(readings())
    assert result.events.is_empty()
    assert result.notices.is_empty()
    (row,) = summary(result, ASA).to_dicts()
    assert (row["events"], row["pod"], row["far"], row["csi"], row["lead_median_min"]) == (0, None, None, None, None)


# Rates ---------------------------------------------------------------------------------------------------------


def two_weeks_in_one() -> Scored:
    """Four events (leads 120, 60, missed, late), one near hit, one false alarm of 30 h: two alarms."""
    flood = [1.0] * 8 + [1.4, 1.8, 2.2, 2.0, 1.4] + [1.0] * 11  # crosses at hour 10 of each day
    levels = hourly(*flood * 4, *[1.0] * 3, 1.95, *[1.0] * 68)
    told = [
        said((8, "raised"), (14, "cleared"), id="a"),
        said((24 + 9, "raised"), (24 + 14, "cleared"), id="b"),
        said((72 + 11, "raised"), (72 + 14, "cleared"), id="late"),
        said((96 + 2, "raised"), (96 + 5, "cleared"), id="near"),
        said((110, "raised"), (140, "cleared"), id="false"),
    ]
    return scored(levels, *told)


def test_the_summary_row() -> None:
    result = two_weeks_in_one()
    assert result.events["lead_min"].to_list() == [120.0, 60.0, 0.0, 0.0]
    assert outcomes(result) == ["hit", "hit", "late", "near", "false"]
    (row,) = summary(result, ASA).to_dicts()
    hours_per_year = row.pop("false_h_per_gauge_year")
    assert row == {
        "group": "朝", "events": 4, "hits": 2, "misses": 2, "false": 2, "near": 1, "late": 1, "open": 0, "pod": 0.5, "far": 0.5,
        "far_with_near": 0.6, "csi": 2 / 6, "lead_median_min": 30.0, "lead_q25_min": 0.0,
    }  # fmt: skip
    assert hours_per_year == pytest.approx(30 / 7 * 365.25)


def test_a_summary_sees_only_its_group() -> None:
    (row,) = summary(two_weeks_in_one(), Group(name="L2", gauges=("朝",), levels=("L2",))).to_dicts()
    assert (row["events"], row["false"], row["near"]) == (0, 0, 0)


def test_periods_put_together_are_summed() -> None:
    one = two_weeks_in_one()
    (row,) = summary(together([one, one]), ASA).to_dicts()
    assert (row["events"], row["hits"], row["false"], row["csi"]) == (8, 4, 4, 2 / 6)
    assert row["false_h_per_gauge_year"] == pytest.approx(30 / 7 * 365.25)


def test_periods_against_different_thresholds_are_refused() -> None:
    other = score(clean(FLOOD, gauge()), official(gauge(l1_standby_m=2.5)), said(), PERIOD)
    with pytest.raises(ValueError, match=r"^thresholds of periods put together must be the same: score each against the same frame$"):
        together([two_weeks_in_one(), other])


# Properties ----------------------------------------------------------------------------------------------------

heights = st.lists(st.integers(8, 24).map(lambda each: each / 10), min_size=12, max_size=72)
turns = st.lists(st.tuples(st.integers(0, 70), st.integers(1, 30)), max_size=4)


def some_notices(starts_and_lengths: Sequence[tuple[int, int]]) -> list[pl.DataFrame]:
    return [
        said((start + 0.5, "raised"), (start + 0.5 + length, "cleared"), id=str(nth))
        for nth, (start, length) in enumerate(starts_and_lengths)
    ]


@given(heights, turns)
def test_every_event_is_a_hit_exactly_if_a_notice_stood_when_it_was_crossed(levels: list[float], notices: list[tuple[int, int]]) -> None:
    result = scored(hourly(*levels), *some_notices(notices))
    for event in result.events.iter_rows(named=True):
        hour = (event["crossed_at"] - START) / timedelta(hours=1)
        assert (event["outcome"] == "hit") == any(start + 0.5 < hour < start + 0.5 + length for start, length in notices)
        assert (event["lead_min"] > 0) == (event["outcome"] == "hit")
        assert event["peak_m"] >= event["threshold_m"]


@given(heights, turns, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(levels: list[float], notices: list[tuple[int, int]], random: Any) -> None:
    truth, told = hourly(*levels), pl.concat([said(), *some_notices(notices)])
    expected = score(clean(truth, gauge()), official(gauge()), told, PERIOD)
    shuffled = [frame[random.sample(range(frame.height), frame.height)] for frame in (truth, told)]
    found = score(clean(shuffled[0], gauge()), official(gauge()), shuffled[1], PERIOD)
    assert_frame_equal(found.events, expected.events)
    assert_frame_equal(found.notices, expected.notices)


@given(heights, turns)
def test_hits_of_events_and_of_notices_agree(levels: list[float], notices: list[tuple[int, int]]) -> None:
    result = scored(hourly(*levels), *some_notices(notices))
    by_event = set(result.events.filter(pl.col("outcome") == "hit")["notice_id"])
    assert by_event == set(result.notices.filter(pl.col("outcome") == "hit")["notice_id"])
