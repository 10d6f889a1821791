"""Injury accidents as the police publish them: every known fault of the files is tried here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import honhyo
from connectors.honhyo_rows import parse
from pipelines.linkage.space import distance_m
from schemas.feeds import feed
from tests.connectors.honhyo_fixture import DATA, accidents, cells, dms, encoded

JST = timezone(timedelta(hours=9))
FEEDS = ("road.accident.v1", "road.accident-year.v1", "dead.v1")
NAMED = {
    "id": "accident_id", "死者数": "deaths", "負傷者数": "injured", "道路形状": "road_shape", "信号機": "signal", "車道幅員": "width",
    "路線コード": "route", "天候": "weather", "昼夜": "daylight", "事故類型": "accident_type",
}  # fmt: skip

Frames = dict[str, pl.DataFrame]
Write = Callable[[Mapping[int, bytes]], Path]


# --- builders ----------------------------------------------------------------------------------------------------

GOOD = cells(accidents(2019)[0])


def row(**changed: str) -> dict[str, str]:
    """A good row; names of columns as Python can write them."""
    named = {"年": "発生日時　　年", "月": "発生日時　　月", "日": "発生日時　　日", "時": "発生日時　　時", "分": "発生日時　　分"}
    named |= {"緯度": "地点　緯度（北緯）", "経度": "地点　経度（東経）"}
    return GOOD | {named.get(name, name): value for name, value in changed.items()}


def table(*rows: Mapping[str, str] | bytes) -> bytes:
    lines = [",".join(GOOD).encode("cp932")]
    lines += [each if isinstance(each, bytes) else ",".join(each.values()).encode("cp932") for each in rows]
    return b"\r\n".join(lines) + b"\r\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files by year, and gives their folder."""

    def build(files: Mapping[int, bytes]) -> Path:
        for year, data in files.items():
            (tmp_path / f"honhyo_{year}.csv").write_bytes(data)
        return tmp_path

    return build


def read(path: Path, since: datetime | None = None, until: datetime | None = None) -> Frames:
    files = honhyo.open(path)
    chunks = list(files.read(since, until))
    files.close()
    return {name: pl.concat([feed(name).empty(), *(chunk[name] for chunk in chunks)]) for name in FEEDS}


# --- what is published, and what the nationwide points say of the same accidents -----------------------------------


@pytest.fixture(scope="module")
def points() -> pl.DataFrame:
    return pl.read_csv(DATA / "fukui-points.csv.gz", infer_schema=False)


@pytest.mark.parametrize("vintage", [2019, 2022])
def test_the_files_hold_the_same_accidents_as_the_nationwide_points(write: Write, points: pl.DataFrame, vintage: Any) -> None:
    frames = read(write({year: encoded(accidents(year), vintage) for year in (2019, 2020, 2021)}))
    assert frames["dead.v1"].is_empty()
    ours, theirs = frames["road.accident.v1"].sort("accident_id"), points.sort("id")
    assert ours.height == 2948
    for name, column in NAMED.items():
        assert ours[column].cast(pl.String).to_list() == theirs[name].to_list(), name
    assert ours["occurred_at"].to_list() == [datetime.fromisoformat(each) for each in theirs["発生日時"]]
    assert ours["municipality"].to_list() == ["18" + each[2:] for each in theirs["市区町村コード"]]
    apart_m = distance_m(ours["lat_deg"], ours["lon_deg"], theirs["lat"].cast(pl.Float64), theirs["lon"].cast(pl.Float64))
    assert apart_m.max() < 4


