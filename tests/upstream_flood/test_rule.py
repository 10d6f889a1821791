"""The flood rule through the engine, on hydrographs made by hand: every row of its table, and every state of its own.

The default model makes figures easy: gauge 93 alone rises by 1.3 times the change of its last hour within three hours, give
or take 0.3 m, so P(L1) = (0.3 − (2.0 − level − 1.3·change)) ÷ 0.6. Minutes are counted from the first reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.upstream_flood.river import NO_LEVELS, Watch, at, gauge, levels, minute_of, model, reading, river, story, subject, tick

STILL: Mapping[str, Sequence[float]] = {}
"""A model that expects no rise, whatever happens."""


def alone(*records: Mapping[str, Any], beta: Mapping[str, Sequence[float]] | None = None, ticks: float | None = 10, **of_93: Any) -> Watch:
    """93 without any other gauge."""
    watch = Watch(gauge("93", **of_93), model(["93"], beta))
    watch.hears(*records, ticks=ticks)
    return watch


def turns(watch: Watch, about: str = "L1", gauge_id: str = "93") -> list[tuple[float, str]]:
    """Minute and state of what is said, without mere updates."""
    return [each for each in story(watch.said, gauge_id, about) if each[1] != "updated"]


RISING = (1.0, 1.1, 1.5)
"""At minute 120 P is .53, and the last hour's rise once more would not reach 2 m."""


# --- the table of transitions ----------------------------------------------------------------------------------


def test_a_probability_of_a_quarter_raises_a_notice() -> None:
    watch = alone(*levels("93", *RISING))
    assert turns(watch) == [(120, "raised")]
    (notice,) = [each for each in watch.said if each["level"] == "L1"]
    assert (notice["p_exceed"], notice["observed_m"], notice["threshold_m"], notice["model"]) == (0.55, 1.5, 2.0, "r-made")


@pytest.mark.parametrize(("level_m", "raised"), [(1.42, []), (1.44, [(120, "raised")])])
def test_just_below_a_quarter_nothing_is_raised(level_m: float, raised: list[Any]) -> None:
    """.58 − 1.3·.32 = .164 → P = .23;  .56 − 1.3·.34 = .118 → P = .30."""
    assert turns(alone(*levels("93", 1.0, 1.1, level_m))) == raised


def test_the_safety_net_raises_where_the_last_hours_rise_once_more_would_pass_the_level() -> None:
    """The forecast alone gives .17 at 1.80 m, too little to raise."""
    watch = alone(*levels("93", 1.0, 1.4, 1.8), beta=STILL)
    assert turns(watch) == [(120, "raised")]
    assert watch.said[-1]["p_exceed"] == 0.5, "the share of rises that go on"


def test_the_safety_net_does_not_count_where_the_forecast_holds_the_level_to_be_improbable() -> None:
    """At 1.76 m the forecast gives .10, at 1.79 m .15."""
    assert turns(alone(*levels("93", 1.0, 1.35, 1.76), beta=STILL)) == []
    assert turns(alone(*levels("93", 1.0, 1.35, 1.79), beta=STILL)) == [(120, "raised")]


def test_without_the_safety_net_and_without_a_forecast_nothing_is_raised() -> None:
    assert turns(alone(*levels("93", 1.0, 1.65, 1.8), beta=STILL)) == []


def test_the_net_holds_without_any_model() -> None:
    watch = Watch(gauge("93"))
    watch.hears(*levels("93", 1.0, 1.1, 1.6), ticks=10)
    assert turns(watch) == [(120, "raised")]
    assert (watch.said[-1]["p_exceed"], watch.said[-1]["model"], watch.said[-1]["eta_p50"]) == (None, None, None)


def test_a_model_that_was_fitted_for_other_features_is_not_used() -> None:
    watch = Watch(gauge("93"), model(["93"], features=["something", "else"], gauges=[]))
    watch.hears(*levels("93", *RISING, 1.95), ticks=10)
    assert turns(watch) == [(180, "raised")]
    assert {each["model"] for each in watch.said} == {None}


def test_each_level_has_its_own_notice() -> None:
    watch = alone(*levels("93", *RISING, 2.2, 3.1))
    assert (turns(watch), turns(watch, "L2"), turns(watch, "L3")) == ([(120, "raised")], [(180, "raised")], [(240, "raised")])
    assert turns(watch, "L4") == []


def test_a_notice_ends_when_two_readings_running_are_calm() -> None:
    watch = alone(*levels("93", *RISING, 1.4, 1.3))
    assert turns(watch) == [(120, "raised"), (240, "cleared")]
    assert watch.said[-1]["ended_at"] == at(240)


