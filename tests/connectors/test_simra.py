"""Near misses that cyclists reported, and the streets they can be held against: every known fault of the files is tried here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import simra
from schemas.feeds import feed

DATA = Path(__file__).parents[2] / "data" / "simra"
HEADER = "lat,lon,ts,bike,childCheckBox,trailerCheckBox,pLoc,incident,i1,i2,i3,i4,i5,i6,i7,i8,i9,scary,desc,i10,region"
AT = datetime(2020, 6, 1, 8, 30, tzinfo=UTC)
MS = int(AT.timestamp() * 1000)
DAY = timedelta(days=1)

Frames = dict[str, pl.DataFrame]
Write = Callable[..., Path]


# --- builders ----------------------------------------------------------------------------------------------------


def row(lat: str = "52.5", lon: str = "13.4", ts: str = str(MS), incident: str = "1", scary: str = "0", tail: str = ",0,Berlin") -> str:
    """A line; ``tail`` is what follows ``scary,``: the rider's words, i10 and the region."""
    return f"{lat},{lon},{ts},1,0,0,2,{incident},0,0,0,0,0,0,1,0,0,{scary},{tail}"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def build(*lines: str | bytes, name: str = "Berlin-incidents.csv", header: str = HEADER) -> Path:
        raw = [each if isinstance(each, bytes) else each.encode() for each in (header, *lines)]
        (tmp_path / name).write_bytes(b"\n".join(raw) + b"\n")
        return tmp_path

    return build


def read(path: Path, since: datetime | None = None, until: datetime | None = None) -> Frames:
    files = simra.open(path)
    chunks = list(files.read(since, until))
    files.close()
    return {name: pl.concat([feed(name).empty(), *(chunk[name] for chunk in chunks)]) for name in ("road.near-miss.v1", "dead.v1")}


# --- reports -----------------------------------------------------------------------------------------------------


def test_a_line_is_a_report_with_its_envelope(write: Write) -> None:
    frames = read(write(row(lat="52.51234567", incident="6", scary="1")))
    assert frames["road.near-miss.v1"].rows(named=True) == [
        {
            "region": "berlin",
            "event_id": f"{MS}@52.512346,13.4",
            "occurred_at": AT,
            "version": 1,
            "op": "stated",
            "lat_deg": 52.51234567,
            "lon_deg": 13.4,
            "kind": "report",
            "vehicle": None,
            "peak_g": None,
            "speed_before_mps": None,
            "source": "simra",
            "what": "near_dooring",
            "scary": True,
            "arrived": AT + DAY,
            "partition": 0,
            "offset": 0,
        }
    ]
    assert {name: frame.schema for name, frame in frames.items()} == {name: pl.Schema(feed(name).frame_schema) for name in frames}


@pytest.mark.parametrize(
    "tail",
    [",Berlin", ",0,Berlin", ",1,Berlin", "a, b, and c,0,Berlin", "a, b,Berlin", '"a, b",0,Berlin', '"a,0,Berlin', "Berlin, 2,Berlin"],
)
def test_the_words_of_a_rider_may_hold_commas_and_quotes_and_i10_may_be_absent(write: Write, tail: str) -> None:
    frames = read(write(row(tail=tail)))
    assert frames["road.near-miss.v1"].select("region", "what", "scary").rows() == [("berlin", "close_pass", False)]
    assert frames["dead.v1"].is_empty()


def test_the_words_of_a_rider_go_nowhere(write: Write) -> None:
    frames = read(write(row(tail="the driver of B-AB 123,0,Berlin")))
    assert "B-AB" not in str(frames["road.near-miss.v1"].rows())


def test_every_type_has_its_name(write: Write) -> None:
    frames = read(write(*(row(ts=str(MS + each), incident=str(each)) for each in range(1, 9))))
    assert frames["road.near-miss.v1"]["what"].to_list() == [
        "close_pass", "pulling_in_or_out", "near_hook", "head_on", "tailgating", "near_dooring", "obstacle", "other",
    ]  # fmt: skip


