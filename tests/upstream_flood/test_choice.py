"""Choosing by floods that are left out: each is judged by a fit that has not seen it, and by the rule itself.

The waves are those of ``test_fit``: one every three days, of which each gauge passes some levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipelines.linkage.grid import instants
from pipelines.upstream_flood.choice import OPEN_TO_CHOICE, WAYS, Floods, Trial, Way, chosen, floods_apart, tried, whole
from pipelines.upstream_flood.fit import How, prepared
from pipelines.upstream_flood.score import Group, summary
from tests.upstream_flood.river import FEEDS, GAUGE, LEVEL, Watch, at, frame, gauge
from tests.upstream_flood.test_fit import GAUGES, learned, watched

EVERY_GAUGE = Group(name="all", gauges=(), are="others", levels=("L1", "L2"))
HIGH = [each | {"l1_standby_m": 1.9 if each["gauge_id"] == "93" else 2.3, "l2_caution_m": 3.2} for each in GAUGES]
"""Levels that few waves reach, so that more than 72 hours lie between floods."""


@cache
def floods(high: bool = True) -> Floods:
    records = frame(GAUGE, HIGH if high else GAUGES)
    return floods_apart(watched(), records, records, EVERY_GAUGE, level_feed=FEEDS[LEVEL], region="r")


def all_heard() -> Any:
    return np.zeros(len(GAUGES))


def test_the_record_is_cut_between_floods_and_nothing_is_lost() -> None:
    found = floods()
    assert len(found.periods) >= 3
    assert [end for _, end in found.periods[:-1]] == [begin for begin, _ in found.periods[1:]]
    parts = [watched().filter(pl.col("observed_at").is_between(*each, closed="left")).height for each in found.periods]
    assert sum(parts) == watched().height
    above = found.truth.filter((pl.col("gauge_id") == "92") & (pl.col("level_m") >= 2.3))["observed_at"].to_list()
    near = [min(abs(time - end) for time in above) for _, end in found.periods[:-1]]
    assert min(near) >= timedelta(hours=24), "a cut lies in quiet water"


def test_a_flood_is_judged_by_a_fit_that_has_not_seen_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[pl.DataFrame] = []

    def watching(levels: pl.DataFrame, *args: Any, **named: Any) -> Any:
        seen.append(levels)
        return prepared(levels, *args, **named)

    monkeypatch.setattr("pipelines.upstream_flood.choice.prepared", watching)
    tried(floods(), [Way(name="as chosen")], 1, all_heard())
    begin, end = floods().periods[1]
    (levels,) = seen
    assert levels.filter(pl.col("observed_at").is_between(begin, end, closed="left")).height == 0
    assert levels.height == watched().filter((pl.col("observed_at") < begin) | (pl.col("observed_at") >= end)).height


def test_what_a_way_raises_and_ends_is_what_the_linkage_says() -> None:
    """The waves of twenty days, read by the linkage reading by reading."""
    levels, records = watched(20), frame(GAUGE, GAUGES)
    watch = Watch(*GAUGES, {**learned(), "arrived": at(-9999)})
    by_arrival = sorted(levels.drop("partition", "offset").to_dicts(), key=lambda each: (each["arrived"], each["gauge_id"]))
    for nth in range(0, len(by_arrival), 3):
        watch.step(*by_arrival[nth : nth + 3])
    said = {
        (each["gauge_id"], each["level"], each["onset"], each["ended_at"] is not None)
        for each in watch.standing().values()
        if each["level"]
    }
    keys = sorted(("r", each["gauge_id"]) for each in GAUGES)
    floods = Floods(levels=levels, truth=levels, gauges=records, trial=records, periods=[(at(0), at(28_800))], level_feed=FEEDS[LEVEL],
                    region="r")  # fmt: skip
    trial = Trial(floods, keys, levels, at(0))
    told = trial.notices(learned(), Way(name="as chosen"), np.unique(instants(levels["arrived"])))["official"]
    assert told["state"].unique().sort().to_list() == ["cleared", "raised"]
    assert {(*key, at_slot(int(id_.rpartition("/")[2])), cleared) for id_, *key, cleared in turned(told)} == said
    assert len(said) >= 5


def at_slot(slot: int) -> Any:
    return at(0) + timedelta(minutes=10 * slot) - timedelta(seconds=at(0).timestamp())


def turned(told: pl.DataFrame) -> Sequence[Any]:
    by_id = told.group_by("id", "gauge_id", "level").agg(cleared=(pl.col("state") == "cleared").any())
    return by_id.rows()


def test_upstream_foretells_better_than_the_gauges_own_level() -> None:
    ways = [Way(name="all"), Way(name="own", richest="own"), Way(name="never", raise_at=2.0, net_from=np.inf)]
    parts = [tried(floods(), ways, nth, all_heard()) for nth in range(len(floods().periods))]
    below = Group(name="93", gauges=("93",), levels=("L1",))
    figures = {way.name: summary(whole(parts, way.name)[0], below).row(0, named=True) for way in ways}
    assert figures["all"]["events"] >= 3
    assert figures["all"]["csi"] > figures["own"]["csi"]
    assert (figures["never"]["hits"], figures["never"]["misses"]) == (0, figures["all"]["events"])


def test_gauges_that_are_not_heard_are_not_judged() -> None:
    unheard = np.array([0.9, 0.1, 0.1])
    (_, official), *_ = tried(floods(), [Way(name="few", hears=0.5)], 1, unheard).values()
    assert official.thresholds["gauge_id"].unique().sort().to_list() == ["93", "97"]
    assert "92" not in official.events["gauge_id"].to_list()


def test_the_ways_bear_names_of_their_own_and_those_that_may_be_chosen_raise_on_the_forecast_of_the_chosen_fit() -> None:
    assert len({way.name for way in WAYS}) == len(WAYS)
    assert all((way.how, way.richest, way.hears) == (How(), "full", 1.0) for way in WAYS[:OPEN_TO_CHOICE])
    assert any(way == Way(name=way.name) for way in WAYS[:OPEN_TO_CHOICE]), "what the rule does is among them"


# --- the choice ------------------------------------------------------------------------------------------------

NOISE = np.array([-0.1, 0.1, -0.1, 0.1])


@pytest.mark.parametrize(
    ("csi", "lead", "best"),
    [
        ({"a": 0.70, "b": 0.60}, {"a": 60, "b": 120}, "b"),
        ({"a": 0.70, "b": 0.59}, {"a": 60, "b": 120}, "a"),
        ({"a": 0.70, "b": 0.65}, {"a": 120, "b": 60}, "a"),
        ({"a": 0.70, "b": 0.70}, {"a": 60, "b": 60}, "b"),
    ],
)
def test_within_one_standard_error_of_the_best_the_longest_lead_is_chosen(
    csi: Mapping[str, float], lead: Mapping[str, float], best: str
) -> None:
    """Draws of the two differ by .1 either way: one standard error."""
    draws = {"a": 0.7 + NOISE / 2, "b": 0.6 - NOISE / 2}
    assert chosen({name: value + 1e-9 * (name == "b") for name, value in csi.items()}, draws, lead) == best


def test_one_flood_is_one_period() -> None:
    records = frame(GAUGE, [gauge("93", l1_standby_m=99.0, l2_caution_m=99.5)])
    found = floods_apart(watched(20), records, records, EVERY_GAUGE, level_feed=FEEDS[LEVEL], region="r")
    assert len(found.periods) == 1
