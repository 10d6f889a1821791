"""Reads stages of rivers in England as the Environment Agency exports them: a CSV for each station, or a folder of them.

A file begins with what is known of the series (``Station name,…``), then has a line for each 15 minutes: ``dd/mm/yyyy hh:mm:ss`` in GMT
all year, metres above the gauge's own datum, a state. The region of a gauge is its river. Levels above Ordnance Datum
(``Absolute value``) are the same ones, moved.

========================  ==============================================================
state (first code)        is
========================  ==============================================================
G, U, E, C, I             good, unchecked, estimated, complete, incomplete: the level
S, M                      suspect, missing: a reading without a level
========================  ==============================================================

**Arrival.** The files record none. A reading arrives at its time, which is the best that telemetry can do.

**Delivery guarantee.** Every good row and dead line exactly once; see ``connectors/readings.py``. A file that is no series of stages in
metres is one dead line: a flow (m³/s) is no level, and a time that counts days from an unsaid day is no time.

**What is lost when.** Codes behind the first (edited, within rating), comments: an edited peak looks like a measured one. Where gauges
stand: that is told by ``network.csv`` beside the files.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from connectors.readings import FAULTS, ROWS, Readings, ReadingsError, data_of, readings
from connectors.stations import NETWORK, Cells, in_network
from connectors.table import cells, first_broken, lines, rule

__all__ = ["gauges", "open"]

_NAMED = ("Station name", "Station number", "River", "Parameter Type", "Time series unit")
_LEVEL_STATES, _NO_LEVEL_STATES = ("G", "U", "E", "C", "I"), ("S", "M")
_TOP = "Time stamp,Value[m],State of value,"
_TIME = r"^[0-9]{2}/[0-9]{2}/(19|20)[0-9]{2} "
_NUMBER = r"^-?[0-9]+(\.[0-9]+)?$"
_LIMIT_M = 9000.0
_VALID_FROM = datetime(1970, 1, 1, tzinfo=UTC)
"""No broker knows an earlier time."""
_ENCODINGS = "utf-8", "latin-1"


def open(path: Path) -> Readings:
    """One file, or all ``*.csv`` of a folder but ``network.csv``, in order of name.

    Raises:
        ReadingsError: there is no such file, or none of them holds stages.
    """
    files = _listed(path)
    parts = [_read(each) for each in files]
    if all(rows is None for rows, _ in parts):
        raise ReadingsError(f"files of uk must hold stages in metres (got {parts[0][1]['reason'][0]}): see data/uk-don/README.md")
    return readings(
        pl.concat([pl.DataFrame(schema=ROWS), *(rows for rows, _ in parts if rows is not None)]),
        pl.concat([pl.DataFrame(schema=FAULTS), *(dead for _, dead in parts)]),
    )


def gauges(folder: Path) -> pl.DataFrame:
    """The gauges of a folder as a frame of ``river.gauge.v1``: names from the files, the rest from ``network.csv``. No thresholds.

    Raises:
        ReadingsError: a station of ``network.csv`` has no file, or a file no line there.
        GaugesError: see ``connectors/stations.py``.
    """
    named: dict[str, Cells] = {}
    for file in _listed(folder):
        text = _text(file)
        titles = _titles(text)
        if _fault(titles, text) is None:
            named[titles["Station number"]] = {"region": titles["River"], "river": titles["River"], "name": titles["Station name"]}
    return in_network(folder, named, manager="Environment Agency", valid_from=_VALID_FROM)


def _listed(path: Path) -> list[Path]:
    files = sorted(each for each in path.glob("*.csv") if each.name != NETWORK) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        raise ReadingsError(f"path of uk must be a .csv or a folder of them (got {path.name!r}): see data/uk-don/README.md")
    return files


def _text(path: Path) -> str:
    data, encoding = data_of(path, *_ENCODINGS)
    return data.decode(encoding).removeprefix("\ufeff").replace("\r\n", "\n")


def _titles(text: str) -> dict[str, str]:
    """What the lines above the table tell of the series."""
    told = (line.partition(",") for line in text.partition("Time stamp,")[0].split("\n"))
    return {name: value.strip().strip('"') for name, _, value in told}


def _fault(titles: dict[str, str], text: str) -> str | None:
    """Why a file is no series of stages; None: it is one."""
    if absent := [each for each in _NAMED if each not in titles]:
        return f"file must name {', '.join(absent)} (got {text.partition(chr(10))[0][:60]!r})"
    if (titles["Parameter Type"], titles["Time series unit"]) != ("Stage", "m"):
        return f"file must hold a Stage in m (got {titles['Parameter Type']!r} in {titles['Time series unit']!r})"
    return None if f"\n{_TOP}" in text else f"file must have columns {_TOP} (got others)"


def _read(path: Path) -> tuple[pl.DataFrame | None, pl.DataFrame]:
    """Good rows and dead lines of a file; no rows at all where it is no series of stages."""
    text = _text(path)
    titles = _titles(text)
    fault = _fault(titles, text)
    if fault is not None:
        dead = {"source": path.name, "line": 1, "reason": fault, "raw": text.partition("\n")[0].encode(), "arrived": None}
        return None, pl.DataFrame([dead], schema=FAULTS)
    above, _, _ = text.partition(f"\n{_TOP}")
    _, table = lines(*data_of(path, *_ENCODINGS))
    told = cells(table.filter(pl.col("line") > above.count("\n") + 2), {"time": 0, "cell": 1, "states": 2})
    at = pl.col("time").str.to_datetime("%d/%m/%Y %H:%M:%S", time_unit="ms", strict=False).dt.replace_time_zone("UTC")
    rows = told.with_columns(
        at.alias("observed_at"), at.alias("arrived"), pl.lit(path.name).alias("source"),
        pl.lit(titles["River"]).alias("region"), pl.lit(titles["Station number"]).alias("gauge_id"),
        pl.col("states").str.split(";").list.first().alias("state"), pl.col("cell").cast(pl.Float64, strict=False).alias("number"),
    ).with_columns(pl.when(pl.col("state").is_in(_LEVEL_STATES)).then(pl.col("number")).alias("level_m"))  # fmt: skip
    judged = rows.with_columns(_reason().alias("reason"))
    good = pl.col("reason").is_null()
    return judged.filter(good).select(*ROWS), judged.filter(~good).select(*FAULTS)


def _reason() -> pl.Expr:
    """The first rule that a line breaks."""
    no_level = ~pl.col("cell").str.contains(_NUMBER) | (pl.col("number").abs() > _LIMIT_M)
    return first_broken(
        [
            rule("time must be written dd/mm/yyyy hh:mm:ss", pl.col("observed_at").is_null() | ~pl.col("time").str.contains(_TIME), "time"),
            rule(
                f"state must begin with one of {', '.join((*_LEVEL_STATES, *_NO_LEVEL_STATES))}",
                ~pl.col("state").is_in([*_LEVEL_STATES, *_NO_LEVEL_STATES]),
                "states",
            ),
            rule("value must be a number of metres", pl.col("state").is_in(_LEVEL_STATES) & no_level, "cell"),
        ]
    )
