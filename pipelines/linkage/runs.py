"""Sorted runs: rows found again by a number, as many as share it, while ever more are added."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Runs"]

_LEAST = 4096
_SHARE = 8
"""The recent run is merged into the large one when it has grown to this share of it: each row is moved a few times only."""

Keys = NDArray[np.uint64]
Rows = NDArray[np.int64]


class _Run:
    """Keys in order, each with its row."""

    def __init__(self, keys: Keys, rows: Rows) -> None:
        self.keys, self.rows = keys, rows

    def with_more(self, keys: Keys, rows: Rows) -> _Run:
        keys, rows = np.concatenate([self.keys, keys]), np.concatenate([self.rows, rows])
        order = np.argsort(keys, kind="stable")  # it finds what is sorted already
        return _Run(keys[order], rows[order])

    def find(self, keys: Keys) -> tuple[Rows, Rows]:
        if not len(self.keys):
            return _NO_ROWS, _NO_ROWS
        begin = np.searchsorted(self.keys, keys)
        hits = np.flatnonzero(self.keys[np.minimum(begin, len(self.keys) - 1)] == keys)
        begin = begin[hits]
        count = np.searchsorted(self.keys, keys[hits], side="right") - begin
        if not hits.size or count.max() == 1:
            return hits, self.rows[begin]
        first = np.repeat(begin - np.concatenate([[0], np.cumsum(count)[:-1]]), count)
        return np.repeat(hits, count), self.rows[first + np.arange(len(first))]


_NO_ROWS = np.zeros(0, np.int64)
_EMPTY = _Run(np.zeros(0, np.uint64), _NO_ROWS)


class Runs:
    """Two runs, a large one and a recent one, however much was added."""

    def __init__(self) -> None:
        self._large, self._recent = _EMPTY, _EMPTY

    def __len__(self) -> int:
        return len(self._large.keys) + len(self._recent.keys)

    @property
    def rows(self) -> Rows:
        """All rows."""
        return np.concatenate([self._large.rows, self._recent.rows])

    def add(self, keys: Keys, rows: Rows) -> None:
        """Takes rows in, each with its key."""
        self._recent = self._recent.with_more(keys, rows)
        if len(self._recent.keys) > max(_LEAST, len(self._large.keys) // _SHARE):
            self._large, self._recent = self._large.with_more(self._recent.keys, self._recent.rows), _EMPTY

    def find(self, keys: Keys) -> tuple[Rows, Rows]:
        """All rows under each of some keys: index of the key asked for, row."""
        large, recent = self._large.find(keys), self._recent.find(keys)
        return np.concatenate([large[0], recent[0]]), np.concatenate([large[1], recent[1]])

    def renumber(self, now: Rows) -> None:
        """Gives rows the numbers that an array holds at their old ones."""
        self._large, self._recent = (_Run(each.keys, now[each.rows]) for each in (self._large, self._recent))
