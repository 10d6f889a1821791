"""Who is judged by whom, and by what: distance classes, neighbours, thresholds that hold, models in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from pipelines.upstream_flood.evidence import FEATURES
from pipelines.upstream_flood.network import Network, network
from tests.upstream_flood import river as made
from tests.upstream_flood.river import KM_NORTH, NO_LEVELS, Watch, at, gauge, model, reading, river, tick

GROUPS = ("near", "mid", "far", "around")


def compiled(
    records: Sequence[Mapping[str, Any]], models: Mapping[str, Any] | None = None, *, order: Sequence[str] | None = None
) -> Network:
    known = {("r", each["gauge_id"]): each for each in records}
    keys = [("r", each) for each in order] if order else sorted(known)
    return network(keys, known, {("r",): models or model([key[1] for key in keys])}, FEATURES)


def row_of(net: Network, gauge_id: str) -> int:
    return net.keys.index(("r", gauge_id))


def inputs(net: Network, gauge_id: str, group: str) -> list[str]:
    return [net.keys[other][1] for other in net.inputs.of(GROUPS.index(group), row_of(net, gauge_id)).tolist()]


def below(km: float, **fields: Any) -> list[dict[str, Any]]:
    """93, and 92 so many straight kilometres above it."""
    return [gauge("92", north_km=km, downstream_id="93", **fields), gauge("93")]


# --- upstream --------------------------------------------------------------------------------------------------


def test_upstream_gauges_are_read_by_river_distance() -> None:
    net = compiled(river())
    assert [inputs(net, "93", each) for each in GROUPS[:3]] == [["92"], ["91"], ["90"]]
    assert [inputs(net, "91", each) for each in GROUPS[:3]] == [[], ["90"], []]
    assert [inputs(net, "90", each) for each in GROUPS[:3]] == [[], [], []]


@pytest.mark.parametrize(
    ("straight_km", "group"), [(0.1, "near"), (6.39, "near"), (6.41, "mid"), (15.99, "mid"), (16.01, "far"), (35.99, "far"), (36.01, None)]
)
def test_a_river_is_a_quarter_longer_than_the_line_between_its_gauges(straight_km: float, group: str | None) -> None:
    """8, 20 and 45 km along the river."""
    net = compiled(below(straight_km))
    assert [each for each in GROUPS[:3] if inputs(net, "93", each)] == ([group] if group else [])


def test_the_distance_goes_along_the_gauges_between() -> None:
    """92 lies 10 km beside the line: two legs of 10.8 km are 26.9 km of river, the line alone would be 10 km."""
    aside = gauge("92", north_km=4, lon_deg=136.0 + 10 * KM_NORTH / np.cos(np.radians(36)), downstream_id="93")
    net = compiled([gauge("91", north_km=8, downstream_id="92"), aside, gauge("93")])
    assert inputs(net, "93", "far") == ["91"]


def test_a_river_that_runs_in_a_circle_ends() -> None:
    net = compiled([gauge("92", north_km=4, downstream_id="93"), gauge("93", downstream_id="92")])
    assert (inputs(net, "93", "near"), inputs(net, "92", "near")) == (["92"], ["93"])


def test_a_gauge_that_is_not_known_ends_the_river() -> None:
    net = compiled([gauge("91", north_km=8, downstream_id="92"), gauge("93")])
    assert [inputs(net, "93", each) for each in GROUPS[:3]] == [[], [], []]


# --- around ----------------------------------------------------------------------------------------------------


def test_neighbours_are_weighed_by_nearness() -> None:
    net = compiled(river())
    assert inputs(net, "93", "around") == ["92", "97", "91", "90"]
    begin = int(net.inputs.begin[3 * len(net.keys) + row_of(net, "93")]) + 1
    assert net.inputs.weight[begin : begin + 4].tolist() == pytest.approx([1 / 7, 1 / 13, 1 / 15, 1 / 27], rel=1e-4)


def test_of_many_neighbours_the_ten_nearest_count() -> None:
    net = compiled([gauge("93"), *(gauge(f"n{km:02}", north_km=km) for km in range(1, 15))])
    assert inputs(net, "93", "around") == [f"n{km:02}" for km in range(1, 11)]


@pytest.mark.parametrize(("km", "found"), [(24.9, ["92"]), (25.1, [])])
def test_a_neighbour_lies_within_25_kilometres(km: float, found: list[str]) -> None:
    assert inputs(compiled([gauge("92", north_km=km), gauge("93")]), "93", "around") == found


@pytest.mark.parametrize("fields", [{"as_input": "unused"}, {"kind": "reservoir"}])
def test_unused_gauges_and_reservoirs_are_nobodys_input(fields: Mapping[str, Any]) -> None:
    net = compiled(below(4, **fields))
    assert [inputs(net, "93", each) for each in GROUPS] == [[], [], [], []]
    assert inputs(net, "92", "around") == ["93"], "they are judged themselves"


def test_a_gauge_without_a_model_is_nobodys_input() -> None:
    net = compiled(below(4), model(["93"]))
    assert [inputs(net, "93", each) for each in GROUPS] == [[], [], [], []]


def test_what_lies_behind_an_unused_gauge_is_upstream_all_the_same() -> None:
    net = compiled(
        [gauge("91", north_km=8, downstream_id="92"), gauge("92", north_km=4, downstream_id="93", as_input="unused"), gauge("93")]
    )
    assert [inputs(net, "93", each) for each in GROUPS[:3]] == [[], ["91"], []]


def test_other_regions_are_other_worlds() -> None:
    other = gauge("92", north_km=4, downstream_id="93") | {"region": "s"}
    known = {("r", "93"): gauge("93"), ("s", "92"): other}
    net = network(list(known), known, {("r",): model(["93"]), ("s",): model(["92"]) | {"region": "s"}}, FEATURES)
    assert net.inputs.count.tolist() == [[0, 0]] * 4
    assert np.isfinite(net.learned.scale_m).all()


def test_the_order_of_the_rows_changes_nobodys_inputs_nor_their_order() -> None:
    one = compiled(river())
    other = compiled(river(), order=["97", "400", "93", "205", "91", "90", "92"])
    for gauge_id in ("90", "91", "92", "93", "97", "205", "400"):
        assert [inputs(one, gauge_id, each) for each in GROUPS] == [inputs(other, gauge_id, each) for each in GROUPS]


# --- thresholds ------------------------------------------------------------------------------------------------


def thresholds(**fields: Any) -> list[float]:
    values: list[float] = compiled([gauge("93", **fields)]).thresholds_m[0].tolist()
    return values


def test_thresholds_that_are_not_set_are_not_judged() -> None:
    assert thresholds(l3_evacuation_m=None) == pytest.approx([2.0, 3.0, np.nan, 5.0], nan_ok=True)


def test_thresholds_up_to_the_level_where_the_sign_is_lost_are_disabled() -> None:
    assert thresholds(sign_lost_below_m=3.0) == pytest.approx([np.nan, np.nan, 4.0, 5.0], nan_ok=True)


def test_a_gauge_that_has_none_above_it_has_none() -> None:
    net = compiled(river())
    assert np.isnan(net.thresholds_m[row_of(net, "205")]).all()


def test_a_municipality_sets_from_which_probability_it_is_told() -> None:
    net = compiled([gauge("92", raise_at_p=0.3), gauge("93")])
    assert net.raise_at.tolist() == [0.3, 0.25]


def test_a_start_level_counts_only_for_crisis_gauges() -> None:
    net = compiled([gauge("92", start_level_m=0.5), gauge("93", reports="above_start", start_level_m=0.5)])
    assert net.start_m.tolist() == [-np.inf, 0.5]


# --- what holds when -------------------------------------------------------------------------------------------


def test_rows_without_a_record_are_not_valid_and_nobodys_input() -> None:
    net = compiled([gauge("93")], model(["92", "93"]), order=["92", "93"])
    assert net.valid.tolist() == [False, True]
    assert np.isnan(net.thresholds_m[0]).all()
    assert net.inputs.count.tolist() == [[0, 0]] * 4


def test_a_gauge_record_holds_until_its_valid_until() -> None:
    """92 ends at minute 100: from then on nothing is said of it, and 93 is no longer judged by it."""
    watch = Watch(gauge("92", north_km=4, downstream_id="93", valid_until=at(100)), gauge("93"), model(["92", "93"]))
    watch.hears(*(reading(each, minute, 1.0) for each in ("92", "93") for minute in (0, 60, 120)))
    watch.hears(*map(tick, range(130, 240, 10)))
    assert {each["gauge_id"] for each in watch.standing().values()} == {"93"}


# --- models ----------------------------------------------------------------------------------------------------


def test_the_learned_numbers_lie_by_row_variant_horizon_and_feature() -> None:
    net = compiled(below(4))
    known = net.learned
    assert known.coefficients.shape == (2, 4, 4, len(FEATURES))
    assert known.coefficients[1, 2, :, FEATURES.index("near_d1")].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8], rel=1e-6)
    assert known.coefficients[1, 0, :, FEATURES.index("near_d1")].tolist() == [0, 0, 0, 0]
    assert known.names == ("r-made", "r-made")


def test_a_gauge_that_the_model_does_not_know_has_no_numbers() -> None:
    known = compiled(below(4), model(["93"])).learned
    assert known.names == (None, "r-made")
    assert np.isnan(known.scale_m).tolist() == [True, False]
    assert np.isnan(known.keeps_rising).tolist() == [True, False]


@pytest.mark.parametrize("features", [["u"], list(reversed(FEATURES)), [*FEATURES, "rain"]])
def test_a_model_fitted_for_other_features_is_not_used(features: list[str]) -> None:
    known = compiled(below(4), model(features=features)).learned
    assert known.names == (None, None)
    assert np.isnan(known.scale_m).all()


def test_the_builders_name_the_features_that_the_rule_computes() -> None:
    assert tuple(made.FEATURES) == FEATURES
    assert NO_LEVELS.keys() == {"l1_standby_m", "l2_caution_m", "l3_evacuation_m", "l4_danger_m"}
