"""Reads what is known of the gauges of Fukui: the publisher's two tables as they come, and two small ones of ours.

===================  ====================================================================================================
``sensors.csv``      the publisher's stations with four thresholds, which are the ones we use (``---`` means not set)
``suii_ichi.csv``    its other table; where both set a level and they differ, ``thresholds_differ`` says so in words
``network.csv``      ours: municipality, position and the next gauge downstream
``known.csv``        ours: what is known of single stations (a lost sign, a reservoir), one field in a line
===================  ====================================================================================================

**Delivery guarantee.** Every station of ``sensors.csv`` exactly once, in its order, or an error that names file, station or
line. Stations that only report, and stand in no master table, have no record here.

**What is lost when.** A table that is republished takes the place of the one before: what it said is in the feed only as long as
its ``valid_from`` differs from that of the new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from connectors.gauges import FEED, GaugesError, check_cell, frame
from schemas.feeds import feed

__all__ = ["FukuiGaugesSettings", "gauges"]

_LEVELS = {
    "l1_standby_m": ("L1 水防団待機", "水防団待機水位", "水防団待機水位(通報水位)(m)"),
    "l2_caution_m": ("L2 氾濫注意", "はん濫注意水位", "はん濫注意水位(警戒水位)(m)"),
    "l3_evacuation_m": ("L3 避難判断", "避難判断水位", "避難判断水位(特別警戒水位)(m)"),
    "l4_danger_m": ("L4 氾濫危険", "はん濫危険水位", "はん濫危険水位(危険水位)(m)"),
}
_NAMED = {"gauge_id": "id", "name": "観測所名", "river": "河川名", "manager": "管理者名"}
_TOLD = {*_LEVELS, *_NAMED, "valid_until", "downstream_id", "thresholds_differ"}
"""Fields that the other tables tell of, or that this module sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FukuiGaugesSettings:
    """Where the tables lie, in which region the gauges stand, and from when on the records hold."""

    folder: Path
    region: str = "fukui"
    valid_from: datetime = datetime(2021, 7, 31, 15, tzinfo=UTC)
    """2021-08-01 00:00 JST: before the first reading on record."""


def gauges(folder: Path, settings: FukuiGaugesSettings | None = None) -> pl.DataFrame:
    """The gauges of Fukui as a frame of ``river.gauge.v1``.

    Raises:
        GaugesError: a table is absent or lacks a column, a threshold is no number, or a station of ours is not the publisher's.
    """
    settings = settings or FukuiGaugesSettings(folder=folder)
    stations = _thresholds(_table(settings.folder, "sensors.csv", [*_NAMED.values(), *(each[1] for each in _LEVELS.values())]), 1)
    stations = stations.rename({theirs: ours for ours, theirs in _NAMED.items()})
    ids = stations["gauge_id"].to_list()
    network = _table(settings.folder, "network.csv", ["gauge_id", "municipality", "lat_deg", "lon_deg", "downstream_id"])
    _same_stations(ids, network["gauge_id"].to_list())
    records = (
        stations.join(network.drop("name", strict=False), on="gauge_id", how="left", maintain_order="left")
        .join(_differences(stations, settings.folder), on="gauge_id", how="left", maintain_order="left")
        .with_columns(
            pl.lit(settings.region).alias("region"),
            pl.lit(settings.valid_from).alias("valid_from"),
            pl.lit(1).alias("version"),
            pl.lit(None).alias("valid_until"),
        )
        .with_columns(_known(settings.folder, ids))
    )
    columns = feed(FEED).columns
    return frame(records.select(pl.col(name).cast(dtype) for name, dtype in columns.items()))


