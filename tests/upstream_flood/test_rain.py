"""Rain around a gauge, against sums worked out by hand: only hours that have ended, no hour taken for dry because nobody recorded it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipelines.linkage.grid import Grid
from pipelines.upstream_flood.evidence import FEATURES, Evidence, evidence
from pipelines.upstream_flood.fit import Sky, fit
from pipelines.upstream_flood.model import RAIN, TABLES
from pipelines.upstream_flood.network import Network, network
from tests.upstream_flood.river import (
    FEEDS,
    GAUGE,
    LEVEL,
    RAIN_COLUMNS,
    STATION,
    Watch,
    at,
    frame,
    gauge,
    levels,
    minute_of,
    model,
    past_of,
    rained,
    river,
    slot,
    station,
    tick,
    with_rain,
)
from tests.upstream_flood.river import RAIN as RAIN_FEED
from tests.upstream_flood.test_fit import DAYS, GAUGES, learned, watched

Records = Sequence[Mapping[str, Any]]
WET_MM = 50.0


def compiled(stations: Records, *, reads: bool = True) -> Network:
    known = {("r", each["gauge_id"]): each for each in river()}
    numbers = with_rain(model()) if reads else model()
    places = {(each["region"], each["station_id"]): each for each in stations}
    return network(sorted(known), known, {("r",): numbers}, FEATURES, stations=places)


def sky(net: Network, rain: Records, until: float) -> Grid:
    """Calm rivers, and rain beside them."""
    calm = [each for id_ in ("90", "91", "92", "93", "97") for each in levels(id_, *[1.0] * 40, first=-600)]
    past = past_of(net.keys, calm, until=until)
    past.beside["rain"] = Grid(FEEDS[RAIN_FEED], value="rain_mm", every=timedelta(hours=1), bridge=timedelta(0))
    past.beside["rain"].add(frame(RAIN_FEED, rain))
    return past


def seen_at(minute: float, rain: Records, stations: Records, **fields: Any) -> tuple[Evidence, Network]:
    net = compiled(stations, **fields)
    return evidence(net, sky(net, rain, minute), range(slot(minute), slot(minute) + 1)), net


def table(minute: float, rain: Records, stations: Records, **fields: Any) -> str:
    seen, net = seen_at(minute, rain, stations, **fields)
    return TABLES[int(seen.variant[0, net.keys.index(("r", "93"))])]


def columns(minute: float, rain: Records, stations: Records) -> dict[str, float]:
    seen, net = seen_at(minute, rain, stations)
    return dict(zip(RAIN, seen.rain[0, net.keys.index(("r", "93"))].tolist(), strict=True))


def hourly(station_id: str, mm: Mapping[int, float | None], *, first: int = -23, last: int = 12, missing: Sequence[int] = ()) -> Records:
    """An amount for each hour, dry where none is given."""
    return [rained(station_id, hour, mm.get(hour, 0.0)) for hour in range(first, last + 1) if hour not in missing]


HERE = [station("s")]
NOON = 12 * 60


def test_the_columns_are_those_that_the_tests_expect() -> None:
    assert list(RAIN) == RAIN_COLUMNS


def test_the_last_hours_are_summed_in_wet_days() -> None:
    found = columns(NOON, hourly("s", {12: 5.0, 11: 10.0, 10: 2.5, 9: 20.0, -11: 7.5, -12: 100.0}), HERE)
    assert found == pytest.approx(
        {"rain_1h": 5 / WET_MM, "rain_3h": 17.5 / WET_MM, "rain_on_wet": 17.5 * 45 / WET_MM**2, "rain_on_high": 0.0}
    )


def test_an_hour_counts_from_its_end_on_and_no_earlier() -> None:
    rain = hourly("s", {12: 30.0})
    assert columns(NOON - 10, rain, HERE)["rain_1h"] == 0.0
    assert columns(NOON, rain, HERE)["rain_1h"] == columns(NOON + 50, rain, HERE)["rain_1h"] == pytest.approx(30 / WET_MM)


def test_nothing_that_ends_later_changes_what_is_seen() -> None:
    g = Random(4)
    rain = hourly("s", {hour: g.choice([0.0, 1.5, 20.0]) for hour in range(-23, 20)}, last=20)
    for minute in range(6 * 60, NOON + 1, 10):
        ended = [each for each in rain if each["observed_at"] <= at(minute)]
        assert columns(minute, rain, HERE) == columns(minute, ended, HERE)


def test_an_hour_that_nobody_recorded_is_not_dry() -> None:
    rain = hourly("s", {12: 6.0, 10: 6.0}, missing=[11])
    assert columns(NOON, rain, HERE)["rain_3h"] == pytest.approx(3 * 6 / WET_MM)


def test_where_the_last_hour_is_not_known_it_rained_as_in_the_last_three() -> None:
    rain = hourly("s", {11: 8.0, 10: 4.0, 12: None})
    assert columns(NOON, rain, HERE)["rain_1h"] == pytest.approx(6 / WET_MM)


def test_near_stations_weigh_more_whatever_their_region() -> None:
    stations = [station("s", north_km=1), station("t", north_km=-9, region="beyond")]
    rain = [*hourly("s", {12: 8.0}), *(each | {"region": "beyond"} for each in hourly("t", {12: 20.0}))]
    near, far = 1 / 4, 1 / 12
    assert columns(NOON, rain, stations)["rain_1h"] == pytest.approx((near * 8 + far * 20) / (near + far) / WET_MM, rel=1e-5)


def test_the_five_nearest_that_measure_rain_are_read() -> None:
    stations = [station(f"s{km}", north_km=km) for km in (3, 7, 11, 15, 19, 23, 40)]
    stations[1] |= {"rain": "unmeasured"}
    net = compiled(stations)
    row = net.keys.index(("r", "93"))
    assert [net.stations[each][1] for each in net.rain.of(0, row)] == ["s3", "s11", "s15", "s19", "s23"]


def test_the_table_with_rain_is_used_where_half_of_the_hours_are_known() -> None:
    assert table(NOON, hourly("s", {}), HERE) == "with_rain"
    assert table(NOON, hourly("s", {}, missing=[7, 8, 9]), HERE) == "with_rain"
    assert table(NOON, hourly("s", {}, missing=[7, 8, 9, 10]), HERE) == "full"
    assert table(NOON, hourly("s", {}, missing=range(-11, 1)), HERE) == "with_rain"
    assert table(NOON, hourly("s", {}, missing=range(-11, 2)), HERE) == "full"


def test_without_rain_stations_or_a_model_that_reads_it_the_table_is_the_full_one() -> None:
    assert table(NOON, [], HERE) == "full"
    assert table(NOON, hourly("s", {}), []) == "full"
    assert table(NOON, hourly("s", {}), [station("s", north_km=26)]) == "full"
    assert table(NOON, hourly("s", {}), HERE, reads=False) == "full"


def test_a_slot_gets_the_same_numbers_however_many_are_computed() -> None:
    g = Random(2)
    stations = [station(f"s{nth}", north_km=3.7 * nth - 7) for nth in range(5)]
    rain = [each for one in stations for each in hourly(one["station_id"], {hour: g.uniform(0, 9) for hour in range(-23, 13)})]
    rain = [each for each in rain if g.random() < 0.9]
    net = compiled(stations)
    past = sky(net, rain, NOON + 60)
    begin, end = slot(60), slot(NOON)
    whole = evidence(net, past, range(begin, end))
    for k in range(begin, end):
        one = evidence(net, past, range(k, k + 1))
        np.testing.assert_array_equal(one.rain[0], whole.rain[whole.of[k - begin]])
        np.testing.assert_array_equal(one.variant[0], whole.variant[whole.of[k - begin]])


# --- what is said ----------------------------------------------------------------------------------------------

ABOUT = [*river(), *HERE]


def calm() -> list[dict[str, Any]]:
    """Two days of hourly levels that do not move; 93 stands half a metre below L1."""
    heights = {"90": 1.0, "91": 1.0, "92": 1.0, "93": 1.5, "97": 1.0}
    return [each for id_, height in heights.items() for each in levels(id_, *[height] * 49, first=-24 * 60)]


def said(numbers: Mapping[str, Any], rain: Records, *, about: Records = ABOUT, until: float = 24 * 60) -> Watch:
    watch = Watch(*about, numbers)
    ticks = [tick(minute) for minute in range(-24 * 60, int(until), 10)]
    watch.hears(*[each for each in [*calm(), *rain] if each["arrived"] <= at(until)], *ticks)
    return watch


def told(watch: Watch, about: str = "L1") -> list[dict[str, Any]]:
    return [each for each in watch.said if each["gauge_id"] == "93" and each["level"] == about]


READS = with_rain(model(), {"rain_3h": (0.5, 0.8, 1.0, 1.2)})
SHOWER = hourly("s", {10: 25.0, 11: 25.0, 12: 25.0}, last=24)


def test_rain_alone_raises_a_notice_when_its_hour_has_ended_and_time_alone_takes_it_back_when_it_stops() -> None:
    facts = told(said(READS, SHOWER))
    assert facts[0]["state"] == "raised"
    assert (minute_of(facts[0]["onset"]), minute_of(facts[0]["said_at"])) == (10 * 60, 10 * 60 + 20)
    assert facts[0]["because"]["variant"] == "with_rain"
    assert [each["what"] for each in facts[0]["because"]["weighed_most"]] == ["rain"]
    assert facts[-1]["state"] == "cleared"


def test_what_is_said_names_the_rain_that_it_rests_on() -> None:
    (fact, *_) = told(said(READS, SHOWER))
    of_levels, of_rain = fact["because"]["ranges"]
    assert (of_levels["feed"], of_rain["feed"], of_rain["keys"]) == (LEVEL, RAIN_FEED, ["s"])
    assert of_rain["to_time"] == fact["time"]
    (weighed, *_) = fact["because"]["weighed_most"]
    assert (weighed["gauge_id"], weighed["level_m"], weighed["observed_at"]) == ("s", None, fact["time"].replace(minute=0))


def test_rain_that_comes_late_revises_what_was_said() -> None:
    late = [each | {"arrived": max(each["arrived"], at(12 * 60 + 50))} if each["observed_at"] >= at(10 * 60) else each for each in SHOWER]
    (first, *_), (usual, *_) = told(said(READS, late)), told(said(READS, SHOWER))
    assert first["onset"] == usual["onset"] == at(10 * 60)
    assert first["said_at"] == at(12 * 60 + 50)


def test_rain_that_stops_coming_is_not_fresh_though_nobody_speaks() -> None:
    rain = [each for each in SHOWER if each["observed_at"] <= at(12 * 60)]
    variants = {minute_of(each["time"]): each["because"]["variant"] for each in told(said(READS, rain))}
    assert {variant for minute, variant in variants.items() if minute < 16 * 60} == {"with_rain"}
    assert {variant for minute, variant in variants.items() if minute >= 16 * 60} == {"full"}


def less(watch: Watch, *names: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in each.items() if name not in ("basis", "said_at", *names)} for each in watch.said]


def test_a_model_without_a_table_for_rain_says_the_same_whether_it_rains_or_not() -> None:
    low = {"l1_standby_m": 1.4}
    about = [*river(**low), *HERE]
    dry = said(model(), [], about=river(**low))
    assert told(dry)
    assert less(said(model(), SHOWER, about=about)) == less(dry)


def test_a_model_with_a_table_for_rain_says_the_same_as_one_without_where_there_is_none() -> None:
    low = river(l1_standby_m=1.4)
    assert told(said(READS, [], about=low))
    assert said(READS, [], about=low).said == said(model(), [], about=low).said


# --- what is learned -------------------------------------------------------------------------------------------


def weather(first_day: int, last_day: int) -> Sky:
    """Showers on a station near 93, which foretell nothing."""
    g = Random(3)
    hours = range(24 * first_day, 24 * last_day)
    stations = [station("s", north_km=4), station("t", north_km=-16)]
    rain = [rained(each["station_id"], hour, g.choice([0.0, 0.0, 3.0, 12.5])) for hour in hours for each in stations]
    return Sky(rain=frame(RAIN_FEED, rain), stations=frame(STATION, stations), feed=FEEDS[RAIN_FEED])


def fitted(rain: Sky | None) -> dict[str, Any]:
    gauges = frame(GAUGE, GAUGES)
    return fit(watched(), gauges, level_feed=FEEDS[LEVEL], region="r", valid_from=at(-9999), fitted_on="made waves", sky=rain)


def tables(record: Mapping[str, Any], gauge_id: str, name: str) -> Any:
    (mine,) = [each[name] for each in record["gauges"] if each["gauge_id"] == gauge_id]
    return np.array(mine).reshape(len(record["variants"]), 4, len(record["features"]))


def test_with_rain_a_fourth_table_is_learned_and_the_others_are_as_they_were() -> None:
    dry, wet = learned(), fitted(weather(20, DAYS))
    assert (wet["variants"], wet["features"]) == (list(TABLES), [*FEATURES, *RAIN])
    for gauge_id in ("92", "93", "97"):
        for name in ("coefficients", "level_coefficients"):
            before, after = (tables(each, gauge_id, name) for each in (dry, wet))
            np.testing.assert_array_equal(before, after[:3, :, : len(FEATURES)])
            assert not after[:3, :, len(FEATURES) :].any()
            assert after[3, :, len(FEATURES) :].any()
    assert [each for each in wet["errors"] if each["variant"] != "with_rain"] == dry["errors"]
    assert wet["model"] != dry["model"]


def test_rain_that_fell_when_nobody_read_the_rivers_changes_no_byte() -> None:
    assert fitted(weather(-40, -10)) == learned()


def test_what_rain_is_worth_is_found() -> None:
    """93 rises by .2 m for 10 mm, two hours after the hour in which they fell."""
    g = Random(5)
    fell = [g.choice([0.0, 0.0, 0.0, 10.0, 20.0]) for _ in range(24 * DAYS)]
    height, rows = 1.0, []
    for hour in range(24 * DAYS):
        height = 1.0 + 0.8 * (height - 1.0) + 0.02 * (fell[hour - 2] if hour >= 2 else 0.0)
        rows.append(round(height, 3))
    readings = frame(LEVEL, [*levels("93", *rows), *levels("92", *([1.0] * len(rows))), *levels("97", *([1.0] * len(rows)))])
    stations = [station("s", north_km=1), station("t", north_km=12)]
    rain = [rained(each["station_id"], hour, mm) for hour, mm in enumerate(fell) for each in stations]
    here = Sky(rain=frame(RAIN_FEED, rain), stations=frame(STATION, stations), feed=FEEDS[RAIN_FEED])
    record = fit(
        readings, frame(GAUGE, [gauge("92", north_km=12), gauge("93"), gauge("97", north_km=-2)]), level_feed=FEEDS[LEVEL], region="r",
        valid_from=at(-9999), fitted_on="showers", sky=here,
    )  # fmt: skip
    (scale_m,) = [each["scale_m"] for each in record["gauges"] if each["gauge_id"] == "93"]
    within_3h = dict(zip(record["features"], tables(record, "93", "coefficients")[3, 2], strict=True))
    of_10_mm = (within_3h["rain_1h"] + within_3h["rain_3h"]) * 10 / WET_MM * scale_m
    assert 0.1 < of_10_mm < 0.3


def test_the_frames_of_the_sky_are_those_of_the_feeds() -> None:
    assert weather(0, 1).rain.schema == pl.DataFrame(schema=FEEDS[RAIN_FEED].frame_schema).schema
