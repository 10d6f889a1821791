"""Reads hourly rain of AMeDAS, wide: one row an hour, one column a station, beside it the agency's table of stations.

A path is one file (``.csv`` or ``.csv.gz``, UTF-8), or a folder with ``precipitation1h*`` files; ``amedastable.csv`` lies in the same
folder (its columns: ``connectors/amedas_stations.py``). The first column is ``time_jst``, ``YYYY-MM-DD hh:00``, the end of the hour in JST
(24:00 is the next day's 00:00); all others are named by 観測所番号 and hold millimetres in steps of .5.

It gives ``weather.station.v1`` (a row of the table), ``weather.rain.v1`` (a cell) and ``dead.v1`` (a line or a cell that cannot be read,
with its file and line; of a cell the column stands behind the file). A blank cell is a record without an amount: the agency gave none.
An hour without a line is silence. The region of a station is the prefecture that its number tells. A station that only one of the
two files knows is given from that one: rain without a place, or a place without rain.

**Arrival.** The files record none. The rain of an hour arrives 20 minutes after its end (``PUBLISHED_AFTER``): an assumption, of which the
recorder tells only that it asked for each hour before the next one ended. A line that cannot be read arrives with the line before it
in its file, else with the first one after. Stations hold, and arrive, from the beginning of the first hour on: read from a later time,
there are none.

**Delivery guarantee.** Every good row and cell and every dead one exactly once, at an offset that the files alone decide: reading from
any time gives the same rows at the same positions. Of two lines of one hour the later one, in order of file name and line, has the higher
version. A file is refused whose header names no stations or one of them twice, or of which no hour can be read.

**What is lost when.** Columns of the table of which ``weather.station.v1`` says nothing. An offset has room for 65,536 records in a minute.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from connectors.amedas_stations import region, stations
from connectors.span import within, zoned
from connectors.table import cells, first_broken, framed, in_minutes, lines, rule
from schemas.feeds import UTC_MS

__all__ = ["PUBLISHED_AFTER", "AmedasError", "AmedasFiles", "AmedasSettings", "open"]

RAIN, STATIONS, DEAD = "weather.rain.v1", "weather.station.v1", "dead.v1"

PUBLISHED_AFTER = timedelta(minutes=20)
"""From the end of an hour until its rain arrives; no file records it."""

_TABLE = "amedastable.csv"
_HOUR = timedelta(hours=1)
_JST = timedelta(hours=9)
_YEARS = (1974, 2100)
"""AMeDAS began in 1974."""
_TIME = r"^(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2}) (?P<hour>[01][0-9]|2[0-4]):00$"
_AMOUNT = r"^[0-9]{1,3}(\.[05])?$"
_MOST_MM = 200.0
"""More than has fallen in any hour on record in Japan: 187 mm, 長与町, 1982-07-23."""
_DEAD = ("source", "line", "reason", "raw", "arrived")


class AmedasError(ValueError):
    """There is no hourly rain at a path, no table of its stations beside it, or one of them is written otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmedasSettings:
    """Where the files lie, where the table of stations lies (None: beside them), and when the rain of an hour arrives."""

    path: Path
    stations: Path | None = None
    published_after: timedelta = PUBLISHED_AFTER


def open(path: Path, settings: AmedasSettings | None = None) -> AmedasFiles:
    """One file, or all ``precipitation1h*`` files of a folder in order of name.

    Args:
        path: a ``.csv`` or ``.csv.gz``, or a folder of them.
        settings: other settings than the default ones.

    Raises:
        AmedasError: there is no such file, or no table of stations.
    """
    settings = settings or AmedasSettings(path=path)
    files = sorted(each for each in path.glob("precipitation1h*") if _is_file(each)) if path.is_dir() else [path] if _is_file(path) else []
    if not files:
        raise AmedasError(
            f"path of amedas must be a .csv, a .csv.gz or a folder of precipitation1h* files (got {path.name!r}): see data/amedas/README.md"
        )
    table = settings.stations or files[0].parent / _TABLE
    if not table.is_file():
        raise AmedasError(
            f"stations of amedas must be told by a table beside the rain (got no file {table.name!r}): see data/amedas/README.md"
        )
    return AmedasFiles(settings=settings, files=tuple(files), table=table)


