"""Many Avro bodies read at once, column by column, each within its own borders.

A cursor for each body walks over one field at a time; a step is a handful of NumPy operations over all bodies. A body whose
cursor does not end exactly at its own end, or that holds anything ``avro_body`` refuses, is not vouched for: that module then
reads it alone and gives the verdict. Decoders that read the bodies as one file do not see borders: a body that lacks its last
bytes, before one that has as many too many, passes there as two good ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from connectors.avro_body import INSTANTS_MS, instant

__all__ = ["flat", "read_columns"]

Ints = NDArray[np.int64]
Marks = NDArray[np.bool_]
_PLAIN = ("enum", "string", "bytes", "float", "double", "boolean", "int", "long")
_PAD = 16
"""Bytes behind the last body, so that a step from its end still finds some."""


def flat(schema: Mapping[str, Any]) -> bool:
    """Whether records of a schema hold plain values only, each of them null or not: no arrays, no records inside."""
    return all(_plain(each["type"]) for each in schema["fields"])


def _plain(kind: Any) -> bool:
    if isinstance(kind, list):
        return len(kind) == 2 and "null" in kind and all(each == "null" or _plain(each) for each in kind)
    return (kind["type"] if isinstance(kind, Mapping) else kind) in _PLAIN


def read_columns(schema: Mapping[str, Any], values: Sequence[bytes], skip: int) -> tuple[pl.DataFrame, Marks]:
    """Reads the bodies that begin ``skip`` bytes into their values; none of the values is shorter.

    Returns:
        A column for each field (times are milliseconds), a row for each value, and which rows may be used.
    """
    page = _Page.of(values)
    at, good = page.begins + skip, np.ones(len(values), bool)
    columns = []
    for field in schema["fields"]:
        step = _step(page, field["type"], at)
        columns.append(step.column.alias(field["name"]))
        at, good = step.at, good & step.good
    return pl.DataFrame(columns), good & (at == page.ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """All values one behind the other, and where each begins and ends."""

    values: pl.Series
    data: NDArray[np.uint8]
    begins: Ints
    ends: Ints

    @classmethod
    def of(cls, values: Sequence[bytes]) -> _Page:
        sizes = np.fromiter(map(len, values), np.int64, len(values))
        ends = np.cumsum(sizes)
        data = np.frombuffer(b"".join([*values, bytes(_PAD)]), np.uint8)
        return cls(values=pl.Series("value", values, dtype=pl.Binary), data=data, begins=ends - sizes, ends=ends)

    def within(self, at: Ints) -> Ints:
        """Places that can be read from. One past the last byte is as far as a cursor that ran away can come: it is no body's end."""
        return np.minimum(at, self.data.size - _PAD + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A field of all bodies: its values, the places behind them, and which of them are readable."""

    column: pl.Series
    at: Ints
    good: Marks


def _step(page: _Page, kind: Any, at: Ints) -> _Step:
    if isinstance(kind, list):
        return _nullable(page, kind, at)
    if instant(kind):
        return _number(page, at, *INSTANTS_MS, dtype=pl.Int64())
    match kind["type"] if isinstance(kind, Mapping) else kind:
        case "enum":
            return _enum(page, kind["symbols"], at)
        case "string":
            return _string(page, at)
        case "bytes":
            return _bytes(page, at)
        case "float":
            return _fixed(page, at, "<f4")
        case "double":
            return _fixed(page, at, "<f8")
        case "boolean":
            return _boolean(page, at)
        case "int":
            return _number(page, at, -(2**31), 2**31, dtype=pl.Int32())
        case "long":
            return _long(page, at)
        case other:
            raise TypeError(f"type of a column must be a plain one (got {other!r}): read the bodies one by one")


def _nullable(page: _Page, branches: list[Any], at: Ints) -> _Step:
    """Reads the value wherever it may stand, and goes on behind it only where there is one."""
    null = branches.index("null")
    branch, at, good = _varint(page, at)
    there = branch == 1 - null
    step = _step(page, branches[1 - null], at)
    return _Step(
        column=step.column.zip_with(pl.Series(there), pl.Series([None], dtype=step.column.dtype)),
        at=np.where(there, step.at, at),
        good=good & ((there & step.good) | (branch == null)),
    )


def _enum(page: _Page, symbols: list[str], at: Ints) -> _Step:
    number, at, good = _varint(page, at)
    known = (number >= 0) & (number < len(symbols))
    names = pl.Series(symbols, dtype=pl.String)
    return _Step(column=names.gather(pl.Series(np.where(known, number, 0))), at=at, good=good & known)


def _string(page: _Page, at: Ints) -> _Step:
    step = _bytes(page, at)
    try:
        return _Step(column=step.column.cast(pl.String), at=step.at, good=step.good)
    except pl.exceptions.ComputeError:  # it tells that there is one that is no text, not which
        texts = [_text(each) for each in step.column]
        good = np.array([each is not None for each in texts], bool)
        return _Step(column=pl.Series(texts, dtype=pl.String), at=step.at, good=step.good & good)


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _bytes(page: _Page, at: Ints) -> _Step:
    size, at, good = _varint(page, at)
    fits = (size >= 0) & (size <= page.ends - at)
    size = np.where(fits, size, 0)
    pieces = pl.DataFrame({"value": page.values, "from": at - page.begins, "size": size})
    column = pieces.select(pl.col("value").bin.slice(pl.col("from"), pl.col("size"))).to_series()
    return _Step(column=column, at=at + size, good=good & fits)


def _fixed(page: _Page, at: Ints, form: str) -> _Step:
    size = np.dtype(form).itemsize
    raw = page.data[at[:, None] + np.arange(size)]
    return _Step(column=pl.Series(raw.view(form)[:, 0]), at=page.within(at + size), good=np.ones(at.size, bool))


def _boolean(page: _Page, at: Ints) -> _Step:
    byte = page.data[at]
    return _Step(column=pl.Series(byte == 1), at=page.within(at + 1), good=byte <= 1)


def _number(page: _Page, at: Ints, first: int, last: int, *, dtype: pl.DataType) -> _Step:
    number, at, good = _varint(page, at)
    within = (number >= first) & (number < last)
    return _Step(column=pl.Series(np.where(within, number, 0)).cast(dtype), at=at, good=good & within)


def _long(page: _Page, at: Ints) -> _Step:
    number, at, good = _varint(page, at)
    return _Step(column=pl.Series(number), at=at, good=good)


def _varint(page: _Page, at: Ints) -> tuple[Ints, Ints, Marks]:
    """Numbers in zig-zag, seven bits a byte, least first: the numbers, the places behind them, and which of them end."""
    byte = page.data[at]
    value = (byte & 0x7F).astype(np.uint64)
    behind, good = at + 1, np.ones(at.size, bool)
    rows = np.flatnonzero(byte >= 0x80)
    for shift in range(7, 70, 7):
        if not rows.size:
            break
        byte = page.data[behind[rows]]
        value[rows] |= (byte & 0x7F).astype(np.uint64) << np.uint64(shift)
        behind[rows] += 1
        if shift == 63:
            good[rows] = byte <= 1
        rows = rows[byte >= 0x80]
    number = (value >> np.uint64(1)).astype(np.int64) ^ -(value & np.uint64(1)).astype(np.int64)
    return number, page.within(behind), good