def test_reports_arrive_a_day_after_the_fact_in_order_of_time(write: Write) -> None:
    folder = write(row(ts=str(MS + 2000)), row(ts=str(MS)), row(ts=str(MS + 1000)))
    reports = read(folder)["road.near-miss.v1"]
    assert reports["occurred_at"].to_list() == [AT, AT + timedelta(seconds=1), AT + timedelta(seconds=2)]
    assert (reports["arrived"] - reports["occurred_at"]).unique().to_list() == [DAY]
    assert reports["offset"].to_list() == [0, 1, 2]
    later = read(folder, AT + DAY + timedelta(seconds=1), AT + DAY + timedelta(seconds=2))["road.near-miss.v1"]
    assert later.equals(reports[1:2])


def test_two_reports_of_one_time_and_place_are_versions_of_one_event(write: Write) -> None:
    reports = read(write(row(incident="1"), row(incident="3"), row(lat="52.6")))["road.near-miss.v1"]
    assert reports.select("what", "version").rows() == [("close_pass", 1), ("near_hook", 2), ("close_pass", 1)]
    assert reports["event_id"].n_unique() == 2


def test_a_folder_is_all_of_its_files(write: Write) -> None:
    write(row(ts=str(MS + 1), tail=",0,Stuttgart"), name="Stuttgart-incidents.csv")
    write(name="Nuernberg-incidents.csv")
    assert read(write(row()))["road.near-miss.v1"]["region"].to_list() == ["berlin", "stuttgart"]


def test_files_that_say_nothing_give_no_chunk(write: Write) -> None:
    assert list(simra.open(write()).read()) == []


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            HEADER.replace("lat,lon", "lon,lat"),
            f"header of Berlin-incidents.csv must be {HEADER} (got b'lon,lat,ts,bike,childCheckBox,trailerCheckBox,pLoc,incident,'): "
            "is it a file of incidents?",
        ),
        ("", f"header of Berlin-incidents.csv must be {HEADER} (got b''): is it a file of incidents?"),
    ],
    ids=["other order", "empty"],
)
def test_another_header_is_refused(write: Write, header: str, message: str) -> None:
    with pytest.raises(simra.SimraError, match=f"^{re.escape(message)}$"):
        simra.open(write(row(), header=header))


def test_a_path_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(simra.SimraError, match=r"^path of simra must be a file of incidents or a folder of them \(got '.*'\): see "):
        simra.open(tmp_path)


def test_a_time_without_zone_is_refused(write: Write) -> None:
    with pytest.raises(simra.SimraError, match=r"^until must have a zone \(got datetime"):
        list(simra.open(write(row())).read(until=datetime(2020, 1, 1)))


# --- dead lines --------------------------------------------------------------------------------------------------

