"""What is known of the gauges: the publisher's tables as they come, and the table that people may edit."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from connectors import fukui, fukui_gauges, gauges
from connectors.gauges import GaugesError
from schemas.feeds import feed

DATA = Path(__file__).parents[2] / "data" / "fukui"
FIELDS = list(feed("river.gauge.v1").columns)
VALID_FROM = datetime(2021, 7, 31, 15, tzinfo=UTC)

Write = Callable[..., Path]


def cells(**changed: str) -> dict[str, str]:
    """A good row of a table of gauges."""
    good = {
        "region": "fukui",
        "gauge_id": "12",
        "valid_from": "2021-08-01T00:00:00+09:00",
        "version": "1",
        "op": "stated",
        "name": "朝谷",
        "river": "足羽川",
        "municipality": "福井市",
        "manager": "福井土木",
        "lat_deg": "35.996111",
        "lon_deg": "136.372222",
        "l1_standby_m": "1.2",
        "l1_is": "rare",
        "kind": "river",
        "as_input": "used",
        "reports": "always",
    }
    return dict.fromkeys(FIELDS, "") | good | changed


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def build(*rows: dict[str, str], header: list[str] | None = None) -> Path:
        path = tmp_path / "gauges.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, header or FIELDS, extrasaction="ignore")
            table.writeheader()
            table.writerows(rows)
        return path

    return build


def fails(path: Path) -> str:
    with pytest.raises(GaugesError) as told:
        gauges.read(path)
    return str(told.value)


# --- the table ---------------------------------------------------------------------------------------------------


def test_a_row_is_a_record_that_arrives_when_it_becomes_valid(write: Write) -> None:
    (record,) = gauges.read(write(cells())).rows(named=True)
    assert {
        name: record[name] for name in ("gauge_id", "valid_from", "version", "lat_deg", "l1_standby_m", "l2_caution_m", "valid_until")
    } == {
        "gauge_id": "12",
        "valid_from": VALID_FROM,
        "version": 1,
        "lat_deg": 35.996111,
        "l1_standby_m": 1.2,
        "l2_caution_m": None,
        "valid_until": None,
    }
    assert (record["arrived"], record["partition"], record["offset"]) == (VALID_FROM, 0, (int(VALID_FROM.timestamp()) // 60) << 16)


def test_records_arrive_in_order_of_the_time_from_which_they_hold(write: Write) -> None:
    rows = [cells(valid_from="2024-04-01T00:00+09:00"), cells(), cells(gauge_id="13")]
    frame = gauges.read(write(*rows))
    assert frame["gauge_id"].to_list() == ["12", "13", "12"]
    assert frame["offset"].is_sorted()
    assert [offset & 0xFFFF for offset in frame["offset"]] == [0, 1, 0]


def test_columns_with_a_default_may_be_left_out_and_order_is_free(write: Write) -> None:
    needed = [each["name"] for each in feed("river.gauge.v1").schema["fields"] if "default" not in each]
    short = gauges.read(write(cells(l1_standby_m=""), header=needed[::-1]))
    assert short.equals(gauges.read(write(cells(l1_standby_m=""))))


def test_what_is_written_comes_back(tmp_path: Path, write: Write) -> None:
    frame = gauges.read(write(cells(), cells(gauge_id="13", name='a "quoted", name', valid_until="2025-01-01T00:00:00.500+09:00")))
    gauges.write(frame, tmp_path / "again.csv")
    assert gauges.read(tmp_path / "again.csv").equals(frame)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["again.csv", "gauges.csv"]


@pytest.mark.parametrize("code", ["890904000100", "8201813100", "0123456789"])
def test_a_gauge_has_the_area_of_its_official_bulletins_where_one_is_set(write: Write, tmp_path: Path, code: str) -> None:
    told = gauges.read(write(cells(forecast_area=code), cells(gauge_id="13")))
    assert told["forecast_area"].to_list() == [code, None]
    gauges.write(told, tmp_path / "again.csv")
    assert gauges.read(tmp_path / "again.csv").equals(told)
    without = gauges.read(write(cells(), header=[each for each in FIELDS if each != "forecast_area"]))
    assert without["forecast_area"].to_list() == [None]


def test_a_byte_order_mark_and_empty_lines_make_no_difference(write: Write) -> None:
    path = write(cells())
    frame = gauges.read(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n\r\n")
    assert gauges.read(path).equals(frame)


PLACE = "line 3, column"
BAD = [
    ("region", "", f"{PLACE} region of gauges.csv must not be blank (got '')"),
    ("name", " ", f"{PLACE} name of gauges.csv must not be blank (got ' ')"),
    ("valid_from", "August", f"{PLACE} valid_from of gauges.csv must be a time in ISO 8601 (got 'August')"),
    (
        "valid_from",
        "2021-08-01T00:00:00",
        f"{PLACE} valid_from of gauges.csv must be a time with its offset from UTC, to the millisecond (got '2021-08-01T00:00:00')",
    ),
    ("version", "1.0", f"{PLACE} version of gauges.csv must be a whole number (got '1.0')"),
    ("version", "-1", f"{PLACE} version of gauges.csv must be a whole number (got '-1')"),
    ("op", "", f"{PLACE} op of gauges.csv must be one of stated, withdrawn (got '')"),
    ("lat_deg", "136.4", f"{PLACE} lat_deg of gauges.csv must be a number from -90 to 90 (got '136.4')"),
    ("lon_deg", "east", f"{PLACE} lon_deg of gauges.csv must be a number from -180 to 180 (got 'east')"),
    ("l2_caution_m", "--- ", f"{PLACE} l2_caution_m of gauges.csv must be a number from -10000 to 10000 (got '--- ')"),
    ("l2_caution_m", "nan", f"{PLACE} l2_caution_m of gauges.csv must be a number from -10000 to 10000 (got 'nan')"),
    ("l2_caution_m", "1e9", f"{PLACE} l2_caution_m of gauges.csv must be a number from -10000 to 10000 (got '1e9')"),
    ("l1_is", "often", f"{PLACE} l1_is of gauges.csv must be one of rare, routine (got 'often')"),
    ("kind", "lake", f"{PLACE} kind of gauges.csv must be one of river, reservoir (got 'lake')"),
    ("as_input", "no", f"{PLACE} as_input of gauges.csv must be one of used, unused (got 'no')"),
    (
        "forecast_area",
        "8.90904E+11",
        f"{PLACE} forecast_area of gauges.csv must be a code of 12 digits (予報区域) or 10 (発表区間) (got '8.90904E+11')",
    ),
    (
        "forecast_area",
        "六角川",
        f"{PLACE} forecast_area of gauges.csv must be a code of 12 digits (予報区域) or 10 (発表区間) (got '六角川')",
    ),
    ("reports", "daily", f"{PLACE} reports of gauges.csv must be one of always, above_start (got 'daily')"),
]


@pytest.mark.parametrize(("column", "cell", "text"), BAD, ids=range(len(BAD)))
def test_a_bad_cell_is_named_with_line_column_rule_and_value(write: Write, column: str, cell: str, text: str) -> None:
    assert fails(write(cells(), cells(gauge_id="13") | {column: cell})) == text


def test_a_record_that_stands_twice_is_named(write: Write) -> None:
    assert fails(write(cells(), cells(gauge_id="13"), cells())) == (
        "line 4 of gauges.csv must tell of a record of its own (got that of line 2): raise its version"
    )


def test_a_header_that_lacks_a_field_is_named(write: Write) -> None:
    assert fails(write(header=["region", "gauge_id"])) == (
        "header of gauges.csv must name valid_from, version, name, river, municipality, manager, lat_deg, lon_deg "
        "(got 'region, gauge_id'): see data/fukui/gauges.csv"
    )


@pytest.mark.parametrize("odd", ["note", "name"])
def test_a_header_with_a_foreign_or_doubled_field_is_named(write: Write, odd: str) -> None:
    text = f"header of gauges.csv must name fields of river.gauge.v1, each once (got {odd!r}): see its schema file"
    assert fails(write(header=[*FIELDS, odd])) == text


def test_a_row_of_another_length_is_named(write: Write) -> None:
    path = write(cells())
    path.write_text(path.read_text(encoding="utf-8") + "fukui,13\n", encoding="utf-8")
    assert fails(path) == f"line 3 of gauges.csv must have {len(FIELDS)} cells (got 2): count the commas"


def test_a_file_that_is_not_utf_8_is_named(write: Write) -> None:
    path = write(cells())
    path.write_bytes(path.read_text(encoding="utf-8").encode("shift_jis"))
    assert fails(path).startswith("file gauges.csv must be UTF-8 (got b'")


def test_a_quote_that_never_ends_is_named(write: Write) -> None:
    path = write(cells(name="朝谷"))
    path.write_text(path.read_text(encoding="utf-8").replace("朝谷", '"朝谷'), encoding="utf-8")
    assert fails(path) == "line 2 of gauges.csv must be CSV (got: unexpected end of data): look for a quote"


# --- the publisher's tables --------------------------------------------------------------------------------------


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A folder with copies of the tables, to be spoilt."""
    for name in ("sensors.csv", "suii_ichi.csv", "network.csv", "known.csv"):
        shutil.copy(DATA / name, tmp_path / name)
    return tmp_path


