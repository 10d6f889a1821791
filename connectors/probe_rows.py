"""The text of one recording of drives as readings, and the lines that cannot be read.

=================  ============================================================================================
``drive``          what begins with a start of the engine and ends with its stop; any name
``time_utc``       ISO 8601 in UTC, ``2019-05-23T20:54:11Z``
``gps_lat``        WGS84 degrees
``gps_long``       WGS84 degrees
``speed_mph``      GPS speed, miles an hour
``accel_x``        at will: acceleration forwards, g, bias and all; blank: no reading
``accel_y``        at will: to the right
``accel_z``        at will: upwards, 1 at rest
``vehicle``        at will: the fleet's own name of the vehicle; without it all drives of a file are of one
=================  ============================================================================================

Columns may stand in any order; others are passed over. Cells hold no quotes and no commas.

A line that cannot be read may still tell where somebody lives. So what is told of it is its form, letters as x and digits as 0: who has the
file finds the line by its number.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from connectors.table import Rule, cells, first_broken, lines
from schemas.feeds import UTC_MS

__all__ = ["ProbeError", "Readings", "parse"]

_NEEDED = ("drive", "time_utc", "gps_lat", "gps_long", "speed_mph")
_AXES = {"accel_x": "forward_g", "accel_y": "right_g", "accel_z": "up_g"}
_AT_WILL = (*_AXES, "vehicle")
_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE]-?[0-9]+)?$"
_MPH_MPS = 0.44704
_FASTEST_MPH, _STRONGEST_G = 200.0, 20.0
_FORM = bytes(0x30 if chr(each).isdigit() else 0x78 if each >= 0x80 or chr(each).isalpha() else each for each in range(256))
"""What each byte is told as."""


class ProbeError(ValueError):
    """There are no recorded drives at a path, they are not written as they are, or nothing keeps their vehicles apart from their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What a file holds.

    Attributes:
        good: ``line``, ``vehicle``, ``drive``, ``at``, ``lat_deg``, ``lon_deg``, ``speed_mps``, ``forward_g``, ``right_g``, ``up_g``,
            in order of drive and time.
        dead: ``line``, ``reason``, ``raw``, the last two without a letter or digit of the line.
    """

    good: pl.DataFrame
    dead: pl.DataFrame


def parse(data: bytes, name: str, vehicle: str) -> Readings:
    """The readings in the bytes of a file.

    Args:
        data: the file, UTF-8.
        name: names the file in errors.
        vehicle: whose drives they are where the file does not say.

    Raises:
        ProbeError: the header lacks a column.
    """
    header, table = lines(data)
    titles = [each.strip() for each in header.decode("utf-8", "replace").split(",")]
    absent = [each for each in _NEEDED if each not in titles]
    if absent:
        raise ProbeError(f"header of {name} must name {', '.join(absent)} (got {header[:60]!r}): see connectors/probe_rows.py")
    places = {each: titles.index(each) if each in titles else None for each in (*_NEEDED, *_AT_WILL)}
    ruled = _typed(cells(table, places), vehicle).with_columns(_reason(len(titles)).alias("reason"))
    ruled = _once(ruled)
    good = ruled.filter(pl.col("reason").is_null()).sort("drive", "at")
    kept = ("line", "vehicle", "drive", "at", "lat_deg", "lon_deg", "speed_mps", *_AXES.values())
    dead = ruled.filter(pl.col("reason").is_not_null()).select("line", "reason", "raw")
    forms = pl.Series("raw", [each.translate(_FORM) for each in dead["raw"]], pl.Binary)
    return Readings(good=good.select(kept), dead=dead.with_columns(forms))


def _typed(rows: pl.DataFrame, vehicle: str) -> pl.DataFrame:
    """Cells as what they tell; null where they are not written so."""
    return rows.with_columns(
        pl.col("time_utc").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="ms", strict=False).cast(UTC_MS).alias("at"),
        _number("gps_lat").alias("lat_deg"),
        _number("gps_long").alias("lon_deg"),
        (_number("speed_mph") * _MPH_MPS).alias("speed_mps"),
        *(_number(theirs).alias(ours) for theirs, ours in _AXES.items()),
        pl.when(pl.col("vehicle") == "").then(pl.lit(vehicle)).otherwise("vehicle").alias("vehicle"),
    )


def _number(column: str) -> pl.Expr:
    return pl.when(pl.col(column).str.contains(_NUMBER)).then(pl.col(column).cast(pl.Float64, strict=False))


def _reason(width: int) -> pl.Expr:
    """The first rule that a line breaks; null where it breaks none."""
    place = pl.concat_str(_shown("gps_lat"), _shown("gps_long"), separator=" ")
    lies = (pl.col("lat_deg").abs() <= 90) & (pl.col("lon_deg").abs() <= 180) & ((pl.col("lat_deg") != 0) | (pl.col("lon_deg") != 0))
    rules: list[Rule] = [
        (pl.col("text").is_null(), pl.lit("line must be UTF-8")),
        (pl.col("count") != width, pl.format(f"line must have {width} cells as its header has (got {{}})", "count")),
        (pl.col("drive") == "", pl.lit("drive must be told (got '')")),
        (
            pl.col("at").is_null(),
            pl.format("time_utc must be written 2019-05-23T20:54:11Z (got '{}')", _shown("time_utc")),
        ),
        (~lies.fill_null(value=False), pl.format("gps_lat and gps_long must be a place on Earth (got '{}')", place)),
        (
            ~_number("speed_mph").is_between(0, _FASTEST_MPH).fill_null(value=False),
            pl.format(f"speed_mph must be 0 to {_FASTEST_MPH:.0f} (got '{{}}')", _shown("speed_mph")),
        ),
        *(
            (
                (pl.col(each) != "") & ~(_number(each).abs() <= _STRONGEST_G).fill_null(value=False),
                pl.format(f"{each} must be within {_STRONGEST_G:.0f} g, or blank (got '{{}}')", _shown(each)),
            )
            for each in _AXES
        ),
    ]
    return first_broken(rules)


def _shown(column: str) -> pl.Expr:
    """The form of a cell, as a reason shows it."""
    return pl.col(column).str.slice(0, 60).str.replace_all("[0-9]", "0").str.replace_all(r"\p{L}|[^\x00-\x7f]", "x")


def _once(ruled: pl.DataFrame) -> pl.DataFrame:
    """A drive has one reading at an instant: later lines that tell of it again are dead."""
    good = pl.col("reason").is_null()
    first = pl.when(good).then("line").min().over("vehicle", "drive", "at")
    told = pl.format("drive must have one reading at an instant (got that of line {} again)", first)
    return ruled.with_columns(pl.when(good & (pl.col("line") > first)).then(told).otherwise("reason").alias("reason"))