def _table(folder: Path, name: str, columns: list[str]) -> pl.DataFrame:
    """A table of text, cells stripped, blank cells null."""
    try:
        table = pl.read_csv(folder / name, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as fault:
        raise GaugesError(f"file {name} must be a CSV in UTF-8 (got {type(fault).__name__}): see data/fukui/README.md") from fault
    absent = [each for each in columns if each not in table.columns]
    if absent:
        raise GaugesError(f"file {name} must have the columns {', '.join(absent)} (got {', '.join(table.columns)})")
    return table.with_columns(pl.all().str.strip_chars().replace("", None))


def _same_stations(theirs: list[str], ours: list[str]) -> None:
    repeated = sorted({each for each in theirs if theirs.count(each) > 1} | {each for each in ours if ours.count(each) > 1})
    if repeated:
        raise GaugesError(f"stations of sensors.csv and network.csv must stand once (got twice: {', '.join(repeated)})")
    if lost := sorted(set(theirs) ^ set(ours)):
        raise GaugesError(f"stations of network.csv must be those of sensors.csv (got in one of them only: {', '.join(lost)})")


def _thresholds(table: pl.DataFrame, which: int) -> pl.DataFrame:
    """The four levels as numbers in metres; dashes are levels that are not set."""
    for levels in _LEVELS.values():
        odd = table.filter(~pl.col(levels[which]).str.contains(r"^(-+|\d+(\.\d+)?)$"))[levels[which]]
        if len(odd):
            raise GaugesError(f"{levels[which]} must be a number or dashes (got {odd[0]!r})")
    return table.with_columns(pl.col(levels[which]).cast(pl.Float64, strict=False).alias(field) for field, levels in _LEVELS.items())


def _differences(stations: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """What the other table says of thresholds that both set, where it differs, in words.

    The tables share no number but the one in the address of the station's graph (``sn=``).
    """
    other = _table(folder, "suii_ichi.csv", ["URL", *(each[2] for each in _LEVELS.values())])
    other = _thresholds(other, 2).with_columns(pl.col("URL").str.extract(r"[?&]sn=(\d+)").alias("gauge_id")).drop_nulls("gauge_id")
    both = stations.join(other.select("gauge_id", *_LEVELS), on="gauge_id", suffix="_there")
    words = [
        pl.when(pl.col(field) != pl.col(f"{field}_there")).then(pl.format(f"{levels[0]} {{}} m", f"{field}_there"))
        for field, levels in _LEVELS.items()
    ]
    said = pl.concat_str(words, separator=", ", ignore_nulls=True)
    told = pl.when(said != "").then(pl.format("suii_ichi.csv: {}", said))
    return both.select("gauge_id", told.alias("thresholds_differ"))


def _known(folder: Path, ids: list[str]) -> list[pl.Expr]:
    """The fields that ``known.csv`` may set, each with the schema's default for all other stations."""
    table = _table(folder, "known.csv", ["gauge_id", "field", "value"])
    fields = {each["name"]: each for each in feed(FEED).schema["fields"] if "default" in each and each["name"] not in _TOLD}
    for line, (gauge_id, field, value) in enumerate(table.select("gauge_id", "field", "value").iter_rows(), 2):
        if gauge_id not in ids:
            raise GaugesError(f"line {line}, column gauge_id of known.csv must be a station of sensors.csv (got {gauge_id!r})")
        if field not in fields:
            raise GaugesError(f"line {line}, column field of known.csv must be one of {', '.join(fields)} (got {field!r})")
        check_cell(field, fields[field]["type"], value or "", f"line {line}, column value of known.csv")
    repeated = table.filter(table.select("gauge_id", "field").is_duplicated())
    if repeated.height:
        raise GaugesError(
            f"known.csv must set each field of a station once (got {repeated['field'][0]} of {repeated['gauge_id'][0]} again)"
        )
    return [_set(name, table.filter(pl.col("field") == name), told["default"]) for name, told in fields.items()]


def _set(field: str, rows: pl.DataFrame, default: str | None) -> pl.Expr:
    return pl.col("gauge_id").replace_strict(rows["gauge_id"], rows["value"], default=default, return_dtype=pl.String).alias(field)