def test_one_calm_reading_does_not_end_it() -> None:
    assert turns(alone(*levels("93", *RISING, 1.4, 1.8, 1.4, 1.3))) == [(120, "raised"), (360, "cleared")]


def test_a_level_within_ten_centimetres_is_not_calm() -> None:
    """With no forecast P is nil far from the level; 1.91 m is too close all the same."""
    flat = dict.fromkeys(("d1",), (0.0,) * 4)
    steep = model(["93"], flat, errors=[each | {"exceedance": _sharp(each)} for each in model()["errors"]])
    for height, expected in ((1.91, [(60, "raised"), (470, "cleared")]), (1.89, [(60, "raised"), (180, "cleared")])):
        watch = Watch(gauge("93"), steep)
        watch.hears(*levels("93", 1.0, 2.0, *[height] * 10), ticks=10)
        assert turns(watch)[0] == expected[0]
        assert turns(watch)[1][1] == "cleared"
        assert (turns(watch)[1][0] >= 400) == (height > 1.9)


def _sharp(errors: Mapping[str, Any]) -> list[float]:
    """Errors of this forecast are nil: the level is passed exactly if it is forecast to be."""
    return [1.0 if nth <= 20 else 0.0 for nth in range(len(errors["exceedance"]))]


def test_a_notice_ends_after_six_quiet_hours_though_never_calm() -> None:
    """At 1.80 m P stays .17: too little to raise, too much to be calm. Quiet from minute 240 on."""
    watch = alone(*levels("93", *RISING, *[1.8] * 10))
    assert turns(watch) == [(120, "raised"), (590, "cleared")]
    (cleared,) = [each for each in watch.said if each["state"] == "cleared"]
    assert cleared["said_at"] == at(590), "by the clock, before the next reading"


def test_hours_without_readings_are_not_quiet_hours() -> None:
    hydrograph = levels("93", *RISING, *[1.8] * 13)
    watch = alone(*(each for each in hydrograph if each["observed_at"] != at(360)))
    assert turns(watch) == [(120, "raised"), (420 + 350, "cleared")], "from 410 to 420 the newest level was older than 100 minutes"


def test_over_the_level_a_notice_stands_for_as_long_as_it_takes() -> None:
    assert turns(alone(*levels("93", *RISING, *[2.1] * 30))) == [(120, "raised")]


def test_a_notice_lasts_at_least_two_hours() -> None:
    watch = alone(*levels("93", *[1.0] * 6, 1.5, *[1.2] * 20, every=10))
    assert turns(watch) == [(60, "raised"), (180, "cleared")]


def test_the_two_hours_end_by_the_clock_though_nothing_more_is_heard() -> None:
    watch = alone(*levels("93", *[1.0] * 6, 1.5, *[1.2] * 2, every=10))
    watch.hears(*map(tick, range(100, 190, 10)))
    assert turns(watch) == [(60, "raised"), (180, "cleared")]


def test_a_level_that_swings_around_the_limit_does_not_make_a_notice_flap() -> None:
    """P goes up and down between .13 and .37."""
    assert turns(alone(*levels("93", *[1.2, 1.6], *[1.87, 1.83] * 12))) == [(60, "raised")]


def test_after_its_end_a_notice_can_be_raised_again_under_another_id() -> None:
    watch = alone(*levels("93", *RISING, 1.4, 1.3, 1.3, 1.7))
    assert turns(watch) == [(120, "raised"), (240, "cleared"), (360, "raised")]
    assert {each["id"] for each in watch.said if each["level"]} == {"r/93/L1/20240528T0200Z", "r/93/L1/20240528T0600Z"}


def test_a_municipality_may_ask_for_more_certainty() -> None:
    assert turns(alone(*levels("93", *RISING), raise_at_p=0.6)) == []
    assert turns(alone(*levels("93", *RISING), raise_at_p=0.5)) == [(120, "raised")]


def test_a_notice_that_was_raised_at_more_certainty_ends_at_half_of_it() -> None:
    """At 1.80 m and level P is .17: calm where .45 is asked for, not where .125 is."""
    hydrograph = levels("93", 1.0, 2.1, 1.8, 1.8)
    assert turns(alone(*hydrograph, raise_at_p=0.9)) == [(60, "raised"), (180, "cleared")]
    assert turns(alone(*hydrograph)) == [(60, "raised")]


