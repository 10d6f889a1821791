"""Declarations read like sentences, and bad ones say what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from pipelines.linkage import AsOf, DeclarationError, Engine, LinkageError, Past, as_of, hours, minutes, past, records
from pipelines.upstream_flood import upstream_flood
from tests.linkage import gates, near
from tests.linkage.gates import CAPS, COUNTS, PASSES, tally
from tests.linkage.near import ANSWERS, CALLS, PAIRS, match
from tests.linkage.toy import INSTANT, LIMITS, VALUES, declared

VALUES_PAST = past(VALUES, value="value", reach=hours(6), every=minutes(10))


def test_it_names_all_feeds_that_it_reads_the_clock_last() -> None:
    assert declared().feeds == (VALUES, LIMITS, "clock.v1")


def test_a_feed_that_is_read_twice_is_named_once() -> None:
    given = {"values": VALUES_PAST, "limits": as_of(LIMITS), "again": as_of(LIMITS)}
    assert declared(given=given).feeds == (VALUES, LIMITS, "clock.v1")


def test_its_reach_is_that_of_its_past() -> None:
    assert declared().reach == timedelta(hours=3)


def test_a_reference_is_read_as_far_as_it_is_owned_unless_all_is_asked_for() -> None:
    assert as_of(LIMITS) == AsOf(feed=LIMITS, read="owned")
    assert as_of(LIMITS, read="all") == AsOf(feed=LIMITS, read="all")


def test_the_flood_linkage_reads_like_its_sentence() -> None:
    assert upstream_flood.feeds == (
        "river.level.v1", "weather.rain.v1", "river.gauge.v1", "river.flood-model.v1", "weather.station.v1", "river.flood-bulletin.v1",
        "clock.v1",
    )  # fmt: skip
    assert (upstream_flood.says, upstream_flood.together_by, upstream_flood.for_each) == (
        "river.flood-notice.v1",
        "region",
        "river.gauge.v1",
    )
    assert upstream_flood.given["levels"] == Past(feed="river.level.v1", value="level_m", reach=hours(48), every=minutes(10))


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (
            lambda: past(VALUES, value="value", reach=hours(6), every=minutes(0)),
            "every must be positive (got datetime.timedelta(0)): a slot needs a width",
        ),
        (
            lambda: past(VALUES, value="value", reach=hours(6), every=minutes(-10)),
            "every must be positive (got datetime.timedelta(days=-1, seconds=85800)): a slot needs a width",
        ),
        (
            lambda: past(VALUES, value="value", reach=hours(0), every=minutes(10)),
            "reach must be a positive multiple of every (got datetime.timedelta(0) of datetime.timedelta(seconds=600)): "
            "it is counted in slots",
        ),
        (
            lambda: past(VALUES, value="value", reach=minutes(25), every=minutes(10)),
            "reach must be a positive multiple of every (got datetime.timedelta(seconds=1500) of datetime.timedelta(seconds=600)): "
            "it is counted in slots",
        ),
        (
            lambda: declared(given={"limits": as_of(LIMITS)}),
            "given of toy must begin with a past that is owned (got []): a derive folds along it",
        ),
        (
            lambda: declared(given={"values": VALUES_PAST, "others": VALUES_PAST, "limits": as_of(LIMITS)}),
            "pasts of toy must be of different feeds (got ['toy.value.v1', 'toy.value.v1'])",
        ),
        (
            lambda: declared(for_each="toy.well.v1"),
            "for_each of toy must be one of its as_of inputs (got 'toy.well.v1'): add it to given",
        ),
        (
            lambda: declared(for_each=VALUES),
            "for_each of toy must be one of its as_of inputs (got 'toy.value.v1'): add it to given",
        ),
    ],
)
def test_a_bad_declaration_says_what_is_wrong_and_what_to_do(declare: Callable[[], Any], text: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        declare()
    assert str(caught.value) == text


def test_an_error_is_one_of_linkage_and_one_of_python() -> None:
    with pytest.raises(LinkageError):
        declared(for_each=VALUES)
    with pytest.raises(ValueError, match=r"^every must be positive"):
        past(VALUES, value="value", reach=hours(1), every=minutes(0))


# --- match ----------------------------------------------------------------------------------------------------------

NOWHERE = near.declared("near.nowhere.v1", {
    "identity": ["town", "at"], "key": "town", "time": "at", "version": None, "place": None, "patience": "PT1H",
}, {"town": "string", "at": INSTANT})  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"within": timedelta(0)}, "within of near must be positive (got datetime.timedelta(0)): a match needs a span of time"),
        ({"within_m": 0}, "within_m of near must be positive (got 0): a match needs a radius"),
        ({"within_m": -5.0}, "within_m of near must be positive (got -5.0): a match needs a radius"),
        ({"within_m": None}, "near must match by within_m, by same, or by both (got neither): name one"),
        ({"within_m": 7000.0}, "within_m must be at most 6500.0 (got 7000.0): a wider circle is no neighbourhood"),
        (
            {"right": records("near.nowhere.v1")},
            "near.nowhere.v1 must tell where its records are (got no place): name the place in its schema, or match near by same",
        ),
        (
            {"same": ("colour",)},
            "near must name fields of near.call.v1 (got 'colour'): "
            "the fields are town, name, at, version, op, lat_deg, lon_deg, kind, band",
        ),
        (
            {"right": records(ANSWERS, where={"sort": ("x",)})},
            "near must name fields of near.answer.v1 (got 'sort'): "
            "the fields are town, name, at, version, op, lat_deg, lon_deg, kind, band, valid_until",
        ),
    ],
)
def test_a_bad_match_says_what_is_wrong_and_what_to_do(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        Engine(match(**changes), near.FEEDS | {"near.nowhere.v1": NOWHERE})
    assert str(caught.value) == text


def test_a_match_reads_like_its_sentence() -> None:
    linkage = match()
    assert (linkage.feeds, linkage.observes, linkage.says) == ((CALLS, ANSWERS, "clock.v1"), (CALLS, ANSWERS), PAIRS)
    assert linkage.reach == timedelta(minutes=20)
    assert not linkage.refers_to(CALLS)
    assert not linkage.whole(CALLS)
    assert linkage.whole("clock.v1")
    assert linkage.later("paired") == "paired"
    assert match(left=records(CALLS), right=records(CALLS)).feeds == (CALLS, "clock.v1")


# --- tally ----------------------------------------------------------------------------------------------------------


def test_a_tally_reads_like_its_sentence() -> None:
    linkage = tally(every=hours(6), reach=hours(3))
    assert (linkage.feeds, linkage.observes, linkage.says) == ((PASSES, CAPS, "clock.v1"), (PASSES,), COUNTS)
    assert linkage.reach == hours(9), "the last fold may be six hours old"
    assert (linkage.refers_to(CAPS), linkage.whole(CAPS), linkage.refers_to(PASSES), linkage.whole(PASSES)) == (True, True, False, False)
    assert linkage.later("counted") == "counted"


@pytest.mark.parametrize(
    ("every", "got"),
    [(hours(0), "0"), (hours(-1), "days=-1, seconds=82800"), (hours(7), "seconds=25200"), (hours(48), "days=2")],
)
def test_a_span_that_does_not_divide_a_day_is_refused(every: timedelta, got: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        tally(every=every)
    assert str(caught.value) == f"every of gates must divide a day (got datetime.timedelta({got})): for example hours(24)"


def test_a_tally_of_nothing_is_refused() -> None:
    with pytest.raises(DeclarationError) as caught:
        type(tally())(name="gates", says=COUNTS, together_by="town", given={"caps": as_of(CAPS)}, every=hours(1), rule=gates.Hourly())
    assert str(caught.value) == "given of gates must hold records (got ['caps']): a tally counts some"
