"""What the model foretells at every reading, on a river made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pytest

from pipelines.upstream_flood.foretold import foretold
from tests.upstream_flood.river import BETA, FEEDS, LEVEL, at, frame, gauge, levels, model, reading

HEIGHTS = (1.0, 1.1, 1.5, 2.1, 2.0)


def told(records: Sequence[Mapping[str, Any]], *hours: int, judges: Sequence[str] = ("93",)) -> pl.DataFrame:
    known = {("r", each): gauge(each) for each in ("93", "97")}
    return foretold(frame(LEVEL, records), known, model(judges), level_feed=FEEDS[LEVEL], of=["93"], hours=hours)


def test_each_reading_is_told_with_the_highest_level_that_the_model_expects() -> None:
    found = told(levels("93", *HEIGHTS), 1, 3)
    assert found.select("gauge_id", "at", "level_m").rows() == [("93", at(60 * nth), height) for nth, height in enumerate(HEIGHTS)]
    changes = [0.0, 0.1, 0.4, 0.6, -0.1]
    assert found["d1_m"].to_list() == pytest.approx(changes)
    for hours, share in zip((1, 3), (BETA["d1"][0], BETA["d1"][2]), strict=True):
        expected = [height + share * change for height, change in zip(HEIGHTS, changes, strict=True)]
        assert found[f"highest_{hours}h_m"].to_list() == pytest.approx(expected, abs=1e-6)


def test_nothing_is_read_of_what_comes_after() -> None:
    whole, begun = told(levels("93", *HEIGHTS), 1, 3, 6), told(levels("93", *HEIGHTS[:3]), 1, 3, 6)
    assert whole[:3].equals(begun)


def test_months_apart_are_told_as_if_each_stood_alone() -> None:
    later = levels("93", *HEIGHTS, first=60 * 24 * 100)
    both = told([*levels("93", *HEIGHTS), *later], 3)
    alone = told(levels("93", *HEIGHTS), 3)
    assert both.height == 2 * alone.height
    assert both[:5].equals(alone)
    assert both[5:].drop("at").equals(alone.drop("at"))


def test_a_gauge_without_a_model_a_reading_without_a_level_and_another_gauge_are_not_told_of() -> None:
    assert told(levels("93", 1.0, 1.2), 3, judges=["97"])["highest_3h_m"].to_list() == [None, None]
    assert told([reading("93", 0, 1.0), reading("93", 60, None)], 3)["at"].to_list() == [at(0)]
    assert told(levels("97", *HEIGHTS), 3, judges=["93", "97"]).is_empty()
    assert told([], 3).is_empty()