def test_a_late_reading_in_time_corrects_what_was_said() -> None:
    """The rise began an hour earlier than was known: one id takes the place of the other."""
    hydrograph = levels("93", 1.0, 1.1, 1.5, 1.95)
    watch = Watch(gauge("93"), model(["93"]))
    late = hydrograph.pop(2) | {"arrived": at(240)}
    watch.hears(*hydrograph, late)
    gone, come = [each for each in watch.said if each["level"] == "L1"][-2:]
    assert (gone["state"], minute_of(gone["onset"]), come["state"], minute_of(come["onset"])) == ("withdrawn", 180, "raised", 120)
    assert (gone["instead_of"], come["instead_of"]) == (come["id"], gone["id"])


def test_a_withdrawn_threshold_withdraws_the_notice_and_says_that_there_is_none() -> None:
    watch = alone(*levels("93", *RISING, 1.9))
    said = watch.step(gauge("93", version=2, arrived=190, **NO_LEVELS))
    assert [(subject(each), each["state"]) for each in said if each["level"]] == [("L1", "withdrawn")]
    assert watch.now() == ["93 no_threshold no_threshold"]


def test_a_new_threshold_judges_what_comes() -> None:
    watch = alone(*levels("93", *RISING, 1.52))
    watch.step(gauge("93", since=190, arrived=189, l1_standby_m=9.0))
    watch.hears(*levels("93", 1.52, 1.52, first=240), ticks=10)
    assert turns(watch)[0] == (120, "raised")
    assert turns(watch)[1][1] == "cleared"


def run_of(records: Sequence[Mapping[str, Any]], ticks: float | None) -> dict[str, Any]:
    watch = Watch(gauge("93"), model(["93"]))
    watch.hears(*records, ticks=ticks)
    watch.hears(tick(700))
    return {id_: (each["state"], each["ended_at"]) for id_, each in watch.standing().items() if each["level"]}


def test_two_calm_readings_with_more_than_six_hours_between_them_are_judged_alike_however_often_the_clock_ticks() -> None:
    records = [*levels("93", *RISING, 1.4), reading("93", 600, 1.3)]
    assert run_of(records, None) == run_of(records, 10)


# --- a gauge that cannot be judged -----------------------------------------------------------------------------


def test_after_100_minutes_a_gauge_is_stale_and_after_three_hours_it_has_no_reading() -> None:
    watch = alone(reading("93", 0))
    watch.hears(*map(tick, range(10, 300, 10)))
    assert turns(watch, "stale") == [(110, "stale")]
    assert turns(watch, "no_reading") == [(190, "no_reading")]
    watch.hears(reading("93", 300))
    assert watch.now() == []
    assert turns(watch, "stale")[-1] == turns(watch, "no_reading")[-1] == (300, "cleared")


def test_a_silent_gauge_that_is_renamed_is_said_to_be_silent_under_its_new_name() -> None:
    watch = alone(*levels("93", 1.0), gauge("93", since=400, arrived=390, name="新橋"), *(tick(minute) for minute in range(10, 900, 10)))
    told = [(minute_of(each["said_at"]), each["headline_ja"].split(":")[0]) for each in watch.said if subject(each) == "stale"]
    assert told == [(110, "福井市 足羽川 観測所93"), (400, "福井市 足羽川 新橋")], "once under each name, however long it is silent"


def test_staleness_is_said_as_soon_as_the_clock_passes_it() -> None:
    watch = alone(reading("93", 0))
    assert [watch.hears(tick(minute)) for minute in (99, 100)] == [[], []]
    assert [each["state"] for each in watch.hears(tick(101))] == ["stale"]


def test_a_gauge_that_never_spoke_is_stale_and_has_no_reading() -> None:
    watch = Watch(gauge("93"), model(["93"]))
    watch.hears(tick(0))
    assert watch.now() == ["93 no_reading no_reading", "93 stale stale"]


def test_a_reading_without_a_level_is_no_reading_at_once() -> None:
    watch = alone(reading("93", 0), reading("93", 10, None))
    assert watch.now() == ["93 no_reading no_reading"]
    watch.hears(reading("93", 20))
    assert watch.now() == []


def test_a_gauge_without_levels_has_no_threshold() -> None:
    watch = alone(reading("93", 0), **NO_LEVELS)
    assert watch.now() == ["93 no_threshold no_threshold"]
    watch.hears(gauge("93", since=60, arrived=50), tick(60))
    assert turns(watch, "no_threshold") == [(0, "no_threshold"), (60, "cleared")]