BAD: list[tuple[str | bytes, str]] = [
    (b"\xff,1", "line must be UTF-8"),
    ("52.5,13.4,1", "line must have 20 cells at least (got 3)"),
    (row(tail="Berlin"), "line must have 20 cells at least (got 19)"),
    (row(lat="x"), "lat must be degrees (got 'x')"),
    (row(lat="90.5"), "lat must be degrees (got '90.5')"),
    (row(lat="nan"), "lat must be degrees (got 'nan')"),
    (row(lon=""), "lon must be degrees (got '')"),
    (row(lon="-180.1"), "lon must be degrees (got '-180.1')"),
    (row(lat="0.0", lon="0"), "place must be told (got '0.0 0')"),
    (row(ts=""), "ts must be milliseconds in 2019 to 2099 (got '')"),
    (row(ts=str(MS // 1000)), f"ts must be milliseconds in 2019 to 2099 (got '{MS // 1000}')"),
    (row(ts="9" * 30), f"ts must be milliseconds in 2019 to 2099 (got '{'9' * 30}')"),
    (row(incident="0"), "incident must be a type of 1 to 8 (got '0')"),
    (row(incident="-5"), "incident must be a type of 1 to 8 (got '-5')"),
    (row(incident="9"), "incident must be a type of 1 to 8 (got '9')"),
    (row(tail=",0,"), "region must be a name (got '')"),
    (row(tail=",0,7"), "region must be a name (got '7')"),
]


@pytest.mark.parametrize(("line", "reason"), BAD, ids=range(len(BAD)))
def test_a_line_that_cannot_be_read_is_dead_and_its_neighbours_pass(write: Write, line: str | bytes, reason: str) -> None:
    frames = read(write(row(), line, row(ts=str(MS + 60_000))))
    assert frames["road.near-miss.v1"]["occurred_at"].to_list() == [AT, AT + timedelta(minutes=1)]
    assert frames["dead.v1"].rows(named=True) == [
        {
            "feed": "road.near-miss.v1",
            "arrived": AT + DAY,
            "source": "Berlin-incidents.csv",
            "place": 3,
            "reason": reason,
            "raw": line if isinstance(line, bytes) else line.encode(),
            "partition": 0,
            "offset": 0,
        }
    ]


def test_dead_lines_arrive_with_the_report_before_them_or_the_first_after(write: Write) -> None:
    dead = read(write("a", row(), "b", row(ts=str(MS + 60_000)), "c"))["dead.v1"]
    assert dead.select("place", "arrived").rows() == [(2, AT + DAY), (4, AT + DAY), (6, AT + DAY + timedelta(minutes=1))]
    assert read(write("a"))["dead.v1"]["arrived"].to_list() == [datetime(2019, 1, 1, tzinfo=UTC)]


@given(words=st.text(st.characters(exclude_characters="\n", exclude_categories=("Cs",)), max_size=40))
def test_whatever_a_rider_writes_the_report_is_the_same(tmp_path_factory: pytest.TempPathFactory, words: str) -> None:
    path = tmp_path_factory.mktemp("words") / "Berlin-incidents.csv"
    path.write_text(f"{HEADER}\n{row(tail=f'{words},0,Berlin')}\n", encoding="utf-8", newline="")
    frames = read(path)
    assert frames["road.near-miss.v1"].select("event_id", "what", "scary", "region").rows() == [
        (f"{MS}@52.5,13.4", "close_pass", False, "berlin")
    ]
    assert frames["dead.v1"].is_empty()


# --- what is committed -------------------------------------------------------------------------------------------


def test_all_reports_of_the_committed_district_are_read() -> None:
    frames = read(DATA / "friedrichshain-kreuzberg-incidents.csv")
    reports = frames["road.near-miss.v1"]
    assert (reports.height, frames["dead.v1"].height) == (1955, 0)
    assert dict(reports.group_by("what").len().iter_rows()) == {
        "close_pass": 688, "obstacle": 544, "near_hook": 223, "other": 193, "head_on": 109, "tailgating": 103, "pulling_in_or_out": 73,
        "near_dooring": 22,
    }  # fmt: skip
    assert reports["scary"].sum() == 516
    assert reports.unique(["event_id", "occurred_at"]).height == 1937


# --- streets -----------------------------------------------------------------------------------------------------


def feature(kind: str = "LineString", **told: Any) -> dict[str, Any]:
    properties = {"dn_id": "7", "str_name": "Oranienstraße", "laenge": 120.5, "n_total": 3} | told
    return {"geometry": {"type": kind, "coordinates": [[13.4, 52.5], [13.41, 52.51]]}, "properties": properties}


def test_a_street_has_its_accidents_and_its_line_latitude_first(tmp_path: Path) -> None:
    path = tmp_path / "streets.geo.json"
    path.write_text(json.dumps({"features": [feature()]}), encoding="utf-8")
    assert simra.segments(path).rows() == [("7", "Oranienstraße", 120.5, 3, [52.5, 52.51], [13.4, 13.41])]


def test_the_streets_of_the_committed_district_are_read() -> None:
    streets = simra.segments(DATA / "segments-friedrichshain-kreuzberg.geo.json")
    assert (streets.height, streets["accidents"].sum(), streets["accidents"].min()) == (568, 1376, 1)
    assert streets["segment_id"].n_unique() == 568


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[1]",
        "no json",
        json.dumps({"features": [feature(kind="Point")]}),
        json.dumps({"features": [feature(n_total="many")]}),
        json.dumps({"features": [{"properties": {}, "geometry": {"type": "LineString", "coordinates": []}}]}),
    ],
    ids=["no features", "a list", "no json", "a point", "no number", "no properties"],
)
def test_what_holds_no_streets_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "streets.geo.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(
        simra.SimraError, match=r"^segments in streets\.geo\.json must be GeoJSON lines with dn_id, .* \(got .*\): see data"
    ):
        simra.segments(path)
