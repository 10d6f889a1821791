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
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars as pl

from connectors.police_codes import municipality
from schemas.feeds import feed

__all__ = ["NpaError", "NpaFiles", "NpaSettings", "arrival", "open"]

ACCIDENTS, YEARS, DEAD = "road.accident.v1", "road.accident-year.v1", "dead.v1"

_JST = timezone(timedelta(hours=9))
_LAT_DEG, _LON_DEG = (20.4, 45.6), (122.9, 154.0)
_FILE_YEARS = (1990, 2100)
_YEAR_OFFSETS = 1 << 32
"""Offsets of a year: no year comes near so many rows."""
_COLUMNS = {
    "accident_id": "id", "time": "発生日時", "lat": "lat", "lon": "lon", "deaths": "死者数", "injured": "負傷者数",
    "municipality": "市区町村コード", "road_shape": "道路形状", "signal": "信号機", "width": "車道幅員", "route": "路線コード",
    "weather": "天候", "daylight": "昼夜", "accident_type": "事故類型",
}  # fmt: skip
_CODES = {
    "road_shape": frozenset(["01", "07", "31", "37", "11", "12", "13", "14", "21", "22", "23", "00"]),
    "signal": frozenset("12345678"),
    "width": frozenset(["01", "02", "03", "04", "05", "06", "11", "13", "14", "15", "16", "17", "18", "19", "00"]),
    "weather": frozenset("12345"),
    "daylight": frozenset(["11", "12", "13", "21", "22", "23"]),
    "accident_type": frozenset(["01", "04", "21", "28", "41", "61"]),
}
"""The codes that the police's tables hold."""


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


def arrival(year: int) -> datetime:
    """When the police file of a year counts as arrived: 1 September of the year after, 00:00 JST."""
    return datetime(year + 1, 9, 1, tzinfo=_JST).astimezone(UTC)


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
        for name, time in (("since", since), ("until", until)):
            if time is not None and time.tzinfo is None:
                raise NpaError(f"{name} must have a zone (got {time!r}): for example 2022-09-01T00:00+09:00")
        rows = _judged(pl.concat([_rows(each) for each in self.files]))
        told = rows.select(pl.col("file_year").drop_nulls().unique().sort()).to_series().to_list()
        rows = rows.with_columns(pl.col("file_year").fill_null(told[0] if told else _FILE_YEARS[0]))
        for year in told or rows["file_year"].unique().to_list():
            arrived = arrival(year)
            if (since is None or arrived >= since) and (until is None or arrived < until):
                yield self._chunk(rows.filter(pl.col("file_year") == year), year, arrived)

    def close(self) -> None:
        """Nothing is held open."""

    def _chunk(self, rows: pl.DataFrame, year: int, arrived: datetime) -> dict[str, pl.DataFrame]:
        placed = rows.with_row_index("place_in_year", 1).with_columns(
            (pl.lit(year * _YEAR_OFFSETS) + pl.col("place_in_year")).alias("offset")
        )
        good, dead = placed.filter(pl.col("reason").is_null()), placed.filter(pl.col("reason").is_not_null())
        told = {"region": pl.lit(self.settings.region), "op": pl.lit("stated"), "arrived": pl.lit(arrived), "partition": pl.lit(0)}
        said = pl.DataFrame({"year": [year], "offset": [year * _YEAR_OFFSETS], "records": [good.height]}).filter(pl.col("records") > 0)
        return {
            ACCIDENTS: _framed(ACCIDENTS, good, told | {"version": pl.lit(1), "published_year": pl.col("file_year")}),
            YEARS: _framed(
                YEARS, said, told | {"year_key": pl.col("year").cast(pl.String), "valid_from": pl.lit(arrived), "version": pl.lit(1)}
            ),
            DEAD: _framed(DEAD, dead, told | {"feed": pl.lit(ACCIDENTS), "place": pl.col("line")}),
        }


# --- files


def _is_file(path: Path) -> bool:
    return path.is_file() and path.name.endswith((".csv", ".csv.gz"))


