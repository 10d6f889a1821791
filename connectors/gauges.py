"""Reads and writes what is known of river gauges: ``river.gauge.v1`` as a CSV that people can edit.

The columns are the fields of the feed, those with a default at will; times are ISO 8601 with their offset from UTC; a blank
cell is null.

**Delivery guarantee.** All rows or an error that names file, line, column, rule and value: half a table of thresholds
would be silence that looks like all-clear. A record arrives when it becomes valid, at an offset that its place in the
table decides. A written file is there as a whole or not at all.

**What is lost when.** Writing leaves out arrival, partition and offset; reading gives them anew, as said above.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl

from schemas.feeds import feed

__all__ = ["GaugesError", "GaugesSettings", "check_cell", "frame", "read", "write"]

FEED = "river.gauge.v1"
_JST = timezone(timedelta(hours=9))
_AREA = re.compile(r"\d{10}|\d{12}", re.ASCII)
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_LIMITS = {"lat_deg": 90.0, "lon_deg": 180.0}


class GaugesError(ValueError):
    """A table of gauges breaks a rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GaugesSettings:
    """Where the table lies."""

    path: Path


def read(path: Path) -> pl.DataFrame:
    """The gauges of a table, as a frame of ``river.gauge.v1``.

    Args:
        path: a CSV in UTF-8, with or without byte order mark.

    Raises:
        GaugesError: a column is absent or unknown, a cell breaks the rule of its column, or a record stands twice.
    """
    fields = {each["name"]: each for each in feed(FEED).schema["fields"]}
    rows: list[dict[str, Any]] = []
    seen: dict[tuple[Any, ...], int] = {}
    for line, cells in _lines(path, fields):
        told = {
            name: _checked(_cell(name, fields[name]["type"]), cell, f"line {line}, column {name} of {path.name}")
            for name, cell in cells.items()
        }
        row = {name: told[name] if name in told else each["default"] for name, each in fields.items()}
        which = tuple(row[each] for each in (*feed(FEED).identity, "version"))
        if which in seen:
            raise GaugesError(
                f"line {line} of {path.name} must tell of a record of its own (got that of line {seen[which]}): raise its version"
            )
        seen[which] = line
        rows.append(row)
    if not rows:
        raise GaugesError(f"{path.name} must hold a gauge at least (got only a header): a city without gauges would look like all-clear")
    return frame(pl.DataFrame(rows, schema=feed(FEED).columns))


