"""The text of one 本票 file as rows: which column is which, what a cell means, and which line cannot be read.

Files differ from year to year: new columns, blanks of either width inside a name, 車両形状 that becomes 車両形状等. So a column is found
by its name, never by its place, and names are compared without blanks, without 等 at their end, and with full-width signs made plain.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import polars as pl

from connectors.police_codes import PREFECTURES, municipality
from connectors.police_files import JAPAN_LAT_DEG, JAPAN_LON_DEG, cell_rules, told_cells
from connectors.table import Rule, cells, first_broken, lines, rule

__all__ = ["HonhyoError", "Rows", "parse"]

_NAMES: dict[str, tuple[str, ...]] = {
    "kind": ("資料区分",),
    "police": ("都道府県コード",),
    "station": ("警察署等コード", "警察署コード"),
    "serial": ("本票番号",),
    "deaths": ("死者数",),
    "injured": ("負傷者数",),
    "route": ("路線コード",),
    "municipality": ("市区町村コード", "市町村コード"),
    "year": ("発生日時　　年", "発生年"),
    "month": ("発生日時　　月", "発生月"),
    "day": ("発生日時　　日", "発生日"),
    "hour": ("発生日時　　時", "発生時"),
    "minute": ("発生日時　　分", "発生分"),
    "daylight": ("昼夜",),
    "weather": ("天候",),
    "road_shape": ("道路形状",),
    "signal": ("信号機",),
    "width": ("車道幅員",),
    "accident_type": ("事故類型",),
    "lat": ("地点　緯度（北緯）", "緯度（北緯）", "緯度"),
    "lon": ("地点　経度（東経）", "経度（東経）", "経度"),
}
"""Column of ours to its names in the files, the usual one first."""

_TIME = ("year", "month", "day", "hour", "minute")
_JST_H = 9


class HonhyoError(ValueError):
    """There are no 本票 files at a path, or one of them is not written as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a file holds: ``good`` with the fields of an accident and ``line``; ``dead`` with ``line``, ``reason`` and ``raw``."""

    good: pl.DataFrame
    dead: pl.DataFrame


def parse(data: bytes, name: str, file_year: int) -> Rows:
    """The accidents in the bytes of a file, and the lines that cannot be read.

    Args:
        data: the file, CP932.
        name: names the file in errors.
        file_year: the year for which it was published, the first part of every accident_id.

    Raises:
        HonhyoError: the header is not CP932, lacks a column, or names one twice.
    """
    header, table = lines(data, "cp932")
    places, width = _header(header, name)
    judged = _judged(cells(table, places), width, file_year)
    good = judged.filter(pl.col("reason").is_null())
    return Rows(
        good=good.select("line", *_FIELDS),
        dead=judged.filter(pl.col("reason").is_not_null()).select("line", "reason", "raw"),
    )


# --- header


def _header(raw: bytes, name: str) -> tuple[dict[str, int], int]:
    """Place of each of our columns, and how many columns there are."""
    try:
        text = raw.decode("cp932")
    except UnicodeDecodeError as fault:
        raise HonhyoError(f"header of {name} must be CP932 (got {raw[:20]!r}): take the file as the police publish it") from fault
    titles = [_plain(each) for each in text.split(",")]
    found = {ours: [at for at, title in enumerate(titles) if title in map(_plain, theirs)] for ours, theirs in _NAMES.items()}
    absent = [_NAMES[ours][0] for ours, at in found.items() if not at]
    if absent:
        raise HonhyoError(f"header of {name} must name {', '.join(absent)} (got {len(titles)} other columns): is it a 本票 file in CP932?")
    twice = [_NAMES[ours][0] for ours, at in found.items() if len(at) > 1]
    if twice:
        raise HonhyoError(f"header of {name} must name {', '.join(twice)} once (got it twice): leave out what was added")
    return {ours: at[0] for ours, at in found.items()}, len(titles)


def _plain(title: str) -> str:
    """A name as names are compared."""
    return re.sub(r"\s|等(?=\(|$)", "", unicodedata.normalize("NFKC", title))


# --- rows


def _judged(rows: pl.DataFrame, width: int, file_year: int) -> pl.DataFrame:
    """The fields of each row, and the first rule that it breaks."""
    dated = rows.with_columns(
        pl.concat_str(pl.lit(str(file_year)), "police", "station", "serial").alias("accident_id"),
        _occurred().alias("occurred_at"),
        _degrees("lat", 2).alias("lat_deg"),
        _degrees("lon", 3).alias("lon_deg"),
        municipality(pl.col("police"), pl.col("municipality")).alias("jis"),
    )
    ruled = dated.with_columns(_reason(width, file_year).alias("reason"))
    again = ruled.select("accident_id", pl.when(pl.col("reason").is_null()).then("line").alias("line"))
    first = again.group_by("accident_id").agg(pl.col("line").min().alias("first"))
    repeated = pl.format("本票番号 of a station must stand once (got {} of line {} again)", "accident_id", "first")
    ruled = ruled.join(first, on="accident_id", how="left", maintain_order="left").with_columns(
        pl.when(pl.col("reason").is_null() & (pl.col("line") > pl.col("first"))).then(repeated).otherwise("reason").alias("reason")
    )
    return ruled.with_columns(pl.col("jis").alias("municipality"), *told_cells())


_FIELDS = (
    "accident_id", "occurred_at", "lat_deg", "lon_deg", "deaths", "injured", "municipality",
    "road_shape", "signal", "width", "route", "weather", "daylight", "accident_type",
)  # fmt: skip


def _occurred() -> pl.Expr:
    """The time that five cells tell, in UTC; null where the calendar has no such time."""
    written = pl.concat_str("year", *(pl.col(each).str.zfill(2) for each in _TIME[1:]), separator="-")
    plain = pl.concat_str(*_TIME, separator="-").str.contains(r"^[0-9]{4}(-[0-9]{1,2}){4}$")
    local = pl.when(plain).then(written).str.to_datetime("%Y-%m-%d-%H-%M", time_unit="ms", strict=False)
    return (local - pl.duration(hours=_JST_H)).dt.replace_time_zone("UTC")


def _degrees(column: str, whole: int) -> pl.Expr:
    """Degrees of a coordinate written as one number: degrees, two digits of minutes, five of seconds × 1000.

    Null where it is not written so, or has 60 minutes or seconds.
    """
    text = pl.col(column).str.zfill(whole + 7)
    deg, minute, sec = (text.str.slice(at, n).cast(pl.Int64, strict=False) for at, n in ((0, whole), (whole, 2), (whole + 2, 5)))
    written = text.str.contains(rf"^[0-9]{{{whole + 7}}}$") & (minute < 60) & (sec < 60_000)
    return pl.when(written).then(deg + minute / 60 + sec / 3_600_000)


def _reason(width: int, file_year: int) -> pl.Expr:
    """The first rule that a row breaks; null where it breaks none."""
    untold = pl.col("lat").str.contains("^0*$") | pl.col("lon").str.contains("^0*$")
    unwritten = pl.col("lat_deg").is_null() | pl.col("lon_deg").is_null()
    abroad = ~pl.col("lat_deg").is_between(*JAPAN_LAT_DEG) | ~pl.col("lon_deg").is_between(*JAPAN_LON_DEG)
    rules: list[Rule] = [
        (pl.col("text").is_null(), pl.lit("line must be CP932")),
        (pl.col("count") != width, pl.format(f"line must have {width} cells as its header has (got {{}})", "count")),
        rule("資料区分 must be 1, an accident", pl.col("kind") != "1", "kind"),
        rule("都道府県コード must be one of the police", ~pl.col("police").is_in(list(PREFECTURES)), "police"),
        rule("警察署等コード must be three digits", ~pl.col("station").str.contains(r"^[0-9]{3}$"), "station"),
        rule("本票番号 must be four digits", ~pl.col("serial").str.contains(r"^[0-9]{4}$"), "serial"),
        rule("発生日時 must be a time of the calendar", pl.col("occurred_at").is_null(), *_TIME),
        rule(f"発生日時 must not lie after the year {file_year} of the file", _local_year() > file_year, *_TIME),
        rule("市区町村コード must be three digits", pl.col("jis").is_null(), "municipality"),
        *cell_rules(),
        rule("地点 must be told", untold, "lat", "lon"),
        rule("地点 must be degrees, minutes and seconds x 1000", unwritten, "lat", "lon"),
        rule("地点 must lie in Japan", abroad, "lat", "lon"),
    ]
    return first_broken(rules)


def _local_year() -> pl.Expr:
    return (pl.col("occurred_at") + pl.duration(hours=_JST_H)).dt.year()
