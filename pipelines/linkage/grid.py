"""The recent past of a regular input, as a grid of slots × keys.

It takes frames of records in any order, keeps of each identity the highest version, and tells from which slot on
something changed. What it holds is a function of the set of records, never of the order in which they came.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.linkage.sliding import Sliding

if TYPE_CHECKING:
    from schemas.feeds import Feed

__all__ = ["EMPTY", "EPOCH", "MUTE", "NEVER", "VALUE", "Grid", "Key", "instant", "instants", "milliseconds"]

Key = tuple[str, ...]
Array = NDArray[Any]

EMPTY, VALUE, MUTE, WITHDRAWN = 0, 1, 2, 3
"""What a cell of a grid holds: nothing, a value, word that there is none, a record that was withdrawn."""

_MANY = 1000
"""From so many records on their rows are found by a join, which has a price of its own."""

NEVER = np.iinfo(np.int64).min // 4
"""A slot or an instant before all others."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instants(times: pl.Series) -> NDArray[np.int64]:
    """A column of times as milliseconds since the epoch."""
    return times.to_numpy().astype(np.int64)


@lru_cache(maxsize=2**12)
def instant(time_ms: int) -> datetime:
    """Milliseconds since the epoch as a time, UTC."""
    return EPOCH + timedelta(milliseconds=time_ms)


def milliseconds(span: timedelta) -> int:
    """A span in whole milliseconds."""
    return span // timedelta(milliseconds=1)


