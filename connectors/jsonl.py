"""Writes a feed as JSON lines, and reads them back: for people, for ``grep``, for notices and side feeds.

One line for each row, with every column of the feed's frame in the order of its schema. The same rows give the same
bytes: times are ISO 8601 in JST to the second (milliseconds only where there are any), numbers as Python writes
them, text as it is, bytes as text where they are UTF-8 and as ``{"base64": "..."}`` where they are not.

**Delivery guarantee.** The file is there as a whole or not at all: rows go to a file beside it, which takes its name
at ``close``. Reading gives exactly the frame that was written.

**What is lost when.** Everything since ``open`` when the writer dies before ``close``; a file that stood there before
stays as it was.
"""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import polars as pl

from schemas.feeds import feed

__all__ = ["JsonLines", "JsonLinesError", "JsonLinesSettings", "open", "read", "record"]

_JST = timezone(timedelta(hours=9))
_SLICE = 10_000
_Code = Callable[[Any], Any]


class JsonLinesError(ValueError):
    """A line cannot be read as a row of the feed, or a value has no place in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLinesSettings:
    """Which feed goes to which file."""

    path: Path
    feed_name: str


def open(path: Path, feed_name: str) -> JsonLines:
    """Begins a file of JSON lines. Use it in a ``with`` block: it takes its name only when the block ends well.

    Raises:
        FeedError: there is no such feed.
    """
    settings = JsonLinesSettings(path=path, feed_name=feed_name)
    feed(feed_name)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    return JsonLines(settings=settings, beside=beside, file=beside.open("wb"))


def record(data: bytes, feed_name: str, place: str) -> dict[str, Any]:
    """The fields of one record, from a JSON object. Those with a default in the schema may be absent.

    Args:
        data: the object, in UTF-8.
        feed_name: whose record it is.
        place: names it in errors.

    Raises:
        FeedError: there is no such feed.
        JsonLinesError: as for ``read``.
    """
    wanted = feed(feed_name).columns
    defaults = {each["name"]: each["default"] for each in feed(feed_name).schema["fields"] if "default" in each}
    decode = _row_of(wanted)
    whole = _decoded(data, place, lambda value: decode(defaults | value if isinstance(value, dict) else value))
    return dict(zip(wanted, whole, strict=True))


def read(path: Path, feed_name: str) -> pl.DataFrame:
    """The frame that was written to a file.

    Raises:
        FeedError: there is no such feed.
        JsonLinesError: a line is not UTF-8 or not JSON, a column is absent or unknown, or a value is of another type.
    """
    wanted = feed(feed_name).frame_schema
    decode = _row_of(wanted)
    with path.open("rb") as file:
        rows = [_decoded(line, f"line {number} of {path.name}", decode) for number, line in enumerate(file, 1)]
    return pl.DataFrame(rows, schema=wanted, orient="row")


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines:
    """A file of JSON lines that is being written."""

    settings: JsonLinesSettings
    beside: Path
    file: BinaryIO = field(repr=False)

    def write(self, frame: pl.DataFrame) -> None:
        """Adds the rows of a frame of the feed.

        Raises:
            JsonLinesError: a column is absent, or a number is not finite.
        """
        name = self.settings.feed_name
        wanted = feed(name).frame_schema
        absent = [each for each in wanted if each not in frame.columns]
        if absent:
            raise JsonLinesError(f"frame of {name} must have all its columns (got none named {', '.join(absent)}): see Feed.frame_schema")
        codes = _told({each: _encoder(dtype) for each, dtype in wanted.items()})
        rows = frame.select(pl.col(each).cast(dtype) for each, dtype in wanted.items())
        for row in rows.iter_rows(named=True, buffer_size=_SLICE):
            self.file.write(_line(row | {each: code(row[each]) for each, code in codes.items()}, name))

    def close(self) -> None:
        """Gives the file its name; from now on it is there as a whole."""
        if self.file.closed:
            return
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self.beside.replace(self.settings.path)

    def discard(self) -> None:
        """Leaves what stood there before, and drops what was written."""
        self.file.close()
        self.beside.unlink(missing_ok=True)

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


# --- writing


def _line(row: dict[str, Any], feed_name: str) -> bytes:
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(", ", ": ")).encode() + b"\n"
    except ValueError as fault:
        endless = [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]
        raise JsonLinesError(f"numbers of {feed_name} must be finite (got {', '.join(endless) or fault}): JSON has no others") from fault


def _encoder(dtype: pl.DataType) -> _Code:
    """How a value of a column becomes what JSON knows."""
    match dtype:
        case pl.Datetime():
            return _nullable(_time_text)
        case pl.Binary():
            return _nullable(_bytes_text)
        case pl.List():
            inner = _encoder(_instance(dtype.inner))
            return _as_it_is if inner is _as_it_is else _nullable(lambda values: [inner(each) for each in values])
        case pl.Struct():
            codes = _told({each.name: _encoder(_instance(each.dtype)) for each in dtype.fields})
            return _nullable(lambda values: values | {name: code(values[name]) for name, code in codes.items()}) if codes else _as_it_is
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _told(codes: dict[str, _Code]) -> dict[str, _Code]:
    """Those that do anything."""
    return {name: code for name, code in codes.items() if code is not _as_it_is}


@lru_cache(maxsize=2**12)
def _time_text(value: datetime) -> str:
    return value.astimezone(_JST).isoformat(timespec="milliseconds" if value.microsecond else "seconds")


def _bytes_text(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


# --- reading


def _decoded(line: bytes, place: str, decode: _Code) -> tuple[Any, ...]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as fault:
        shown = line.rstrip(b"\n")[:60]
        raise JsonLinesError(f"{place} must be one JSON object in UTF-8 (got {shown!r})") from fault
    try:
        return tuple(decode(row).values())
    except _Misfit as fault:
        raise JsonLinesError(f"{place}{fault}") from fault


class _Misfit(ValueError):
    """A value is of another type than its column; the text goes on from the place of the value."""


def _row_of(columns: dict[str, pl.DataType]) -> _Code:
    """How a JSON object becomes the values of these columns: all of them, and no others."""
    codes = {name: _decoder(dtype) for name, dtype in columns.items()}

    def decode(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _misfit("be an object", value)
        if value.keys() != codes.keys():
            differ = sorted(value.keys() ^ codes.keys())
            raise _Misfit(f" must have the fields {', '.join(codes)} (got other: {', '.join(differ)})")
        return {name: _within(name, code, value[name]) for name, code in codes.items()}

    return decode


def _within(name: str, code: _Code, value: Any) -> Any:
    try:
        return code(value)
    except _Misfit as fault:
        raise _Misfit(f", {name}{fault}") from fault


def _misfit(rule: str, value: Any) -> _Misfit:
    return _Misfit(f" must {rule} (got {value!r})")


def _decoder(dtype: pl.DataType) -> _Code:
    """How a JSON value becomes one of a column."""
    match dtype:
        case pl.Datetime():
            return _nullable(_time_of)
        case pl.Binary():
            return _nullable(_bytes_of)
        case pl.List():
            return _nullable(_list_of(_decoder(_instance(dtype.inner))))
        case pl.Struct():
            return _nullable(_row_of({each.name: _instance(each.dtype) for each in dtype.fields}))
        case pl.Boolean():
            return _nullable(_plain("be true or false", bool))
        case pl.String():
            return _nullable(_plain("be text", str))
        case pl.Float32() | pl.Float64():
            return _nullable(_float_of)
    return _nullable(_whole(dtype))


def _nullable(code: _Code) -> _Code:
    return lambda value: None if value is None else code(value)


def _plain(rule: str, kind: type) -> _Code:
    def decode(value: Any) -> Any:
        if type(value) is not kind:
            raise _misfit(rule, value)
        return value

    return decode


def _whole(dtype: pl.DataType) -> _Code:
    limit = 1 << (31 if dtype == pl.Int32 else 63)

    def decode(value: Any) -> int:
        if type(value) is not int or not -limit <= value < limit:
            raise _misfit(f"be a whole number of {limit.bit_length()} bits", value)
        return value

    return decode


def _float_of(value: Any) -> float:
    try:
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number beyond every float
        pass
    raise _misfit("be a finite number", value)


def _list_of(inner: _Code) -> _Code:
    def decode(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _misfit("be a list", value)
        return [_within(str(place), inner, each) for place, each in enumerate(value)]

    return decode


def _time_of(value: Any) -> datetime:
    try:
        time = datetime.fromisoformat(value)
        instant = time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as fault:
        raise _misfit("be a time in ISO 8601", value) from fault
    if time.tzinfo is None or time.microsecond % 1000:
        raise _misfit("be a time with its zone, to the millisecond", value)
    return instant


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    try:
        return base64.b64decode(value["base64"], validate=True)
    except (TypeError, KeyError, ValueError) as fault:
        raise _misfit('be text or {"base64": ...}', value) from fault


def _instance(dtype: Any) -> pl.DataType:
    """Polars gives inner types as classes or as instances; a match needs instances."""
    instance: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return instance
