"""Readings of river gauges as recorded arrivals, a day (UTC) at a time: what the connectors of gauge files share.

It gives ``river.level.v1``, ``dead.v1`` and ``clock.v1``: a tick at every full ten minutes from the first arrival to the last, through
all holes, since a gauge that falls silent is only told of by time.

**Delivery guarantee.** Every good row and every dead line exactly once, in order of arrival; what arrives at one instant in order of
file and line. Of two rows for one gauge and time the one with the later offset is the higher version. Offsets are made of the minute
of arrival and the place in it, so reading from any time gives the same rows at the same positions.

**What is lost when.** Nothing of what it is given. An offset has room for 65,536 rows in a minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from connectors.span import within, zoned
from connectors.table import framed, in_minutes
from schemas.feeds import UTC_MS

__all__ = ["FAULTS", "ROWS", "Readings", "ReadingsError", "data_of", "readings"]

LEVELS, TICKS, DEAD = "river.level.v1", "clock.v1", "dead.v1"

ROWS: Mapping[str, Any] = {
    "source": pl.String, "line": pl.Int64, "region": pl.String, "gauge_id": pl.String,
    "observed_at": UTC_MS, "level_m": pl.Float64, "arrived": UTC_MS,
}  # fmt: skip
"""Columns of good rows."""
FAULTS: Mapping[str, Any] = {"source": pl.String, "line": pl.Int64, "reason": pl.String, "raw": pl.Binary, "arrived": UTC_MS}
"""Columns of dead lines; ``arrived`` is null where the line does not tell."""

_TICK = timedelta(minutes=10)
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ReadingsError(ValueError):
    """There are no gauge files at a path, or they cannot be taken in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """Recorded arrivals; see the module for what is given and promised."""

    frames: Mapping[str, pl.DataFrame] = field(repr=False)

    def read(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[dict[str, pl.DataFrame]]:
        """Levels, ticks and dead lines that arrived in [since, until), a day at a time. Days without anything are left out.

        Raises:
            ReadingsError: a time has no zone.
        """
        zoned(ReadingsError, since, until)
        asked = {name: frame.filter(within(since, until)) for name, frame in self.frames.items()}
        dated = {name: frame.with_columns(pl.col("arrived").dt.date().alias("day")) for name, frame in asked.items()}
        days = {name: frame.partition_by("day", as_dict=True, include_key=False) for name, frame in dated.items()}
        for day in sorted({day for parts in days.values() for day in parts}):
            yield {name: parts[day] for name, parts in days.items() if day in parts}

    def close(self) -> None:
        """Nothing is held open."""


def readings(rows: pl.DataFrame, faults: pl.DataFrame) -> Readings:
    """Rows and dead lines of gauge files as recorded arrivals.

    Args:
        rows: columns ``ROWS``, in order of file and line.
        faults: columns ``FAULTS``, in the same order. A line that does not tell when it arrived, or tells of a time at which no row
            had arrived or none did any more, arrives with what stands before it in its file, else with what stands after it, else
            with the first row of all (1970 where there is none): a slip in a year must not set the clock going for centuries.

    Raises:
        ReadingsError: more rows arrive in one minute than offsets have room for.
    """
    rows = in_minutes(rows.cast(dict(ROWS)), ReadingsError, "rows")  # type: ignore[arg-type]
    dead = in_minutes(_timed(faults.cast(dict(FAULTS)), rows), ReadingsError, "rows")  # type: ignore[arg-type]
    ticks = in_minutes(pl.DataFrame({"arrived": _ten_minutes(pl.concat([rows["arrived"], dead["arrived"]]))}), ReadingsError, "rows")
    told = {"partition": pl.lit(0), "version": pl.col("offset"), "op": pl.lit("stated")}
    frames = {
        LEVELS: framed(LEVELS, rows, told),
        TICKS: framed(TICKS, ticks, told | {"at": pl.col("arrived")}),
        DEAD: framed(DEAD, dead, told | {"feed": pl.lit(LEVELS), "place": pl.col("line")}),
    }
    return Readings(frames=frames)


def _timed(faults: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Dead lines with an arrival each."""
    first, last = rows["arrived"].min(), rows["arrived"].max()
    faults = faults.with_columns(pl.when(pl.col("arrived").is_between(pl.lit(first), pl.lit(last))).then(pl.col("arrived")))
    known = pl.concat([rows.select("source", "line", "arrived"), faults.select("source", "line", "arrived").drop_nulls()])
    known = known.sort("source", "line", maintain_order=True)
    ordered = faults.sort("source", "line", maintain_order=True)
    before, after = (
        ordered.select("source", "line").join_asof(known, on="line", by="source", strategy=strategy, check_sortedness=False)[
            "arrived"
        ]  # sorted within each source
        for strategy in ("backward", "forward")
    )
    return ordered.with_columns(pl.col("arrived").fill_null(before).fill_null(after).fill_null(pl.lit(first or _EPOCH)))


def _ten_minutes(arrived: pl.Series) -> pl.Series:
    """Every full ten minutes from the first arrival to the last."""
    if not len(arrived):
        return pl.Series([], dtype=UTC_MS)
    first: datetime = arrived.min()  # type: ignore[assignment]
    last: datetime = arrived.max()  # type: ignore[assignment]
    begin = first - (first - _EPOCH) % _TICK
    begin += _TICK if begin < first else timedelta(0)
    return pl.datetime_range(begin, last, _TICK, time_unit="ms", eager=True).cast(UTC_MS)


def data_of(path: Path, *encodings: str) -> tuple[bytes, str]:
    """The bytes of a file, and the first of some encodings that fits all of them, else the first that fits its first line, else the first.

    Raises:
        ReadingsError: it cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise ReadingsError(f"file {path.name} must be a file that can be read (got {fault.strerror}): give another path") from fault
    title = data.partition(b"\n")[0]
    fitting = (each for text in (data, title) for each in encodings if _fits(text, each))
    return data, next(fitting, encodings[0])


def _fits(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