def test_a_gauge_whose_sign_is_lost_up_to_its_highest_level_raises_nothing_and_says_that_it_cannot() -> None:
    watch = Watch(*river(), model())
    watch.hears(*levels("205", 0.3, 1.0, 1.8, 2.4, 2.9, 3.5, 4.2, 1.0), ticks=10)
    assert [each for each in watch.said if each["gauge_id"] == "205" and each["level"]] == []
    assert "205 no_threshold no_threshold" in watch.now()


def test_levels_above_the_lost_sign_are_judged_and_those_below_are_not() -> None:
    watch = alone(*levels("93", 1.0, 1.9, 2.8, 3.2), sign_lost_below_m=2.5)
    assert turns(watch) == []
    assert turns(watch, "L2") == [(120, "raised")]


CRISIS = {"reports": "above_start", "start_level_m": 0.5, **NO_LEVELS, "l1_standby_m": 2.0}


def test_a_crisis_gauge_below_its_start_level_is_not_observed_from_one_daily_report_to_the_next() -> None:
    watch = alone(*levels("93", 0.3, 0.3, 0.2, every=1440), ticks=60, **CRISIS)
    assert [each["state"] for each in watch.said] == ["not_observed"]
    assert watch.now() == ["93 not_observed not_observed"]


def test_a_crisis_gauge_that_misses_its_daily_report_is_stale_and_then_has_no_reading() -> None:
    watch = alone(reading("93", 0, 0.3), **CRISIS)
    watch.hears(*map(tick, range(10, 32 * 60, 10)))
    assert turns(watch, "not_observed") == [(0, "not_observed"), (26 * 60 + 10, "cleared")]
    assert turns(watch, "stale") == [(26 * 60 + 10, "stale")]
    assert turns(watch, "no_reading") == [(30 * 60 + 10, "no_reading")]


def test_a_missed_daily_report_is_said_as_soon_as_the_clock_passes_it() -> None:
    watch = alone(reading("93", 0, 0.3), **CRISIS)
    said = [watch.hears(tick(minute)) for minute in range(10, 26 * 60 + 20, 10)]
    assert [each["state"] for each in said[-1]] == ["cleared", "stale"]


def test_a_crisis_gauge_that_speaks_without_a_level_is_not_observed_from_that_word_on() -> None:
    watch = alone(*levels("93", 0.6, 0.7), reading("93", 120, None), **CRISIS)
    watch.hears(*map(tick, range(130, 120 + 31 * 60, 10)))
    assert turns(watch, "not_observed") == [(120, "not_observed"), (120 + 26 * 60 + 10, "cleared")]
    assert turns(watch, "stale") == [(120 + 26 * 60 + 10, "stale")]
    assert turns(watch, "no_reading") == [(120 + 30 * 60 + 10, "no_reading")]


def test_a_crisis_gauge_that_never_gave_a_level_is_not_observed_once_it_spoke() -> None:
    watch = alone(reading("93", 0, None), **CRISIS)
    assert watch.now() == ["93 not_observed not_observed"]


def test_a_crisis_gauge_that_falls_silent_above_its_start_level_is_stale_not_low() -> None:
    watch = alone(*levels("93", 0.6, 0.7), **CRISIS)
    watch.hears(*map(tick, range(70, 300, 10)))
    assert watch.now() == ["93 no_reading no_reading", "93 stale stale"]


def test_a_crisis_gauge_above_its_start_level_is_a_gauge_like_any_other() -> None:
    watch = alone(reading("93", 0, 0.3), *levels("93", 0.6, 1.0, 1.5, first=600), **CRISIS)
    assert turns(watch, "not_observed") == [(0, "not_observed"), (600, "cleared")]
    assert turns(watch) == [(720, "raised")]
    watch.hears(*map(tick, range(730, 840, 10)))
    assert turns(watch, "stale") == [(830, "stale")]


def test_a_gauge_that_falls_silent_keeps_its_notice() -> None:
    watch = alone(*levels("93", *RISING))
    watch.hears(*map(tick, range(130, 900, 10)))
    assert watch.now() == ["93 L1 updated", "93 no_reading no_reading", "93 stale stale"]
    (notice,) = [each for each in watch.standing().values() if each["level"]]
    assert (notice["p_exceed"], notice["observed_m"], notice["eta_p50"]) == (None, None, None)


def test_a_gauge_that_speaks_without_a_level_keeps_its_notice() -> None:
    watch = alone(*levels("93", *RISING, None, None, None, None))
    assert "93 L1 updated" in watch.now()
    assert "93 no_reading no_reading" in watch.now()