def _rows(path: Path) -> pl.DataFrame:
    """The lines of a file that say something, each with its file, line, bytes and cells; no text where the bytes are not UTF-8."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
    except (OSError, EOFError, zlib.error) as fault:
        raise NpaError(f"file {path.name} must be a whole .csv.gz (got: {fault}): fetch it again") from fault
    text = data.removeprefix(b"\xef\xbb\xbf")
    header, _, body = text.partition(b"\n")
    titles = header.decode(errors="replace").rstrip("\r").split(",")
    absent = [each for each in _COLUMNS.values() if each not in titles]
    if absent:
        raise NpaError(
            f"header of {path.name} must name {', '.join(absent)} (got {len(titles)} other columns): is it a nationwide point file?"
        )
    raw = [each.removesuffix(b"\r") for each in body.split(b"\n")]
    lines = pl.DataFrame({"raw": raw, "text": _texts(raw, body)}, schema={"raw": pl.Binary, "text": pl.String}).with_row_index("line", 2)
    lines = lines.filter(pl.col("raw") != b"")
    cells = lines.with_columns(pl.col("text").fill_null("").str.split(",").alias("cells"), pl.lit(path.name).alias("source"))
    places = {ours: titles.index(theirs) for ours, theirs in _COLUMNS.items()}
    told = [pl.col("cells").list.get(at, null_on_oob=True).fill_null("").alias(ours) for ours, at in places.items()]
    return cells.with_columns((pl.col("cells").list.len() == len(titles)).alias("whole"), *told).drop("cells")


def _texts(raw: list[bytes], body: bytes) -> list[str | None]:
    """Each line as text; None where its bytes are not UTF-8."""
    try:
        return [each.removesuffix("\r") for each in body.decode().split("\n")]
    except UnicodeDecodeError:  # rare, and only then need each line be tried by itself
        return [_decoded(each) for each in raw]


def _decoded(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


# --- rows


def _judged(rows: pl.DataFrame) -> pl.DataFrame:
    """The fields of each row, and the first rule that it breaks."""
    file_year = pl.col("accident_id").str.slice(0, 4).cast(pl.Int32, strict=False)
    dated = rows.with_columns(
        pl.when(file_year.is_between(*_FILE_YEARS)).then(file_year).alias("file_year"),
        pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M%z", time_unit="ms", strict=False).alias("occurred_at"),
        pl.col("lat", "lon").cast(pl.Float64, strict=False).name.suffix("_deg"),
        pl.col("deaths", "injured").cast(pl.Int32, strict=False).name.suffix("_count"),
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
    return told.with_columns(
        pl.col("deaths_count").alias("deaths"), pl.col("injured_count").alias("injured"), pl.col("jis").alias("municipality"),
        *(pl.when(pl.col(each) != "").then(pl.col(each)).alias(each) for each in (*_CODES, "route")),
    )  # fmt: skip


def _reason() -> pl.Expr:
    """The first rule that a row breaks; null where it breaks none."""
    local_year = pl.col("occurred_at").dt.convert_time_zone("Asia/Tokyo").dt.year()
    digits = pl.col("accident_id").str.contains(r"^[0-9]{13}$")
    rules = [
        (pl.col("text").is_null(), pl.lit("line must be UTF-8")),
        (~pl.col("whole"), pl.format("line must have as many cells as its header (got '{}')", pl.col("text").str.slice(0, 60))),
        _rule("id must be thirteen digits: year, prefecture, station, number", ~digits, "accident_id"),
        _rule(f"year of id must lie in {_FILE_YEARS[0]} to {_FILE_YEARS[1]}", pl.col("file_year").is_null(), "accident_id"),
        _rule("発生日時 must be written YYYY-MM-DDThh:mm+09:00", pl.col("occurred_at").is_null(), "time"),
        _rule("発生日時 must not lie after the year of its file", local_year > pl.col("file_year"), "time"),
        _rule("lat must be a number of degrees", pl.col("lat_deg").is_null(), "lat"),
        _rule("lon must be a number of degrees", pl.col("lon_deg").is_null(), "lon"),
        _rule(f"lat must lie in Japan, {_LAT_DEG[0]} to {_LAT_DEG[1]}", ~pl.col("lat_deg").is_between(*_LAT_DEG), "lat"),
        _rule(f"lon must lie in Japan, {_LON_DEG[0]} to {_LON_DEG[1]}", ~pl.col("lon_deg").is_between(*_LON_DEG), "lon"),
        *(
            _rule(f"{_COLUMNS[each]} must be a number of people", ~pl.col(each).str.contains(r"^[0-9]{1,4}$"), each)
            for each in ("deaths", "injured")
        ),
        _rule("市区町村コード must be a police prefecture and three digits", pl.col("jis").is_null(), "municipality"),
        _rule("路線コード must be five digits", ~pl.col("route").str.contains(r"^[0-9]{5}$|^$"), "route"),
        *(_rule(f"{_COLUMNS[each]} must be a code of its table", ~pl.col(each).is_in([*_CODES[each], ""]), each) for each in _CODES),
    ]  # fmt: skip
    return pl.coalesce(pl.when(broken).then(told) for broken, told in rules)


def _rule(rule: str, broken: pl.Expr, column: str) -> tuple[pl.Expr, pl.Expr]:
    return broken, pl.format(f"{rule} (got '{{}}')", pl.col(column).str.slice(0, 60))


def _framed(name: str, rows: pl.DataFrame, told: dict[str, pl.Expr]) -> pl.DataFrame:
    """Rows as a frame of a feed: what is told, else columns by their name."""
    return rows.select(told.get(each, pl.col(each)).cast(dtype).alias(each) for each, dtype in feed(name).frame_schema.items())
