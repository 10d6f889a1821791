"""Reads a flood in northern Kyushu as copied from the 水文水質データベース: a folder with ``water_level_log.csv`` and ``siteinfo.csv``.

The log has a line for each hour (``YYYY/MM/DD hh:mm``, JST) and a column for each station (``s`` and its 観測所記号): metres above the
gauge's zero, negative ones included. A blank cell, be the blank full-width, is a reading without a level. The region of a gauge is its
river system, as in ``connectors/mlit.py``.

**Arrival.** The log records none. A reading arrives at its time, which is the best that telemetry can do.

**Delivery guarantee.** Every good cell, dead cell and dead line exactly once; see ``connectors/readings.py``.

**What is lost when.** The flags of the database are not in the log, so what was checked cannot be told from what was not. What lies
downstream is told by ``derived_chains_and_peaks.csv`` where it is there: stations of a river in order, upstream first.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import polars as pl

from connectors.gauges import GaugesError
from connectors.readings import FAULTS, ROWS, Readings, ReadingsError, data_of, readings
from connectors.stations import Cells, cells_of, stations
from connectors.table import first_broken, lines, rule

__all__ = ["gauges", "open"]

_LOG, _SITES, _CHAINS = "water_level_log.csv", "siteinfo.csv", "derived_chains_and_peaks.csv"
_HOUR = r"^(19|20)[0-9]{2}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2},"
_NUMBER = r"^-?[0-9]+(\.[0-9]+)?$"
_LIMIT_M = 9000.0
_PLACE = re.compile(r"北緯 (\d+)度(\d+)分(\d+)秒 東経 (\d+)度(\d+)分(\d+)秒")
_TOWN = re.compile(r"(?:.+?[都道府県])(?:.+?市.+?区|.+?郡.+?[町村]|.+?[市町村])")
_VALID_FROM = datetime(2017, 6, 30, 15, tzinfo=UTC)
"""2017-07-01 00:00 JST: before the first reading."""


def open(folder: Path) -> Readings:
    """The log of a folder.

    Raises:
        ReadingsError: there is no log, or a column is no station of ``siteinfo.csv``.
    """
    if not (folder / _LOG).is_file():
        raise ReadingsError(f"path of kyushu must be a folder with {_LOG} (got {folder.name!r}): is it the one with siteinfo.csv?")
    regions = {cells["site_id"]: cells["river_name"] for _, cells in _sites(folder)}
    header, table = lines(data_of(folder / _LOG, "utf-8")[0])
    titles = header.decode(errors="replace").split(",")
    if odd := [each for at, each in enumerate(titles) if each not in regions and (at or each != "datetime")]:
        raise ReadingsError(f"header of {_LOG} must be datetime and stations of {_SITES} (got {odd[0]!r})")
    hours = table.with_columns(
        pl.lit(_LOG).alias("source"), pl.col("text").str.split(",").alias("cells"),
        pl.col("text").str.extract(r"^([^,]*),").str.to_datetime("%Y/%m/%d %H:%M", time_unit="ms", strict=False)
        .dt.replace_time_zone("Asia/Tokyo").dt.convert_time_zone("UTC").alias("observed_at"),
    )  # fmt: skip
    whole = (pl.col("cells").list.len() == len(titles)) & pl.col("observed_at").is_not_null() & pl.col("text").str.contains(_HOUR)
    says = first_broken(
        [
            (pl.col("text").is_null(), pl.lit("line must be UTF-8")),
            rule(f"line must be YYYY/MM/DD hh:mm and {len(titles) - 1} levels", pl.lit(value=True), "text"),
        ]
    )
    broken = hours.filter(~whole.fill_null(value=False)).with_columns(says.alias("reason"), pl.col("observed_at").alias("arrived"))
    named = pl.lit(titles[1:], pl.List(pl.String))
    each = hours.filter(whole).with_columns(pl.col("cells").list.slice(1), named.alias("title")).explode("cells", "title")
    cells = each.with_columns(
        pl.col("cells").str.strip_chars().alias("cell"),
        pl.col("title").str.strip_prefix("s").alias("gauge_id"),
        pl.col("title").replace_strict(regions, return_dtype=pl.String).alias("region"),
        pl.col("observed_at").alias("arrived"),
    ).with_columns(pl.col("cell").cast(pl.Float64, strict=False).alias("level_m"))
    odd_cell = (pl.col("cell") != "") & (~pl.col("cell").str.contains(_NUMBER) | (pl.col("level_m").abs() > _LIMIT_M))
    judged = cells.with_columns(
        first_broken([rule("level must be a number of metres or blank", odd_cell, "title", "cell")]).alias("reason")
    )
    dead = pl.concat([part.select(*FAULTS) for part in (broken, judged.filter(pl.col("reason").is_not_null()))])
    return readings(judged.filter(pl.col("reason").is_null()).select(*ROWS), dead.sort("line", maintain_order=True))


def gauges(folder: Path) -> pl.DataFrame:
    """The gauges of a folder as a frame of ``river.gauge.v1``. No thresholds: the database has none.

    Raises:
        GaugesError: a position is not written as expected, or a chain names a station that is not there.
    """
    below = _downstream(folder)
    told = _sites(folder)
    if odd := sorted(set(below) - {cells["site_id"] for _, cells in told}):
        raise GaugesError(f"stations of {_CHAINS} must be those of {_SITES} (got {', '.join(odd)})")
    return stations([(place, _station(place, cells, below.get(cells["site_id"], ""))) for place, cells in told], _VALID_FROM)


def _sites(folder: Path) -> list[tuple[str, Cells]]:
    return cells_of(folder / _SITES, "site_id", "site_name", "coordinate", "river_name", "sub_river_name", "address")


def _downstream(folder: Path) -> dict[str, str]:
    """Station to the next one downstream on its own river; the last of a river has none."""
    if not (folder / _CHAINS).is_file():
        return {}
    chains: dict[str, list[tuple[int, str]]] = {}
    for _, cells in cells_of(folder / _CHAINS, "chain", "order", "site_id"):
        chains.setdefault(cells["chain"], []).append((int(cells["order"]), cells["site_id"]))
    return {above: below for chain in chains.values() for (_, above), (_, below) in pairwise(sorted(chain))}


def _station(place: str, cells: Cells, below: str) -> Cells:
    found, town = _PLACE.fullmatch(cells["coordinate"]), _TOWN.match(cells["address"])
    if found is None:
        raise GaugesError(f"coordinate, {place}, must be written 北緯 33度33分14秒 東経 130度43分59秒 (got {cells['coordinate']!r})")
    lat_deg, lon_deg = (int(d) + int(m) / 60 + int(s) / 3600 for d, m, s in (found.groups()[:3], found.groups()[3:]))
    return {
        "region": cells["river_name"], "gauge_id": cells["site_id"].removeprefix("s"), "name": cells["site_name"].partition("（")[0],
        "river": cells["sub_river_name"], "municipality": town[0] if town else cells["address"], "manager": "国土交通省",
        "lat_deg": f"{lat_deg:.5f}", "lon_deg": f"{lon_deg:.5f}", "downstream_id": below.removeprefix("s"),
    }  # fmt: skip
