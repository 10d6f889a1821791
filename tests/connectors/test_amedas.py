"""Hourly rain and its stations: what passes, what is dead and why, and when it all arrived."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from connectors import amedas, archive, jsonl, open_source, wire
from connectors.amedas import DEAD, PUBLISHED_AFTER, RAIN, STATIONS, AmedasError, AmedasSettings
from connectors.amedas_stations import AREAS
from schemas import feed

EXTRACT = Path(__file__).parents[2] / "data" / "amedas"
TITLES = "type,elems,lat,lon,alt,kjName,knName,enName,amdno,pref"
FUKUI = {
    "type": "A", "elems": "11111111", "lat": "36.055", "lon": "136.22", "alt": "9", "kjName": "福井", "knName": "フクイ",
    "enName": "Fukui", "amdno": "57066", "pref": "福井県",
}  # fmt: skip
MIYAMA = FUKUI | {"elems": "01000000", "kjName": "美山", "knName": "ミヤマ", "amdno": "57071", "pref": ""}
HEADER = "time_jst,57066,57071"
NOON_JST = datetime(2023, 7, 13, 3, tzinfo=UTC)


def station(**told: str) -> str:
    return ",".join((FUKUI | told).values())


def written(
    folder: Path,
    *lines: str | bytes,
    header: str = HEADER,
    name: str = "precipitation1h.csv",
    stations: Sequence[str | bytes] = (station(), station(**MIYAMA)),
) -> Path:
    (folder / "amedastable.csv").write_bytes(text(TITLES, *stations))
    (folder / name).write_bytes(text(header, *lines))
    return folder / name


def text(*lines: str | bytes) -> bytes:
    return b"\n".join(each if isinstance(each, bytes) else each.encode() for each in lines) + b"\n"


def read(path: Path, since: datetime | None = None, until: datetime | None = None, **settings: timedelta) -> dict[str, pl.DataFrame]:
    source = amedas.open(path, AmedasSettings(path=path, **settings))
    chunks = list(source.read(since, until))
    source.close()
    return {name: pl.concat([each[name] for each in chunks if name in each] or [feed(name).empty()]) for name in (STATIONS, RAIN, DEAD)}


def amounts(path: Path) -> list[tuple[str, datetime, float | None]]:
    return read(path)[RAIN].select("station_id", "observed_at", "rain_mm").rows()


# --- what passes -----------------------------------------------------------------------------------------------


def test_the_extract_gives_every_cell_and_every_station() -> None:
    held = read(EXTRACT)
    assert {name: frame.schema for name, frame in held.items()} == {name: pl.Schema(feed(name).frame_schema) for name in held}
    rain, stations = held[RAIN], held[STATIONS]
    assert (rain.height, rain["rain_mm"].null_count(), held[DEAD].height) == (303_667, 538, 0)
    assert rain["arrived"].is_sorted()
    assert rain["offset"].is_sorted()
    assert rain["offset"].n_unique() == rain.height
    assert Counter(stations["region"].to_list()) == {"fukui": 14, "gifu": 32, "ishikawa": 16, "kyoto": 17, "shiga": 12}
    assert set(rain.select("region", "station_id").unique().rows()) == set(stations.select("region", "station_id").rows())
    hours = rain["observed_at"].unique().dt.convert_time_zone("Asia/Tokyo").sort()
    assert (len(hours), str(hours[0]), str(hours[-1])) == (3337, "2023-07-13 14:00:00+09:00", "2023-12-06 13:00:00+09:00")
    assert set(range(24)) - set(hours.dt.hour()) == {9}, "the recorder left out one hour of each day"


def test_the_prefecture_that_a_number_tells_is_the_one_of_the_table() -> None:
    with (EXTRACT / "amedastable.csv").open(encoding="utf-8", newline="") as file:
        told = {each["amdno"]: each["pref"] for each in csv.DictReader(file)}
    assert Counter(told.values())[""] == 30
    ours = dict(read(EXTRACT)[STATIONS].select("station_id", "prefecture").rows())
    assert ours == {number: prefecture or AREAS[number[:2]][1] for number, prefecture in told.items()}


def test_areas_are_all_prefectures_and_only_two_of_them_have_several() -> None:
    assert len(AREAS) == 63
    several = Counter(AREAS.values())
    assert len(several) == 47
    assert {name: count for name, count in several.items() if count > 1} == {("hokkaido", "北海道"): 14, ("okinawa", "沖縄県"): 4}


def test_a_cell_becomes_the_rain_of_the_hour_that_ends_there(tmp_path: Path) -> None:
    row = read(written(tmp_path, "2023-07-13 12:00,1.5,"))[RAIN].row(0, named=True)
    offset = int((NOON_JST + PUBLISHED_AFTER).timestamp()) // 60 << 16
    assert row == {
        "region": "fukui", "station_id": "57066", "observed_at": NOON_JST, "version": offset, "op": "stated", "rain_mm": 1.5,
        "arrived": NOON_JST + timedelta(minutes=20), "partition": 0, "offset": offset,
    }  # fmt: skip


def test_a_row_of_the_table_becomes_a_station_that_holds_from_the_first_hour_on(tmp_path: Path) -> None:
    quoted = '"Fukui, City"'
    held = read(written(tmp_path, "2023-07-13 13:00,0,0", "2023-07-13 12:00,0,0", stations=[station(enName=quoted), station(**MIYAMA)]))
    begins = NOON_JST - timedelta(hours=1)
    assert held[STATIONS].row(0, named=True) == {
        "region": "fukui", "station_id": "57066", "valid_from": begins, "version": 1, "op": "stated", "valid_until": None, "name": "福井",
        "name_kana": "フクイ", "prefecture": "福井県", "lat_deg": 36.055, "lon_deg": 136.22, "elevation_m": 9.0, "rain": "measured",
        "arrived": begins, "partition": 0, "offset": int(begins.timestamp()) // 60 << 16,
    }  # fmt: skip
    assert held[STATIONS].row(1, named=True)["prefecture"] == "福井県", "though the table does not say so"
    assert held[DEAD].height == 0


def test_a_blank_cell_is_not_dry(tmp_path: Path) -> None:
    assert amounts(written(tmp_path, "2023-07-13 12:00,,0.0")) == [("57066", NOON_JST, None), ("57071", NOON_JST, 0.0)]


def test_midnight_may_be_the_end_of_a_day_or_the_beginning_of_the_next(tmp_path: Path) -> None:
    lines = ["2023-07-13 24:00,1,", "2023-07-14 00:00,2,", "2023-12-31 24:00,3,"]
    hours = [each for each in amounts(written(tmp_path, *lines)) if each[0] == "57066"]
    assert hours == [
        ("57066", datetime(2023, 7, 13, 15, tzinfo=UTC), 1.0),
        ("57066", datetime(2023, 7, 13, 15, tzinfo=UTC), 2.0),
        ("57066", datetime(2023, 12, 31, 15, tzinfo=UTC), 3.0),
    ]


def test_lines_in_any_order_arrive_in_order_of_their_hours(tmp_path: Path) -> None:
    held = read(written(tmp_path, "2023-07-15 01:00,3,3", "2023-07-13 12:00,1,1", "2023-07-14 12:00,2,2"))
    assert held[RAIN]["rain_mm"].to_list() == [1, 1, 2, 2, 3, 3]
    assert held[RAIN]["arrived"].is_sorted()


def test_of_two_lines_of_one_hour_the_later_one_is_the_higher_version(tmp_path: Path) -> None:
    written(tmp_path, "2023-07-13 12:00,1.0,1.0", "2023-07-13 12:00,2.0,2.0", name="precipitation1h-a.csv")
    written(tmp_path, "2023-07-13 12:00,3.0", header="time_jst,57066", name="precipitation1h-b.csv")
    rain = read(tmp_path)[RAIN].sort("version")
    assert rain.filter(pl.col("station_id") == "57066")["rain_mm"].to_list() == [1.0, 2.0, 3.0]
    assert rain["version"].n_unique() == 5


def test_files_of_a_folder_may_name_other_stations_in_another_order(tmp_path: Path) -> None:
    written(tmp_path, "2023-07-13 12:00,1.0,2.0", name="precipitation1h-2023-07.csv")
    (tmp_path / "precipitation1h-2023-08.csv.gz").write_bytes(gzip.compress(text("time_jst,57082,57066", "2023-08-13 12:00,3.0,4.0")))
    (tmp_path / "temp.csv").write_bytes(text(HEADER, "2023-07-13 12:00,25.1,25.2"))
    august = datetime(2023, 8, 13, 3, tzinfo=UTC)
    assert amounts(tmp_path) == [("57066", NOON_JST, 1.0), ("57071", NOON_JST, 2.0), ("57082", august, 3.0), ("57066", august, 4.0)]


def test_a_station_that_only_one_file_knows_is_given_from_that_one(tmp_path: Path) -> None:
    fuji = station(elems="10001011", kjName="富士山", amdno="50066", pref="")
    held = read(written(tmp_path, "2023-07-13 12:00,1.0,2.0", stations=[station(), fuji]))
    assert held[STATIONS].select("region", "station_id", "rain").rows() == [
        ("fukui", "57066", "measured"),
        ("shizuoka", "50066", "unmeasured"),
    ]
    assert held[RAIN].select("region", "station_id").rows() == [("fukui", "57066"), ("fukui", "57071")]


def test_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    plain = written(tmp_path, "2023-07-13 12:00,1.0,", "", "2023-07-13 13:00,x,2.0")
    other = tmp_path / "other"
    other.mkdir()
    for name in (plain.name, "amedastable.csv"):
        (other / name).write_bytes(b"\xef\xbb\xbf" + (tmp_path / name).read_bytes().replace(b"\n", b"\r\n"))
    for one, two in zip(read(plain).values(), read(other).values(), strict=True):
        assert one.height > 0
        assert_frame_equal(one, two)


# --- what is dead ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["-1.0", "-0.5", "24.3", "200.5", "1000", "///", "--", "×", "NaN", "inf", "1e1", "0.5)", "٣"])
def test_a_bad_cell_is_dead_with_its_line_and_column_and_its_neighbours_pass(cell: str, tmp_path: Path) -> None:
    held = read(written(tmp_path, "2023-07-13 12:00,0.5,0.5", f"2023-07-13 13:00,{cell},1.0"))
    assert held[RAIN].select("station_id", "rain_mm").rows() == [("57066", 0.5), ("57071", 0.5), ("57071", 1.0)]
    told = held[DEAD].select("feed", "source", "place", "reason", "raw", "arrived").rows()
    reason = f"rain must be millimetres in steps of .5, 0 to 200, or blank (got '{cell}')"
    assert told == [(RAIN, "precipitation1h.csv:57066", 3, reason, cell.encode(), NOON_JST + timedelta(hours=1, minutes=20))]


def test_two_bad_cells_of_one_line_are_two_letters(tmp_path: Path) -> None:
    dead = read(written(tmp_path, "2023-07-13 12:00,-1,-2"))[DEAD]
    assert dead.select("source", "place").rows() == [("precipitation1h.csv:57066", 2), ("precipitation1h.csv:57071", 2)]
    assert dead["offset"].n_unique() == 2


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"2023-07-13 13:00,1.0,\xff", "line must be UTF-8"),
        ("2023-07-13 13:00,1.0", "line must have 3 cells as its header has (got 2)"),
        ("2023-07-13 13:00,1.0,1.0,1.0", "line must have 3 cells as its header has (got 4)"),
        (HEADER, "time_jst must be a full hour written YYYY-MM-DD hh:00 (got 'time_jst')"),
        ("2023-07-13T13:00,1.0,1.0", "time_jst must be a full hour written YYYY-MM-DD hh:00 (got '2023-07-13T13:00')"),
        ("2023-07-13 13:10,1.0,1.0", "time_jst must be a full hour written YYYY-MM-DD hh:00 (got '2023-07-13 13:10')"),
        ("2023-07-13 25:00,1.0,1.0", "time_jst must be a full hour written YYYY-MM-DD hh:00 (got '2023-07-13 25:00')"),
        ("2023-02-29 13:00,1.0,1.0", "time_jst must be a full hour written YYYY-MM-DD hh:00 (got '2023-02-29 13:00')"),
        ("1923-07-13 13:00,1.0,1.0", "time_jst must be a full hour written YYYY-MM-DD hh:00 (got '1923-07-13 13:00')"),
        (",1.0,1.0", "time_jst must be a full hour written YYYY-MM-DD hh:00 (got '')"),
    ],
)
def test_a_bad_line_is_dead_as_a_whole_and_arrives_with_the_one_before(bad: str | bytes, reason: str, tmp_path: Path) -> None:
    held = read(written(tmp_path, "2023-07-13 12:00,1.0,1.0", bad, "2023-07-13 14:00,2.0,2.0"))
    assert held[RAIN]["rain_mm"].to_list() == [1.0, 1.0, 2.0, 2.0]
    raw = bad if isinstance(bad, bytes) else bad.encode()
    assert held[DEAD].select("feed", "source", "place", "reason", "raw", "arrived").rows() == [
        (RAIN, "precipitation1h.csv", 3, reason, raw, NOON_JST + timedelta(minutes=20))
    ]


def test_a_bad_line_before_all_others_arrives_with_the_first_good_one(tmp_path: Path) -> None:
    dead = read(written(tmp_path, "nonsense", "2023-07-13 12:00,1.0,1.0"))[DEAD]
    assert dead["arrived"].to_list() == [NOON_JST + timedelta(minutes=20)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"C,\xff", "line must be UTF-8"),
        ('C,"01000000', "line must be CSV: look for a quote"),
        (station() + ",1", "line must have 10 cells as its header has (got 11)"),
        (station(amdno="5706"), "amdno must be five digits in an area of AMeDAS (got '5706')"),
        (station(amdno="47066"), "amdno must be five digits in an area of AMeDAS (got '47066')"),
        (station(amdno="57001", elems="1111"), "elems must be eight digits (got '1111')"),
        (station(amdno="57001", lat="3603.3"), "lat must be degrees in Japan, 20.4 to 45.6 (got '3603.3')"),
        (station(amdno="57001", lat=""), "lat must be degrees in Japan, 20.4 to 45.6 (got '')"),
        (station(amdno="57001", lon="36.055"), "lon must be degrees in Japan, 122.9 to 154.0 (got '36.055')"),
        (station(amdno="57001", alt="high"), "alt must be metres, -20 to 4000 (got 'high')"),
        (station(amdno="57001", kjName=" "), "kjName must be told (got '')"),
        (station(amdno="57001", knName=""), "knName must be told (got '')"),
        (station(amdno="56001"), "pref must be that of its number, or blank (got '56001 福井県')"),
        (station(lat="36.06"), "amdno must stand once (got '57066' again)"),
    ],
)
def test_a_bad_row_of_the_table_is_dead_and_its_neighbours_pass(bad: str | bytes, reason: str, tmp_path: Path) -> None:
    held = read(written(tmp_path, "2023-07-13 12:00,1.0,1.0", stations=[station(), bad, station(**MIYAMA)]))
    assert held[STATIONS].select("station_id", "lat_deg").rows() == [("57066", 36.055), ("57071", 36.055)]
    raw = bad if isinstance(bad, bytes) else bad.encode()
    assert held[DEAD].select("feed", "source", "place", "reason", "raw").rows() == [(STATIONS, "amedastable.csv", 3, reason, raw)]
    assert held[RAIN].height == 2


def test_a_dead_row_does_not_take_the_number_from_a_good_one(tmp_path: Path) -> None:
    held = read(written(tmp_path, "2023-07-13 12:00,1.0,1.0", stations=[station(lat=""), station()]))
    assert held[STATIONS]["station_id"].to_list() == ["57066"]
    assert held[DEAD]["place"].to_list() == [2]


# --- in pieces, and on --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [1, 7, 24, 61])
def test_reading_in_pieces_gives_the_same_rows_at_the_same_positions(hours: int, tmp_path: Path) -> None:
    lines = [f"{datetime(2023, 7, 13, 14) + timedelta(hours=each):%Y-%m-%d %H:%M},{each % 7 - 1},{each / 2}" for each in range(60)]
    path = written(tmp_path, *lines[:20], "nonsense", *lines[20:], stations=[station(), "x"])
    whole = read(path)
    assert [whole[name].height for name in (STATIONS, RAIN, DEAD)] == [1, 111, 11]
    begin = datetime(2023, 7, 13, tzinfo=UTC)
    cuts = [begin + timedelta(hours=each) for each in range(0, 100, hours)] + [begin + timedelta(days=9)]
    parts = [read(path, since, until) for since, until in pairwise(cuts)]
    for name, frame in whole.items():
        assert_frame_equal(pl.concat(each[name] for each in parts), frame)


def test_chunks_are_in_order_of_arrival() -> None:
    spans = [
        (frame["arrived"].min(), frame["arrived"].max())
        for chunk in amedas.open(EXTRACT).read()
        for frame in chunk.values()
        if frame.height
    ]
    assert len(spans) == 148
    assert all(newest <= oldest for (_, newest), (oldest, _) in pairwise(spans))  # type: ignore[operator]


def test_rain_arrives_later_where_the_settings_say_so(tmp_path: Path) -> None:
    path = written(tmp_path, "2023-07-13 12:00,1.0,1.0")
    held = read(path, published_after=timedelta(hours=1))
    assert held[RAIN]["arrived"].to_list() == [NOON_JST + timedelta(hours=1)] * 2
    assert held[STATIONS]["arrived"].to_list() == read(path)[STATIONS]["arrived"].to_list()


def test_the_source_has_a_tick_at_each_midnight_in_japan() -> None:
    since, until = datetime(2023, 8, 1, tzinfo=UTC), datetime(2023, 8, 3, tzinfo=UTC)
    chunks = list(open_source(f"amedas:{EXTRACT}").read(since, until))
    ticks = pl.concat(each["clock.v1"] for each in chunks)
    assert ticks["at"].to_list() == [datetime(2023, 8, 1, 15, tzinfo=UTC), datetime(2023, 8, 2, 15, tzinfo=UTC)]
    assert sum(each[RAIN].height for each in chunks if RAIN in each) == 91 * 46


@pytest.mark.parametrize("name", [RAIN, STATIONS, DEAD])
def test_archive_wire_and_lines_of_json_give_back_what_the_source_gave(name: str, tmp_path: Path) -> None:
    frame = read(written(tmp_path, "2023-07-13 12:00,1.0,", "2023-07-13 13:00,-1,2.5", stations=[station(), station(**MIYAMA), "x"]))[name]
    assert frame.height >= 2
    archive.open(tmp_path / "kept").write(name, frame)
    assert_frame_equal(pl.concat(chunk[name] for chunk in archive.open(tmp_path / "kept").read()), frame)
    with jsonl.open(tmp_path / "lines.jsonl", name) as lines:
        lines.write(frame)
    assert_frame_equal(jsonl.read(tmp_path / "lines.jsonl", name), frame)
    fields = frame.select(*feed(name).columns)
    back = wire.decode(name, wire.encode(name, fields))
    assert back.bad == []
    assert_frame_equal(back.rows.select(*feed(name).columns), fields)


# --- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("57066,57071", "header of a.csv must name time_jst and then stations (got '57066,57071'): is it hourly rain?"),
        ("time_jst", "header of a.csv must name time_jst and then stations (got 'time_jst'): is it hourly rain?"),
        (
            "time_jst,57066,57066",
            "header of a.csv must name stations of AMeDAS by five digits, each once (got '57066'): is it hourly rain?",
        ),
        ("time_jst,57066,福井", "header of a.csv must name stations of AMeDAS by five digits, each once (got '福井'): is it hourly rain?"),
        ("time_jst,57066,", "header of a.csv must name stations of AMeDAS by five digits, each once (got ''): is it hourly rain?"),
        ("time_jst,47066", "header of a.csv must name stations of AMeDAS by five digits, each once (got '47066'): is it hourly rain?"),
    ],
)
def test_a_header_that_does_not_tell_the_stations_is_refused(header: str, told: str, tmp_path: Path) -> None:
    path = written(tmp_path, "2023-07-13 12:00,1.0,1.0", header=header, name="a.csv")
    with pytest.raises(AmedasError) as fault:
        read(path)
    assert str(fault.value) == told


def test_a_file_without_an_hour_is_refused(tmp_path: Path) -> None:
    for lines, count in (((), 0), (("nonsense", "2023-07-13 12:00,1"), 2)):
        with pytest.raises(
            AmedasError, match=rf"^file a\.csv must hold an hour that can be read \(got none in {count} lines\): is it hourly rain\?$"
        ):
            read(written(tmp_path, *lines, name="a.csv"))


def test_what_is_no_rain_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        AmedasError,
        match=r"^path of amedas must be a \.csv, a \.csv\.gz or a folder of precipitation1h\* files \(got '.*'\): see data/amedas/README",
    ):
        amedas.open(tmp_path)
    (tmp_path / "a.csv").write_bytes(text(HEADER, "2023-07-13 12:00,1.0,1.0"))
    with pytest.raises(
        AmedasError,
        match=r"^stations of amedas must be told by a table beside the rain \(got no file 'amedastable\.csv'\): see data/amedas/README",
    ):
        amedas.open(tmp_path / "a.csv")
    (tmp_path / "amedastable.csv").write_text("amdno,lat,lon\n", encoding="utf-8")
    with pytest.raises(
        AmedasError,
        match=r"^header of amedastable\.csv must name elems, alt, kjName, knName, pref \(got b'amdno,lat,lon'\): see connectors/",
    ):
        read(tmp_path / "a.csv")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(text(HEADER, "2023-07-13 12:00,1.0,1.0"))[:-20])
    with pytest.raises(AmedasError, match=r"^file b\.csv\.gz must be a whole \.csv\.gz \(got: .*\): fetch it again$"):
        read(tmp_path / "b.csv.gz")
    with pytest.raises(AmedasError, match=r"^since must have a zone"):
        read(EXTRACT, since=datetime(2023, 8, 1))


def test_a_table_of_stations_may_lie_elsewhere(tmp_path: Path) -> None:
    path = written(tmp_path, "2023-07-13 12:00,1.0,1.0")
    elsewhere = AmedasSettings(path=path, stations=EXTRACT / "amedastable.csv")
    assert next(iter(amedas.open(path, elsewhere).read()))[STATIONS].height == 91


def test_more_than_offsets_have_room_for_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, *["2023-07-13 12:00,0"] * 65_537, header="time_jst,57066")
    with pytest.raises(
        AmedasError,
        match=r"^records of weather\.rain\.v1 in one minute must be at most 65536 \(got more at 2023-07-13T03:20:00\+00:00\): split",
    ):
        read(path)
