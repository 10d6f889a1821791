"""The flood of July 2017 in northern Kyushu: every hour of 19 stations, what is blank, and the same hours in the database's own form."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from connectors import kyushu, mlit
from connectors.gauges import GaugesError
from connectors.readings import ReadingsError
from schemas import feed

KYUSHU = os.environ.get("TSUNAGU_KYUSHU_RIVER")
"""Folder of the hourly levels of 2017-07 as published by colspan/kyushu-rivers-water-level, CC BY-SA."""
recorded = pytest.mark.skipif(KYUSHU is None, reason="data that may not be committed: levels of Kyushu; TSUNAGU_KYUSHU_RIVER=FOLDER")

SITES = """site_id,site_name,coordinate,river_name,sub_river_name,address
s301,上（うえ）,北緯 33度30分00秒 東経 130度45分36秒,大川,小川,福岡県田川郡添田町大字庄
s302,下（した）,北緯 33度31分00秒 東経 130度46分00秒,大川,大川,福岡県北九州市八幡西区唐熊
"""
HEADER = "datetime,s301,s302"


def made(folder: Path, *rows: str, header: str = HEADER, sites: str = SITES) -> Path:
    (folder / "siteinfo.csv").write_text(sites)
    (folder / "water_level_log.csv").write_text("".join(f"{row}\n" for row in (header, *rows)))
    return folder


def read(folder: Path) -> dict[str, pl.DataFrame]:
    chunks = list(kyushu.open(folder).read())
    names = ("river.level.v1", "clock.v1", "dead.v1")
    return {name: pl.concat([each[name] for each in chunks if name in each] or [feed(name).empty()]) for name in names}


def test_a_cell_is_a_level_in_japanese_time_and_a_blank_one_a_reading_without_a_level(tmp_path: Path) -> None:
    levels = read(made(tmp_path, "2017/07/05 18:00,-0.31,\u3000", "2017/07/05 19:00,1,"))["river.level.v1"]
    assert levels.select("region", "gauge_id", "observed_at", "level_m").rows() == [
        ("大川", "301", datetime(2017, 7, 5, 9, tzinfo=UTC), -0.31),
        ("大川", "302", datetime(2017, 7, 5, 9, tzinfo=UTC), None),
        ("大川", "301", datetime(2017, 7, 5, 10, tzinfo=UTC), 1.0),
        ("大川", "302", datetime(2017, 7, 5, 10, tzinfo=UTC), None),
    ]


@pytest.mark.parametrize(
    ("row", "passes", "reason"),
    [
        ("2017/07/05 18:00,1.x,0.5", 1, "level must be a number of metres or blank (got 's301 1.x')"),
        ("2017/07/05 18:00,-9999.99,0.5", 1, "level must be a number of metres or blank (got 's301 -9999.99')"),
        ("2017/07/05 18:00,0.5", 0, "line must be YYYY/MM/DD hh:mm and 2 levels (got '2017/07/05 18:00,0.5')"),
        ("17/07/05 18:00,0.5,0.5", 0, "line must be YYYY/MM/DD hh:mm and 2 levels (got '17/07/05 18:00,0.5,0.5')"),
    ],
)
def test_what_cannot_be_read_is_dead_with_its_place_and_its_neighbours_pass(tmp_path: Path, row: str, passes: int, reason: str) -> None:
    held = read(made(tmp_path, "2017/07/05 17:00,1,1", row, "2017/07/05 19:00,1,1"))
    assert held["river.level.v1"].height == 4 + passes
    assert held["dead.v1"].select("source", "place", "reason", "raw").rows() == [("water_level_log.csv", 3, reason, row.encode())]


def test_a_column_that_is_no_station_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadingsError) as told:
        kyushu.open(made(tmp_path, header="datetime,s301,s303"))
    assert str(told.value) == "header of water_level_log.csv must be datetime and stations of siteinfo.csv (got 's303')"


def test_stations_have_their_place_and_town_and_what_our_chain_puts_downstream(tmp_path: Path) -> None:
    (tmp_path / "derived_chains_and_peaks.csv").write_text("chain,order,site_id\n大川,1,s302\n大川,0,s301\n")
    up, down = kyushu.gauges(made(tmp_path)).iter_rows(named=True)
    assert (up["gauge_id"], up["name"], up["river"], up["municipality"]) == ("301", "上", "小川", "福岡県田川郡添田町")
    assert (up["lat_deg"], up["lon_deg"]) == (33.5, 130.76)
    assert (up["downstream_id"], down["downstream_id"]) == ("302", None)
    assert down["municipality"] == "福岡県北九州市八幡西区"


def test_a_position_that_is_written_otherwise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GaugesError, match=r"^coordinate, line 2 of siteinfo\.csv, must be written 北緯"):
        kyushu.gauges(made(tmp_path, sites=SITES.replace("北緯 33度30分00秒", "33.5")))


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadingsError, match=r"^path of kyushu must be a folder with water_level_log\.csv"):
        kyushu.open(tmp_path)


# --- the recorded flood


@recorded
def test_the_wave_of_5_july_goes_down_the_hikosan_in_the_recorded_order() -> None:
    held = read(Path(str(KYUSHU)))
    levels = held["river.level.v1"]
    assert (levels.height, held["dead.v1"].height) == (127 * 19, 0)
    names = dict(kyushu.gauges(Path(str(KYUSHU))).select("gauge_id", "name").iter_rows())
    crest = levels.drop_nulls("level_m").sort("level_m", "observed_at", descending=[True, False]).unique("gauge_id", keep="first")
    hours = {names[gauge_id]: at.hour + 9 for gauge_id, at in crest.select("gauge_id", "observed_at").iter_rows() if at.day == 5}
    assert [hours[each] for each in ("添田", "伊田", "赤池", "中島")] == [17, 18, 19, 20]


@recorded
def test_the_same_hours_in_the_form_of_the_database_give_the_same_levels(tmp_path: Path) -> None:
    """The log is a copy from the database, so its hours are written back into the form in which the database serves them."""
    wide = read(Path(str(KYUSHU)))["river.level.v1"]
    (gauge_id,) = wide.filter(pl.col("level_m") == 4.65)["gauge_id"].unique()
    told = wide.filter(pl.col("gauge_id") == gauge_id)
    hours = dict(told.select(pl.col("observed_at").dt.convert_time_zone("Asia/Tokyo"), "level_m").iter_rows())
    titles = ["時刻水位月表検索結果", "水系名,遠賀川", "河川名,彦山川", "観測所名,添田", f"観測所記号,{gauge_id}", "#", "#", "#", "#"]
    titles.append("".join(f",{hour}時," for hour in range(1, 25)))
    first = min(hours)
    for day in range(1, 6):
        cells = []
        for hour in range(1, 25):
            at = first.replace(day=day + hour // 24, hour=hour % 24)
            level_m = hours[at]
            cells += ["-9999.99,$" if level_m is None else f"{level_m:8.2f}, "]
        titles.append(",".join([f"2017/07/{day:02}", *cells]))
    (tmp_path / "a.dat").write_bytes("\r\n".join([*titles, ""]).encode("cp932"))
    levels = pl.concat(chunk["river.level.v1"] for chunk in mlit.open(tmp_path).read())
    same = told.filter(pl.col("observed_at") <= levels["observed_at"].max())
    assert levels.height == 120
    assert levels.select("region", "gauge_id", "observed_at", "level_m").equals(same.select("region", "gauge_id", "observed_at", "level_m"))
