"""Arrays that slide: what was put into a cell is there until it is forgotten, and nothing else is anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.linkage.sliding import Sliding


def sliding(*, rows: int = 2) -> Sliding:
    made = Sliding({"level_m": (np.float64, np.nan, ()), "votes": (np.int64, -1, (3,))})
    made.widen(rows)
    return made


def test_new_cells_hold_the_fill_value() -> None:
    made = sliding()
    made.extend(100, 103)
    assert (made.first, made.stop, len(made)) == (100, 103, 3)
    assert np.isnan(made["level_m"]).all()
    assert made["votes"].shape == (3, 2, 3)
    assert (made["votes"] == -1).all()


def test_a_window_over_what_is_held_is_a_view() -> None:
    made = sliding()
    made.extend(100, 103)
    made.window("level_m", 101, 102)[...] = 7.0
    assert np.array_equal(made["level_m"], [[np.nan] * 2, [7.0] * 2, [np.nan] * 2], equal_nan=True)


def test_a_window_beyond_what_is_held_is_a_filled_up_copy() -> None:
    made = sliding(rows=1)
    made.extend(100, 102)
    made["level_m"][...] = 7.0
    window = made.window("level_m", 98, 104)
    assert np.array_equal(window[:, 0], [np.nan, np.nan, 7, 7, np.nan, np.nan], equal_nan=True)
    window[...] = 1.0
    assert (made["level_m"] == 7.0).all()


@pytest.mark.parametrize(("first", "stop"), [(90, 95), (110, 112), (101, 101)])
def test_a_window_where_nothing_is_held_holds_fill_values(first: int, stop: int) -> None:
    made = sliding()
    made.extend(100, 103)
    made["votes"][...] = 4
    assert made.window("votes", first, stop).shape == (stop - first, 2, 3)
    assert (made.window("votes", first, stop) == -1).all()


def test_extending_never_shrinks() -> None:
    made = sliding()
    made.extend(100, 110)
    made.extend(104, 105)
    assert (made.first, made.stop) == (100, 110)


def test_forgetting_all_leaves_room_for_any_slot() -> None:
    made = sliding()
    made.extend(100, 103)
    made.forget(1000)
    assert len(made) == 0
    made.extend(50, 52)
    assert (made.first, made.stop) == (50, 52)
    assert np.isnan(made["level_m"]).all()


def test_what_was_forgotten_does_not_come_back() -> None:
    made = sliding(rows=1)
    made.extend(100, 103)
    made["level_m"][...] = 7.0
    made.forget(102)
    made.extend(100, 103)
    assert np.array_equal(made["level_m"][:, 0], [np.nan, np.nan, 7.0], equal_nan=True)


def test_forgetting_what_is_not_held_changes_nothing() -> None:
    made = sliding()
    made.extend(100, 103)
    made.forget(20)
    assert (made.first, made.stop) == (100, 103)


def test_widening_keeps_rows_and_never_narrows() -> None:
    made = sliding(rows=1)
    made.extend(100, 101)
    made["level_m"][...] = 7.0
    made.widen(3)
    made.widen(2)
    assert made.rows == 3
    assert np.array_equal(made["level_m"], [[7.0, np.nan, np.nan]], equal_nan=True)


def test_sliding_along_for_long_does_not_grow_the_buffers() -> None:
    made = sliding()
    made.extend(0, 10)
    for slot in range(10, 5000):
        made.extend(slot, slot + 1)
        made.forget(slot - 9)
    assert len(made) == 10
    assert made["level_m"].base is not None
    assert made["level_m"].base.shape[0] <= 40


moves = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), st.integers(0, 60), st.integers(1, 12)),
        st.tuples(st.just("forget"), st.integers(0, 60), st.just(0)),
        st.tuples(st.just("widen"), st.integers(1, 4), st.just(0)),
        st.tuples(st.just("put"), st.integers(0, 60), st.integers(0, 3)),
    ),
    max_size=30,
)


def played(made: Sliding, script: list[tuple[str, int, int]]) -> Iterator[dict[tuple[int, int], float]]:
    """Plays a script; gives after each move what a plain dictionary holds."""
    held: dict[tuple[int, int], float] = {}
    for nth, (move, a, b) in enumerate(script):
        match move:
            case "extend":
                made.extend(a, a + b)
            case "forget":
                made.forget(a)
                held = {cell: value for cell, value in held.items() if cell[0] >= a}
            case "widen":
                made.widen(a)
            case _ if made.first <= a < made.stop and b < made.rows:
                made["level_m"][a - made.first, b] = nth
                held[a, b] = nth
        yield held


@given(moves)
def test_it_holds_what_a_dictionary_of_cells_would_hold(script: list[tuple[str, int, int]]) -> None:
    made = sliding(rows=1)
    for held in played(made, script):
        expected = [[held.get((slot, row), np.nan) for row in range(made.rows)] for slot in range(-5, 80)]
        assert np.array_equal(made.window("level_m", -5, 80), expected, equal_nan=True)
