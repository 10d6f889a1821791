"""The bench at the width of a nation: what it is given, and that regions beside each other do not touch each other."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobs.bench.program import ROOT
from jobs.bench.recording import FLOOD, LEVELS
from jobs.bench.width import Replayed, told
from jobs.bench.width_inputs import EVERY, FROM, GAUGES, LATER, REPEATED, SPEAKS_FROM, Width, recorded, region
from jobs.embedded import replay
from pipelines.linkage import CLOCK, derive

LASTS = timedelta(hours=3)
REGIONS = LATER + 1


def said(readings: pl.DataFrame, references: Mapping[str, pl.DataFrame], of: str) -> list[dict[str, Any]]:
    """What is said of a region, under no name, and less the positions that it rests on."""
    ticks = readings.select(pl.col("arrived").unique().sort()).with_columns(
        pl.col("arrived").alias("at"), pl.lit(0, pl.Int32).alias("partition"), pl.int_range(pl.len(), dtype=pl.Int64).alias("offset")
    )
    spoken = replay(FLOOD, [{LEVELS: readings, CLOCK: ticks}], references, SPEAKS_FROM)
    rows = [row for each in spoken if each.facts is not None for row in each.facts.filter(pl.col("region") == of).to_dicts()]
    return [{name: _unnamed(value, of) for name, value in row.items() if name not in ("basis", "region")} for row in rows]


def _unnamed(value: Any, of: str) -> Any:
    return value.removeprefix(f"{of}/") if isinstance(value, str) else value


@pytest.fixture(scope="module")
def readings() -> pl.DataFrame:
    return Width(regions=REGIONS).readings(FROM - timedelta(hours=30), FROM + LASTS)


@pytest.fixture(scope="module")
def together(readings: pl.DataFrame) -> Mapping[str, list[dict[str, Any]]]:
    known = Width(regions=REGIONS).references()
    return {of: said(readings, known, of) for of in map(region, (0, 1, LATER))}


@pytest.mark.parametrize("at", [0, 1, LATER])
def test_a_region_among_others_says_what_it_says_alone(
    readings: pl.DataFrame, together: Mapping[str, list[dict[str, Any]]], at: int
) -> None:
    of = region(at)
    known = {name: frame.filter(pl.col("region") == of) for name, frame in Width(regions=REGIONS).references().items()}
    alone = said(readings.filter(pl.col("region") == of), known, of)
    assert len(alone) > 50
    assert together[of] == alone


def test_copies_at_the_same_time_say_the_same_but_for_names(together: Mapping[str, list[dict[str, Any]]]) -> None:
    assert together[region(LATER)] == together[region(0)]
    assert together[region(1)] != together[region(0)]


def test_a_start_that_weighs_a_slot_at_a_time_says_the_same(
    readings: pl.DataFrame, together: Mapping[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derive, "_AT_ONCE", 1)
    assert said(readings.filter(pl.col("region") == region(0)), Width(regions=1).references(), region(0)) == together[region(0)]


def test_each_reading_is_the_newest_recorded_one_as_much_later_as_its_region(readings: pl.DataFrame) -> None:
    assert readings.select("region", "gauge_id", "observed_at").is_unique().all()
    mine = readings.filter(pl.col("region") == region(2)).with_columns(pl.col("observed_at") - 2 * EVERY)
    pairs = mine.join(recorded(), on="gauge_id").filter(pl.col("observed_at_right") <= pl.col("observed_at"))
    newest = pairs.sort("observed_at_right").group_by("gauge_id", "observed_at").last()
    assert newest.height == mine.height
    assert (newest["level_m"].eq_missing(newest["level_m_right"])).all()
    assert (newest["observed_at"] - newest["observed_at_right"]).max() <= REPEATED  # type: ignore[operator]


def test_in_other_weather_each_of_twelve_regions_has_the_flood_on_another_day() -> None:
    width = Width(regions=24, weather="one region in twelve")
    assert [sum(width.shift(at).days == day for at in range(24)) for day in range(13)] == [2] * 12 + [0]


def test_archive_and_references_hold_all_regions(tmp_path: Path) -> None:
    from connectors import archive

    width = Width(regions=2, lasts=timedelta(hours=1))
    width.record(tmp_path)
    chunks = list(archive.open(tmp_path).read(since=FROM))
    assert chunks[0][LEVELS].drop("partition", "offset").equals(width.readings(FROM, FROM + width.lasts).drop("partition", "offset"))
    assert chunks[0][CLOCK].height == 6
    assert width.references()[GAUGES]["region"].value_counts()["count"].to_list() == [103, 103]


def test_growth_is_the_cost_of_a_reading_over_that_of_the_first() -> None:
    spent = {"decode": 1.0, "judge": 0.25, "past": 0.75, "weigh": 1.0, "write": 1.0}
    first = Replayed(name="narrow", gauges=100, readings=1_000_000, said=1, peak_mb=1.0, spent_s=spent)
    second = Replayed(name="wide", gauges=200, readings=1_000_000, said=1, peak_mb=1.0, spent_s={"decode": 6.0, "else": 2.0})
    narrow, wide = told([first, second], "markdown").splitlines()[2:]
    assert narrow.split(" | ")[3:10] == ["250,000", "4.00", "", "25%", "25%", "25%", "25%"]
    assert wide.split(" | ")[3:10] == ["125,000", "8.00", "2.0", "75%", "0%", "0%", "0%"]


def test_the_command_prints_speed_growth_and_shares() -> None:
    command = [Path(sys.executable).with_name("tsunagu"), "bench", "width", "--size", "0.01", "--layout", "markdown"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith(("| flood", "| one region"))]
    assert [row[:2] for row in rows] == [["flood everywhere", "103"], ["flood everywhere", "206"], ["one region in twelve", "206"]]
    for row in rows:
        per_s, each_us = (float(cell.replace(",", "")) for cell in row[3:5])
        assert per_s * each_us == pytest.approx(1e6, rel=0.02)
        assert sum(int(cell.removesuffix("%")) for cell in row[6:11]) == pytest.approx(100, abs=3)
    assert int(rows[1][2].replace(",", "")) > 1.8 * int(rows[0][2].replace(",", "")) > 0
    assert re.search(r"\| decode: read the archive \| [\d.]+ \| \d+% \|", done.stdout)
