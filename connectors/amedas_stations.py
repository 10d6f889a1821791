"""The stations of AMeDAS: one row of the agency's table each, and the prefecture that their numbers tell.

=========  ==========================================================================================================
``amdno``  観測所番号: five digits, the first two of them the area
``elems``  eight digits, what the station measures; the second is rain, 0 means not measured
``lat``    degrees
``lon``    degrees
``alt``    metres above sea level
``kjName`` name
``knName`` name in katakana
``pref``   prefecture, or blank
=========  ==========================================================================================================

Columns may stand in any order; others are passed over. A cell with a comma stands in quotes (two names in Latin letters do).

**Prefecture.** An area is a prefecture, or a part of 北海道 (11 to 24) or 沖縄 (91 to 94): in all of the table no area has rows of two
prefectures. So the number decides, also where ``pref`` is blank (as in 372 of 1,287 rows); a row that contradicts its number is dead.

**Rain.** The one station of all Japan with a 0 there, on 富士山, is the one without a column in the file of rain.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping

import polars as pl

from connectors.table import Rule, first_broken, lines, rule

__all__ = ["AREAS", "region", "stations"]

_NAMES = (
    (range(11, 25), "hokkaido 北海道"),
    (range(31, 37), "aomori 青森県|akita 秋田県|iwate 岩手県|miyagi 宮城県|yamagata 山形県|fukushima 福島県"),
    (range(40, 47), "ibaraki 茨城県|tochigi 栃木県|gunma 群馬県|saitama 埼玉県|tokyo 東京都|chiba 千葉県|kanagawa 神奈川県"),
    (range(48, 54), "nagano 長野県|yamanashi 山梨県|shizuoka 静岡県|aichi 愛知県|gifu 岐阜県|mie 三重県"),
    (range(54, 58), "niigata 新潟県|toyama 富山県|ishikawa 石川県|fukui 福井県"),
    (range(60, 66), "shiga 滋賀県|kyoto 京都府|osaka 大阪府|hyogo 兵庫県|nara 奈良県|wakayama 和歌山県"),
    (range(66, 70), "okayama 岡山県|hiroshima 広島県|shimane 島根県|tottori 鳥取県"),
    (range(71, 75), "tokushima 徳島県|kagawa 香川県|ehime 愛媛県|kochi 高知県"),
    (range(81, 85), "yamaguchi 山口県|fukuoka 福岡県|oita 大分県|nagasaki 長崎県"),
    (range(85, 89), "saga 佐賀県|kumamoto 熊本県|miyazaki 宮崎県|kagoshima 鹿児島県"),
    (range(91, 95), "okinawa 沖縄県"),
)


def _areas() -> dict[str, tuple[str, str]]:
    found = {}
    for numbers, names in _NAMES:
        told = [each.split() for each in names.split("|")]
        for at, number in enumerate(numbers):
            region, prefecture = told[at if len(told) > 1 else 0]
            found[str(number)] = (region, prefecture)
    return found


AREAS: Mapping[str, tuple[str, str]] = _areas()
"""First two digits of a station's number to its region, as regions of rivers are named, and its prefecture."""

_COLUMNS = {
    "station_id": "amdno", "elems": "elems", "lat": "lat", "lon": "lon", "alt": "alt", "name": "kjName", "name_kana": "knName",
    "pref": "pref",
}  # fmt: skip
_NUMBER = r"^-?[0-9]{1,4}(\.[0-9]+)?$"
_LAT_DEG, _LON_DEG, _ALT_M = (20.4, 45.6), (122.9, 154.0), (-20, 4000)


def region(station_id: pl.Expr) -> pl.Expr:
    """The region of each number; null where it is not five digits of a known area."""
    return _of_area(station_id, 0)


def _of_area(station_id: pl.Expr, which: int) -> pl.Expr:
    known = {area: told[which] for area, told in AREAS.items()}
    area = pl.when(station_id.str.contains(r"^[0-9]{5}$")).then(station_id.str.slice(0, 2))
    return area.replace_strict(known, default=None, return_dtype=pl.String)


