"""What drives tell of near misses and passes, and what they must not tell: where they begin and end, and whose they are."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import h3ronpy
import numpy as np
import polars as pl
import pytest
from h3ronpy.vector import cells_to_coordinates, coordinates_to_cells

from connectors import probe
from connectors.probe_rows import parse
from pipelines.latent_accident_spots.braking import EVENTS, SAMPLES, near_misses
from pipelines.linkage.space import distance_m
from schemas.feeds import feed

DATA = Path(__file__).parents[2] / "data" / "probe"
FEEDS = ("road.near-miss.v1", "road.passes.v1", "dead.v1")
HEADER = "drive,time_utc,gps_lat,gps_long,speed_mph,accel_x,accel_y,accel_z"
BEGIN = datetime(2026, 5, 28, 1, tzinfo=UTC)
"""10:00 in Japan."""
KEY = "no vehicle has this name"
STEP_DEG = 0.0002
"""A second northwards at 22 m/s."""

Frames = dict[str, pl.DataFrame]
Write = Callable[..., Path]


# --- builders ----------------------------------------------------------------------------------------------------


def row(
    second: float = 0, lat: Any = 36.06, *, drive: str = "1", mph: Any = 50, x: Any = 0, y: Any = 0, z: Any = 1, lon: Any = 136.2
) -> str:
    at = (BEGIN + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{drive},{at},{lat},{lon},{mph},{x},{y},{z}"


def northwards(seconds: int = 120, *, brake_at: Sequence[int] = (), begin_s: int = 0, drive: str = "1") -> list[str]:
    """A drive straight to the north; after a brake it goes on at half the speed that GPS tells."""
    lines = []
    for each in range(seconds):
        slow = any(0 < each - brake <= 5 for brake in brake_at)
        lines.append(
            row(begin_s + each, round(36.06 + each * STEP_DEG, 6), drive=drive, mph=25 if slow else 50, x=-0.4 if each in brake_at else 0)
        )
    return lines


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def build(*lines: str | bytes, name: str = "van.csv", header: str = HEADER, key: str | None = KEY) -> Path:
        raw = [each if isinstance(each, bytes) else each.encode() for each in (header, *lines)]
        (tmp_path / name).write_bytes(b"\n".join(raw) + b"\n")
        if key is not None:
            (tmp_path / "probe.key").write_text(f"{key}\n", encoding="utf-8")
        return tmp_path

    return build


def read(path: Path, since: datetime | None = None, until: datetime | None = None, **settings: Any) -> Frames:
    files = probe.open(path, near_misses, probe.ProbeSettings(path=path, **settings))
    chunks = list(files.read(since, until))
    files.close()
    return {name: pl.concat([feed(name).empty(), *(chunk[name] for chunk in chunks)]) for name in FEEDS}


def cells_of(places: Iterable[tuple[float, float]]) -> set[str]:
    lats, lons = np.array(list(places), np.float64).T
    return set(pl.Series(h3ronpy.cells_to_string(coordinates_to_cells(lats, lons, 11))))


def middle_of(cell: str) -> tuple[float, float]:
    held = cells_to_coordinates(h3ronpy.cells_parse([cell]))
    return float(pl.Series(held["lat"])[0]), float(pl.Series(held["lng"])[0])


# --- near misses -------------------------------------------------------------------------------------------------


def test_the_reader_gives_the_detector_what_it_asks_for() -> None:
    held = parse("\n".join([HEADER, row()]).encode(), "van.csv", "van").good
    assert held.select(SAMPLES.keys()).schema == pl.Schema(SAMPLES)
    assert EVENTS.keys() - {"drive"} < {*feed("road.near-miss.v1").columns, "at"}


def test_a_hard_brake_is_a_near_miss_with_its_envelope(write: Write) -> None:
    frames = read(write(*northwards(brake_at=[60])))
    vehicle = frames["road.passes.v1"]["vehicle"][0]
    at = BEGIN + timedelta(seconds=60)
    assert frames["road.near-miss.v1"].rows(named=True) == [
        {
            "region": "jp",
            "event_id": f"{vehicle}/{int(at.timestamp() * 1000)}/hard_brake",
            "occurred_at": at,
            "version": 1,
            "op": "stated",
            "lat_deg": pytest.approx(36.072),
            "lon_deg": 136.2,
            "kind": "hard_brake",
            "vehicle": vehicle,
            "peak_g": pytest.approx(-0.4),
            "speed_before_mps": pytest.approx(22.352),
            "source": "probe-1hz",
            "what": None,
            "scary": None,
            "arrived": BEGIN + timedelta(seconds=119),
            "partition": 0,
            "offset": 0,
        }
    ]
    assert {name: frame.schema for name, frame in frames.items()} == {name: pl.Schema(feed(name).frame_schema) for name in FEEDS}


def test_drives_without_an_accelerometer_are_told_by_gps_alone(write: Write) -> None:
    lines = [",".join(each.split(",")[:5]) for each in northwards(brake_at=[60])]
    frames = read(write(*lines, header=",".join(HEADER.split(",")[:5])))
    assert frames["road.near-miss.v1"]["kind"].to_list() == ["hard_brake_gps"]


def test_columns_may_stand_in_any_order_among_others(write: Write) -> None:
    names = ["rpm", *reversed(HEADER.split(","))]
    turned = [",".join(["900", *reversed(each.split(","))]) for each in northwards(brake_at=[60])]
    before = read(write(*northwards(brake_at=[60])))
    after = read(write(*turned, header=",".join(names)))
    assert all(after[name].equals(before[name]) for name in FEEDS)


# --- passes ------------------------------------------------------------------------------------------------------


def test_passes_are_the_cells_between_the_cuts_each_once(write: Write) -> None:
    passes = read(write(*northwards()))["road.passes.v1"]
    places = [(36.06 + each * STEP_DEG, 136.2) for each in range(120)]
    told = [place for place in places if distance_m(*place, *places[0]) > 300 and distance_m(*place, *places[-1]) > 300]
    assert set(passes["cell"]) == cells_of(told)
    assert passes["passes"].unique().to_list() == [1]
    assert passes["day"].unique().to_list() == [datetime(2026, 5, 27, 15, tzinfo=UTC)]
    assert passes["arrived"].unique().to_list() == [datetime(2026, 5, 28, 15, tzinfo=UTC)]


def test_a_cell_that_is_left_and_passed_again_counts_twice_unless_it_was_only_grazed(write: Write) -> None:
    def along(*stops: tuple[int, float]) -> list[str]:
        return [row(second, round(36.06 + steps * STEP_DEG, 6)) for second, steps in stops]

    there_and_back = (
        [(each, each) for each in range(60)]
        + [(60 + each, 60 - each) for each in range(20)]
        + [(80 + each, 40 + each) for each in range(60)]
    )
    passes = read(write(*along(*there_and_back)))["road.passes.v1"]
    in_the_middle = cells_of([(36.06 + 45 * STEP_DEG, 136.2)]).pop()
    before = cells_of([(36.06 + 35 * STEP_DEG, 136.2)]).pop()
    counted = dict(passes.select("cell", "passes").iter_rows())
    assert counted[before] == 1
    # Passed at seconds 45, 75 and 85: after 30 s the van was still passing, after 10 s too.
    assert counted[in_the_middle] == 1
    assert (
        dict(read(write(*along(*there_and_back)), back_within_s=5.0)["road.passes.v1"].select("cell", "passes").iter_rows())[in_the_middle]
        == 3
    )


def test_drives_of_one_day_are_added_and_those_of_two_days_are_not(write: Write) -> None:
    twice = read(write(*northwards(drive="1"), *northwards(drive="2", begin_s=3600)))["road.passes.v1"]
    assert twice["passes"].unique().to_list() == [2]
    apart = read(write(*northwards(drive="1"), *northwards(drive="2", begin_s=24 * 3600)))["road.passes.v1"]
    assert apart["passes"].unique().to_list() == [1]
    assert apart["day"].n_unique() == 2


def test_a_drive_over_midnight_is_of_two_days_and_arrives_when_it_is_over(write: Write) -> None:
    frames = read(write(*northwards(begin_s=14 * 3600 - 60)))
    days = frames["road.passes.v1"].group_by("day").agg(pl.col("arrived").unique()).sort("day").rows()
    midnight = datetime(2026, 5, 28, 15, tzinfo=UTC)
    assert days == [
        (midnight - timedelta(days=1), [midnight + timedelta(seconds=59)]),
        (midnight, [midnight + timedelta(days=1)]),
    ]


# --- what must not leave -----------------------------------------------------------------------------------------


def test_nothing_is_told_within_300_m_of_either_end(write: Write) -> None:
    # A round trip: the end lies where the drive began.
    out = northwards(60, brake_at=[5, 40])
    back = [
        row(60 + each, round(36.06 + (59 - each) * STEP_DEG, 6), x=-0.4 if each == 55 else 0, mph=25 if each > 55 else 50)
        for each in range(60)
    ]
    frames = read(write(*out, *back))
    assert frames["road.near-miss.v1"]["occurred_at"].to_list() == [BEGIN + timedelta(seconds=40)]
    for cell in frames["road.passes.v1"]["cell"]:
        assert distance_m(*middle_of(cell), 36.06, 136.2) > 300 - 30  # the middle of a cell lies up to its radius away
    near = [each for each in read(write(*out, *back), cut_m=0.0)["road.near-miss.v1"]["occurred_at"]]
    assert len(near) == 3


def test_a_wrong_position_at_an_end_does_not_show_the_end(write: Write) -> None:
    right = northwards()
    wrong = [row(0, 37.5), *right[1:-1], row(119, 35.5)]
    places = [middle_of(cell) for cell in read(write(*wrong))["road.passes.v1"]["cell"]]
    ends = (36.06 + STEP_DEG, 136.2), (36.06 + 118 * STEP_DEG, 136.2)
    assert len(places) > 20
    assert min(distance_m(*place, *end) for place in places for end in ends) > 300 - 30 - 25  # a cell's radius, and a second


def test_a_drive_that_stays_within_the_cut_is_not_told(write: Write) -> None:
    frames = read(write(*northwards(13, brake_at=[6])))
    assert [frames[name].height for name in FEEDS] == [0, 0, 0]


def test_a_vehicle_has_another_name_every_day_and_the_same_one_all_day(write: Write) -> None:
    frames = read(
        write(
            *northwards(brake_at=[60], drive="1"),
            *northwards(brake_at=[60], drive="2", begin_s=7200),
            *northwards(brake_at=[60], drive="3", begin_s=24 * 3600),
        )
    )
    first, second, third = frames["road.near-miss.v1"].sort("occurred_at")["vehicle"]
    assert first == second != third
    assert set(frames["road.passes.v1"]["vehicle"]) == {first, third}


def test_the_name_of_a_vehicle_depends_on_the_key_and_does_not_hold_its_own(write: Write) -> None:
    lines = [f"{each},福井 500 あ 12-34" for each in northwards(brake_at=[60])]
    folder = write(*lines, header=f"{HEADER},vehicle")
    ours, theirs = (read(folder, key=key)["road.near-miss.v1"]["vehicle"][0] for key in ("a key of sixteen", "another of those"))
    assert ours != theirs
    assert re.fullmatch("[0-9a-f]{16}", ours)
    told = str([frame.rows() for frame in read(folder).values()])
    assert "12-34" not in told
    assert KEY not in told + repr(probe.open(folder, near_misses, probe.ProbeSettings(path=folder, key=KEY)))


def test_a_line_that_cannot_be_read_does_not_tell_where_or_who(write: Write) -> None:
    lines = [f"{each},福井 500 あ 12-34" for each in (*northwards(), row(130, 36.0655, x="?"), row(131, 36.0655) + ",1")]
    frames = read(write(*lines, header=f"{HEADER},vehicle", name="12-34.csv"))
    assert frames["dead.v1"].height == 2
    told = str(frames["dead.v1"].rows())
    assert not any(each in told for each in ("36.0655", "136.2", "12-34", "福井", "福井".encode().hex()))


def test_vehicles_are_told_apart_by_their_column_else_by_their_file(write: Write) -> None:
    two = [f"{each},A" for each in northwards(drive="1")] + [f"{each},B" for each in northwards(drive="1")]
    assert read(write(*two, header=f"{HEADER},vehicle"))["road.passes.v1"]["vehicle"].n_unique() == 2
    write(*northwards(), name="lorry.csv")
    passes = read(write(*northwards(drive="1"), *northwards(drive="2", begin_s=3600)))["road.passes.v1"]
    assert sorted(passes.group_by("vehicle").agg(pl.col("passes").unique().first())["passes"]) == [1, 2]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (None, "drives must have a key that hides their vehicles (got no file probe.key): write some random text into it"),
        ("short", "key of drives must have 16 characters or more (got 5): write random text into it"),
    ],
    ids=["no key", "a short key"],
)
def test_drives_without_a_key_are_not_read(write: Write, key: str | None, message: str) -> None:
    with pytest.raises(probe.ProbeError, match=f"^{re.escape(message)}$"):
        read(write(*northwards(), key=key))


# --- lines and files ---------------------------------------------------------------------------------------------

BAD: list[tuple[str | bytes, str]] = [
    (b"\xff" + b"," * 7, "line must be UTF-8"),
    ("1,2", "line must have 8 cells as its header has (got 2)"),
    (row(50.5, drive=""), "drive must be told (got '')"),
    (row().replace("T01:00:00Z", " 01:00:00"), "time_utc must be written 2019-05-23T20:54:11Z (got '0000-00-00 00:00:00')"),
    (row().replace("05-28", "02-30"), "time_utc must be written 2019-05-23T20:54:11Z (got '0000-00-00x00:00:00x')"),
    (row(lat="北north"), "gps_lat and gps_long must be a place on Earth (got 'xxxxxx 000.0')"),
    (row(lat=91), "gps_lat and gps_long must be a place on Earth (got '00 000.0')"),
    (row(lat=0, lon=0.0), "gps_lat and gps_long must be a place on Earth (got '0 0.0')"),
    (row(lon=""), "gps_lat and gps_long must be a place on Earth (got '00.00 ')"),
    (row(mph=""), "speed_mph must be 0 to 200 (got '')"),
    (row(mph=-1), "speed_mph must be 0 to 200 (got '-0')"),
    (row(mph=201), "speed_mph must be 0 to 200 (got '000')"),
    (row(mph="nan"), "speed_mph must be 0 to 200 (got 'xxx')"),
    (row(x="hard"), "accel_x must be within 20 g, or blank (got 'xxxx')"),
    (row(y=21), "accel_y must be within 20 g, or blank (got '00')"),
    (row(z="inf"), "accel_z must be within 20 g, or blank (got 'xxx')"),
    (row(50, 36.08), "drive must have one reading at an instant (got that of line 52 again)"),
]


def form(line: str | bytes) -> bytes:
    """A line without what it says: digits are 0, letters and all that is not ASCII x."""
    raw = line if isinstance(line, bytes) else line.encode()
    return re.sub(rb"[A-Za-z]|[^\x00-\x7f]", b"x", re.sub(rb"[0-9]", b"0", raw))


@pytest.mark.parametrize(("line", "reason"), BAD, ids=range(len(BAD)))
def test_a_line_that_cannot_be_read_is_dead_and_its_neighbours_pass(write: Write, line: str | bytes, reason: str) -> None:
    good: list[str | bytes] = list(northwards(brake_at=[60]))
    clean, frames = read(write(*good)), read(write(*good[:55], line, *good[55:]))
    assert all(frames[name].equals(clean[name]) for name in FEEDS[:2])
    assert frames["dead.v1"].rows(named=True) == [
        {
            "feed": "road.near-miss.v1",
            "arrived": BEGIN + timedelta(seconds=119),
            "source": "recording 1",
            "place": 57,
            "reason": reason,
            "raw": form(line),
            "partition": 0,
            "offset": 0,
        }
    ]


def test_blank_accelerations_are_no_readings(write: Write) -> None:
    good = northwards(brake_at=[60])
    holed = [*good[:58], good[58].replace(",0,0,1", ",,,"), *good[59:]]
    frames = read(write(*holed))
    assert frames["dead.v1"].is_empty()
    assert frames["road.near-miss.v1"]["kind"].to_list() == ["hard_brake"]


def test_what_arrived_in_a_part_of_the_time_is_that_part_of_everything(write: Write) -> None:
    folder = write(*northwards(brake_at=[60]), *northwards(brake_at=[60], drive="2", begin_s=36 * 3600))
    whole = read(folder)
    cut = datetime(2026, 5, 29, tzinfo=UTC)
    parts = read(folder, until=cut), read(folder, since=cut)
    for name in FEEDS:
        assert pl.concat([part[name] for part in parts]).equals(whole[name])
        assert whole[name]["offset"].to_list() == list(range(whole[name].height))
        assert whole[name]["arrived"].is_sorted()
    assert all(part["road.near-miss.v1"].height == 1 for part in parts)


def test_a_packed_recording_reads_like_a_plain_one_and_a_torn_one_is_refused(write: Write, tmp_path: Path) -> None:
    folder = write(*northwards(brake_at=[60]))
    plain = read(folder)
    packed = gzip.compress((folder / "van.csv").read_bytes(), mtime=0)
    (folder / "van.csv").unlink()
    (folder / "van.csv.gz").write_bytes(packed)
    assert all(read(folder)[name].equals(plain[name]) for name in FEEDS)
    (folder / "van.csv.gz").write_bytes(packed[:-9])
    with pytest.raises(probe.ProbeError, match=r"^recording van\.csv\.gz must be a whole \.gz \(got: .*\): fetch it again$"):
        read(folder)


def test_a_recording_without_a_column_is_refused(write: Write) -> None:
    message = "header of van.csv must name time_utc, speed_mph (got b'drive,gps_lat,gps_long'): see connectors/probe_rows.py"
    with pytest.raises(probe.ProbeError, match=f"^{re.escape(message)}$"):
        read(write(header="drive,gps_lat,gps_long"))


def test_a_path_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(probe.ProbeError, match=r"^path of probe must be a recording of drives or a folder of them \(got '.*'\): see data"):
        read(tmp_path)


def test_a_time_without_zone_is_refused(write: Write) -> None:
    with pytest.raises(probe.ProbeError, match=r"^since must have a zone \(got datetime"):
        read(write(*northwards()), datetime(2026, 5, 28))


def test_a_recording_without_readings_says_nothing(write: Write) -> None:
    assert list(probe.open(write(), near_misses).read()) == []


# --- what is committed -------------------------------------------------------------------------------------------


def test_four_recorded_drives_tell_their_near_misses_and_passes() -> None:
    frames = read(DATA, region="omaha", zone="America/Chicago")
    near, passes = frames["road.near-miss.v1"], frames["road.passes.v1"]
    assert dict(near.group_by("kind").len().iter_rows()) == {"hard_brake": 7, "swerve": 4}
    assert (passes.height, passes["passes"].sum(), frames["dead.v1"].height) == (472, 493, 0)
    assert set(near["vehicle"]) <= set(passes["vehicle"])
    assert passes["day"].dt.convert_time_zone("America/Chicago").dt.hour().unique().to_list() == [0]
    held = set(passes["cell"])
    assert cells_of(near.select("lat_deg", "lon_deg").iter_rows()) <= held
