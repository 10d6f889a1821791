"""The edge: what came too late goes to ``late.v1``, what lies ahead of its arrival to ``dead.v1``, and all else is used.

Values of the toy linkage may come an hour late and lie ten minutes ahead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.linkage import BatchError
from pipelines.linkage.edge import Judged, judge
from schemas.feeds import feed
from tests.linkage.toy import LIMIT, VALUE, at, frame, limit, reading

AHEAD_MS = 600_000


def judged(*records: Mapping[str, Any]) -> Judged:
    return judge(VALUE, frame(VALUE, records), tells="observed", ahead_ms=AHEAD_MS)


def delayed(minutes: float, well: str = "a") -> dict[str, Any]:
    """A value taken at minute 0 that arrived so many minutes later."""
    return reading(well, 0, arrived=minutes)


MS = 1 / 60_000
"""A millisecond, in minutes."""


@pytest.mark.parametrize("delay", [-10, -MS, 0, 60])
def test_up_to_the_border_a_record_is_used(delay: float) -> None:
    found = judged(delayed(delay))
    assert (found.good.height, found.late, found.dead) == (1, None, None)


def test_a_millisecond_later_than_patience_is_late() -> None:
    found = judged(delayed(60 + MS))
    assert found.good.is_empty()
    assert found.dead is None
    assert found.late is not None
    assert found.late["late_by_s"].to_list() == [0.001]


def test_a_millisecond_further_ahead_than_allowed_is_dead() -> None:
    found = judged(delayed(-10 - MS))
    assert found.good.is_empty()
    assert found.late is None
    assert found.dead is not None
    assert found.dead.height == 1


def test_a_late_record_keeps_its_times_its_place_and_all_that_it_said() -> None:
    (row,) = judge(VALUE, frame(VALUE, [delayed(90)], offset=7), tells="observed", ahead_ms=AHEAD_MS).late.to_dicts()  # type: ignore[union-attr]
    record = json.loads(row.pop("record"))
    assert row == {"feed": "toy.value.v1", "time": at(0), "arrived": at(90), "late_by_s": 1800.0, "partition": 0, "offset": 7}
    assert (record["town"], record["well"], record["version"], record["value"], record["op"]) == ("t", "a", 1, 1.0, "stated")
    assert list(record) == list(VALUE.columns)


def test_a_record_from_the_future_is_dead_with_its_place_the_reason_and_the_raw_bytes() -> None:
    (row,) = judge(VALUE, frame(VALUE, [delayed(-25)], offset=7), tells="observed", ahead_ms=AHEAD_MS).dead.to_dicts()  # type: ignore[union-attr]
    assert json.loads(row["raw"])["well"] == "a"
    assert (row["feed"], row["source"], row["place"], row["arrived"]) == ("toy.value.v1", "toy.value.v1[0]", 7, at(-25))
    assert row["reason"] == (
        "observed_at must not lie more than 600 s after arrival (got 2024-05-28T00:00:00+00:00, "
        "arrived 2024-05-27T23:35:00+00:00): "
        "check the clock of the sender"
    )


@pytest.mark.parametrize(("part", "feed_name", "delay"), [("late", "late.v1", 90), ("dead", "dead.v1", -25)])
def test_what_is_put_aside_fits_the_feed_for_it(part: str, feed_name: str, delay: float) -> None:
    found: pl.DataFrame = getattr(judged(delayed(delay)), part)
    wanted = feed(feed_name).frame_schema
    assert {name: dtype for name, dtype in found.schema.items() if name in wanted} == dict(wanted)


def test_the_neighbours_of_a_bad_record_pass_in_their_order() -> None:
    found = judged(delayed(5, "a"), delayed(90, "b"), delayed(6, "c"), delayed(-25, "d"), delayed(7, "e"))
    assert found.good["well"].to_list() == ["a", "c", "e"]
    assert found.late is not None
    assert found.dead is not None
    assert (found.late["offset"].to_list(), found.dead["offset"].to_list()) == ([1], [3])


def test_reference_records_are_neither_late_nor_ahead() -> None:
    batch = frame(LIMIT, [limit("a", 0, arrived=9999), limit("b", 9999, arrived=0)])
    found = judge(LIMIT, batch, tells="from_then", ahead_ms=AHEAD_MS)
    assert (found.good.height, found.late, found.dead) == (2, None, None)


def test_nothing_gives_nothing() -> None:
    found = judged()
    assert (found.good.height, found.late, found.dead) == (0, None, None)


@pytest.mark.parametrize(
    ("absent", "named"), [(["arrived"], "arrived"), (["value", "offset"], "value, offset"), (["town", "partition"], "town, partition")]
)
def test_a_batch_without_a_column_of_its_feed_is_refused(absent: list[str], named: str) -> None:
    with pytest.raises(BatchError) as caught:
        judge(VALUE, frame(VALUE, [delayed(0)]).drop(absent), tells="observed", ahead_ms=AHEAD_MS)
    assert str(caught.value) == f"batch of toy.value.v1 must have the feed's columns (got none of {named}): see schemas/avro"


@given(st.lists(st.integers(-20, 120), max_size=20))
def test_every_record_goes_to_exactly_one_place_by_its_own_delay_alone(delays: list[int]) -> None:
    found = judged(*(delayed(each) for each in delays))
    late, dead = ([] if each is None else each["offset"].to_list() for each in (found.late, found.dead))
    assert found.good["offset"].to_list() == [i for i, each in enumerate(delays) if -10 <= each <= 60]
    assert late == [i for i, each in enumerate(delays) if each > 60]
    assert dead == [i for i, each in enumerate(delays) if each < -10]


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_value_that_is_no_number_is_dead_and_its_neighbours_pass(value: float) -> None:
    found = judged(delayed(0), reading("b", 0, value, arrived=0), delayed(0, "c"))
    assert found.good.height == 2
    assert found.dead is not None
    (reason,) = found.dead["reason"].to_list()
    assert reason.startswith("value must be finite (got ")
    assert reason.endswith("): send null where there is no value")


def test_an_absent_value_is_not_a_broken_one() -> None:
    found = judged(reading("b", 0, None, arrived=0))
    assert (found.good.height, found.dead) == (1, None)


@pytest.mark.parametrize(("minutes", "side"), [(11, "before"), (-11, "after")])
def test_a_tick_far_from_its_arrival_is_dead(minutes: float, side: str) -> None:
    ticks = pl.DataFrame(
        [{"at": at(0), "arrived": at(delay), "partition": 0, "offset": i} for i, delay in enumerate([0, minutes, 9])],
        schema=feed("clock.v1").frame_schema,
    )
    judged = judge(feed("clock.v1"), ticks, tells="now", ahead_ms=AHEAD_MS)
    assert judged.good["offset"].to_list() == [0, 2]
    assert judged.late is None
    assert judged.dead is not None
    assert judged.dead["reason"][0].startswith(f"at must not lie more than 600 s {side} arrival (got 2024-05-28T00:00:00+00:00, arrived ")


def test_in_a_rebuild_nothing_is_too_late() -> None:
    found = judge(VALUE, frame(VALUE, [delayed(600)]), tells="observed", ahead_ms=AHEAD_MS, late="used")
    assert (found.good.height, found.late, found.dead) == (1, None, None)


def passed(cell: str | None) -> Judged:
    """What the edge makes of one vehicle that passed a cell."""
    row = {"region": "jp", "cell": cell, "vehicle": "v", "day": at(0), "version": 1, "op": "stated", "passes": 3, "arrived": at(60)}
    of = feed("road.passes.v1")
    batch = pl.DataFrame([row | {"partition": 0, "offset": 0}], schema=of.frame_schema)
    return judge(of, batch, tells="observed", ahead_ms=AHEAD_MS)


def test_a_cell_of_the_right_size_is_used() -> None:
    assert passed("8b2e63580c40fff").good.height == 1


@pytest.mark.parametrize(
    "cell", ["nonsense", "", "0", "f" * 15, "8a2e63580c47fff", "8B2E63580C40FFF", "8b2e63580c40fff ", "8bffffffffffff0"]
)
def test_what_is_no_cell_of_that_size_is_dead(cell: str) -> None:
    found = passed(cell)
    assert found.good.is_empty()
    assert found.dead is not None
    assert found.dead["reason"].to_list() == [f"cell must be an H3 cell of resolution 11 (got {cell!r}): 15 hexadecimal digits"]


def place(lat_deg: float | None, lon_deg: float | None) -> Judged:
    """What the edge makes of a near miss there."""
    of = feed("road.near-miss.v1")
    row = {"region": "jp", "event_id": "e", "occurred_at": at(0), "version": 1, "op": "stated", "kind": "report", "source": "s"}
    row |= {"lat_deg": lat_deg, "lon_deg": lon_deg, "arrived": at(1), "partition": 0, "offset": 0}
    return judge(of, pl.DataFrame([row], schema=of.frame_schema), tells="observed", ahead_ms=AHEAD_MS)


@pytest.mark.parametrize(("lat_deg", "lon_deg"), [(90.0, 180.0), (-90.0, -180.0), (None, None), (36.0, None)])
def test_a_place_on_earth_or_none_is_used(lat_deg: float | None, lon_deg: float | None) -> None:
    assert place(lat_deg, lon_deg).good.height == 1


@pytest.mark.parametrize(
    ("lat_deg", "lon_deg", "told"),
    [
        (136.2, 36.0, "lat_deg must be within ±90° (got 136.2)"),
        (36.0, 196.2, "lon_deg must be within ±180° (got 196.2)"),
    ],
)
def test_a_place_that_is_not_on_earth_is_dead(lat_deg: float, lon_deg: float, told: str) -> None:
    found = place(lat_deg, lon_deg)
    assert found.dead is not None
    assert found.dead["reason"].to_list() == [f"{told}: WGS84, latitude before longitude"]
