"""Crisis gauges from snapshots of the publisher's list: who is in it, who has left it, who may not be called low, and all of a winter."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from connectors import crisis
from connectors.gauges import GaugesError
from connectors.readings import ReadingsError
from schemas import feed

CRISIS = os.environ.get("TSUNAGU_RIVER_CRISIS")
"""Folder of hourly snapshots as published by yuiseki/crisis-watcher-river-jp, which names no licence."""
recorded = pytest.mark.skipif(CRISIS is None, reason="data that may not be committed: crisis gauges; TSUNAGU_RIVER_CRISIS=FOLDER")

STATIONS = """code,name,kana,townCode,prefCode,placePref,placeCity,startLevel,warnLevel,fladLevel,latitude,longitude
0100000001,サラカオーマキキン川,,01564,01000,北海道,北海道網走郡大空町,1.47,2.77,3.37,43.929585,144.11891
2400000002,寺島橋,,24201,24000,三重県,三重県津市,4.0,,6.0,34.7,136.5
2400000003,浜田橋,,24201,24000,三重県,,2.0,3.0,3.5,34.8,136.6
"""
HEADER = "snapshot_jst_hour,code,obsTime_jst,level_m,over,isWarning,isFlood,point"
A, B, C = "0100000001", "2400000002", "2400000003"


def listed(hour: int, code: str, level_m: str, *, day: int = 12, minute: int = 50, over: str = "1") -> str:
    return f"2025/09/{day}/{hour:02},{code},2025-09-{day}T{hour:02}:{minute:02}:00+09:00,{level_m},{over},0,0,2"


def made(folder: Path, *rows: str, stations: str = STATIONS) -> Path:
    (folder / "stations.csv").write_text(stations)
    (folder / "observations_2025-09.csv.gz").write_bytes(gzip.compress("".join(f"{row}\n" for row in (HEADER, *rows)).encode()))
    return folder


def read(folder: Path) -> dict[str, pl.DataFrame]:
    chunks = list(crisis.open(folder).read())
    names = ("river.level.v1", "clock.v1", "dead.v1")
    return {name: pl.concat([each[name] for each in chunks if name in each] or [feed(name).empty()]) for name in names}


def told(folder: Path, gauge_id: str) -> list[tuple[str, float | None]]:
    """What is heard of a gauge: time of observation in Japan, level."""
    levels = read(folder)["river.level.v1"].filter(pl.col("gauge_id") == gauge_id)
    at = levels["observed_at"].dt.convert_time_zone("Asia/Tokyo").dt.strftime("%d %H:%M")
    return list(zip(at.to_list(), levels["level_m"].to_list(), strict=True))


def test_a_device_in_the_list_gives_its_level_and_the_snapshot_arrives_at_the_newest_time_in_it(tmp_path: Path) -> None:
    levels = read(made(tmp_path, listed(17, A, "1.5"), listed(17, B, "5.0", minute=52)))["river.level.v1"].drop_nulls("level_m")
    assert levels.select("region", "gauge_id", "level_m").rows() == [("jp-01", A, 1.5), ("jp-24", B, 5.0)]
    assert levels["observed_at"].to_list() == [datetime(2025, 9, 12, 8, minute, tzinfo=UTC) for minute in (50, 52)]
    assert levels["arrived"].to_list() == [datetime(2025, 9, 12, 8, 52, tzinfo=UTC)] * 2


def test_a_snapshot_does_not_arrive_before_its_hour(tmp_path: Path) -> None:
    row = listed(17, A, "1.5").replace("T17:50", "T16:57")
    levels = read(made(tmp_path, row))["river.level.v1"].drop_nulls("level_m")
    assert (levels["arrived"][0], levels["observed_at"][0]) == (
        datetime(2025, 9, 12, 8, tzinfo=UTC),
        datetime(2025, 9, 12, 7, 57, tzinfo=UTC),
    )


def test_a_device_that_leaves_the_list_speaks_without_a_level_once_and_then_once_a_day(tmp_path: Path) -> None:
    days = [listed(hour, B, "5.0", day=day) for day in (12, 13, 14) for hour in (1, 9, 17)]
    rows = sorted([*days, listed(1, A, "1.5"), listed(17, A, "1.6")])
    assert told(made(tmp_path, *rows), A) == [
        ("12 01:50", 1.5), ("12 09:50", None), ("12 17:50", 1.6), ("13 01:50", None), ("14 01:50", None),
    ]  # fmt: skip


def test_a_device_that_was_never_listed_speaks_without_a_level_once_a_day(tmp_path: Path) -> None:
    rows = [listed(hour, B, "5.0", day=day) for day in (12, 13) for hour in (1, 9)]
    assert told(made(tmp_path, *rows), C) == [("12 01:50", None), ("13 01:50", None)]


@pytest.mark.parametrize("over", ["11", "101", "111"])
def test_a_device_last_seen_above_its_warning_level_is_not_called_low_by_its_silence(tmp_path: Path, over: str) -> None:
    rows = [listed(hour, B, "5.0", day=day) for day in (12, 13) for hour in (1, 9, 17)]
    assert told(made(tmp_path, *sorted([*rows, listed(1, C, "3.2", over=over)])), C) == [("12 01:50", 3.2)]
    again = listed(1, C, "2.1", day=13)
    assert told(made(tmp_path, *sorted([*rows, listed(1, C, "3.2", over=over), again])), C) == [
        ("12 01:50", 3.2), ("13 01:50", 2.1), ("13 09:50", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (listed(17, "9900000001", "1.5"), "code must be a station of stations.csv (got '9900000001')"),
        (listed(17, A, "high"), "level_m must be a number of metres (got 'high')"),
        (listed(17, A, "1.5", over="2"), "over must be digits 0 and 1 (got '2')"),
        (
            listed(17, A, "1.5").replace("2025/09/12/17", "25/09/12/17"),
            "snapshot_jst_hour must be written YYYY/MM/DD/hh (got '25/09/12/17')",
        ),
        (
            listed(17, A, "1.5").replace("2025-09-12T", "25-09-12T"),
            "obsTime_jst must be written YYYY-MM-DDThh:mm:ss+09:00 (got '25-09-12T17:50:00+09:00')",
        ),
        (
            listed(17, A, "1.5").replace("2025-09-12T", "2026-09-12T"),
            "obsTime_jst must not lie after its snapshot (got '2025/09/12/17 2026-09-12T17:50:00+09:00')",
        ),
        ("2025/09/12/17,0100000001", "line must be UTF-8 and have 8 cells (got '2025/09/12/17')"),
    ],
)
def test_a_line_that_cannot_be_read_is_dead_with_its_place_and_its_neighbours_pass(tmp_path: Path, row: str, reason: str) -> None:
    held = read(made(tmp_path, listed(17, B, "5.0"), row, listed(18, B, "5.1")))
    assert held["river.level.v1"].drop_nulls("level_m")["level_m"].to_list() == [5.0, 5.1]
    assert held["dead.v1"].select("source", "place", "reason", "raw").rows() == [("observations_2025-09.csv.gz", 3, reason, row.encode())]


def test_gauges_are_crisis_gauges_with_their_start_level_and_a_danger_level_only_where_one_is_set(tmp_path: Path) -> None:
    first, second, third = crisis.gauges(made(tmp_path, listed(17, B, "3.7"))).iter_rows(named=True)
    assert (first["region"], first["reports"], first["start_level_m"], first["l4_danger_m"]) == ("jp-01", "above_start", 1.47, 2.77)
    assert (second["l4_danger_m"], second["l1_standby_m"], second["municipality"]) == (None, None, "三重県津市")
    assert third["municipality"] == "不明"
    assert (second["start_level_m"], second["thresholds_differ"]) == (3.7, "stations.csv: 観測開始水位 4.0 m"), "it was listed at 3.7 m"


def test_a_folder_without_its_tables_or_with_a_damaged_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadingsError, match=r"^path of crisis must be a folder with stations\.csv and observations_\*\.csv\.gz \(got "):
        crisis.open(tmp_path)
    made(tmp_path, listed(17, A, "1.5"))
    (tmp_path / "observations_2025-10.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(ReadingsError, match=r"^file observations_2025-10\.csv\.gz must be a whole \.csv\.gz \(got: "):
        crisis.open(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (STATIONS.replace("01000", "48000"), "prefCode, line 2 of stations.csv, must be 01000 to 47000 (got '48000')"),
        (STATIONS.replace("1.47", ""), "startLevel, line 2 of stations.csv, must be a number of metres (got '')"),
        (STATIONS.replace(",startLevel", ",start"), None),
    ],
)
def test_a_table_of_stations_that_breaks_a_rule_is_refused(tmp_path: Path, wrong: str, text: str | None) -> None:
    made(tmp_path, listed(17, A, "1.5"), stations=wrong)
    for reads in (crisis.open, crisis.gauges):
        with pytest.raises(GaugesError) as told:
            reads(tmp_path)
        assert str(told.value) == text if text else str(told.value).startswith("header of stations.csv must name startLevel (got 'code, ")


# --- the recorded winter


@recorded
def test_every_recorded_reading_is_given_once_and_every_other_device_speaks_once_a_day() -> None:
    held = read(Path(str(CRISIS)))
    levels, stations = held["river.level.v1"], crisis.gauges(Path(str(CRISIS)))
    heard = levels.drop_nulls("level_m")
    assert (heard.height, held["dead.v1"].height, stations.height) == (547_407, 0, 4_053)
    assert heard.select("gauge_id", "observed_at").is_unique().all()
    # the same from the published rows: how late they are in their snapshot, and who was last listed above a warning level
    rows = pl.concat(pl.read_csv(each, infer_schema=False) for each in sorted(Path(str(CRISIS)).glob("observations_*.csv.gz")))
    hour = (pl.col("snapshot_jst_hour") + "00+0900").str.to_datetime("%Y/%m/%d/%H%M%z", time_unit="ms")
    rows = rows.with_columns(hour.alias("hour"), pl.col("obsTime_jst").str.to_datetime("%Y-%m-%dT%H:%M:%S%z", time_unit="ms").alias("at"))
    arrived = pl.max_horizontal(pl.col("at").max().over("hour"), "hour")
    patience = feed("river.level.v1").patience
    assert (
        heard.filter(pl.col("arrived") - pl.col("observed_at") > patience).height
        == rows.filter(arrived - pl.col("at") > patience).height
        == 60
    )
    begin = datetime(2026, 1, 14, 15, tzinfo=UTC)
    day = levels.filter(pl.col("arrived").is_between(begin, begin + timedelta(days=1), closed="left"))
    silent = set(stations["gauge_id"]) - set(day["gauge_id"])
    last = rows.filter(pl.col("hour") < begin).group_by("code").agg(pl.col("over").last())
    assert silent == set(last.filter(pl.col("over") != "1")["code"]) - set(day["gauge_id"])
    assert 0 < len(silent) < 0.05 * stations.height


@recorded
def test_no_word_without_a_level_stands_beside_a_reading_of_the_same_snapshot() -> None:
    levels = read(Path(str(CRISIS)))["river.level.v1"]
    heard, mute = levels.drop_nulls("level_m"), levels.filter(pl.col("level_m").is_null())
    assert mute.join(heard, on=["gauge_id", "arrived"]).is_empty()
    gaps = mute.sort("gauge_id", "arrived").select(pl.col("arrived").diff().over("gauge_id")).drop_nulls().to_series()
    assert gaps.min() >= timedelta(minutes=1)
