"""Reference records as of a time: which one holds when, and from when on a correction counts.

Limits of the toy linkage have a patience of two hours; they hold from ``valid_from``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.linkage.grid import NEVER
from pipelines.linkage.reference import Reference
from tests.linkage.toy import LIMIT, START_MS, frame, limit

Records = Iterable[Mapping[str, Any]]


def ms(minute: float) -> int:
    return START_MS + int(minute * 60_000)


def minute(instant_ms: int) -> float:
    return (instant_ms - START_MS) / 60_000


def reference(*batches: Records) -> Reference:
    made = Reference(LIMIT)
    for each in batches:
        made.add(frame(LIMIT, each))
    return made


def holds(known: Reference, *minutes: float, well: str = "a") -> list[float | None]:
    """The limit that holds at each minute."""
    found = [known.table(ms(each)).get(("t", well)) for each in minutes]
    return [None if each is None else each["limit"] for each in found]


def test_a_record_holds_from_its_time_until_a_later_one_of_its_key() -> None:
    known = reference([limit("a", 0, 5.0), limit("a", 100, 6.0)])
    assert holds(known, -1, 0, 99, 100, 9999) == [None, 5.0, 5.0, 6.0, 6.0]


def test_an_older_record_that_comes_later_does_not_hide_a_newer_one() -> None:
    known = reference([limit("a", 100, 6.0)], [limit("a", 0, 5.0)])
    assert holds(known, 50, 100) == [5.0, 6.0]


def test_each_key_has_its_own() -> None:
    known = reference([limit("b", 0, 7.0), limit("a", 0, 5.0)])
    assert (holds(known, 0), holds(known, 0, well="b"), holds(known, 0, well="c")) == ([5.0], [7.0], [None])
    assert known.keys() == [("t", "a"), ("t", "b")]


def test_a_correction_in_time_counts_from_the_beginning_of_what_it_corrects() -> None:
    known = reference([limit("a", 0, 5.0), limit("a", 0, 5.5, version=2, arrived=110)])
    assert holds(known, 0, 200) == [5.5, 5.5]


def test_a_correction_that_arrives_late_counts_from_its_arrival_less_patience() -> None:
    known = reference([limit("a", 0, 5.0), limit("a", 0, 5.5, version=2, arrived=300)])
    assert holds(known, 0, 179, 180) == [5.0, 5.0, 5.5]


def test_a_record_that_arrives_late_does_not_hold_before_its_arrival_less_patience() -> None:
    assert holds(reference([limit("a", 0, 5.0, arrived=300)]), 179, 180) == [None, 5.0]


def test_of_two_copies_the_one_that_arrived_first_counts() -> None:
    known = reference([limit("a", 0, 5.0, arrived=300)], [limit("a", 0, 5.0, arrived=200)])
    assert holds(known, 79, 80) == [None, 5.0]
    assert known.held() == 1


def test_a_withdrawn_record_gives_way_to_the_one_before_it() -> None:
    known = reference([limit("a", 0, 5.0), limit("a", 100, 6.0), limit("a", 100, 6.0, version=2, op="withdrawn", arrived=150)])
    assert holds(known, 99, 100, 9999) == [5.0, 5.0, 5.0]


def test_a_record_withdrawn_late_held_until_the_withdrawal_counts() -> None:
    known = reference([limit("a", 0, 5.0), limit("a", 0, 5.0, version=2, op="withdrawn", arrived=300)])
    assert holds(known, 179, 180) == [5.0, None]


def test_a_withdrawn_record_can_be_stated_again() -> None:
    known = reference([limit("a", 0, 5.0), limit("a", 0, version=2, op="withdrawn"), limit("a", 0, 5.2, version=3)])
    assert holds(known, 0) == [5.2]


def test_a_record_ends_at_its_valid_until_and_nothing_older_takes_its_place() -> None:
    known = reference([limit("a", 0, 5.0), limit("a", 100, 6.0, until=200)])
    assert holds(known, 199.99, 200, 300) == [6.0, None, None]


def test_a_record_that_ended_is_followed_by_a_later_one() -> None:
    known = reference([limit("a", 0, 5.0, until=100), limit("a", 150, 6.0)])
    assert holds(known, 99, 100, 149, 150) == [5.0, None, None, 6.0]


def test_a_record_with_another_value_than_asked_for_ends_nothing() -> None:
    known = Reference(LIMIT, {"limit": (5.0, 6.0)})
    known.add(frame(LIMIT, [limit("a", 0, 5.0), limit("a", 100, 7.0), limit("a", 200, 6.0), limit("a", 200, 8.0, version=2, arrived=400)]))
    assert holds(known, 0, 100, 200, 279, 280) == [5.0, 5.0, 6.0, 6.0, 5.0]
    assert known.keys() == [("t", "a")]


def test_a_record_of_an_identity_that_is_not_asked_for_is_not_kept() -> None:
    known = Reference(LIMIT, {"well": ("a",)})
    assert known.add(frame(LIMIT, [limit("b", 0)])) is None
    known.add(frame(LIMIT, [limit("a", 0), limit("b", 10)]))
    assert (known.held(), known.keys()) == (1, [("t", "a")])


def test_the_earliest_change_is_told() -> None:
    known = reference()
    assert minute(known.add(frame(LIMIT, [limit("a", 100), limit("b", 50)])) or 0) == 50
    assert minute(known.add(frame(LIMIT, [limit("a", 0, 5.5, arrived=300)])) or 0) == 180
    assert known.add(frame(LIMIT, [limit("a", 100), limit("b", 50)])) is None
    assert known.add(frame(LIMIT, [])) is None


def test_the_instants_of_change_lie_after_the_first_and_up_to_the_last() -> None:
    known = reference([limit("a", 0, until=50), limit("b", 100)])
    assert [minute(each) for each in known.changes(ms(0), ms(100))] == [50, 100]
    assert [minute(each) for each in known.changes(ms(-1), ms(99))] == [0, 50]
    assert known.changes(ms(100), ms(999)) == []


def test_the_newest_change_up_to_an_instant() -> None:
    known = reference([limit("a", 0, until=50)])
    assert known.changed_by(ms(-1)) == NEVER
    assert [minute(known.changed_by(ms(each))) for each in (0, 49, 50, 70)] == [0, 0, 50, 50]


# --- properties ------------------------------------------------------------------------------------------------

stated = st.builds(
    lambda well, minute, delay, version, height, op, lasts: limit(
        well, minute, float(height), arrived=minute + delay, version=version, op=op, until=None if lasts is None else minute + lasts
    ),
    st.sampled_from("ab"), st.sampled_from([0, 60, 120]), st.integers(-60, 300), st.integers(1, 3), st.integers(1, 9),
    st.sampled_from(["stated", "stated", "withdrawn"]), st.sampled_from([None, None, 90]),
)  # fmt: skip
scripts = st.lists(stated, max_size=12, unique_by=lambda each: (each["well"], each["valid_from"], each["version"]))
INSTANTS = range(-60, 500, 20)


def naive(records: Records, well: str, at_minute: float) -> float | None:
    """What holds, found record by record."""
    by_time: dict[Any, Any] = {}
    for each in sorted((each for each in records if each["well"] == well), key=lambda each: each["version"]):
        begins = max(minute(int(each["valid_from"].timestamp() * 1000)), minute(int(each["arrived"].timestamp() * 1000)) - 120)
        if begins <= at_minute:
            by_time[each["valid_from"]] = each
    standing = [each for _, each in sorted(by_time.items()) if each["op"] == "stated"]
    until = standing[-1]["valid_until"] if standing else None
    ended = until is not None and minute(int(until.timestamp() * 1000)) <= at_minute
    return None if not standing or ended else standing[-1]["limit"]


@given(scripts, st.randoms(use_true_random=False))
def test_what_holds_is_a_function_of_the_set_of_records(records: Sequence[Mapping[str, Any]], random: Random) -> None:
    arrivals = [*records, *records[::2]]
    random.shuffle(arrivals)
    known = reference(*([each] for each in arrivals))
    for well in "ab":
        assert holds(known, *INSTANTS, well=well) == [naive(records, well, each) for each in INSTANTS]


@given(scripts)
def test_it_changes_only_at_the_instants_that_are_told(records: Sequence[Mapping[str, Any]]) -> None:
    known = reference(records)
    for a, b in pairwise(INSTANTS):
        if not known.changes(ms(a), ms(b)):
            assert known.table(ms(a)) == known.table(ms(b))


@given(scripts, stated)
def test_nothing_changes_before_the_instant_that_adding_tells(records: Sequence[Mapping[str, Any]], more: Mapping[str, Any]) -> None:
    known, before = reference(records), reference(records)
    changed = known.add(frame(LIMIT, [more]))
    for each in INSTANTS:
        if changed is None or ms(each) < changed:
            assert known.table(ms(each)) == before.table(ms(each))


@pytest.mark.parametrize("delay", [-60, 0, 120, 121, 500])
def test_a_record_never_counts_from_before_the_line_of_its_arrival(delay: float) -> None:
    """What arrives after the line moved cannot reach behind it: the line is at least a patience behind every arrival."""
    known = reference([limit("a", 0, arrived=delay)])
    (counts,) = known.changes(ms(-999), ms(999))
    assert minute(counts) >= delay - 120