def test_a_row_is_an_accident_with_its_envelope(write: Write) -> None:
    frames = read(write({2019: table(row(時="7", 分="5", 緯度="360447345", 経度="1362146015"))}))
    published = datetime(2020, 9, 1, tzinfo=JST)
    assert frames["road.accident.v1"].rows(named=True) == [
        {
            "region": "jp",
            "accident_id": "2019520590001",
            "occurred_at": datetime(2018, 12, 28, 7, 5, tzinfo=JST),
            "version": 2019 * 2**32 + 2,
            "op": "stated",
            "published_year": 2019,
            "lat_deg": pytest.approx(36 + 4 / 60 + 47.345 / 3600, abs=1e-12),
            "lon_deg": pytest.approx(136 + 21 / 60 + 46.015 / 3600, abs=1e-12),
            "deaths": 0,
            "injured": 1,
            "municipality": "18322",
            "road_shape": "14",
            "signal": "7",
            "width": "04",
            "route": "50010",
            "weather": "2",
            "daylight": "21",
            "accident_type": "21",
            "arrived": published,
            "partition": 0,
            "offset": 2019 * 2**32 + 2,
        }
    ]
    assert frames["road.accident-year.v1"].select("year_key", "year", "valid_from", "records", "arrived").rows() == [
        ("2019", 2019, published, 1, published)
    ]
    assert {name: frame.schema for name, frame in frames.items()} == {name: pl.Schema(feed(name).frame_schema) for name in FEEDS}


def test_a_year_arrives_on_the_first_of_september_of_the_year_after(write: Write) -> None:
    folder = write({year: table(row()) for year in (2021, 2019, 2020)})
    chunks = list(honhyo.open(folder).read())
    assert [chunk["road.accident.v1"]["arrived"].to_list() for chunk in chunks] == [
        [datetime(year + 1, 8, 31, 15, tzinfo=UTC)] for year in (2019, 2020, 2021)
    ]
    some = read(folder, datetime(2021, 9, 1, tzinfo=JST), datetime(2022, 9, 1, tzinfo=JST))
    assert some["road.accident.v1"].equals(chunks[1]["road.accident.v1"])


def test_seconds_and_minutes_of_a_position_are_no_decimals(write: Write) -> None:
    placed = read(write({2019: table(row(緯度="431007628", 経度="1413000000"))}))["road.accident.v1"]
    assert placed.select(pl.col("lat_deg").round(6), "lon_deg").rows() == [(43.168786, 141.5)]


@given(st.floats(20.5, 45.5), st.floats(123.0, 153.9))
def test_a_position_that_is_written_and_read_lies_where_it_was(lat_deg: float, lon_deg: float) -> None:
    (good,) = parse(table(row(緯度=dms(lat_deg, 9), 経度=dms(lon_deg, 10))), "x", 2019).good.rows(named=True)
    assert distance_m(lat_deg, lon_deg, good["lat_deg"], good["lon_deg"]) < 0.03


def test_prefectures_of_the_police_become_those_of_everybody_else(write: Write) -> None:
    rows = [row(都道府県コード=police, 市区町村コード="101") for police in ("10", "14", "30", "97")]
    assert read(write({2019: table(*rows)}))["road.accident.v1"]["municipality"].to_list() == ["01101", "01101", "13101", "47101"]


def test_a_blank_code_is_not_told(write: Write) -> None:
    frames = read(write({2019: table(row(天候=" ", 信号機="　"))}))
    assert frames["road.accident.v1"].select("weather", "signal", "daylight").rows() == [(None, None, "21")]


def test_blank_lines_are_no_rows(write: Write) -> None:
    frames = read(write({2019: table(b"", row(), b"  ", b"")}))
    assert [frame.height for frame in frames.values()] == [1, 1, 0]


# --- headers -----------------------------------------------------------------------------------------------------


def renamed(change: Callable[[str], str]) -> bytes:
    head, _, rest = table(row()).partition(b"\r\n")
    return ",".join(change(each) for each in head.decode("cp932").split(",")).encode("cp932") + b"\r\n" + rest


