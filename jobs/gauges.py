"""``tsunagu gauges``: makes gauge records from a publisher's master tables, in a file that people may read and edit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from connectors import SourceError, crisis, kyushu, mlit, pseudo_thresholds, uk_river
from connectors import gauges as records
from connectors.fukui_gauges import gauges as from_fukui
from jobs.sink import SinkError, in_folder

__all__ = ["run"]

KINDS: Mapping[str, Callable[[Path], pl.DataFrame]] = {
    "crisis": crisis.gauges,
    "fukui": from_fukui,
    "kyushu": kyushu.gauges,
    "mlit": mlit.gauges,
    "uk": uk_river.gauges,
}


def run(source: str, to: Path, pseudo: Path | None = None) -> int:
    """Reads the tables, writes the records, on pseudo-thresholds if there are any, and prints how many; returns the exit code."""
    kind, colon, folder = source.partition(":")
    if kind not in KINDS or not colon or not Path(folder).is_dir():
        raise SourceError(
            f"source of gauges must be KIND:DIR with KIND one of {', '.join(KINDS)} and DIR a folder of tables (got {source!r}): "
            "for example fukui:data/fukui"
        )
    if in_folder(to).suffix != ".csv":
        raise SinkError(f"--to must be FILE.csv (got {str(to)!r}): for example data/fukui/gauges.csv")
    frame = KINDS[kind](Path(folder))
    if pseudo is not None:
        frame = pseudo_thresholds.put(frame, pseudo_thresholds.read(pseudo))
    records.write(frame, to)
    without = frame.filter(frame["l1_standby_m"].is_null() & frame["l2_caution_m"].is_null() & frame["l4_danger_m"].is_null()).height
    print(
        f"{frame.height} gauges in {to}; {without} without official levels, {frame['thresholds_differ'].count()} on which tables disagree"
    )
    return 0
