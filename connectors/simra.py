"""Reads near misses that cyclists reported with the SimRa app: a file ``<Region>-incidents.csv``, or a folder of them.

It gives ``road.near-miss.v1`` of kind ``report`` and ``dead.v1`` (lines that cannot be read, each with its file and line). A report has a
time, a place, a type of 1 to 8 and whether it was scary. The region is the file's own word for it in small letters (``berlin``).
``segments`` reads the streets of Berlin with their accidents, which is what the reports can be held against.

The text that a rider wrote is the last column but one or two, without quotes, with as many commas as the rider liked; some files
lack ``i10`` behind it. So cells are counted from both ends. The text itself goes nowhere: people name others in it.

**Arrival.** The files record none. A report arrives a day after it happened: riders look through a ride before they send it. A dead line
arrives with the report before it in its file, else with the first one after it, else on 1 January 2019.

**Delivery guarantee.** Every good row and every dead line exactly once. Two reports of one time and place are two versions of one
event, the later line the higher. Offsets depend on the files alone, so that reading from any time gives the same rows at the same
positions.

**What is lost when.** The rider's words, the bicycle, the other road users (``i1`` to ``i10``). Who rode is not in the files, so
one rider who reports much cannot be told from many. A ride on which nothing happened is not in them either: there are no passes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from connectors.span import within, zoned
from connectors.table import Rule, cells, first_broken, framed_by_arrival, lines, rule
from schemas.feeds import UTC_MS

__all__ = ["TYPES", "SimraError", "SimraFiles", "SimraSettings", "open", "segments"]

REPORTS, DEAD = "road.near-miss.v1", "dead.v1"

TYPES = {
    "1": "close_pass", "2": "pulling_in_or_out", "3": "near_hook", "4": "head_on",
    "5": "tailgating", "6": "near_dooring", "7": "obstacle", "8": "other",
}  # fmt: skip
"""What the numbers of ``incident`` mean; 0 and -5 stand for rides without one."""

_HEADER = "lat,lon,ts,bike,childCheckBox,trailerCheckBox,pLoc,incident,i1,i2,i3,i4,i5,i6,i7,i8,i9,scary,desc,i10,region"
_CELLS_AT_LEAST = 20
_BEGAN = datetime(2019, 1, 1, tzinfo=UTC)
_UNTIL = datetime(2100, 1, 1, tzinfo=UTC)
_NUMBER = r"^-?[0-9]{1,3}(\.[0-9]+)?$"


class SimraError(ValueError):
    """There are no SimRa files at a path, or one of them is not written as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimraSettings:
    """Where the files lie, and how long after the fact a report comes."""

    path: Path
    arrives_after: timedelta = timedelta(days=1)


def open(path: Path, settings: SimraSettings | None = None) -> SimraFiles:
    """One file of reports, or all ``*-incidents.csv`` of a folder.

    Args:
        path: the file or the folder.
        settings: other settings than the default ones.

    Raises:
        SimraError: there is no such file, or one begins with another header.
    """
    settings = settings or SimraSettings(path=path)
    files = sorted(path.glob("*-incidents.csv")) if path.is_dir() else [path]
    if not files or not all(each.is_file() for each in files):
        raise SimraError(f"path of simra must be a file of incidents or a folder of them (got {path.name!r}): see data/simra/README.md")
    table = pl.concat([_rows(each, settings) for each in files])
    return SimraFiles(settings=settings, reports=_reports(table), dead=_dead(table))


