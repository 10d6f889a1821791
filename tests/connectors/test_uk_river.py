"""Stages of the Don at Sheffield as exported: the floods of June 2007, quality codes, and files that hold no stages."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from connectors import uk_river
from connectors.readings import ReadingsError
from schemas import feed

DON = Path(__file__).parents[2] / "data" / "uk-don"
EXPORT = (DON / "hadfields-stage-2007-06.csv").read_text()
TOP, COLUMNS, ROWS = EXPORT.partition("Time stamp,Value[m],")
LINE = TOP.count("\n") + 2
"""Line of the first row."""


def written(folder: Path, *rows: str, top: str = TOP, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_text(top + COLUMNS + ROWS.partition("\n")[0] + "\n" + "".join(f"{row}\n" for row in rows))
    return path


def read(path: Path) -> dict[str, pl.DataFrame]:
    chunks = list(uk_river.open(path).read())
    names = ("river.level.v1", "clock.v1", "dead.v1")
    return {name: pl.concat([each[name] for each in chunks if name in each] or [feed(name).empty()]) for name in names}


def test_the_floods_of_june_2007_in_greenwich_time() -> None:
    held = read(DON)
    levels = held["river.level.v1"]
    assert (levels.height, held["dead.v1"].height) == (1920, 0)
    assert {name: frame.schema for name, frame in held.items()} == {name: pl.Schema(feed(name).frame_schema) for name in held}
    highest = levels.row(levels["level_m"].arg_max(), named=True)
    assert (highest["level_m"], highest["observed_at"]) == (4.675, datetime(2007, 6, 25, 18, 30, tzinfo=UTC))
    assert highest["region"] == "River Don"
    assert levels["arrived"].to_list() == levels["observed_at"].to_list()
    steps = levels["observed_at"].diff().drop_nulls().unique().to_list()
    assert [each.total_seconds() for each in steps] == [900], "no hour is left out or doubled where clocks were changed"


def test_the_gauge_has_its_name_from_the_export_and_no_thresholds() -> None:
    (row,) = uk_river.gauges(DON).iter_rows(named=True)
    assert (row["region"], row["gauge_id"], row["name"], row["river"], row["manager"]) == (
        "River Don", "F0605", "Sheffield Hadfields", "River Don", "Environment Agency",
    )  # fmt: skip
    assert (row["lat_deg"], row["lon_deg"]) == pytest.approx((53.414, -1.4158), abs=1e-4)
    assert {row[each] for each in row if each.startswith(("l1_", "l2_", "l3_", "l4_"))} == {None, "rare"}


@pytest.mark.parametrize(
    ("cells", "level_m"),
    [("0.5,G,102", 0.5), ("0.5,G;Ed,102", 0.5), ("0.5,U", 0.5), ("0.5,E;A", 0.5), ("-0.012,G", -0.012), ("0.5,S", None),
     ("---,M,101", None), ("---,M;Ed,102", None)],
)  # fmt: skip
def test_the_first_code_says_whether_there_is_a_level(tmp_path: Path, cells: str, level_m: float | None) -> None:
    held = read(written(tmp_path, f"25/06/2007 10:00:00,{cells}"))
    assert (held["river.level.v1"]["level_m"].to_list(), held["dead.v1"].height) == ([level_m], 0)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("25/06/07 10:00:00,0.5,G", "time must be written dd/mm/yyyy hh:mm:ss (got '25/06/07 10:00:00')"),
        ("06/25/2007 10:00:00,0.5,G", "time must be written dd/mm/yyyy hh:mm:ss (got '06/25/2007 10:00:00')"),
        ("25/06/2007 10:00:00,0.5,X", "state must begin with one of G, U, E, C, I, S, M (got 'X')"),
        ("25/06/2007 10:00:00,---,G", "value must be a number of metres (got '---')"),
        ("25/06/2007 10:00:00,nan,G", "value must be a number of metres (got 'nan')"),
        ("25/06/2007 10:00:00", "state must begin with one of G, U, E, C, I, S, M (got '')"),
    ],
)
def test_a_line_that_cannot_be_read_is_dead_with_its_place_and_its_neighbours_pass(tmp_path: Path, row: str, reason: str) -> None:
    held = read(written(tmp_path, "25/06/2007 09:45:00,0.4,G", row, "25/06/2007 10:15:00,0.6,G"))
    assert held["river.level.v1"]["level_m"].to_list() == [0.4, 0.6]
    assert held["dead.v1"].select("source", "place", "reason", "raw").rows() == [("a.csv", LINE + 1, reason, row.encode())]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (EXPORT.replace("Parameter Type,Stage", "Parameter Type,Flow"), "file must hold a Stage in m (got 'Flow' in 'm')"),
        (EXPORT.replace("unit,m\n", "unit,mm\n"), "file must hold a Stage in m (got 'Stage' in 'mm')"),
        (
            "Time,Height\n0,0.61\n",
            "file must name Station name, Station number, River, Parameter Type, Time series unit (got 'Time,Height')",
        ),
    ],
)
def test_a_file_without_stages_is_one_dead_line_beside_one_with(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "other.csv").write_text(text)
    with pytest.raises(ReadingsError) as told:
        uk_river.open(tmp_path)
    assert str(told.value) == f"files of uk must hold stages in metres (got {reason}): see data/uk-don/README.md"
    written(tmp_path, "25/06/2007 10:00:00,0.5,G")
    held = read(tmp_path)
    assert held["river.level.v1"].height == 1
    assert held["dead.v1"].select("source", "place", "reason").rows() == [("other.csv", 1, reason)]


def test_stations_of_network_and_files_are_the_same(tmp_path: Path) -> None:
    written(tmp_path, "25/06/2007 10:00:00,0.5,G")
    (tmp_path / "network.csv").write_text("gauge_id,municipality,lat_deg,lon_deg,downstream_id\nF0606,Sheffield,53.4,-1.4,\n")
    with pytest.raises(
        ReadingsError, match=r"^stations of network.csv must be those of the files \(got in one of them only: F0605, F0606\)$"
    ):
        uk_river.gauges(tmp_path)


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadingsError, match=r"^path of uk must be a \.csv or a folder of them"):
        uk_river.open(tmp_path)
