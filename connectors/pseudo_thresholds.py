"""Reads pseudo-thresholds and puts them in the place of official ones: for judging methods, never for telling anyone.

Official levels are passed so seldom that methods cannot be told apart on them. Levels that a river passes every few weeks are as
good a trial of a forecast. The table has the columns ``id`` (station), ``P1`` and ``P2`` (metres above the gauge's zero).

**Delivery guarantee.** All rows or an error that names file, column or gauge, rule and value.

**What is lost when.** Gauge records with pseudo-thresholds hold no official level: other gauges have none at all, since what is
said of them is not judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from connectors.gauges import GaugesError
from schemas.feeds import feed

__all__ = ["PseudoThresholdsSettings", "put", "read"]

_FEED = "river.gauge.v1"
_LEVELS = {"l1_standby_m": "P1", "l2_caution_m": "P2", "l3_evacuation_m": None, "l4_danger_m": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoThresholdsSettings:
    """Where the table lies."""

    path: Path


def read(path: Path) -> pl.DataFrame:
    """The table: id (text), P1, P2 (metres; P2 above P1).

    Raises:
        GaugesError: the file cannot be read, lacks a column, a cell is no number, a gauge stands twice, or P2 is not above P1.
    """
    settings = PseudoThresholdsSettings(path=path)
    try:
        table = pl.read_csv(settings.path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as fault:
        raise GaugesError(
            f"pseudo-thresholds must be a CSV in UTF-8 (got {str(path)!r}, {type(fault).__name__}): "
            "for example data/fukui/pseudo-thresholds.csv"
        ) from fault
    if table.columns != ["id", "P1", "P2"]:
        raise GaugesError(f"header of {path.name} must be id,P1,P2 (got {','.join(table.columns)!r})")
    numbers = table.with_columns(pl.col("P1", "P2").cast(pl.Float64, strict=False).fill_nan(None))
    for row, told in zip(numbers.iter_rows(named=True), table.iter_rows(named=True), strict=True):
        if row["P1"] is None or row["P2"] is None or not row["P1"] < row["P2"]:
            raise GaugesError(
                f"P1 and P2 of {row['id']!r} in {path.name} must be numbers, P2 above P1 (got {told['P1']!r} and {told['P2']!r})"
            )
    if twice := numbers.filter(pl.col("id").is_duplicated())["id"].to_list():
        raise GaugesError(f"gauges of {path.name} must stand once (got {twice[0]!r} twice)")
    return numbers


def put(gauges: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Gauge records with pseudo-thresholds as L1 and L2 and no other threshold.

    Args:
        gauges: ``river.gauge.v1``.
        table: what ``read`` gives.

    Raises:
        GaugesError: a gauge of the table has no record.
    """
    if lost := sorted(set(table["id"]) - set(gauges["gauge_id"])):
        raise GaugesError(f"pseudo-thresholds must be of gauges that have a record (got {lost[0]!r}): see gauges.csv")
    levels = [
        pl.lit(None, pl.Float64).alias(field)
        if column is None
        else pl.col("gauge_id").replace_strict(table["id"], table[column], default=None, return_dtype=pl.Float64).alias(field)
        for field, column in _LEVELS.items()
    ]
    routine = pl.lit("rare").cast(feed(_FEED).frame_schema["l1_is"]).alias("l1_is")
    return gauges.with_columns(*levels, routine, thresholds_differ=pl.lit(None, pl.String))
