"""Reads injury accidents of all Japan from the nationwide point file: one CSV (``.csv`` or ``.csv.gz``, UTF-8), or a folder of them.

It gives ``road.accident.v1`` (a row of a file), ``road.accident-year.v1`` (word that the file of a year is out) and ``dead.v1`` (lines
that cannot be read, each with its file and line). A row has the police's codes as published, a time with its offset, and
decimal degrees; its id begins with the year of the police file that held it.

**Arrival.** The file records none. All accidents of one year's police file arrive at once, on 1 September of the year after at 00:00
JST, by which time it has been published in every year so far; dead lines of which the year cannot be told arrive with the first year.

**Delivery guarantee.** Every good row and every dead line exactly once, in order of year, file and line, at an offset that the
files alone decide: reading from any time gives the same rows at the same positions. A file whose header lacks a column is refused.

**What is lost when.** Columns of which nothing is said in ``road.accident.v1``. A row without a position is dead: it cannot be
placed. A second row with the id of one before it is dead too, whatever it says.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from connectors import police_files
from connectors.police_codes import municipality
from connectors.police_files import JAPAN_LAT_DEG, JAPAN_LON_DEG
from connectors.span import holds, zoned
from connectors.table import cells, first_broken, lines, rule

__all__ = ["NpaError", "NpaFiles", "NpaSettings", "open"]

_FILE_YEARS = (1990, 2100)
_COLUMNS = {
    "accident_id": "id", "time": "発生日時", "lat": "lat", "lon": "lon", "deaths": "死者数", "injured": "負傷者数",
    "municipality": "市区町村コード", "road_shape": "道路形状", "signal": "信号機", "width": "車道幅員", "route": "路線コード",
    "weather": "天候", "daylight": "昼夜", "accident_type": "事故類型",
}  # fmt: skip


class NpaError(ValueError):
    """There is no nationwide point file at a path, or it is written otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NpaSettings:
    """Where the files lie, and what their accidents are judged with."""

    path: Path
    region: str = "jp"


def open(path: Path, settings: NpaSettings | None = None) -> NpaFiles:
    """One file, or all of a folder in order of name.

    Args:
        path: a ``.csv`` or ``.csv.gz``, or a folder of them.
        settings: other settings than the default ones.

    Raises:
        NpaError: there is no such file.
    """
    files = sorted(each for each in path.iterdir() if _is_file(each)) if path.is_dir() else [path] if _is_file(path) else []
    if not files:
        raise NpaError(f"path of npa must be a .csv or .csv.gz, or a folder of them (got {path.name!r}): see data/npa/README.md")
    return NpaFiles(settings=settings or NpaSettings(path=path), files=tuple(files))


