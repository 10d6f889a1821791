"""Runs, against a plain list of all that was added."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.linkage import runs as module
from pipelines.linkage.runs import Runs

keys = st.integers(0, 12)
batches = st.lists(st.lists(keys, max_size=12), max_size=12)


def as_keys(some: list[int]) -> np.ndarray:
    return np.array(some, np.uint64)


def found(runs: Runs, asked: list[int]) -> list[tuple[int, int]]:
    at, rows = runs.find(as_keys(asked))
    return sorted(zip(at.tolist(), rows.tolist(), strict=True))


def expected(held: list[tuple[int, int]], asked: list[int]) -> list[tuple[int, int]]:
    return sorted((at, row) for at, key in enumerate(asked) for each, row in held if each == key)


@pytest.fixture(params=[0, 5, 4096], ids="a run is merged at {}".format)
def least(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST", request.param)


@pytest.mark.usefixtures("least")
class TestAnySequence:
    @given(batches, st.lists(keys, max_size=15), st.lists(st.booleans(), min_size=12, max_size=12))
    def test_all_that_was_added_is_found_however_it_came_and_was_renumbered(
        self, added: list[list[int]], asked: list[int], renumbered: list[bool]
    ) -> None:
        runs, held = Runs(), []
        for batch, renumber in zip(added, renumbered, strict=False):
            runs.add(as_keys(batch), np.arange(len(held), len(held) + len(batch)))
            held += [(key, len(held) + nth) for nth, key in enumerate(batch)]
            if renumber:
                now = np.random.default_rng(len(held)).permutation(len(held))
                runs.renumber(now)
                held = sorted(((key, int(now[row])) for key, row in held), key=lambda each: each[1])
            assert found(runs, asked) == expected(held, asked)
        assert len(runs) == len(held)
        assert sorted(runs.rows.tolist()) == [row for _, row in held]


def test_nothing_is_found_where_nothing_is() -> None:
    runs = Runs()
    assert found(runs, [1, 2]) == []
    runs.add(as_keys([5]), np.array([0]))
    assert found(runs, []) == []
    assert found(runs, [4, 6]) == []


def test_the_largest_numbers_are_told_apart() -> None:
    """Identities are hashes of 64 bits: one more or less is another."""
    top = 2**64 - 1
    runs = Runs()
    runs.add(as_keys([top, top - 1, 2**53 + 1]), np.arange(3))
    assert found(runs, [top - 1, top, 2**53, 2**53 + 1]) == [(0, 1), (1, 0), (3, 2)]


def test_a_long_run_is_merged_and_still_found() -> None:
    runs, g = Runs(), np.random.default_rng(2)
    all_ = g.integers(0, 3000, 30_000).astype(np.uint64)
    for begin in range(0, 30_000, 700):
        runs.add(all_[begin : begin + 700], np.arange(begin, min(begin + 700, 30_000)))
    at, rows = runs.find(np.arange(3000, dtype=np.uint64))
    assert sorted(rows.tolist()) == list(range(30_000))
    assert (all_[rows] == at.astype(np.uint64)).all()
