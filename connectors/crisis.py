"""Reads crisis gauges (危機管理型水位計) from snapshots of the publisher's list: ``stations.csv``, ``observations_*.csv.gz``.

Such a device sends every ten minutes while the water stands above its start level (観測開始水位), and once a day below it. The publisher
lists those above; a snapshot of that list was taken about once an hour. A row is a snapshot's hour (``YYYY/MM/DD/hh``, JST), a station, the
time of its newest reading, metres (above sea level or a zero of its own, as in ``stations.csv``). The region of a gauge is its prefecture
as in ISO 3166-2 (``jp-24``).

**Not listed.** A snapshot is the publisher's word about every device. One that is not in it is below its start level as far as the
publisher knows: that is a reading without a level, given when the device leaves the list, and then once a day like the device's own. Two
kinds of silence stay silence, which time will tell: of a device that was last listed above its warning level (it may have been washed
away, and must not be called low), and between snapshots.

**Arrival.** A snapshot arrives at the newest time in it, but not before its hour. A reading that stood in the list for days comes as late
as that.

**Delivery guarantee.** Every row and dead line exactly once; see ``connectors/readings.py``.

**What is lost when.** Readings between snapshots. The file has each reading once: a device that is listed with its old reading looks as one
that left the list. ``over``, ``isWarning``, ``isFlood`` and 氾濫開始水位 are told by no feed.
"""

from __future__ import annotations

import gzip
import zlib
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from connectors.readings import FAULTS, ROWS, Readings, ReadingsError, readings
from connectors.stations import UNKNOWN, Cells, cells_of, stations
from connectors.table import cells, first_broken, lines, rule

__all__ = ["gauges", "open"]

_STATIONS, _ROWS = "stations.csv", "observations_*.csv.gz"
_COLUMNS = {"hour": "snapshot_jst_hour", "code": "code", "time": "obsTime_jst", "cell": "level_m", "over": "over"}
_HOUR, _TIME = r"^20[0-9]{2}/[0-9]{2}/[0-9]{2}/[0-9]{2}$", r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}T"
_NUMBER = r"^-?[0-9]+(\.[0-9]+)?$"
_LIMIT_M = 9000.0
_OVER_START = "1"
"""``over`` of a device above its start level and no other; ones before it stand for the levels above."""
_AHEAD_H = 2
_VALID_FROM = datetime(2025, 8, 31, 15, tzinfo=UTC)
"""2025-09-01 00:00 JST: before the first snapshot."""


def open(folder: Path) -> Readings:
    """The snapshots in a folder.

    Raises:
        ReadingsError: a table is absent, damaged, or lacks a column.
    """
    regions = {told["code"]: _region(told) for _, told in _stations(folder)}
    judged = pl.concat([_judged(each, regions) for each in _listed(folder)])
    good = judged.filter(pl.col("reason").is_null())
    snapshots = good.group_by("hour_at").agg(pl.max_horizontal(pl.col("observed_at").max(), pl.col("hour_at").first()).alias("arrived"))
    listed = good.join(snapshots, on="hour_at", maintain_order="left").with_columns(
        pl.col("code").replace_strict(regions, return_dtype=pl.String).alias("region"), pl.col("code").alias("gauge_id")
    )
    dead = judged.filter(pl.col("reason").is_not_null()).join(snapshots, on="hour_at", how="left", maintain_order="left")
    return readings(pl.concat([listed.select(*ROWS), _not_listed(listed, regions)]), dead.select(*FAULTS))


def gauges(folder: Path) -> pl.DataFrame:
    """The stations of a folder as a frame of ``river.gauge.v1``. 危険水位 (``warnLevel``), where it is set, is the danger level (L4).

    Where the publisher listed a device at a level below its start level in the table, the table is old: the lowest level listed is told.

    Raises:
        GaugesError: a cell breaks the rule of its field.
    """
    regions = {told["code"]: "" for _, told in _stations(folder)}
    listed = pl.concat([_judged(each, regions) for each in _listed(folder)]).filter(pl.col("reason").is_null())
    lowest = dict(listed.group_by("code").agg(pl.col("level_m").min()).iter_rows())
    return stations([(place, _station(told, lowest.get(told["code"]))) for place, told in _stations(folder)], _VALID_FROM)


# --- stations


def _stations(folder: Path) -> list[tuple[str, Cells]]:
    path = folder / _STATIONS
    if not path.is_file():
        raise ReadingsError(f"path of crisis must be a folder with {_STATIONS} and {_ROWS} (got {folder.name!r})")
    return cells_of(path, "code", "name", "prefCode", "placeCity", "startLevel", "warnLevel", "latitude", "longitude")


def _region(told: Cells) -> str:
    return f"jp-{told['prefCode'][:2]}"


