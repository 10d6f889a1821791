"""Declarations read like sentences, and bad ones say what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from pipelines.linkage import AsOf, DeclarationError, LinkageError, Past, as_of, hours, minutes, past
from pipelines.upstream_flood import upstream_flood
from tests.linkage.toy import LIMITS, VALUES, declared

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
    assert upstream_flood.feeds == ("river.level.v1", "river.gauge.v1", "river.flood-model.v1", "clock.v1")
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
            "given of toy must hold exactly one past (got []): a derive folds along one of them",
        ),
        (
            lambda: declared(given={"values": VALUES_PAST, "others": VALUES_PAST, "limits": as_of(LIMITS)}),
            "given of toy must hold exactly one past (got ['values', 'others']): a derive folds along one of them",
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