@dataclass(frozen=True, slots=True, kw_only=True)
class NpaFiles:
    """The accidents of some years; see the module for what is given and promised."""

    settings: NpaSettings
    files: tuple[Path, ...] = field(repr=False)

    def read(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[dict[str, pl.DataFrame]]:
        """Accidents, word of years and dead lines that arrived in [since, until), a year at a time.

        Raises:
            NpaError: a time has no zone, or a file is damaged or written otherwise.
        """
        zoned(NpaError, since, until)
        rows = _judged(pl.concat([_rows(each) for each in self.files]))
        told = rows.select(pl.col("file_year").drop_nulls().unique().sort()).to_series().to_list()
        rows = rows.with_columns(pl.col("file_year").fill_null(told[0] if told else _FILE_YEARS[0]))
        for year in told or rows["file_year"].unique().to_list():
            if holds(police_files.arrival(year), since, until):
                yield self._chunk(rows.filter(pl.col("file_year") == year), year)

    def close(self) -> None:
        """Nothing is held open."""

    def _chunk(self, rows: pl.DataFrame, year: int) -> dict[str, pl.DataFrame]:
        placed = rows.with_columns(
            (pl.lit(police_files.first_offset(year)) + pl.int_range(1, pl.len() + 1)).alias("offset"), pl.lit(1).alias("version")
        )
        good = pl.col("reason").is_null()
        return police_files.year(year, self.settings.region, placed.filter(good), placed.filter(~good))


# --- files


def _is_file(path: Path) -> bool:
    return path.is_file() and path.name.endswith((".csv", ".csv.gz"))


def _rows(path: Path) -> pl.DataFrame:
    """The lines of a file that say something, each with its file, line, bytes and cells; no text where the bytes are not UTF-8."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
    except (OSError, EOFError, zlib.error) as fault:
        raise NpaError(f"file {path.name} must be a whole .csv.gz (got: {fault}): fetch it again") from fault
    header, table = lines(data)
    titles = header.decode(errors="replace").split(",")
    absent = [each for each in _COLUMNS.values() if each not in titles]
    if absent:
        raise NpaError(
            f"header of {path.name} must name {', '.join(absent)} (got {len(titles)} other columns): is it a nationwide point file?"
        )
    places = {ours: titles.index(theirs) for ours, theirs in _COLUMNS.items()}
    return cells(table, places).with_columns((pl.col("count") == len(titles)).alias("whole"), pl.lit(path.name).alias("source"))


# --- rows


def _judged(rows: pl.DataFrame) -> pl.DataFrame:
    """The fields of each row, and the first rule that it breaks."""
    file_year = pl.col("accident_id").str.slice(0, 4).cast(pl.Int32, strict=False)
    dated = rows.with_columns(
        pl.when(file_year.is_between(*_FILE_YEARS)).then(file_year).alias("file_year"),
        pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M%z", time_unit="ms", strict=False).alias("occurred_at"),
        pl.col("lat", "lon").cast(pl.Float64, strict=False).name.suffix("_deg"),
        municipality(pl.col("accident_id").str.slice(4, 2), pl.col("municipality")).alias("jis"),
    )
    ruled = dated.with_columns(_reason().alias("reason"))
    good = pl.col("reason").is_null()
    first = (
        ruled.filter(good)
        .unique("accident_id", keep="first", maintain_order=True)
        .select("source", "line", pl.lit(value=True).alias("first"))
    )
    marked = ruled.join(first, on=["source", "line"], how="left", maintain_order="left")
    again = pl.format("id must stand once (got '{}' again)", "accident_id")
    told = marked.with_columns(pl.when(good & pl.col("first").is_null()).then(again).otherwise("reason").alias("reason"))
    return told.with_columns(pl.col("jis").alias("municipality"), *police_files.told_cells())


def _reason() -> pl.Expr:
    """The first rule that a row breaks; null where it breaks none."""
    local_year = pl.col("occurred_at").dt.convert_time_zone("Asia/Tokyo").dt.year()
    digits = pl.col("accident_id").str.contains(r"^[0-9]{13}$")
    rules = [
        (pl.col("text").is_null(), pl.lit("line must be UTF-8")),
        (~pl.col("whole"), pl.format("line must have as many cells as its header (got '{}')", pl.col("text").str.slice(0, 60))),
        rule("id must be thirteen digits: year, prefecture, station, number", ~digits, "accident_id"),
        rule(f"year of id must lie in {_FILE_YEARS[0]} to {_FILE_YEARS[1]}", pl.col("file_year").is_null(), "accident_id"),
        rule("発生日時 must be written YYYY-MM-DDThh:mm+09:00", pl.col("occurred_at").is_null(), "time"),
        rule("発生日時 must not lie after the year of its file", local_year > pl.col("file_year"), "time"),
        rule("lat must be a number of degrees", pl.col("lat_deg").is_null(), "lat"),
        rule("lon must be a number of degrees", pl.col("lon_deg").is_null(), "lon"),
        rule(f"lat must lie in Japan, {JAPAN_LAT_DEG[0]} to {JAPAN_LAT_DEG[1]}", ~pl.col("lat_deg").is_between(*JAPAN_LAT_DEG), "lat"),
        rule(f"lon must lie in Japan, {JAPAN_LON_DEG[0]} to {JAPAN_LON_DEG[1]}", ~pl.col("lon_deg").is_between(*JAPAN_LON_DEG), "lon"),
        rule("市区町村コード must be a police prefecture and three digits", pl.col("jis").is_null(), "municipality"),
        *police_files.cell_rules(),
    ]
    return first_broken(rules)