def spoil(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def fails_on(folder: Path) -> str:
    with pytest.raises(GaugesError) as told:
        fukui_gauges.gauges(folder)
    return str(told.value)


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, object]]:
    return {record["gauge_id"]: record for record in fukui_gauges.gauges(DATA).rows(named=True)}


def test_the_table_in_data_is_what_the_publishers_tables_say() -> None:
    assert gauges.read(DATA / "gauges.csv").equals(fukui_gauges.gauges(DATA))


def test_every_station_of_the_master_table_has_a_record(known: dict[str, dict[str, object]]) -> None:
    assert len(known) == 103
    assert {record["valid_from"] for record in known.values()} == {VALID_FROM}
    assert {(record["region"], record["version"], record["op"]) for record in known.values()} == {("fukui", 1, "stated")}


def test_thresholds_are_those_of_the_master_table(known: dict[str, dict[str, object]]) -> None:
    levels = ("l1_standby_m", "l2_caution_m", "l3_evacuation_m", "l4_danger_m")
    assert [known["12"][each] for each in levels] == [1.2, 2.5, 3.9, 4.7]
    assert [known["2"][each] for each in levels] == [2.5, 2.7, None, 3.6]
    assert [known["4"][each] for each in levels] == [None] * 4


def test_tables_that_disagree_are_told_of_in_words(known: dict[str, dict[str, object]]) -> None:
    assert {gauge: record["thresholds_differ"] for gauge, record in known.items() if record["thresholds_differ"]} == {
        "5": "suii_ichi.csv: L1 水防団待機 3.8 m",
        "12": "suii_ichi.csv: L1 水防団待機 1.4 m, L2 氾濫注意 1.9 m, L3 避難判断 2.2 m, L4 氾濫危険 2.9 m",
        "13": "suii_ichi.csv: L1 水防団待機 1.22 m, L3 避難判断 3.92 m",
        "15": "suii_ichi.csv: L1 水防団待機 2.8 m",
        "155": "suii_ichi.csv: L1 水防団待機 1.9 m, L2 氾濫注意 2.4 m, L3 避難判断 2.6 m, L4 氾濫危険 3.1 m",
        "206": "suii_ichi.csv: L3 避難判断 7.7 m, L4 氾濫危険 8.0 m",
    }


