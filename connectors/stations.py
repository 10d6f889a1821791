"""Gauge records made from what tables tell of stations: the publisher's where there is one, and a small one of ours.

``network.csv`` beside the files of readings is ours: ``gauge_id,municipality,lat_deg,lon_deg,downstream_id``, a line for each station.

**Delivery guarantee.** Every station once, in the order of its table, or an error that names file, line, field and value.

**What is lost when.** Nothing. What no table tells is what the schema has for it: no thresholds, nothing downstream.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from connectors.gauges import GaugesError, check_cell, frame
from connectors.readings import ReadingsError
from schemas.feeds import UTC_MS, feed

__all__ = ["NETWORK", "UNKNOWN", "Cells", "cells_of", "in_network", "network", "stations"]

FEED = "river.gauge.v1"
NETWORK = "network.csv"
UNKNOWN = "不明"
"""What is told where a publisher names no river, municipality or office."""

Cells = Mapping[str, str]


def cells_of(path: Path, *titles: str) -> list[tuple[str, Cells]]:
    """The lines of a table: place of each (``line 2 of network.csv``) and its cells by title, without blanks around them.

    Raises:
        GaugesError: it cannot be read, lacks a column, or a line has another number of cells than its header.
    """
    try:
        table = csv.reader(path.read_text(encoding="utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as fault:
        raise GaugesError(f"table {path.name} must be a CSV in UTF-8 beside the readings (got {type(fault).__name__})") from fault
    header = next(table, [])
    if absent := [each for each in titles if each not in header]:
        raise GaugesError(f"header of {path.name} must name {', '.join(absent)} (got {', '.join(header)!r})")
    out: list[tuple[str, Cells]] = []
    for cells in table:
        place = f"line {table.line_num} of {path.name}"
        if cells and len(cells) != len(header):
            raise GaugesError(f"{place} must have {len(header)} cells (got {len(cells)}): count the commas")
        if cells:
            out.append((place, {title: cell.strip() for title, cell in zip(header, cells, strict=True)}))
    return out


def network(folder: Path) -> list[tuple[str, Cells]]:
    """Our table of a folder: where stations stand, and what lies downstream."""
    return cells_of(folder / NETWORK, "gauge_id", "municipality", "lat_deg", "lon_deg", "downstream_id")


def in_network(folder: Path, named: Mapping[str, Cells], *, manager: str, valid_from: datetime) -> pl.DataFrame:
    """Gauge records of which the files of readings tell the names, and our table of their folder the rest.

    Args:
        folder: of ``network.csv``.
        named: gauge_id → what the files tell of it.
        manager: who runs the gauges.
        valid_from: from when on the records hold.

    Raises:
        ReadingsError: a station of ``network.csv`` has no file, or a file no line there.
        GaugesError: as ``stations``.
    """
    placed = network(folder)
    if odd := sorted({cells["gauge_id"] for _, cells in placed} ^ set(named)):
        raise ReadingsError(f"stations of network.csv must be those of the files (got in one of them only: {', '.join(odd)})")
    return stations([(place, {**named[cells["gauge_id"]], "manager": manager, **cells}) for place, cells in placed], valid_from)


def stations(told: Sequence[tuple[str, Cells]], valid_from: datetime) -> pl.DataFrame:
    """Gauge records as a frame of ``river.gauge.v1``.

    Args:
        told: for each station its place and its cells by field of the feed; a blank cell is null.
        valid_from: from when on all of them hold.

    Raises:
        GaugesError: a cell breaks the rule of its field, a station stands twice, or there is none.
    """
    fields = {each["name"]: each for each in feed(FEED).schema["fields"]}
    seen: dict[tuple[str, str], str] = {}
    for place, cells in told:
        for name, cell in cells.items():
            check_cell(name, fields[name]["type"], cell, f"{name}, {place},")
        which = cells["region"], cells["gauge_id"]
        if which in seen:
            raise GaugesError(f"station {which[1]} must stand once (got it at {seen[which]} and {place}): take one away")
        seen[which] = place
    if not told:
        raise GaugesError("stations must be one at least (got none): a river without gauges would look like all-clear")
    usual = {name: each.get("default") for name, each in fields.items()} | {"version": "1"}
    rows = [{name: cells.get(name) or usual[name] for name in fields if name != "valid_from"} for _, cells in told]
    text = pl.DataFrame(rows, schema={name: pl.String for name in fields if name != "valid_from"})
    whole = text.with_columns(pl.lit(valid_from).cast(UTC_MS).alias("valid_from"))
    return frame(whole.select(pl.col(name).cast(dtype) for name, dtype in feed(FEED).columns.items()))
