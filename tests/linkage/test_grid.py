"""The grid is a function of the set of records: compared with one that is computed record by record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.linkage import minutes
from pipelines.linkage.grid import EMPTY, MUTE, NEVER, VALUE, WITHDRAWN, Grid
from tests.linkage.toy import EVERY_MS, START_MS, VALUES, Log, frame, reading, slot
from tests.linkage.toy import VALUE as FEED

BRIDGE = 3
WELLS = ("a", "b", "c")
FIRST, STOP = slot(0), slot(420)
ARRAYS = ("time", "version", "value", "kind", "last", "last_mute", "filled")
Records = Sequence[Mapping[str, Any]]


def grid() -> Grid:
    made = Grid(FEED, value="value", every=minutes(10), bridge=minutes(10 * BRIDGE))
    made.know(("t", well) for well in WELLS)
    made.extend(FIRST, STOP)
    return made


def filled(records: Iterable[Mapping[str, Any]], *more: Iterable[Mapping[str, Any]]) -> Grid:
    """A grid after so many batches."""
    made = grid()
    for batch in (records, *more):
        made.add(frame(FEED, batch))
    return made


# --- record by record ------------------------------------------------------------------------------------------


def highest(records: Records) -> list[Mapping[str, Any]]:
    newest: dict[Any, Mapping[str, Any]] = {}
    for each in records:
        identity = each["well"], each["observed_at"]
        if identity not in newest or each["version"] > newest[identity]["version"]:
            newest[identity] = each
    return list(newest.values())


def shown(records: Records) -> Mapping[str, Any] | None:
    """Of several records of a cell the newest that stands; where all are withdrawn the newest of these."""
    standing = [each for each in records if each["op"] == "stated"]
    return max(standing or records, key=lambda each: each["observed_at"], default=None)


def kind_of(record: Mapping[str, Any] | None) -> int:
    if record is None:
        return EMPTY
    if record["op"] == "withdrawn":
        return WITHDRAWN
    return MUTE if record["value"] is None else VALUE


def time_ms(record: Mapping[str, Any]) -> int:
    return int(record["observed_at"].timestamp() * 1000)


def cell_of(record: Mapping[str, Any]) -> int:
    return -(-time_ms(record) // EVERY_MS)


def naive(records: Records, well: str, first: int = FIRST, stop: int = STOP) -> dict[str, list[Any]]:
    """All arrays of one row, computed one record after the other."""
    mine = [each for each in highest(records) if each["well"] == well]
    cells = {k: shown([each for each in mine if cell_of(each) == k]) for k in range(first, stop)}
    values = {k: each for k, each in cells.items() if each is not None and kind_of(each) == VALUE}
    mutes = [k for k, each in cells.items() if kind_of(each) == MUTE]
    out: dict[str, list[Any]] = {name: [] for name in ARRAYS}
    for k, each in cells.items():
        out["time"].append(NEVER if each is None else time_ms(each))
        out["version"].append(-1 if each is None else each["version"])
        out["value"].append(each["value"] if each is not None and kind_of(each) == VALUE else np.nan)
        out["kind"].append(kind_of(each))
        out["last"].append(max((v for v in values if v <= k), default=NEVER))
        out["last_mute"].append(max((m for m in mutes if m <= k), default=NEVER))
        out["filled"].append(between(values, k))
    return out


def between(values: Mapping[int, Mapping[str, Any]], k: int) -> float:
    before, after = max((v for v in values if v <= k), default=None), min((v for v in values if v >= k), default=None)
    if before is None or after is None or after - before > BRIDGE:
        return np.nan
    a, b = values[before], values[after]
    if a is b:
        return float(a["value"])
    part = (k * EVERY_MS - time_ms(a)) / (time_ms(b) - time_ms(a))
    return float(a["value"] + (b["value"] - a["value"]) * part)


def agrees(
    found: Grid, records: Records, *, names: Sequence[str] = ARRAYS, first: int = FIRST, stop: int = STOP, since: int = FIRST
) -> None:
    """Asserts that slots ``first`` … are as computed from all records since ``since``."""
    for row, (_, well) in enumerate(found.keys):
        expected = naive(records, well, since, stop)
        for name in names:
            array = found.slots.window(name, first, stop)[:, row]
            np.testing.assert_allclose(
                array, np.array(expected[name][first - since :], array.dtype), rtol=1e-12, atol=1e-12, err_msg=f"{name} of {well}"
            )


# --- by example ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minute", "of_slot"), [(0, 0), (0.001, 10), (9.99, 10), (10, 10), (10.02, 20)])
def test_a_record_belongs_to_the_slot_that_ends_at_or_after_its_time(minute: float, of_slot: float) -> None:
    assert grid().slot_of(int(START_MS + minute * 60_000)) == slot(of_slot)


def test_between_two_values_it_is_interpolated_to_the_end_of_each_slot() -> None:
    made = filled([reading("a", 5, 1.0), reading("a", 35, 4.0)])
    assert made.slots.window("filled", slot(0), slot(50))[:, 0].tolist() == pytest.approx([np.nan, 1.0, 2.5, 3.5, 4.0], nan_ok=True)


def test_a_gap_wider_than_the_bridge_is_not_interpolated() -> None:
    made = filled([reading("a", 10, 1.0), reading("a", 50, 5.0)])
    assert np.isnan(made.slots.window("filled", slot(20), slot(50))[:, 0]).all()


def test_a_record_without_value_is_no_value_and_is_remembered() -> None:
    made = filled([reading("a", 10, 1.0), reading("a", 20, None)])
    assert made.slots.window("last", slot(20), slot(30))[0, 0] == slot(10)
    assert made.slots.window("last_mute", slot(20), slot(30))[0, 0] == slot(20)


def test_the_earliest_slot_that_changed_is_told() -> None:
    made = grid()
    assert made.add(frame(FEED, [reading("a", 50), reading("b", 30)])) == slot(30)
    assert made.add(frame(FEED, [reading("a", 50), reading("b", 70)])) == slot(70)
    assert made.add(frame(FEED, [reading("a", 50), reading("b", 30)])) is None
    assert made.add(frame(FEED, [])) is None


def test_a_lower_version_that_comes_later_changes_nothing() -> None:
    made = filled([reading("a", 50, 2.0, version=2)])
    assert made.add(frame(FEED, [reading("a", 50, 1.0, version=1)])) is None
    assert made.slots.window("value", slot(50), slot(60))[0, 0] == 2.0


def test_a_withdrawn_value_gives_way_to_an_older_one_of_its_slot() -> None:
    made = filled([reading("a", 43, 1.0), reading("a", 47, 2.0)])
    assert made.add(frame(FEED, [reading("a", 47, 2.0, version=2, op="withdrawn")])) == slot(50)
    assert made.slots.window("value", slot(50), slot(60))[0, 0] == 1.0
    assert made.held() == 2


def test_a_withdrawn_value_alone_leaves_no_value() -> None:
    made = filled([reading("a", 40, 1.0)], [reading("a", 40, 1.0, version=2, op="withdrawn")])
    agrees(made, [reading("a", 40, 1.0, version=2, op="withdrawn")])
    assert made.slots.window("last", slot(40), slot(50))[0, 0] == NEVER


def test_keys_keep_their_rows_in_order_of_first_mention() -> None:
    made = Grid(FEED, value="value", every=minutes(10), bridge=minutes(30))
    made.know([("t", "z"), ("t", "a")])
    made.add(frame(FEED, [reading("m", 10), reading("a", 10)]))
    assert made.keys == [("t", "z"), ("t", "a"), ("t", "m")]
    assert made.slots.window("value", slot(10), slot(20)).tolist()[0][1:] == [1.0, 1.0]


def test_extending_without_records_carries_on_what_was_last_heard() -> None:
    made = Grid(FEED, value="value", every=minutes(10), bridge=minutes(30))
    made.add(frame(FEED, [reading("a", 10, 1.0), reading("a", 20, None)]))
    made.extend(slot(10), slot(60))
    assert made.slots["last"][:, 0].tolist() == [slot(10)] * 5
    assert made.slots["last_mute"][:, 0].tolist() == [NEVER, *[slot(20)] * 4]
    assert np.isnan(made.slots["filled"][1:, 0]).all()


# --- properties ------------------------------------------------------------------------------------------------

identities = st.tuples(st.sampled_from(WELLS), st.integers(-8, 410), st.integers(1, 3))
contents = st.one_of(st.just("withdrawn"), st.just(None), st.integers(-50, 50).map(lambda each: each / 8))


def record(identity: tuple[str, int, int], content: Any) -> dict[str, Any]:
    well, minute, version = identity
    if content == "withdrawn":
        return reading(well, minute, 9.0, version=version, op="withdrawn")
    return reading(well, minute, content, version=version)


records_of_a_day = st.dictionaries(identities, contents, max_size=40).map(lambda all_: [record(*each) for each in all_.items()])
crowded = st.dictionaries(st.tuples(st.sampled_from(WELLS), st.integers(100, 125), st.integers(1, 3)), contents, max_size=40).map(
    lambda all_: [record(*each) for each in all_.items()]
)


def batches(records: Records, random: Random) -> list[pl.DataFrame]:
    """The records in any order, some of them twice, cut anywhere."""
    arrivals = [*records, *random.choices(records, k=len(records) // 3)] if records else []
    random.shuffle(arrivals)
    log, out = Log(), []
    while arrivals:
        size = random.randint(1, len(arrivals))
        out.append(log.batch(*arrivals[:size])[VALUES])
        arrivals = arrivals[size:]
    return out


@given(st.one_of(records_of_a_day, crowded), st.randoms(use_true_random=False))
def test_it_is_a_function_of_the_set_of_records(records: Records, random: Random) -> None:
    made = grid()
    for batch in batches(records, random):
        made.add(batch)
    agrees(made, records)
    assert made.held() == len(highest(records))


@given(st.one_of(records_of_a_day, crowded), st.randoms(use_true_random=False))
def test_nothing_before_the_slot_that_is_told_changes_and_only_interpolation_reaches_back(records: Records, random: Random) -> None:
    made = grid()
    for batch in batches(records, random):
        before = {name: made.slots[name].copy() for name in ARRAYS}
        changed = made.add(batch)
        until = len(made.slots) if changed is None else changed - made.slots.first
        for name in ARRAYS:
            upto = until - (BRIDGE if name == "filled" and changed is not None else 0)
            np.testing.assert_array_equal(made.slots[name][: max(upto, 0)], before[name][: max(upto, 0)])


@given(records_of_a_day, st.randoms(use_true_random=False))
def test_it_grows_with_its_records_where_it_was_not_extended_before(records: Records, random: Random) -> None:
    made = Grid(FEED, value="value", every=minutes(10), bridge=minutes(10 * BRIDGE))
    made.know(("t", well) for well in WELLS)
    for batch in batches(records, random):
        made.add(batch)
    agrees(made, records, first=made.slots.first, stop=made.slots.stop, since=made.slots.first)


@given(records_of_a_day, st.integers(0, 300), st.randoms(use_true_random=False))
def test_forgetting_changes_nothing_that_is_kept(records: Records, minute: int, random: Random) -> None:
    """What comes after it touches later slots only; interpolation knows no values before the border, so it counts from a bridge on."""
    border = slot(minute)
    early = [each for each in records if cell_of(each) <= border + 5]
    late = [each for each in records if cell_of(each) > border + 5]
    made = filled(early)
    made.forget(border)
    agrees(made, early, first=border)
    for batch in batches(late, random):
        made.add(batch)
    agrees(made, records, first=border, names=[name for name in ARRAYS if name != "filled"])
    agrees(made, records, first=border + BRIDGE, names=["filled"], since=FIRST)
    assert made.held() == len([each for each in highest(records) if cell_of(each) >= border])


def test_many_records_at_once_find_the_rows_that_few_do() -> None:
    records = [reading(f"w{i * 7 % 1300}", 10 * (i % 40), float(i)) for i in range(3000)]
    once = filled(records[:1500], records[1500:])
    often = filled(*(records[at : at + 100] for at in range(0, len(records), 100)))
    assert once.keys == often.keys
    assert once.row == often.row
    for name in ARRAYS:
        np.testing.assert_array_equal(once.slots[name], often.slots[name])


def test_every_change_is_counted() -> None:
    made = filled([reading("a", 10, 1.0), reading("b", 400, 2.0)])
    ways = [
        lambda: made.add(frame(FEED, [reading("a", 20, 3.0)])),
        lambda: made.extend(FIRST, STOP + 5),
        lambda: made.know([("t", "d")]),
        lambda: made.forget(slot(100)),
        lambda: made.keep(np.array([1, 0])),
    ]
    for change in ways:
        before = made.changes
        change()
        assert made.changes > before
