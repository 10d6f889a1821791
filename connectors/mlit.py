"""Reads hourly levels of the 水文水質データベース as it serves them: a file ``.dat`` (時刻水位月表), or a folder of them.

A file holds one station and month: titles (水系名, 河川名, 観測所名, 観測所記号), then a line for each day with 24 levels in metres above
the gauge's zero, each with a flag. Shift_JIS as served, or UTF-8. Times are JST; 24時 is 00:00 of the next day. The region of a gauge is
its river system (水系名).

====  ========  =============================================================
flag  means     is
====  ========  =============================================================
      checked   the level
*     暫定値    the level: all that anyone has while it matters
$     欠測      a reading without a level (−9999.99 or blank stands beside it)
#     閉局      a reading without a level: the station is closed
\\-     未登録    nothing: nobody has said anything of this hour
====  ========  =============================================================

**Arrival.** The files record none: they are made long after. A reading arrives at its time, which is the best that telemetry can do; a
dead hour likewise, a dead line with what stands before it.

**Delivery guarantee.** Every good hour, dead hour and dead line exactly once; see ``connectors/readings.py``. A file that is no table of
hourly levels is one dead line: discharge (時刻流量月表, m³/s) looks the same but for its title, and is no level.

**What is lost when.** Whether a level was provisional. Where gauges stand: that is told by ``network.csv`` beside the files.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from connectors.readings import FAULTS, ROWS, Readings, ReadingsError, data_of, readings
from connectors.stations import Cells, in_network
from connectors.table import first_broken, lines, rule

__all__ = ["gauges", "open"]

_TITLE = "時刻水位月表検索結果"
_NAMED = ("水系名", "河川名", "観測所名", "観測所記号")
_HOURS = "".join(f",{hour}時," for hour in range(1, 25))
_CELLS = 49
_DAY = r"^(19|20)[0-9]{2}/[0-9]{2}/[0-9]{2}$"
_NUMBER = r"^-?[0-9]+(\.[0-9]+)?$"
_LIMIT_M = 9000.0
"""−9999.99 stands for no level."""
_VALID_FROM = datetime(1970, 1, 1, tzinfo=UTC)
"""No broker knows an earlier time."""


def open(path: Path) -> Readings:
    """One file, or all ``*.dat`` below a folder in order of name.

    Raises:
        ReadingsError: there is no such file, or none of them holds hourly levels.
    """
    files = _listed(path)
    parts = [_read(each) for each in files]
    if all(rows is None for rows, _ in parts):
        raise ReadingsError(
            f"files of mlit must hold hourly levels, 時刻水位月表 (got {len(files)} that do not, such as "
            f"{_table(files[0])[0][:60]!r}): discharge and daily means are no levels"
        )
    return readings(
        pl.concat([pl.DataFrame(schema=ROWS), *(rows for rows, _ in parts if rows is not None)]),
        pl.concat([pl.DataFrame(schema=FAULTS), *(dead for _, dead in parts)]),
    )


def gauges(folder: Path) -> pl.DataFrame:
    """The gauges of a folder as a frame of ``river.gauge.v1``: names from the files, the rest from ``network.csv``. No thresholds.

    Raises:
        GaugesError: a station of ``network.csv`` has no file, or a file no line there; see ``connectors/stations.py``.
    """
    named: dict[str, Cells] = {}
    for file in _listed(folder):
        titles = _titles(_table(file)[1])
        if all(titles.get(each) for each in _NAMED):
            named[titles["観測所記号"]] = {"region": titles["水系名"], "river": titles["河川名"], "name": titles["観測所名"]}
    return in_network(folder, named, manager="国土交通省", valid_from=_VALID_FROM)


def _listed(path: Path) -> list[Path]:
    files = sorted(path.rglob("*.dat")) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        raise ReadingsError(f"path of mlit must be a .dat or a folder of them (got {path.name!r}): see data/mlit/README.md")
    return files


def _table(path: Path) -> tuple[str, pl.DataFrame]:
    """The title of a file, and its other lines."""
    data, encoding = data_of(path, "utf-8", "cp932")
    title, table = lines(data, encoding)
    return title.decode(encoding, errors="replace").strip(), table


def _titles(table: pl.DataFrame) -> dict[str, str]:
    """What the lines above the table tell of the station."""
    told = (text.split(",") for text in table["text"].drop_nulls()[:9])
    return {cells[0]: cells[1].strip() for cells in told if len(cells) > 1 and cells[0] in _NAMED}


def _read(path: Path) -> tuple[pl.DataFrame | None, pl.DataFrame]:
    """Good hours and dead lines of a file; no hours at all where it is no table of hourly levels."""
    title, table = _table(path)
    titles = _titles(table)
    top = table.filter(pl.col("text").str.strip_chars_end(",") == _HOURS.rstrip(","))["line"].min()
    fault = _fault(title, titles, top)
    if fault is not None:
        refused = {"source": path.name, "line": 1, "reason": fault, "raw": title.encode(), "arrived": None}
        return None, pl.DataFrame([refused], schema=FAULTS)
    days = table.filter(pl.col("line") > pl.lit(top)).with_columns(pl.lit(path.name).alias("source"))
    hours, broken = _hours(days)
    levels = pl.when(pl.col("flag").is_in(["", "*"])).then(pl.col("level_m"))
    rows = hours.filter(pl.col("reason").is_null() & (pl.col("flag") != "-")).with_columns(
        pl.lit(titles["水系名"]).alias("region"), pl.lit(titles["観測所記号"]).alias("gauge_id"), levels.alias("level_m")
    )
    dead_hours = hours.filter(pl.col("reason").is_not_null())
    dead = pl.concat([each.select(*FAULTS).cast(dict(FAULTS)) for each in (broken, dead_hours)])  # type: ignore[arg-type]
    return rows.select(*ROWS), dead.sort("line", maintain_order=True)


def _fault(title: str, titles: dict[str, str], top: object) -> str | None:
    """Why a file is no table of hourly levels; None: it is one."""
    if title != _TITLE:
        return f"title must be {_TITLE}, hourly levels (got {title[:60]!r})"
    if absent := [each for each in _NAMED if not titles.get(each)]:
        return f"file must name {', '.join(absent)} (got {', '.join(titles)!r})"
    return "file must have columns 1時 to 24時 (got others)" if top is None else None


def _hours(days: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Every hour of the lines that are days, with the rule that it breaks; and the lines that are none."""
    cells = days.with_columns(
        pl.col("text").str.split(",").alias("cells"),
        pl.col("text").str.slice(0, 10).str.to_date("%Y/%m/%d", strict=False).alias("day"),
        pl.lit(None, pl.Datetime("ms", "UTC")).alias("arrived"),
    )
    whole = (pl.col("cells").list.len() == _CELLS) & pl.col("cells").list.first().str.contains(_DAY) & pl.col("day").is_not_null()
    says = first_broken(
        [
            (pl.col("text").is_null(), pl.lit("line must be Shift_JIS or UTF-8 as the rest of its file")),
            rule("line must be a day YYYY/MM/DD and 24 levels with their flags", pl.lit(value=True), "text"),
        ]
    )
    broken = cells.filter(~whole.fill_null(value=False)).with_columns(says.alias("reason"))
    each = cells.filter(whole).with_columns(pl.col("cells").list.slice(1)).explode("cells", empty_as_null=True, keep_nulls=True)
    place = pl.int_range(pl.len()).over("line")
    each = each.with_columns(pl.col("cells").str.strip_chars(), (place // 2 + 1).alias("hour"), (place % 2 == 1).alias("is_flag"))
    flags = each.filter("is_flag").select("line", "hour", pl.col("cells").alias("flag"))
    hours = each.filter(~pl.col("is_flag")).rename({"cells": "cell"}).join(flags, on=["line", "hour"], maintain_order="left")
    at = pl.col("day").cast(pl.Datetime("ms")).dt.replace_time_zone("Asia/Tokyo") + pl.duration(hours="hour")
    hours = hours.with_columns(
        at.dt.convert_time_zone("UTC").alias("observed_at"), pl.col("cell").cast(pl.Float64, strict=False).alias("level_m")
    )
    return hours.with_columns(_reason().alias("reason"), pl.col("observed_at").alias("arrived")), broken


def _reason() -> pl.Expr:
    """The first rule that an hour breaks."""
    told = pl.col("flag").is_in(["", "*"])
    no_level = ~pl.col("cell").str.contains(_NUMBER) | (pl.col("level_m").abs() > _LIMIT_M)
    hour = pl.format("{}時", "hour")
    rules = [
        rule("flag must be one of *, $, #, - or blank", ~pl.col("flag").is_in(["", "*", "$", "#", "-"]), "flag"),
        rule("level must be a number of metres where no flag says that there is none", told & no_level, "cell"),
    ]
    return pl.format("{}: {}", hour, first_broken(rules))