def _station(told: Cells, lowest_m: float | None) -> Cells:
    start, differ = told["startLevel"], ""
    town = told["placeCity"] or UNKNOWN
    if lowest_m is not None and start and lowest_m < float(start):
        start, differ = str(lowest_m), f"{_STATIONS}: 観測開始水位 {start} m"
    return {
        "region": _region(told), "gauge_id": told["code"], "name": told["name"], "river": UNKNOWN, "municipality": town,
        "manager": UNKNOWN, "lat_deg": told["latitude"], "lon_deg": told["longitude"], "l4_danger_m": told["warnLevel"],
        "reports": "above_start", "start_level_m": start, "thresholds_differ": differ,
    }  # fmt: skip


# --- snapshots


def _listed(folder: Path) -> list[Path]:
    files = sorted(folder.glob(_ROWS))
    if not files:
        raise ReadingsError(f"path of crisis must be a folder with {_STATIONS} and {_ROWS} (got {folder.name!r})")
    return files


def _judged(path: Path, regions: dict[str, str]) -> pl.DataFrame:
    """The lines of a file with their fields, and the first rule that each breaks."""
    try:
        header, table = lines(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, zlib.error) as fault:
        raise ReadingsError(f"file {path.name} must be a whole .csv.gz (got: {fault}): fetch it again") from fault
    titles = header.decode(errors="replace").split(",")
    if absent := [each for each in _COLUMNS.values() if each not in titles]:
        raise ReadingsError(f"header of {path.name} must name {', '.join(absent)} (got {','.join(titles)[:60]!r})")
    told = cells(table, {ours: titles.index(theirs) for ours, theirs in _COLUMNS.items()})
    hour = pl.concat_str(pl.col("hour"), pl.lit("00")).str.to_datetime("%Y/%m/%d/%H%M", time_unit="ms", strict=False)
    return told.with_columns(
        pl.lit(path.name).alias("source"),
        hour.dt.replace_time_zone("Asia/Tokyo").dt.convert_time_zone("UTC").alias("hour_at"),
        pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S%z", time_unit="ms", strict=False).alias("observed_at"),
        pl.col("cell").cast(pl.Float64, strict=False).alias("level_m"),
    ).with_columns(_reason(len(titles), regions).alias("reason"))


def _reason(columns: int, regions: dict[str, str]) -> pl.Expr:
    """The first rule that a line breaks."""
    no_level = ~pl.col("cell").str.contains(_NUMBER) | (pl.col("level_m").abs() > _LIMIT_M)
    ahead = pl.col("observed_at") >= pl.col("hour_at").dt.offset_by(f"{_AHEAD_H}h")
    return first_broken(
        [
            rule(f"line must be UTF-8 and have {columns} cells", pl.col("text").is_null() | (pl.col("count") != columns), "hour"),
            rule(
                "snapshot_jst_hour must be written YYYY/MM/DD/hh", pl.col("hour_at").is_null() | ~pl.col("hour").str.contains(_HOUR), "hour"
            ),
            rule(
                "obsTime_jst must be written YYYY-MM-DDThh:mm:ss+09:00",
                pl.col("observed_at").is_null() | ~pl.col("time").str.contains(_TIME),
                "time",
            ),
            rule("obsTime_jst must not lie after its snapshot", ahead, "hour", "time"),
            rule(f"code must be a station of {_STATIONS}", ~pl.col("code").is_in(list(regions)), "code"),
            rule("level_m must be a number of metres", no_level, "cell"),
            rule("over must be digits 0 and 1", ~pl.col("over").str.contains("^[01]{1,3}$"), "over"),
        ]
    )


def _not_listed(listed: pl.DataFrame, regions: dict[str, str]) -> pl.DataFrame:
    """Readings without a level: of devices in the snapshot after their last one, and of all others once a day."""
    snapshots = listed.select("hour_at", "arrived").unique().sort("hour_at").with_row_index("nth")
    at = listed.select("gauge_id", "over", "hour_at", "line").join(snapshots, on="hour_at", maintain_order="left")
    at = at.unique(["gauge_id", "nth"], keep="last", maintain_order=True)
    left = at.select("gauge_id", pl.col("nth") + 1)
    of_day = snapshots.filter(pl.col("arrived").dt.convert_time_zone("Asia/Tokyo").dt.date().is_first_distinct())
    daily = pl.DataFrame({"gauge_id": list(regions)}).join(of_day.select("nth"), how="cross")
    absent = (
        pl.concat([left, daily]).unique().join(at, on=["gauge_id", "nth"], how="anti").join(snapshots, on="nth").sort("nth", "gauge_id")
    )
    before = at.select("gauge_id", "nth", "over").sort("nth")
    known = absent.join_asof(before, on="nth", by="gauge_id", check_sortedness=False)  # both sorted by nth
    low = known.filter(pl.col("over").is_null() | (pl.col("over") == _OVER_START))
    return low.select(
        pl.lit(_STATIONS).alias("source"), pl.lit(0, pl.Int64).alias("line"),
        pl.col("gauge_id").replace_strict(regions, return_dtype=pl.String).alias("region"), "gauge_id",
        pl.col("arrived").alias("observed_at"), pl.lit(None, pl.Float64).alias("level_m"), "arrived",
    )  # fmt: skip
