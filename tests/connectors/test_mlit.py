"""Hourly levels of the 水文水質データベース: form, encoding, flags, the 24th hour, and tables that look alike and hold no levels.

The files in ``data/mlit`` are real, and of discharge. Where a test needs levels it takes one of them under the title of levels: the form
is the same to the letter, the numbers are not levels.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from connectors import mlit
from connectors.readings import ReadingsError
from schemas import feed

DATA = Path(__file__).parents[2] / "data" / "mlit"
DISCHARGE = (DATA / "japan_301011281104010_kind6_200402.dat").read_text(encoding="utf-8")
LEVELS = DISCHARGE.replace("時刻流量月表", "時刻水位月表")
FIRST = datetime(2004, 1, 31, 16, tzinfo=UTC)
"""1時 of 1 February in Japan."""


def written(folder: Path, text: str = LEVELS, name: str = "a.dat", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    return path


def with_cells(*cells: str) -> str:
    """The month with the first hours of its first day written otherwise, value and flag after one another."""
    lines = LEVELS.split("\n")
    day = lines[10].split(",")
    lines[10] = ",".join([day[0], *cells, *day[1 + len(cells) :]])
    return "\n".join(lines)


def read(path: Path) -> dict[str, pl.DataFrame]:
    chunks = list(mlit.open(path).read())
    names = ("river.level.v1", "clock.v1", "dead.v1")
    return {name: pl.concat([each[name] for each in chunks if name in each] or [feed(name).empty()]) for name in names}


@pytest.mark.parametrize("encoding", ["cp932", "utf-8", "utf-8-sig"])
def test_a_month_gives_every_hour_to_midnight_after_its_last_day(tmp_path: Path, encoding: str) -> None:
    held = read(written(tmp_path, encoding=encoding))
    levels = held["river.level.v1"]
    assert (levels.height, held["dead.v1"].height) == (29 * 24, 0)
    assert levels["observed_at"].to_list() == [FIRST + timedelta(hours=hour) for hour in range(29 * 24)]
    assert levels["arrived"].to_list() == levels["observed_at"].to_list()
    assert levels.select("region", "gauge_id").unique().rows() == [("天塩川", "301011281104010")]
    assert levels["level_m"][:9].to_list() == [0.45] * 8 + [0.38]
    assert {name: frame.schema for name, frame in held.items()} == {name: pl.Schema(feed(name).frame_schema) for name in held}


@pytest.mark.parametrize(
    ("value", "flag", "level_m"),
    [("    1.20", " ", [1.2]), ("    1.20", "*", [1.2]), ("   -0.35", " ", [-0.35]), ("-9999.99", "$", [None]), ("        ", "$", [None]),
     ("-9999.99", "#", [None]), ("-9999.99", "-", [])],
)  # fmt: skip
def test_a_flag_says_whether_there_is_a_level(tmp_path: Path, value: str, flag: str, level_m: list[float | None]) -> None:
    held = read(written(tmp_path, with_cells(value, flag)))
    levels = held["river.level.v1"]
    assert levels.filter(pl.col("observed_at") == FIRST)["level_m"].to_list() == level_m
    assert (levels.height, held["dead.v1"].height) == (29 * 24 - 1 + len(level_m), 0)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (("1.2m", " "), "1時: level must be a number of metres where no flag says that there is none (got '1.2m')"),
        (("-9999.99", " "), "1時: level must be a number of metres where no flag says that there is none (got '-9999.99')"),
        (("", ""), "1時: level must be a number of metres where no flag says that there is none (got '')"),
        (("1.2", "?"), "1時: flag must be one of *, $, #, - or blank (got '?')"),
    ],
)
def test_an_hour_that_cannot_be_read_is_dead_and_the_others_of_its_day_pass(tmp_path: Path, cells: tuple[str, str], reason: str) -> None:
    held = read(written(tmp_path, with_cells(*cells)))
    assert held["river.level.v1"].height == 29 * 24 - 1
    (dead,) = held["dead.v1"].iter_rows(named=True)
    assert (dead["source"], dead["place"], dead["reason"]) == ("a.dat", 11, reason)
    assert dead["raw"].decode().startswith(f"2004/02/01,{cells[0]},{cells[1]},")


@pytest.mark.parametrize(
    "line", ["2004/02/30" + ",1.0, " * 24, "04/02/01" + ",1.0, " * 24, "2004/02/01,1.0, ,1.1, ", "2004/02/01" + ",1.0, " * 25]
)
def test_a_line_that_is_no_day_is_dead_with_its_place(tmp_path: Path, line: str) -> None:
    held = read(written(tmp_path, f"{LEVELS}{line}\n"))
    assert held["river.level.v1"].height == 29 * 24
    assert held["dead.v1"].select("place", "reason", "raw").rows() == [
        (40, f"line must be a day YYYY/MM/DD and 24 levels with their flags (got '{line[:60]}')", line.encode())
    ]


def test_discharge_is_no_level_however_alike_it_looks() -> None:
    with pytest.raises(ReadingsError) as told:
        mlit.open(DATA)
    assert str(told.value) == (
        "files of mlit must hold hourly levels, 時刻水位月表 (got 2 that do not, such as '時刻流量月表検索結果'): "
        "discharge and daily means are no levels"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (DISCHARGE, "title must be 時刻水位月表検索結果, hourly levels (got '時刻流量月表検索結果')"),
        (
            (DATA / "japan_301011281104010_kind7_2004.dat").read_text(encoding="utf-8"),
            "title must be 時刻水位月表検索結果, hourly levels (got '日流量年表検索結果')",
        ),
        (
            LEVELS.replace("観測所記号,301011281104010", "観測所記号,"),
            "file must name 観測所記号 (got '水系名, 河川名, 観測所名, 観測所記号')",
        ),
        (LEVELS.replace(",24時,", ",25時,"), "file must have columns 1時 to 24時 (got others)"),
    ],
)
def test_a_file_without_levels_is_one_dead_line_beside_one_with(tmp_path: Path, text: str, reason: str) -> None:
    written(tmp_path, text, "b.dat")
    written(tmp_path)
    held = read(tmp_path)
    assert held["river.level.v1"].height == 29 * 24
    assert held["dead.v1"].select("source", "place", "reason").rows() == [("b.dat", 1, reason)]


def test_gauges_have_names_from_the_files_places_from_our_table_and_no_thresholds(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "network.csv").write_bytes((DATA / "network.csv").read_bytes())
    (row,) = mlit.gauges(tmp_path).iter_rows(named=True)
    assert (row["region"], row["gauge_id"], row["name"], row["river"]) == ("天塩川", "301011281104010", "茂志利", "天塩川")
    assert (row["lat_deg"], row["lon_deg"]) == (44.0608, 142.7222)
    assert [row[each] for each in ("l1_standby_m", "l2_caution_m", "l3_evacuation_m", "l4_danger_m")] == [None] * 4
    (tmp_path / "network.csv").write_text("gauge_id,municipality,lat_deg,lon_deg,downstream_id\n1,町,44,142,\n")
    with pytest.raises(ReadingsError, match=r"\(got in one of them only: 1, 301011281104010\)$"):
        mlit.gauges(tmp_path)


@pytest.mark.parametrize("encoding", ["cp932", "utf-8"])
def test_a_line_in_another_encoding_is_dead_with_its_very_bytes(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, encoding=encoding)
    path.write_bytes(path.read_bytes() + b"2004/02/\x81\xff, 1.0\r\n")
    held = read(path)
    assert held["river.level.v1"].height == 29 * 24
    assert held["dead.v1"].select("place", "reason", "raw").rows() == [
        (40, "line must be Shift_JIS or UTF-8 as the rest of its file", b"2004/02/\x81\xff, 1.0")
    ]


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadingsError, match=r"^path of mlit must be a \.dat or a folder of them"):
        mlit.open(tmp_path)