def test_what_is_known_of_single_stations_is_in_their_records(known: dict[str, dict[str, object]]) -> None:
    def where(field: str, value: object) -> list[str]:
        return [gauge for gauge, record in known.items() if record[field] == value]

    lost = {gauge: record["sign_lost_below_m"] for gauge, record in known.items() if record["sign_lost_below_m"] is not None}
    assert lost == {"1": 1.65, "205": 2.8, "208": 1.7, "210": 2.1}
    assert where("as_input", "unused") == ["49", "95", "170", "171", "176", "205", "210"]
    assert where("kind", "reservoir") == ["49", "95", "170", "171", "176"]
    assert where("l1_is", "routine") == ["14", "16", "17", "48", "134"]


def test_every_downstream_gauge_has_a_record_and_no_water_flows_in_a_circle(known: dict[str, dict[str, object]]) -> None:
    for gauge in known:
        way: list[object] = [gauge]
        while (below := known[str(way[-1])]["downstream_id"]) is not None:
            assert below not in way
            way.append(below)


def test_stations_that_only_report_have_readings_and_no_record(tmp_path: Path, known: dict[str, dict[str, object]]) -> None:
    (tmp_path / "2024-12-31.csv").write_text("2024-12-31T10:00,0.52,257\n", encoding="utf-8")
    (chunk,) = fukui.open(tmp_path).read()
    assert chunk["river.level.v1"]["gauge_id"].to_list() == ["257"]
    assert "257" not in known