class Grid:
    """Newest record of each key in each slot, with what follows from it at once.

    Arrays (slots × rows; a row is a key): ``time`` (ms, event time of the record), ``value`` (NaN: none, or withdrawn), ``kind``;
    ``last`` and ``last_mute``, the newest slot up to here with a value or with a record that has none (``NEVER``:
    none); ``filled``, the value at the end of each slot, interpolated linearly between values that are at most
    ``bridge`` apart (NaN: not known). ``beside``: other grids that are read with it, by name; of them a slot may be looked at once
    it has ended. ``changes``: a number that grows with every change.
    """

    def __init__(self, feed: Feed, *, value: str, every: timedelta, bridge: timedelta) -> None:
        self.beside: dict[str, Grid] = {}
        self.every_ms, self.changes = milliseconds(every), 0
        self.bridge = bridge // every
        self.keys: list[Key] = []
        self.row: dict[Key, int] = {}
        self._indexed: pl.DataFrame | None = None
        self._feed, self._value = feed, value
        self._key_fields = [name for name in feed.identity if name != feed.time]
        self._crowds: dict[tuple[int, int], dict[int, tuple[int, float, int]]] = {}
        none: tuple[int, ...] = ()
        self.slots = Sliding(
            {
                "time": (np.int64, NEVER, none),
                "version": (np.int64, -1, none),
                "value": (np.float64, np.nan, none),
                "kind": (np.int8, EMPTY, none),
                "last": (np.int64, NEVER, none),
                "last_mute": (np.int64, NEVER, none),
                "filled": (np.float64, np.nan, none),
            }
        )

    def slot_of(self, time_ms: Any) -> Any:
        """The slot that ends at or after a time."""
        return -(-time_ms // self.every_ms)

    def know(self, keys: Iterable[Key]) -> None:
        """Gives every key a row."""
        self.changes += 1
        for key in keys:
            if key not in self.row:
                self.row[key] = len(self.keys)
                self.keys.append(key)
        self.slots.widen(len(self.keys))

    def add(self, frame: pl.DataFrame) -> int | None:
        """Takes records in; returns the earliest slot in which something changed, None where nothing did."""
        if not frame.height:
            return None
        self.changes += 1
        row = self._rows(frame)
        time = instants(frame[self._feed.time])
        version = frame[self._feed.version].to_numpy() if self._feed.version else np.zeros(len(row), np.int64)
        value = frame[self._value].to_numpy()
        kind = np.where(np.isnan(value), MUTE, VALUE).astype(np.int8)
        if "op" in frame.columns:
            kind[(frame["op"] == "withdrawn").to_numpy()] = WITHDRAWN
            value = np.where(kind == WITHDRAWN, np.nan, value)
        order = _highest(row, time, version)
        slot = self.slot_of(time)
        self.extend(int(slot.min()), int(slot.max()) + 1)
        changed = self._put(slot[order], row[order], time[order], version[order], value[order], kind[order])
        if changed is not None:
            self._follow(changed)
        return changed

    def extend(self, first: int, stop: int) -> None:
        """Covers slots ``first`` … ``stop − 1`` too; where they are new, nothing was heard in them."""
        self.changes += 1
        old = self.slots.stop if len(self.slots) else None
        self.slots.extend(first, stop)
        if old is not None and stop > old:
            self._follow(old)

    def forget(self, first: int) -> None:
        """Drops what lies in slots before ``first``."""
        self.changes += 1
        self.slots.forget(first)
        if self._crowds:
            self._crowds = {cell: crowd for cell, crowd in self._crowds.items() if cell[0] >= first}

    def empty_rows(self) -> NDArray[np.int64]:
        """Rows of keys of which nothing is held."""
        return np.flatnonzero((self.slots["kind"] == EMPTY).all(axis=0)) if len(self.slots) else np.arange(len(self.keys))

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Keeps these rows only, in this order."""
        self.changes += 1
        now = {int(old): new for new, old in enumerate(rows)}
        self.keys = [self.keys[row] for row in rows]
        self.row, self._indexed = {key: row for row, key in enumerate(self.keys)}, None
        self.slots.keep(rows)
        self._crowds = {(slot, now[row]): crowd for (slot, row), crowd in self._crowds.items() if row in now}

    def held(self) -> int:
        """How many records are held."""
        return int(np.count_nonzero(self.slots["kind"])) + sum(len(crowd) - 1 for crowd in self._crowds.values())

    def _rows(self, frame: pl.DataFrame) -> NDArray[np.int64]:
        keys = frame.select(self._key_fields)
        if frame.height < _MANY:
            few = keys.rows()
            self.know(few)
            return np.array([self.row[key] for key in few], np.int64)
        rows = keys.join(self._index(keys.schema), on=self._key_fields, how="left", maintain_order="left")["row"]
        if not rows.null_count():
            return rows.to_numpy()
        self.know(keys.iter_rows())
        return self._rows(frame)

    def _index(self, schema: pl.Schema) -> pl.DataFrame:
        """The row of each key, as a frame."""
        if self._indexed is None or self._indexed.height != len(self.keys):
            self._indexed = pl.DataFrame(self.keys, schema=schema, orient="row").with_row_index("row").cast({"row": pl.Int64})
        return self._indexed

    def _put(self, slot: Array, row: Array, time: Array, version: Array, value: Array, kind: Array) -> int | None:
        at = slot - self.slots.first
        times, versions = self.slots["time"], self.slots["version"]
        there, had = times[at, row], versions[at, row]
        alone = ((there == NEVER) | (there == time)) & ~_repeated(slot, row)
        if self._crowds:
            alone &= np.fromiter(((s, r) not in self._crowds for s, r in zip(slot.tolist(), row.tolist(), strict=True)), bool, len(row))
        news = alone & (version > had)
        where = at[news], row[news]
        times[where], versions[where] = time[news], version[news]
        self.slots["value"][where], self.slots["kind"][where] = value[news], kind[news]
        changed = [int(slot[news].min())] if news.any() else []
        for i in np.flatnonzero(~alone):
            changed += self._crowd(int(slot[i]), int(row[i]), int(time[i]), (int(version[i]), float(value[i]), int(kind[i])))
        return min(changed, default=None)

    def _crowd(self, slot: int, row: int, time: int, record: tuple[int, float, int]) -> list[int]:
        """Several records of one key in one slot: all are kept, the newest one that stands is shown."""
        arrays = [self.slots[name][slot - self.slots.first] for name in ("time", "version", "value", "kind")]
        crowd = self._crowds.setdefault((slot, row), {})
        if not crowd and arrays[3][row] != EMPTY:
            crowd[int(arrays[0][row])] = (int(arrays[1][row]), float(arrays[2][row]), int(arrays[3][row]))
        if time in crowd and crowd[time][0] >= record[0]:
            return []
        crowd[time] = record
        shown = max(crowd, key=lambda each: (crowd[each][2] != WITHDRAWN, each))
        for array, held in zip(arrays, (shown, *crowd[shown]), strict=True):
            array[row] = held
        return [slot]

    def _follow(self, first: int) -> None:
        """Computes again what follows from the records, from slot ``first`` on."""
        kinds, base = self.slots["kind"], self.slots.first
        for name, kind in (("last", VALUE), ("last_mute", MUTE)):
            lasts = self.slots[name]
            before = lasts[first - base - 1] if first > base else np.full(self.slots.rows, NEVER)
            for k in range(first - base, len(self.slots)):
                before = lasts[k] = np.where(kinds[k] == kind, base + k, before)
        self._fill(first)

    def _fill(self, first: int) -> None:
        """Interpolates from slot ``first`` on, and back to the last value before it where a key speaks from there on."""
        base, stop = self.slots.first, self.slots.stop
        every = np.arange(self.slots.rows)
        self._between(first, stop, every)
        if first > base:
            before = self.slots.window("last", first - 1, first)[0]
            reaches = (before >= first - self.bridge) & (before < first - 1)
            gap = np.flatnonzero(reaches & (self.slots.window("kind", first, stop) != EMPTY).any(axis=0))
            if gap.size:
                self._between(max(base, int(before[gap].min()) + 1), stop, every[gap])

    def _between(self, start: int, stop: int, rows: NDArray[np.int64]) -> None:
        """Values at the ends of slots ``start`` … ``stop − 1`` of some rows."""
        base, whole = self.slots.first, len(rows) == self.slots.rows
        kinds, lasts = (each if whole else each[:, rows] for each in (self.slots.window(name, start, stop) for name in ("kind", "last")))
        following = np.full_like(lasts, -NEVER)
        after = np.full(len(rows), -NEVER)
        for k in range(stop - start - 1, -1, -1):
            after = following[k] = np.where(kinds[k] == VALUE, start + k, after)
        inside = (lasts >= base) & (following < stop) & (following - lasts <= self.bridge)
        a, b = (np.where(inside, each, base) - base for each in (lasts, following))
        times, values = self.slots["time"], self.slots["value"]
        ends = np.arange(start, stop)[:, None] * self.every_ms
        t0, t1, v0, v1 = times[a, rows], times[b, rows], values[a, rows], values[b, rows]
        span = np.where(t1 > t0, t1 - t0, 1)
        between = v0 + (v1 - v0) * ((np.minimum(ends, t1) - t0) / span)
        exact = np.where(a == b, v0, between)
        self.slots.window("filled", start, stop)[:, rows if not whole else slice(None)] = np.where(inside, exact, np.nan)


def _repeated(slot: Array, row: Array) -> Array:
    """Which of these cells stand more than once; cells come sorted by row and time."""
    same = (slot[1:] == slot[:-1]) & (row[1:] == row[:-1])
    out = np.zeros(len(slot), bool)
    out[1:] |= same
    out[:-1] |= same
    return out


def _highest(row: Array, time: Array, version: Array) -> Array:
    """Order by row and time with the highest version of each identity only."""
    order = np.lexsort((version, time, row))
    row, time = row[order], time[order]
    final = np.ones(len(order), bool)
    final[:-1] = (row[1:] != row[:-1]) | (time[1:] != time[:-1])
    return order[final]
