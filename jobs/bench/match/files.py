"""The inputs as files, and as messages in topics. Cells for those who have none are worked out here, before any clock runs."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.bench.match.inputs import WITHIN_M
from pipelines.linkage.space import cells, covering, disks

__all__ = ["Message", "Wire", "events", "messages", "read_pairs", "with_cells", "write"]

Wire = Literal["bytes", "json"]
Message = tuple[bytes, bytes, int]
"""Key, value, time stamp."""

_RESOLUTION, _K = covering(WITHIN_M)
_EVENT = ["event", "at_ms", "lat_deg", "lon_deg"]


def write(side: pl.DataFrame, path: Path) -> None:
    """Writes a side as CSV, with a head."""
    side.select("event", "at_ms", "arrived_ms", "lat_deg", "lon_deg").write_csv(path)


def events(path: Path) -> pl.DataFrame:
    """Reads a side."""
    return pl.read_csv(path)


def with_cells(side: pl.DataFrame, path: Path, *, around: bool) -> None:
    """Writes a side as CSV without a head: number, time, place, then its cell, or the seven cells around it."""
    found = _around(side) if around else _cells(side)[:, None].astype(np.int64)
    columns = [pl.Series(f"cell{nth}", found[:, nth]) for nth in range(found.shape[1])]
    side.select(_EVENT).with_columns(columns).write_csv(path, include_header=False)


def messages(side: pl.DataFrame, *, around: bool, wire: Wire, stamp: Literal["at_ms", "arrived_ms"]) -> Iterator[Message]:
    """A side as messages in order of arrival, each event under its cell, or under the seven around it."""
    found = _around(side) if around else _cells(side)[:, None].astype(np.int64)
    stamps = side[stamp].to_list()
    for row, near, stamped in zip(side.select(_EVENT).iter_rows(), found.tolist(), stamps, strict=True):
        value = json.dumps(row).encode() if wire == "json" else struct.pack(">qdd", row[0], row[2], row[3])
        for cell in near:
            yield struct.pack(">q", cell), value, stamped


def read_pairs(path: Path) -> pl.DataFrame:
    """Reads pairs from a file, or from all files of a folder."""
    paths = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
    schema = {"left": pl.Int64, "right": pl.Int64}
    return pl.concat(
        [pl.DataFrame(schema=schema), *(pl.read_csv(each, has_header=False, schema=schema) for each in paths if each.stat().st_size)]
    )


def _cells(side: pl.DataFrame) -> NDArray[np.uint64]:
    return cells(side["lat_deg"].to_numpy(), side["lon_deg"].to_numpy(), _RESOLUTION)


def _around(side: pl.DataFrame) -> NDArray[np.int64]:
    _, near = disks(_cells(side), _K)
    return near.astype(np.int64).reshape(side.height, -1)