@dataclass(frozen=True, slots=True, kw_only=True)
class SimraFiles:
    """Reports in order of arrival; see the module for what is given and promised."""

    settings: SimraSettings
    reports: pl.DataFrame = field(repr=False)
    dead: pl.DataFrame = field(repr=False)

    def read(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[dict[str, pl.DataFrame]]:
        """Reports and dead lines that arrived in [since, until), in one chunk; none where nothing did.

        Raises:
            SimraError: a time has no zone.
        """
        zoned(SimraError, since, until)
        chunk = {name: frame.filter(within(since, until)) for name, frame in ((REPORTS, self.reports), (DEAD, self.dead))}
        if any(frame.height for frame in chunk.values()):
            yield chunk

    def close(self) -> None:
        """Nothing is held open."""


# --- lines


def _rows(path: Path, settings: SimraSettings) -> pl.DataFrame:
    """Every line of a file with its cells, the rule that it breaks, and when it arrived."""
    header, table = lines(path.read_bytes())
    if header.decode("utf-8", "replace") != _HEADER:
        raise SimraError(f"header of {path.name} must be {_HEADER} (got {header[:60]!r}): is it a file of incidents?")
    told = cells(table, {"lat": 0, "lon": 1, "ts": 2, "incident": 7, "scary": 17, "region": -1})
    return _arriving(told.with_columns(pl.lit(path.name).alias("source"), _reason().alias("reason")), settings)


def _reason() -> pl.Expr:
    """The first rule that a line breaks; null where it breaks none."""
    known = pl.col("ts").cast(pl.Int64, strict=False).cast(UTC_MS).is_between(_BEGAN, _UNTIL, "left")
    nowhere = (pl.col("lat").cast(pl.Float64, strict=False) == 0) & (pl.col("lon").cast(pl.Float64, strict=False) == 0)
    rules: list[Rule] = [
        (pl.col("text").is_null(), pl.lit("line must be UTF-8")),
        (pl.col("count") < _CELLS_AT_LEAST, pl.format(f"line must have {_CELLS_AT_LEAST} cells at least (got {{}})", "count")),
        rule("lat must be degrees", ~_degrees("lat", 90.0), "lat"),
        rule("lon must be degrees", ~_degrees("lon", 180.0), "lon"),
        rule("place must be told", nowhere, "lat", "lon"),
        rule(f"ts must be milliseconds in {_BEGAN.year} to {_UNTIL.year - 1}", ~known.fill_null(value=False), "ts"),
        rule("incident must be a type of 1 to 8", ~pl.col("incident").is_in(list(TYPES)), "incident"),
        rule("region must be a name", ~pl.col("region").str.contains(r"^\p{L}[\p{L} -]*$"), "region"),
    ]
    return first_broken(rules)


def _degrees(column: str, limit: float) -> pl.Expr:
    return pl.col(column).str.contains(_NUMBER) & (pl.col(column).cast(pl.Float64, strict=False).abs() <= limit).fill_null(value=False)


def _arriving(lines: pl.DataFrame, settings: SimraSettings) -> pl.DataFrame:
    """Lines with their times, in the order of the file."""
    occurred = pl.when(pl.col("reason").is_null()).then(pl.col("ts").cast(pl.Int64, strict=False).cast(UTC_MS))
    timed = lines.with_columns(occurred.alias("occurred_at"), (occurred + settings.arrives_after).alias("arrived"))
    return timed.with_columns(
        pl.col("arrived").fill_null(strategy="forward").fill_null(strategy="backward").fill_null(pl.lit(_BEGAN, UTC_MS))
    )


# --- frames


def _reports(table: pl.DataFrame) -> pl.DataFrame:
    lat, lon = (pl.col(each).cast(pl.Float64) for each in ("lat", "lon"))
    named = table.filter(pl.col("reason").is_null()).with_columns(
        pl.col("region").str.to_lowercase(),
        pl.format("{}@{},{}", "ts", lat.round(6), lon.round(6)).alias("event_id"),
    )
    named = named.with_columns(pl.int_range(1, pl.len() + 1).over("region", "event_id").alias("version"))
    told = {
        "op": pl.lit("stated"),
        "lat_deg": lat,
        "lon_deg": lon,
        "kind": pl.lit("report"),
        "source": pl.lit("simra"),
        "what": pl.col("incident").replace_strict(TYPES, default=None, return_dtype=pl.String),
        "scary": pl.col("scary").replace_strict({"0": False, "1": True}, default=None, return_dtype=pl.Boolean),
    } | {each: pl.lit(None) for each in ("vehicle", "peak_g", "speed_before_mps")}
    return framed_by_arrival(REPORTS, named, told)


def _dead(table: pl.DataFrame) -> pl.DataFrame:
    return framed_by_arrival(DEAD, table.filter(pl.col("reason").is_not_null()), {"feed": pl.lit(REPORTS), "place": pl.col("line")})


# --- streets


def segments(path: Path) -> pl.DataFrame:
    """The streets of Berlin on which the police recorded injury accidents in 2018, each between two crossings.

    Streets without an accident are not in the file: whoever compares counts must know that they were cut off at one.

    Args:
        path: GeoJSON of line strings with ``dn_id``, ``str_name``, ``laenge`` and ``n_total``.

    Returns:
        Columns ``segment_id``, ``name``, ``length_m``, ``accidents``, and the line as lists ``lat_deg`` and ``lon_deg``.

    Raises:
        SimraError: the file is no such GeoJSON.
    """
    try:
        rows = [_segment(each) for each in json.loads(path.read_bytes())["features"]]
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise SimraError(
            f"segments in {path.name} must be GeoJSON lines with dn_id, str_name, laenge and n_total (got {fault!r}): "
            "see data/simra/README.md"
        ) from fault
    floats = pl.List(pl.Float64)
    return pl.DataFrame(
        rows,
        schema={
            "segment_id": pl.String,
            "name": pl.String,
            "length_m": pl.Float64,
            "accidents": pl.Int64,
            "lat_deg": floats,
            "lon_deg": floats,
        },
        orient="row",
    )


def _segment(feature: dict[str, dict[str, object]]) -> tuple[object, ...]:
    told, line = feature["properties"], feature["geometry"]
    if line["type"] != "LineString":
        raise ValueError(f"a {line['type']}")
    points = [(float(lat), float(lon)) for lon, lat in line["coordinates"]]  # type: ignore[attr-defined]
    lengths = float(str(told["laenge"])), int(str(told["n_total"]))
    return str(told["dn_id"]), told["str_name"], *lengths, [lat for lat, _ in points], [lon for _, lon in points]