def test_a_gauge_that_is_no_more_is_not_spoken_of() -> None:
    watch = alone(*levels("93", *RISING), valid_until=at(200))
    watch.hears(*map(tick, range(130, 220, 10)))
    assert watch.now() == []


# --- what a notice shows ---------------------------------------------------------------------------------------


def flood(height_m: float) -> list[dict[str, Any]]:
    """A wave that passes 92 while 93, downstream of it, still stands at 1.6 m."""
    return [*levels("92", *[1.0] * 3, 1.0 + height_m, 1.0 + 1.5 * height_m), *levels("93", *[1.6] * 5), *levels("91", *[1.0] * 5)]


def raised(height_m: float) -> dict[str, Any]:
    watch = Watch(*river(), model())
    watch.hears(*flood(height_m))
    return next(each for each in watch.said if each["gauge_id"] == "93" and each["level"] == "L1")


def test_the_time_of_arrival_depends_on_the_flow() -> None:
    """92 is 5 km upstream. mu = .2, .4, .6, .8 times its rise within 1, 2, 3, 6 hours; 93 is .4 m below its level."""
    small, large = raised(0.6), raised(1.0)
    assert small["onset"] == large["onset"] == at(180)
    assert [minute_of(small[each]) - 180 for each in ("eta_p10", "eta_p50", "eta_p90")] == [70, 150, 310]
    assert [minute_of(large[each]) - 180 for each in ("eta_p10", "eta_p50", "eta_p90")] == [40, 120, 260]


def test_a_notice_rests_on_the_gauge_upstream_and_says_so() -> None:
    notice = raised(1.0)
    (weighed,) = notice["because"]["weighed_most"]
    assert weighed == {"gauge_id": "92", "what": "upstream near", "observed_at": at(180), "level_m": 2.0, "weight_m": 0.6}
    (rests,) = notice["because"]["ranges"]
    assert rests["keys"] == ["90", "91", "92", "93", "97"]
    assert rests["to_time"] == at(180)


def test_a_jump_that_no_other_gauge_shares_is_unconfirmed() -> None:
    watch = Watch(*river(), model())
    watch.hears(*levels("93", 1.0, 2.1), *levels("92", 1.0, 1.0), *levels("97", 1.0, 1.0))
    assert {each["confirmed"] for each in watch.said if each["level"] and each["gauge_id"] == "93"} == {"unconfirmed"}


def test_a_jump_that_a_neighbour_shares_is_confirmed() -> None:
    watch = Watch(*river(), model())
    watch.hears(*levels("97", 1.0, 1.3), *levels("93", 1.0, 2.1), *levels("92", 1.0, 1.0))
    (last, *_) = [each for each in reversed(watch.said) if each["level"] == "L1" and each["gauge_id"] == "93"]
    assert last["confirmed"] == "confirmed"


heights = st.lists(st.integers(5, 40).map(lambda each: each / 10), min_size=6, max_size=30)


@settings(max_examples=40, deadline=None)
@given(heights, heights)
def test_whatever_the_river_does_notices_do_not_flap_and_numbers_are_in_order(upper: list[float], lower: list[float]) -> None:
    watch = Watch(gauge("92", north_km=4, downstream_id="93"), gauge("93"), model(["92", "93"]))
    watch.hears(*levels("92", *upper, every=30), *levels("93", *lower, every=30), ticks=60)
    for notice in watch.said:
        if notice["level"]:
            assert_shown_well(notice)
    for level in ("L1", "L2", "L3", "L4"):
        assert_apart([each for each in watch.standing().values() if each["level"] == level and each["gauge_id"] == "93"])


def assert_shown_well(notice: Mapping[str, Any]) -> None:
    times = [notice[each] for each in ("eta_p10", "eta_p50", "eta_p90")]
    assert None not in times or times == [None] * 3
    assert times == [None] * 3 or (times[0] <= times[1] <= times[2])
    assert notice["p_exceed"] is None or (0 <= notice["p_exceed"] <= 1 and round(notice["p_exceed"] * 20, 9) % 1 == 0)
    assert notice["observed_m"] is None or notice["observed_m"] < notice["threshold_m"] or (times == [None] * 3 and notice["p_exceed"] == 1)


def assert_apart(notices: Sequence[Mapping[str, Any]]) -> None:
    in_order = sorted(notices, key=lambda each: each["onset"])
    for each in in_order:
        assert each["ended_at"] is None or minute_of(each["ended_at"]) - minute_of(each["onset"]) >= 120
    for earlier, later in pairwise(in_order):
        assert earlier["ended_at"] is not None
        assert earlier["ended_at"] < later["onset"]
