"""Gauge records from tables of stations: what is told, what the schema fills in, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.gauges import GaugesError
from connectors.stations import Cells, network, stations
from schemas import feed

SINCE = datetime(2024, 1, 1, tzinfo=UTC)
HEADER = "gauge_id,municipality,lat_deg,lon_deg,downstream_id"
ONE: Cells = {
    "region": "r", "gauge_id": "1", "name": "上", "river": "川", "manager": "県", "municipality": "町",
    "lat_deg": "36.0", "lon_deg": "136.5", "downstream_id": "",
}  # fmt: skip


def test_what_no_table_tells_is_what_the_schema_has_for_it() -> None:
    frame = stations([("line 2", ONE)], SINCE)
    assert frame.schema == feed("river.gauge.v1").frame_schema
    row = frame.row(0, named=True)
    assert {name: row[name] for name in ("lat_deg", "downstream_id", "l1_standby_m", "reports", "as_input", "op", "version")} == {
        "lat_deg": 36.0, "downstream_id": None, "l1_standby_m": None, "reports": "always", "as_input": "used", "op": "stated", "version": 1,
    }  # fmt: skip
    assert row["valid_from"] == row["arrived"] == SINCE


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ({"lat_deg": "97"}, "lat_deg, line 2, must be a number from -90 to 90 (got '97')"),
        ({"name": " "}, "name, line 2, must not be blank (got ' ')"),
        ({"start_level_m": "high"}, "start_level_m, line 2, must be a number from -10000 to 10000 (got 'high')"),
    ],
)
def test_a_cell_that_breaks_the_rule_of_its_field_is_refused_with_its_place(cell: Cells, text: str) -> None:
    with pytest.raises(GaugesError) as told:
        stations([("line 2", {**ONE, **cell})], SINCE)
    assert str(told.value) == text


def test_a_station_stands_once_and_there_is_one_at_least() -> None:
    with pytest.raises(GaugesError, match=r"^station 1 must stand once \(got it at line 2 and line 3\)"):
        stations([("line 2", ONE), ("line 3", ONE)], SINCE)
    with pytest.raises(GaugesError, match=r"^stations must be one at least \(got none\)"):
        stations([], SINCE)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gauge_id,lat_deg\n", "header of network.csv must name municipality, lon_deg, downstream_id (got 'gauge_id, lat_deg')"),
        (f"{HEADER}\n1,町,36\n", "line 2 of network.csv must have 5 cells (got 3): count the commas"),
    ],
)
def test_a_table_of_another_shape_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "network.csv").write_text(text)
    with pytest.raises(GaugesError) as fault:
        network(tmp_path)
    assert str(fault.value) == told


def test_places_count_lines_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "network.csv").write_text(f"{HEADER}\n\n1, 町 ,36,136,\n")
    assert network(tmp_path) == [
        ("line 3 of network.csv", {"gauge_id": "1", "municipality": "町", "lat_deg": "36", "lon_deg": "136", "downstream_id": ""})
    ]