@pytest.mark.parametrize(
    "change",
    [
        lambda name: name.replace("　", ""),
        lambda name: name.replace("　", " "),
        lambda name: name.replace("（", "(").replace("）", ")"),
        lambda name: name.replace("地点　緯度（北緯）", "緯度").replace("警察署等コード", "警察署コード"),
        lambda name: {"信号機": "信号機等", "年齢（当事者A）": "年齢等（当事者A）"}.get(name, name),
        lambda name: f" {name}",
    ],
    ids=["no blanks", "narrow blanks", "narrow brackets", "older names", "等 at the end", "blank before"],
)
def test_a_column_is_found_by_its_name_however_it_is_written(write: Write, change: Callable[[str], str]) -> None:
    frames = read(write({2019: renamed(change)}))
    assert frames["road.accident.v1"].equals(read(write({2019: table(row())}))["road.accident.v1"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            renamed(lambda name: "x" if name in {"天候", "地点　経度（東経）"} else name),
            f"header of honhyo_2019.csv must name 天候, 地点　経度（東経） (got {len(GOOD)} other columns): is it a 本票 file in CP932?",
        ),
        (
            renamed(lambda name: "天候" if name == "地形" else name),
            "header of honhyo_2019.csv must name 天候 once (got it twice): leave out what was added",
        ),
        (b"\x81,1\r\n", r"header of honhyo_2019.csv must be CP932 (got b'\x81,1'): take the file as the police publish it"),
        (
            b"",
            "header of honhyo_2019.csv must name 資料区分, 都道府県コード, 警察署等コード, 本票番号, 死者数, 負傷者数, 路線コード, "
            "市区町村コード, 発生日時　　年, 発生日時　　月, 発生日時　　日, 発生日時　　時, 発生日時　　分, 昼夜, 天候, 道路形状, 信号機, "
            "車道幅員, 事故類型, 地点　緯度（北緯）, 地点　経度（東経） (got 1 other columns): is it a 本票 file in CP932?",
        ),
    ],
    ids=["two absent", "one twice", "not CP932", "empty"],
)
def test_a_file_whose_header_lacks_a_column_is_refused(write: Write, data: bytes, message: str) -> None:
    with pytest.raises(honhyo.HonhyoError, match=f"^{re.escape(message)}$"):
        read(write({2019: data}))


def test_a_path_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(honhyo.HonhyoError, match=r"^path of honhyo must be a file honhyo_YYYY\.csv or a folder of them \(got '.*'\): see "):
        honhyo.open(tmp_path)


def test_a_time_without_zone_is_refused(write: Write) -> None:
    with pytest.raises(honhyo.HonhyoError, match=r"^since must have a zone \(got datetime"):
        read(write({2019: table(row())}), datetime(2020, 1, 1))


# --- dead lines --------------------------------------------------------------------------------------------------

