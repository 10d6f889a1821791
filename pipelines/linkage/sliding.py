"""Arrays that slide along event time: slots × rows, grown at the front, forgotten at the back.

A slot is a whole number: slot k ends at k × width after the epoch and holds what happened in (k − 1, k].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sliding"]

Array = NDArray[Any]


class Sliding:
    """Named arrays of shape (slots, rows, …) over the same slots ``first`` … ``stop − 1``.

    Args:
        fields: name → (dtype, fill value, trailing shape). A new cell holds the fill value.

    Example:
        >>> levels = Sliding({"level_m": (np.float64, np.nan, ())})
        >>> levels.widen(2)
        >>> levels.extend(100, 103)
        >>> levels.window("level_m", 99, 101).shape
        (2, 2)
    """

    def __init__(self, fields: Mapping[str, tuple[Any, Any, tuple[int, ...]]]) -> None:
        self._fields = dict(fields)
        self.rows = 0
        self.first = self.stop = 0
        self._at = 0  # index of slot `first` in the buffers
        self._buffers: dict[str, Array] = {name: np.empty((0, 0, *tail), dtype) for name, (dtype, _, tail) in fields.items()}

    def __len__(self) -> int:
        return self.stop - self.first

    def __getitem__(self, name: str) -> Array:
        """View of one array over all its slots."""
        return self._buffers[name][self._at : self._at + len(self)]

    def widen(self, rows: int) -> None:
        """Grows to so many rows; new cells hold the fill value."""
        if rows <= self.rows:
            return
        for name, (dtype, fill, tail) in self._fields.items():
            grown = np.full((len(self), rows, *tail), fill, dtype)
            grown[:, : self.rows] = self[name]
            self._buffers[name] = grown
        self._at, self.rows = 0, rows

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Keeps these rows only, in this order."""
        for name in self._fields:
            self._buffers[name] = self[name][:, rows]
        self._at, self.rows = 0, len(rows)

    def extend(self, first: int, stop: int) -> None:
        """Grows to cover slots ``first`` … ``stop − 1`` as well; never shrinks."""
        if not len(self):
            self.first = self.stop = first
        first, stop = min(first, self.first), max(stop, self.stop)
        if (first, stop) == (self.first, self.stop):
            return
        room = next(iter(self._buffers.values())).shape[0] if self._buffers else 0
        at = self._at + first - self.first
        if at < 0 or at + stop - first > room:
            self._move(first, stop)
        else:
            for name, (_, fill, _) in self._fields.items():
                buffer = self._buffers[name]
                buffer[at : self._at] = fill
                buffer[self._at + len(self) : at + stop - first] = fill
            self._at = at
        self.first, self.stop = first, stop

    def _move(self, first: int, stop: int) -> None:
        """Into buffers with as much room again, so that growing slot by slot costs little."""
        count, shift = stop - first, self.first - first
        for name, (dtype, fill, tail) in self._fields.items():
            moved = np.full((2 * count, self.rows, *tail), fill, dtype)
            moved[shift : shift + len(self)] = self[name]
            self._buffers[name] = moved
        self._at = 0

    def forget(self, first: int) -> None:
        """Drops the slots before ``first``."""
        gone = min(max(first - self.first, 0), len(self))
        self._at += gone
        self.first += gone

    def window(self, name: str, first: int, stop: int) -> Array:
        """Slots ``first`` … ``stop − 1`` of one array: a view where all are held, else a copy filled up."""
        if first >= self.first and stop <= self.stop:
            at = self._at + first - self.first
            return self._buffers[name][at : at + stop - first]
        dtype, fill, tail = self._fields[name]
        whole = np.full((stop - first, self.rows, *tail), fill, dtype)
        a, b = max(first, self.first), min(stop, self.stop)
        if a < b:
            whole[a - first : b - first] = self.window(name, a, b)
        return whole