@dataclass(frozen=True, slots=True, kw_only=True)
class AmedasFiles:
    """Rain and stations in order of arrival; see the module for what is given and promised."""

    settings: AmedasSettings
    files: tuple[Path, ...] = field(repr=False)
    table: Path = field(repr=False)

    def read(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[dict[str, pl.DataFrame]]:
        """Stations, then rain and dead lines and cells that arrived in [since, until), a day (UTC) at a time.

        Raises:
            AmedasError: a time has no zone, a file is damaged or written otherwise, or too much arrived in one minute.
        """
        zoned(AmedasError, since, until)
        held = [_hours(each, self.settings.published_after) for each in self.files]
        columns = {each.name: told for each, (told, _) in zip(self.files, held, strict=True)}
        hours = pl.concat([rows for _, rows in held]).sort("arrived", maintain_order=True)
        begins: datetime = hours["observed_at"].min() - _HOUR  # type: ignore[assignment, operator]
        asked = within(since, until)
        known = _stations(self.table, begins)
        if any(frame.filter(asked).height for frame in known.values()):
            yield known
        for day in hours.filter(asked).with_columns(pl.col("arrived").dt.date().alias("day")).partition_by("day", maintain_order=True):
            yield _rain(day, columns)

    def close(self) -> None:
        """Nothing is held open."""


# --- files


def _is_file(path: Path) -> bool:
    return path.is_file() and path.name.endswith((".csv", ".csv.gz"))


def _bytes(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
    except (OSError, EOFError, zlib.error) as fault:
        raise AmedasError(f"file {path.name} must be a whole .csv.gz (got: {fault}): fetch it again") from fault


def _hours(path: Path, published_after: timedelta) -> tuple[list[str], pl.DataFrame]:
    """The stations in the header of a file; of each line its hour, its arrival, and the rule that it breaks."""
    header, rows = lines(_bytes(path))
    titles = [each.strip() for each in header.decode("utf-8", "replace").split(",")]
    ids = _told_stations(titles, path.name)
    told = cells(rows, {"time": 0}).with_columns(pl.col("time").str.extract_groups(_TIME).alias("groups")).unnest("groups")
    day = pl.col("day").str.to_datetime("%Y-%m-%d", time_unit="ms", strict=False)
    ended = (day + pl.duration(hours=pl.col("hour").cast(pl.Int64)) - _JST).dt.replace_time_zone("UTC").cast(UTC_MS)
    ruled = told.with_columns(pl.when(day.dt.year().is_between(*_YEARS)).then(ended).alias("observed_at")).with_columns(
        first_broken([
            (pl.col("text").is_null(), pl.lit("line must be UTF-8")),
            (pl.col("count") != len(titles), pl.format(f"line must have {len(titles)} cells as its header has (got {{}})", "count")),
            rule("time_jst must be a full hour written YYYY-MM-DD hh:00", pl.col("observed_at").is_null(), "time"),
        ]).alias("reason")
    )  # fmt: skip
    timed = ruled.with_columns(pl.when(pl.col("reason").is_null()).then("observed_at").alias("observed_at"))
    if timed["observed_at"].null_count() == timed.height:
        raise AmedasError(f"file {path.name} must hold an hour that can be read (got none in {timed.height} lines): is it hourly rain?")
    arrived = (pl.col("observed_at") + published_after).fill_null(strategy="forward").fill_null(strategy="backward")
    return ids, timed.select("line", "raw", "text", "observed_at", "reason", arrived.alias("arrived"), pl.lit(path.name).alias("source"))


def _told_stations(titles: list[str], name: str) -> list[str]:
    """The numbers of stations in a header."""
    first, *ids = titles
    if first != "time_jst" or not ids:
        raise AmedasError(f"header of {name} must name time_jst and then stations (got {','.join(titles)[:60]!r}): is it hourly rain?")
    odd = [
        each for each, known in zip(ids, pl.DataFrame({"id": ids}).select(region(pl.col("id"))).to_series(), strict=True) if known is None
    ]
    odd += [each for place, each in enumerate(ids) if each in ids[:place]]
    if odd:
        raise AmedasError(f"header of {name} must name stations of AMeDAS by five digits, each once (got {odd[0]!r}): is it hourly rain?")
    return ids


# --- feeds


def _stations(table: Path, begins: datetime) -> dict[str, pl.DataFrame]:
    rows = stations(_bytes(table), table.name, AmedasError)
    rows = rows.with_columns(pl.lit(table.name).alias("source"), pl.lit(begins, UTC_MS).alias("arrived"))
    good = pl.col("reason").is_null()
    told = {"valid_from": pl.col("arrived"), "version": pl.lit(1), "op": pl.lit("stated"), "valid_until": pl.lit(None)}
    return {STATIONS: _placed(STATIONS, rows.filter(good), told), DEAD: _dead(STATIONS, rows.filter(~good))}


def _rain(day: pl.DataFrame, columns: Mapping[str, list[str]]) -> dict[str, pl.DataFrame]:
    """The cells of the good lines of a day, in order of arrival, file, line and column; and what is dead."""
    whole = pl.col("reason").is_null()
    amounts = _amounts(day.filter(whole), columns)
    told = {"version": pl.col("offset"), "op": pl.lit("stated")}
    dead = pl.concat([day.filter(~whole).select(_DEAD), amounts.filter(~whole).select(_DEAD)])
    return {RAIN: _placed(RAIN, amounts.filter(whole), told), DEAD: _dead(RAIN, dead)}


def _amounts(day: pl.DataFrame, columns: Mapping[str, list[str]]) -> pl.DataFrame:
    """A row for each cell: its station, amount, and the rule that it breaks; column and cell are its source and bytes."""
    cell = pl.col("cell")
    split = day.select(
        "source",
        "line",
        "observed_at",
        "arrived",
        pl.col("text").str.split(",").list.slice(1).alias("cell"),
        pl.col("source").replace_strict(columns, return_dtype=pl.List(pl.String)).alias("station_id"),
    )
    amounts = split.explode("cell", "station_id").with_columns(
        cell.cast(pl.Binary).alias("raw"), cell.str.strip_chars(), region(pl.col("station_id")).alias("region")
    )
    read = amounts.with_columns(pl.when(cell.str.contains(_AMOUNT)).then(cell.cast(pl.Float64, strict=False)).alias("rain_mm"))
    unfit = ~(pl.col("rain_mm") <= _MOST_MM).fill_null(value=False) & (cell != "")
    return read.with_columns(
        first_broken([rule(f"rain must be millimetres in steps of .5, 0 to {_MOST_MM:g}, or blank", unfit, "cell")]).alias("reason"),
        pl.format("{}:{}", "source", "station_id").alias("source"),
    )


def _dead(of: str, rows: pl.DataFrame) -> pl.DataFrame:
    return _placed(DEAD, rows, {"feed": pl.lit(of), "place": pl.col("line")})


def _placed(name: str, rows: pl.DataFrame, told: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """Rows as a frame of a feed in order of arrival, at offsets that the files alone decide."""
    placed = in_minutes(rows, AmedasError, f"records of {name}").with_columns(pl.lit(0).alias("partition"))
    return framed(name, placed, told)