SHORT = ",".join(list(GOOD.values())[:-1]).encode("cp932")
BAD: list[tuple[Mapping[str, str] | bytes, str]] = [
    (b"\x81,\xff\xfe", "line must be CP932"),
    (SHORT, f"line must have {len(GOOD)} cells as its header has (got {len(GOOD) - 1})"),
    (b"x", f"line must have {len(GOOD)} cells as its header has (got 1)"),
    (row(資料区分="2"), "資料区分 must be 1, an accident (got '2')"),
    (row(都道府県コード="18"), "都道府県コード must be one of the police (got '18')"),
    (row(都道府県コード=""), "都道府県コード must be one of the police (got '')"),
    (row(警察署等コード="59"), "警察署等コード must be three digits (got '59')"),
    (row(本票番号="12345"), "本票番号 must be four digits (got '12345')"),
    (row(月="2", 日="30"), "発生日時 must be a time of the calendar (got '2018 2 30 17 45')"),
    (row(月="2", 日="1 1"), "発生日時 must be a time of the calendar (got '2018 2 1 1 17 45')"),
    (row(年="18"), "発生日時 must be a time of the calendar (got '18 12 28 17 45')"),
    (row(時="24"), "発生日時 must be a time of the calendar (got '2018 12 28 24 45')"),
    (row(年=""), "発生日時 must be a time of the calendar (got ' 12 28 17 45')"),
    (row(年="2020"), "発生日時 must not lie after the year 2019 of the file (got '2020 12 28 17 45')"),
    (row(死者数="-1"), "死者数 must be a number of people (got '-1')"),
    (row(負傷者数=""), "負傷者数 must be a number of people (got '')"),
    (row(市区町村コード="20"), "市区町村コード must be three digits (got '20')"),
    (row(天候="晴"), "天候 must be a code of its table (got '晴')"),
    (row(道路形状="99"), "道路形状 must be a code of its table (got '99')"),
    (row(路線コード="80"), "路線コード must be five digits (got '80')"),
    (row(緯度="000000000"), "地点 must be told (got '000000000 1362146015')"),
    (row(経度=""), "地点 must be told (got '360447345 ')"),
    (row(緯度="360060000"), "地点 must be degrees, minutes and seconds x 1000 (got '360060000 1362146015')"),
    (row(緯度="366000000"), "地点 must be degrees, minutes and seconds x 1000 (got '366000000 1362146015')"),
    (row(経度="136.36278"), "地点 must be degrees, minutes and seconds x 1000 (got '360447345 136.36278')"),
    (row(緯度="200000000"), "地点 must lie in Japan (got '200000000 1362146015')"),
    (row(経度="1600000000"), "地点 must lie in Japan (got '360447345 1600000000')"),
    (row(本票番号="0001", 死者数="1"), "本票番号 of a station must stand once (got 2019520590001 of line 2 again)"),
]


@pytest.mark.parametrize(("line", "reason"), BAD, ids=range(len(BAD)))
def test_a_line_that_cannot_be_read_is_dead_and_its_neighbours_pass(write: Write, line: Mapping[str, str] | bytes, reason: str) -> None:
    frames = read(write({2019: table(row(), line, row(本票番号="0003"))}))
    assert frames["road.accident.v1"]["accident_id"].to_list() == ["2019520590001", "2019520590003"]
    assert frames["road.accident-year.v1"]["records"].to_list() == [2]
    assert frames["dead.v1"].rows(named=True) == [
        {
            "feed": "road.accident.v1",
            "arrived": datetime(2020, 9, 1, tzinfo=JST),
            "source": "honhyo_2019.csv",
            "place": 3,
            "reason": reason,
            "raw": line if isinstance(line, bytes) else ",".join(line.values()).encode("cp932"),
            "partition": 0,
            "offset": 2019 * 2**32 + 3,
        }
    ]


def test_a_dead_line_does_not_take_the_number_of_a_good_one(write: Write) -> None:
    frames = read(write({2019: table(row(死者数="x"), row())}))
    assert frames["road.accident.v1"]["accident_id"].to_list() == ["2019520590001"]
    assert frames["dead.v1"]["reason"].to_list() == ["死者数 must be a number of people (got 'x')"]


garbage = st.one_of(
    st.binary(max_size=60).map(lambda raw: raw.replace(b"\n", b"")),
    st.text("0123456789,.-　福井", max_size=40).map(lambda text: text.encode("cp932")),
    st.sampled_from([each if isinstance(each, bytes) else ",".join(each.values()).encode("cp932") for each, _ in BAD[:-1]]),
)
LINES = [row(本票番号=f"{number:04d}") for number in range(1, 6)]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, len(LINES)), garbage), max_size=8))
def test_garbage_anywhere_never_changes_what_is_read_of_its_neighbours(junk: list[tuple[int, bytes]]) -> None:
    lines: list[Mapping[str, str] | bytes] = list(LINES)
    for place, raw in sorted(junk, reverse=True):
        lines.insert(place, raw)
    held = parse(table(*lines), "x", 2019)
    assert held.good.drop("line").equals(parse(table(*LINES), "x", 2019).good.drop("line"))
    spoken = [raw for _, raw in junk if raw.removesuffix(b"\r").strip()]
    assert held.dead.height == len(spoken)
    assert all(" must " in reason for reason in held.dead["reason"])
