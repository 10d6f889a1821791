"""What the two forms of the police's accident files share: their codes, the rules of their cells, and when a year of them is out.

The code tables are those of 警察庁 交通事故統計情報のオープンデータ, コード表.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import polars as pl

from connectors.table import Rule, framed, rule

__all__ = ["ACCIDENTS", "DEAD", "JAPAN_LAT_DEG", "JAPAN_LON_DEG", "YEARS", "arrival", "cell_rules", "first_offset", "told_cells", "year"]

ACCIDENTS, YEARS, DEAD = "road.accident.v1", "road.accident-year.v1", "dead.v1"

JAPAN_LAT_DEG, JAPAN_LON_DEG = (20.4, 45.6), (122.9, 154.0)
"""What the police call Japan: from 沖ノ鳥島 to 択捉島, from 与那国島 to 南鳥島."""

_JST = ZoneInfo("Asia/Tokyo")
_YEAR_OFFSETS = 1 << 32
"""Offsets of a year: no year comes near so many rows."""
_PEOPLE = {"deaths": "死者数", "injured": "負傷者数"}
_CODES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "road_shape": ("道路形状", ("01", "07", "31", "37", "11", "12", "13", "14", "21", "22", "23", "00")),
    "signal": ("信号機", tuple("12345678")),
    "width": ("車道幅員", ("01", "02", "03", "04", "05", "06", "11", "13", "14", "15", "16", "17", "18", "19", "00")),
    "weather": ("天候", tuple("12345")),
    "daylight": ("昼夜", ("11", "12", "13", "21", "22", "23")),
    "accident_type": ("事故類型", ("01", "04", "21", "28", "41", "61")),
}
"""Column of ours to its name in the files and the codes that its table holds."""


def arrival(year: int) -> datetime:
    """When the police file of a year counts as arrived: 1 September of the year after, 00:00 JST."""
    return datetime(year + 1, 9, 1, tzinfo=_JST).astimezone(UTC)


def first_offset(year: int) -> int:
    """Where the word that a year is out stands; its rows come after it."""
    return year * _YEAR_OFFSETS


# --- cells


def cell_rules() -> list[Rule]:
    """Rules of the cells that tell of people, the route and codes; a code may be blank."""
    people = [
        rule(f"{title} must be a number of people", ~pl.col(each).str.contains(r"^[0-9]{1,4}$"), each) for each, title in _PEOPLE.items()
    ]
    route = rule("路線コード must be five digits", ~pl.col("route").str.contains(r"^[0-9]{5}$|^$"), "route")
    codes = [
        rule(f"{title} must be a code of its table", ~pl.col(each).is_in([*table, ""]), each) for each, (title, table) in _CODES.items()
    ]
    return [*people, route, *codes]


def told_cells() -> list[pl.Expr]:
    """The same cells as fields of an accident: counts as numbers, blank codes as null."""
    blank = [pl.when(pl.col(each) != "").then(pl.col(each)).alias(each) for each in (*_CODES, "route")]
    return [*(pl.col(each).cast(pl.Int32, strict=False) for each in _PEOPLE), *blank]


# --- frames


def year(published: int, region: str, good: pl.DataFrame, dead: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """What arrives with the file of a year: its accidents, word of the year unless there are none, and its dead lines.

    Args:
        published: the year.
        region: what the accidents are judged with.
        good: fields of ``road.accident.v1`` as far as they differ from row to row, with ``version`` and ``offset``.
        dead: ``source``, ``line``, ``reason``, ``raw`` and ``offset``.
    """
    arrived = pl.lit(arrival(published))
    told = {
        "region": pl.lit(region), "op": pl.lit("stated"), "published_year": pl.lit(published), "arrived": arrived, "partition": pl.lit(0),
    }  # fmt: skip
    out = pl.DataFrame({"year": [published], "offset": [first_offset(published)], "records": [good.height]}).filter(pl.col("records") > 0)
    word = {"year_key": pl.col("year").cast(pl.String), "valid_from": arrived, "version": pl.lit(1)}
    return {
        ACCIDENTS: framed(ACCIDENTS, good, told),
        YEARS: framed(YEARS, out, told | word),
        DEAD: framed(DEAD, dead, told | {"feed": pl.lit(ACCIDENTS), "place": pl.col("line")}),
    }
