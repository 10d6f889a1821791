"""``tsunagu gauges``: makes gauge records from a publisher's master tables, in a file that people may read and edit."""

from __future__ import annotations

from pathlib import Path

from connectors import SourceError
from connectors import gauges as records
from connectors.fukui_gauges import gauges as from_fukui
from jobs.sink import SinkError, in_folder

__all__ = ["run"]


def run(source: str, to: Path) -> int:
    """Reads the tables, writes the records, and prints how many; returns the exit code."""
    kind, colon, folder = source.partition(":")
    if kind != "fukui" or not colon or not Path(folder).is_dir():
        raise SourceError(
            f"source of gauges must be fukui:DIR with DIR a folder of master tables (got {source!r}): for example fukui:data/fukui"
        )
    if in_folder(to).suffix != ".csv":
        raise SinkError(f"--to must be FILE.csv (got {str(to)!r}): for example data/fukui/gauges.csv")
    frame = from_fukui(Path(folder))
    records.write(frame, to)
    without = frame.filter(frame["l1_standby_m"].is_null() & frame["l2_caution_m"].is_null() & frame["l4_danger_m"].is_null()).height
    print(
        f"{frame.height} gauges in {to}; {without} without official levels, {frame['thresholds_differ'].count()} on which tables disagree"
    )
    return 0