def write(gauges: pl.DataFrame, path: Path) -> None:
    """Writes the fields of a frame of ``river.gauge.v1`` as a table; the same frame gives the same bytes."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(feed(FEED).columns)
            table.writerows([_text(value) for value in row] for row in gauges.select(*feed(FEED).columns).iter_rows())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def frame(fields: pl.DataFrame) -> pl.DataFrame:
    """The fields of gauge records with the envelope they get here: each arrives when it becomes valid."""
    rows = fields.with_columns(pl.col("valid_from").alias("arrived"), pl.lit(0).alias("partition")).sort("arrived", maintain_order=True)
    minute = pl.col("arrived").dt.epoch("ms") // 60_000
    rows = rows.with_columns(((minute * (1 << 16)) + pl.int_range(pl.len(), dtype=pl.Int64).over(minute)).alias("offset"))
    return rows.select(pl.col(name).cast(dtype) for name, dtype in feed(FEED).frame_schema.items())


def _lines(path: Path, fields: dict[str, Any]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows by column, with the number of their line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.reader(file, strict=True)
            header = next(table, [])
            _check_header(header, fields, path.name)
            for cells in table:
                if cells and len(cells) != len(header):
                    raise GaugesError(
                        f"line {table.line_num} of {path.name} must have {len(header)} cells (got {len(cells)}): count the commas"
                    )
                if cells:
                    yield table.line_num, dict(zip(header, cells, strict=True))
    except OSError as fault:
        raise GaugesError(f"gauges must be a file that can be read (got {str(path)!r}): make one with tsunagu gauges") from fault
    except UnicodeDecodeError as fault:
        raise GaugesError(
            f"file {path.name} must be UTF-8 (got {fault.object[fault.start : fault.start + 8]!r}): save it as UTF-8"
        ) from fault
    except csv.Error as fault:
        raise GaugesError(f"line {table.line_num} of {path.name} must be CSV (got: {fault}): look for a quote") from fault


def _check_header(header: list[str], fields: dict[str, Any], file: str) -> None:
    """Every field once, in any order. Those with a default may be left out: tables live longer than schemas."""
    absent = [name for name, each in fields.items() if name not in header and "default" not in each]
    if absent:
        raise GaugesError(f"header of {file} must name {', '.join(absent)} (got {', '.join(header)!r}): see data/fukui/gauges.csv")
    odd = [name for place, name in enumerate(header) if name not in fields or name in header[:place]]
    if odd:
        raise GaugesError(f"header of {file} must name fields of {FEED}, each once (got {odd[0]!r}): see its schema file")


# --- cells


class _Misfit(ValueError):
    """A cell breaks this rule of its column."""


_Code = Callable[[str], Any]


def _checked(code: _Code, cell: str, place: str) -> Any:
    try:
        return code(cell)
    except _Misfit as rule:
        raise GaugesError(f"{place} must {rule} (got {cell!r})") from rule


def check_cell(name: str, kind: Any, cell: str, place: str) -> None:
    """Holds a cell against the rule of a field, given the Avro type of the field.

    Raises:
        GaugesError: the cell breaks the rule; the text begins with ``place``.
    """
    _checked(_cell(name, kind), cell, place)


def _cell(name: str, kind: Any) -> _Code:
    """How a cell becomes a value of the field."""
    if isinstance(kind, list):
        (inner,) = [each for each in kind if each != "null"]
        code = _cell(name, inner)
        return lambda cell: None if cell == "" else code(cell)
    if isinstance(kind, dict):
        return _instant if kind["type"] == "long" else _one_of(kind["symbols"])
    if name == "forecast_area":
        return _area
    return {"string": _said, "long": _whole, "double": _number(_LIMITS.get(name, 10_000.0))}[kind]


def _said(cell: str) -> str:
    if not cell.strip():
        raise _Misfit("not be blank")
    return cell


def _area(cell: str) -> str:
    if not _AREA.fullmatch(cell):
        raise _Misfit("be a code of 12 digits (予報区域) or 10 (発表区間)")
    return cell


def _whole(cell: str) -> int:
    if not re.fullmatch(r"\d{1,18}", cell, re.ASCII):
        raise _Misfit("be a whole number")
    return int(cell)


def _number(limit: float) -> _Code:
    def code(cell: str) -> float:
        if not _NUMBER.fullmatch(cell) or abs(float(cell)) > limit:
            raise _Misfit(f"be a number from {-limit:g} to {limit:g}")
        return float(cell)

    return code


def _one_of(symbols: list[str]) -> _Code:
    def code(cell: str) -> str:
        if cell not in symbols:
            raise _Misfit(f"be one of {', '.join(symbols)}")
        return cell

    return code


def _instant(cell: str) -> datetime:
    try:
        time = datetime.fromisoformat(cell)
        instant = time.astimezone(UTC)
    except (ValueError, OverflowError) as fault:
        raise _Misfit("be a time in ISO 8601") from fault
    if time.tzinfo is None or time.microsecond % 1000:
        raise _Misfit("be a time with its offset from UTC, to the millisecond")
    return instant


def _text(value: Any) -> Any:
    """A value as its cell: nothing for null, times in JST."""
    if isinstance(value, datetime):
        return value.astimezone(_JST).isoformat(timespec="milliseconds" if value.microsecond else "seconds")
    return "" if value is None else value