def stations(data: bytes, name: str, fault: type[ValueError]) -> pl.DataFrame:
    """The rows of a table of stations, in its order.

    Args:
        data: the file, UTF-8.
        name: names the file in errors.
        fault: what is raised.

    Returns:
        The fields of ``weather.station.v1`` that the table tells, and ``line``, ``raw`` and ``reason``: the first rule that the row
        breaks, null where it breaks none.

    Raises:
        fault: the header lacks a column.
    """
    header, rows = lines(data)
    titles = [each.strip() for each in header.decode("utf-8", "replace").split(",")]
    absent = [each for each in _COLUMNS.values() if each not in titles]
    if absent:
        raise fault(f"header of {name} must name {', '.join(absent)} (got {header[:60]!r}): see connectors/amedas_stations.py")
    told = _cells(rows, {ours: titles.index(theirs) for ours, theirs in _COLUMNS.items()}).with_columns(
        region(pl.col("station_id")).alias("region"),
        _of_area(pl.col("station_id"), 1).alias("prefecture"),
        *(
            pl.when(pl.col(each).str.contains(_NUMBER)).then(pl.col(each).cast(pl.Float64, strict=False)).alias(ours)
            for each, ours in {"lat": "lat_deg", "lon": "lon_deg", "alt": "elevation_m"}.items()
        ),
        pl.when(pl.col("elems").str.slice(1, 1) == "0").then(pl.lit("unmeasured")).otherwise(pl.lit("measured")).alias("rain"),
    )
    ruled = told.with_columns(first_broken(_rules(len(titles))).alias("reason"))
    good = pl.col("reason").is_null()
    first = pl.when(good).then("line").min().over("station_id")
    again = pl.format("amdno must stand once (got '{}' again)", "station_id")
    return ruled.with_columns(pl.when(good & (pl.col("line") > first)).then(again).otherwise("reason").alias("reason"))


def _cells(rows: pl.DataFrame, places: Mapping[str, int]) -> pl.DataFrame:
    """Cells beside their lines, and how many there are (``count``; null where quotes do not fit)."""
    found = [_unquoted(each) for each in rows["text"].to_list()]
    columns = {name: [each[at].strip() if len(each) > at else "" for each in found] for name, at in places.items()}
    counts = pl.Series("count", [len(each) or None for each in found], pl.Int64)
    return rows.with_columns(counts, *(pl.Series(name, told, pl.String) for name, told in columns.items()))


def _unquoted(text: str | None) -> list[str]:
    try:
        return next(csv.reader([text or ""], strict=True), [])
    except csv.Error:
        return []


def _rules(width: int) -> list[Rule]:
    told = pl.col("pref") != ""
    return [
        (pl.col("text").is_null(), pl.lit("line must be UTF-8")),
        (pl.col("count").is_null(), pl.lit("line must be CSV: look for a quote")),
        (pl.col("count") != width, pl.format(f"line must have {width} cells as its header has (got {{}})", "count")),
        rule("amdno must be five digits in an area of AMeDAS", pl.col("region").is_null(), "station_id"),
        rule("elems must be eight digits", ~pl.col("elems").str.contains(r"^[0-9]{8}$"), "elems"),
        rule("lat must be degrees in Japan, {} to {}".format(*_LAT_DEG), _outside("lat_deg", _LAT_DEG), "lat"),
        rule("lon must be degrees in Japan, {} to {}".format(*_LON_DEG), _outside("lon_deg", _LON_DEG), "lon"),
        rule("alt must be metres, {} to {}".format(*_ALT_M), _outside("elevation_m", _ALT_M), "alt"),
        rule("kjName must be told", pl.col("name") == "", "name"),
        rule("knName must be told", pl.col("name_kana") == "", "name_kana"),
        rule("pref must be that of its number, or blank", told & (pl.col("pref") != pl.col("prefecture")), "station_id", "pref"),
    ]


def _outside(column: str, limits: tuple[float, float]) -> pl.Expr:
    return ~pl.col(column).is_between(*limits).fill_null(value=False)