def test_a_threshold_that_is_no_number_is_named(tables: Path) -> None:
    spoil(tables / "sensors.csv", ",4.70,3.90,", ",4.70,soon,")
    assert fails_on(tables) == "避難判断水位 must be a number or dashes (got 'soon')"


def test_a_table_that_lacks_a_column_is_named(tables: Path) -> None:
    (tables / "known.csv").write_text("gauge_id,field\n1,kind\n", encoding="utf-8")
    assert fails_on(tables) == "file known.csv must have the columns value (got gauge_id, field)"


def test_a_table_that_is_not_there_is_named(tables: Path) -> None:
    (tables / "suii_ichi.csv").unlink()
    assert fails_on(tables) == "file suii_ichi.csv must be a CSV in UTF-8 (got FileNotFoundError): see data/fukui/README.md"


def test_a_station_that_the_network_does_not_know_is_named(tables: Path) -> None:
    spoil(tables / "network.csv", "\n12,", "\n312,")
    assert fails_on(tables) == "stations of network.csv must be those of sensors.csv (got in one of them only: 12, 312)"


def test_a_station_that_stands_twice_is_named(tables: Path) -> None:
    spoil(tables / "network.csv", "\n12,", "\n13,")
    assert fails_on(tables) == "stations of sensors.csv and network.csv must stand once (got twice: 13)"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("999,kind,reservoir,", "line 23, column gauge_id of known.csv must be a station of sensors.csv (got '999')"),
        ("12,kind,lake,", "line 23, column value of known.csv must be one of river, reservoir (got 'lake')"),
        ("12,sign_lost_below_m,low,", "line 23, column value of known.csv must be a number from -10000 to 10000 (got 'low')"),
        ("49,kind,river,", "known.csv must set each field of a station once (got kind of 49 again)"),
    ],
)
def test_a_bad_line_of_what_is_known_is_named(tables: Path, line: str, text: str) -> None:
    with (tables / "known.csv").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    assert fails_on(tables) == text


@pytest.mark.parametrize("field", ["l1_standby_m", "name", "depth_m"])
def test_a_field_that_is_not_ours_to_set_is_named(tables: Path, field: str) -> None:
    with (tables / "known.csv").open("a", encoding="utf-8") as file:
        file.write(f"12,{field},1.0,\n")
    told = fails_on(tables)
    assert told.startswith("line 23, column field of known.csv must be one of ")
    assert told.endswith(f" (got {field!r})")


def test_the_frame_has_the_schema_of_the_feed() -> None:
    assert fukui_gauges.gauges(DATA).schema == pl.Schema(feed("river.gauge.v1").frame_schema)
