"""Forecasts that cost nothing, through the rule's own raising and clearing, on hydrographs made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pipelines.linkage import Engine
from pipelines.upstream_flood.reference import REFERENCES, reference
from tests.upstream_flood.river import FEEDS, Watch, gauge, levels, model, story


def watched(hours: float, *records: Mapping[str, Any], ticks: float = 10) -> Watch:
    """What a reference forecast says of 93, which has a model that it must not use."""
    watch = Watch()
    watch.engine = Engine(reference(hours), FEEDS, None)
    watch.engine.recall(watch.batch(gauge("93"), model(["93"])))
    watch.hears(*records, ticks=ticks)
    return watch


def turns(watch: Watch, about: str = "L1") -> list[tuple[float, str]]:
    return [each for each in story(watch.said, "93", about) if each[1] != "updated"]


FLOOD = (1.0, 1.1, 1.41, 1.72, 2.0, 2.3, 2.1, 1.8, 1.5, 1.5, 1.5)
"""Passes L1 (2.00 m) at minute 240; it rises by .3 m in each hour from minute 60 on, or a little more."""


@pytest.mark.parametrize(("hours", "raised"), [(0, 240), (1, 180), (2, 120)])
def test_the_last_hours_rise_is_carried_on_for_so_many_hours(hours: float, raised: float) -> None:
    """At minute 120 the level is 1.41 m: one hour more gives 1.72 m, two give 2.03 m."""
    assert turns(watched(hours, *levels("93", *FLOOD)))[0] == (raised, "raised")


def test_it_ends_as_the_rule_ends_it_calm_at_two_readings_running() -> None:
    """Below 1.90 m and nothing raised at minutes 420 and 480; and never within two hours."""
    assert turns(watched(0, *levels("93", *FLOOD))) == [(240, "raised"), (480, "cleared")]
    assert turns(watched(0, *levels("93", 1.0, 2.0, 1.5, 1.5, 1.5))) == [(60, "raised"), (180, "cleared")]


def test_it_ends_as_the_rule_ends_it_after_six_quiet_hours() -> None:
    """1.95 m lies within .1 m of the level: no calm, but quiet."""
    ends = turns(watched(0, *levels("93", 1.0, 2.0, *[1.95] * 8)))
    assert ends[0] == (60, "raised")
    assert ends[1][1] == "cleared"
    assert 120 + 6 * 60 - 10 <= ends[1][0] <= 120 + 6 * 60


def test_a_falling_level_is_not_carried_on() -> None:
    assert turns(watched(2, *levels("93", 1.0, 2.3, 2.05)))[0] == (60, "raised")
    assert len(turns(watched(2, *levels("93", 1.0, 2.3, 2.05)))) == 1


def test_it_says_nothing_of_the_gauge_itself_and_gives_no_numbers() -> None:
    watch = watched(1, *levels("93", *FLOOD))
    assert {each["level"] for each in watch.said} == {"L1"}
    assert {(each["p_exceed"], each["eta_p50"], each["model"]) for each in watch.said} == {(None, None, None)}
    assert {each["rule"] for each in watch.said} == {"level carried on for 1 h"}
    assert {each["threshold_m"] for each in watch.said} == {2.0}


def test_persistence_and_two_paces_of_rise_stand_beside_the_notices() -> None:
    assert dict(REFERENCES) == {"level + 2 h of rise": 2.0, "level + 1 h of rise": 1.0, "level now": 0.0}
