"""What the gauges of Fukui say, read from files as they come: every known fault of the files is tried here."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors import fukui
from connectors.fukui_day import DayFile, parse
from schemas.feeds import feed

FLOOD = Path(__file__).parents[2] / "data" / "fukui" / "flood-2024-05"
HEADER = "日時,河川水位,id"
JST = timezone(timedelta(hours=9))
FEEDS = ("river.level.v1", "clock.v1", "dead.v1")

Frames = dict[str, pl.DataFrame]
Write = Callable[..., Path]


# --- builders ----------------------------------------------------------------------------------------------------


def row(clock: str = "01:20", level: str = "0.55", gauge: int = 1, day: str = "2024-05-28") -> str:
    return f"{day}T{clock},{level},{gauge}"


def jst(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=JST)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes daily files, each a list of lines (text or bytes), and gives their folder."""

    def build(files: dict[str, list[str | bytes]] | None = None, *lines: str | bytes) -> Path:
        for name, held in (files or {"2024-05-28.csv": [HEADER, *lines]}).items():
            path = tmp_path / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\n".join(each if isinstance(each, bytes) else each.encode() for each in held))
        return tmp_path / "files"

    return build


def read(path: Path, since: datetime | None = None, until: datetime | None = None) -> Frames:
    """Everything in one frame for each feed."""
    files = fukui.open(path)
    try:
        chunks = list(files.read(since, until))
    finally:
        files.close()
    return {name: pl.concat([feed(name).empty(), *(chunk[name] for chunk in chunks)]) for name in FEEDS}


def said(frames: Frames) -> list[tuple[str, str, float | None, str]]:
    """Gauge, time observed, level and time arrived (JST) of each reading, in order."""
    shown = [pl.col(each).dt.convert_time_zone("Asia/Tokyo").dt.strftime("%Y-%m-%d %H:%M") for each in ("observed_at", "arrived")]
    return frames["river.level.v1"].select("gauge_id", shown[0], "level_m", shown[1]).rows()


def observed(frames: Frames) -> list[str]:
    return [each[1] for each in said(frames)]


def arrived(frames: Frames) -> list[str]:
    return [each[3] for each in said(frames)]


def dead(frames: Frames) -> list[tuple[str, int, str]]:
    return frames["dead.v1"].select("source", "place", "reason").rows()


def ticks(frames: Frames) -> list[datetime]:
    return frames["clock.v1"]["at"].to_list()


# --- rows --------------------------------------------------------------------------------------------------------


def test_a_row_is_a_reading_with_its_envelope(write: Write) -> None:
    frames = read(write(None, row("01:20", "0.55", 12)))
    minute = int(jst("2024-05-28T01:20").timestamp()) // 60
    assert frames["river.level.v1"].rows(named=True) == [
        {
            "region": "fukui",
            "gauge_id": "12",
            "observed_at": jst("2024-05-28T01:20"),
            "version": minute << 16,
            "op": "stated",
            "level_m": 0.55,
            "arrived": jst("2024-05-28T01:20"),
            "partition": 0,
            "offset": minute << 16,
        }
    ]
    assert {name: frame.schema for name, frame in frames.items()} == {name: pl.Schema(feed(name).frame_schema) for name in FEEDS}


def test_midnight_written_as_24_00_is_the_next_day(write: Write) -> None:
    assert said(read(write(None, row("24:00")))) == [("1", "2024-05-29 00:00", 0.55, "2024-05-29 00:00")]


@pytest.mark.parametrize("level", ["*", "", "  "])
def test_a_gauge_that_gives_no_level_has_spoken(write: Write, level: str) -> None:
    frames = read(write(None, row(level=level)))
    assert said(frames) == [("1", "2024-05-28 01:20", None, "2024-05-28 01:20")]
    assert dead(frames) == []


@pytest.mark.parametrize(
    ("level", "metres"),
    [("-0.12", -0.12), ("2.10", 2.1), ("3", 3.0), ("007.5", 7.5), ("553.05", 553.05), ("-0", -0.0), ("10000", 10_000.0)],
)
def test_a_level_is_a_decimal_number(write: Write, level: str, metres: float) -> None:
    assert read(write(None, row(level=level)))["river.level.v1"]["level_m"].to_list() == [metres]


def test_a_lost_minus_sign_passes_unchanged_because_only_the_gauge_record_knows_of_it(write: Write) -> None:
    assert [each[2] for each in said(read(write(None, row("01:00", "0.02"), row("02:00", "0.01"), row("03:00", "0.02"))))] == [
        0.02,
        0.01,
        0.02,
    ]


def test_rows_written_twice_come_twice_and_the_later_one_is_the_higher_version(write: Write) -> None:
    frames = read(write(None, row(level="0.55"), row(level="0.55"), row(level="0.60")))
    assert [each[:3] for each in said(frames)] == [("1", "2024-05-28 01:20", 0.55)] * 2 + [("1", "2024-05-28 01:20", 0.6)]
    assert frames["river.level.v1"]["version"].diff().drop_nulls().to_list() == [1, 1]


def test_a_gauge_that_no_master_table_knows_passes(write: Write) -> None:
    assert said(read(write(None, row(gauge=268))))[0][0] == "268"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_byte_order_marks_make_no_difference(write: Write, end: bytes, mark: bytes) -> None:
    lines = [mark + HEADER.encode(), row("01:00").encode(), mark + HEADER.encode(), b"", row("02:00").encode(), b""]
    frames = read(write({"2024-05-28.csv": [end.join(lines)]}))
    assert observed(frames) == ["2024-05-28 01:00", "2024-05-28 02:00"]
    assert dead(frames) == []


def test_a_file_may_begin_without_header_and_end_without_line_end(write: Write) -> None:
    assert observed(read(write({"2024-05-28.csv": [row("01:00"), row("02:00")]}))) == ["2024-05-28 01:00", "2024-05-28 02:00"]


@pytest.mark.parametrize("held", [[], [HEADER], [b"\xef\xbb\xbf" + HEADER.encode(), ""], ["", "", ""]])
def test_a_file_without_rows_says_nothing(write: Write, held: list[str | bytes]) -> None:
    folder = write({"2024-05-28.csv": held})
    assert list(fukui.open(folder).read()) == []


# --- dead lines --------------------------------------------------------------------------------------------------

LONG = "x" * 80
BAD: list[tuple[str | bytes, str]] = [
    ("<<<<<<< HEAD", "line must not be a mark of an unsolved conflict (got '<<<<<<< HEAD')"),
    ("=======", "line must not be a mark of an unsolved conflict (got '=======')"),
    (">>>>>>> 4de1a22", "line must not be a mark of an unsolved conflict (got '>>>>>>> 4de1a22')"),
    (b"\xff\xfe,1", r"line must be UTF-8 (got b'\xff\xfe,1')"),
    ("not a row", f"line must have the three fields {HEADER} (got 'not a row')"),
    (LONG, f"line must have the three fields {HEADER} (got '{LONG[:60]}')"),
    ("2024-05-28T01:20,0.5", f"line must have the three fields {HEADER} (got '2024-05-28T01:20,0.5')"),
    (row() + ",1", f"line must have the three fields {HEADER} (got '{row()},1')"),
    ("28/05/2024 01:20,0.55,1", "日時 must be written YYYY-MM-DDThh:mm (got '28/05/2024 01:20')"),
    ("2024-05-28T01:20+09:00,0.55,1", "日時 must be written YYYY-MM-DDThh:mm (got '2024-05-28T01:20+09:00')"),
    ("２０２４-05-28T01:20,0.55,1", "日時 must be written YYYY-MM-DDThh:mm (got '２０２４-05-28T01:20')"),
    ("2024-02-30T01:20,0.55,1", "日時 must be a day of the calendar (got '2024-02-30T01:20')"),
    ("2024-13-01T01:20,0.55,1", "日時 must be a day of the calendar (got '2024-13-01T01:20')"),
    ("1999-12-31T24:00,0.55,1", "year of 日時 must lie in 2000 to 2100 (got '1999-12-31T24:00')"),
    ("2101-01-01T00:00,0.55,1", "year of 日時 must lie in 2000 to 2100 (got '2101-01-01T00:00')"),
    ("0000-01-01T00:00,0.55,1", "year of 日時 must lie in 2000 to 2100 (got '0000-01-01T00:00')"),
    (row("24:10"), "日時 must lie in 00:00 to 24:00 (got '2024-05-28T24:10')"),
    (row("25:00"), "日時 must lie in 00:00 to 24:00 (got '2024-05-28T25:00')"),
    (row("01:60"), "日時 must lie in 00:00 to 24:00 (got '2024-05-28T01:60')"),
    (row(level="1e400"), "河川水位 must be a number, * or blank (got '1e400')"),
    (row(level="nan"), "河川水位 must be a number, * or blank (got 'nan')"),
    (row(level=".5"), "河川水位 must be a number, * or blank (got '.5')"),
    (row(level="+0.5"), "河川水位 must be a number, * or blank (got '+0.5')"),
    (row(level="--- "), "河川水位 must be a number, * or blank (got '--- ')"),
    (row(level="１.５"), "河川水位 must be a number, * or blank (got '１.５')"),
    (row(level="12345678901234567890.0"), "河川水位 must lie within 10000 m of zero (got '12345678901234567890.0')"),
    (row(level="9" * 400), f"河川水位 must lie within 10000 m of zero (got '{'9' * 60}')"),
    (row(level="-10000.1"), "河川水位 must lie within 10000 m of zero (got '-10000.1')"),
    ("2024-05-28T01:20,0.55,x", "id must be a number of at most 9 digits (got 'x')"),
    ("2024-05-28T01:20,0.55,", "id must be a number of at most 9 digits (got '')"),
    ("2024-05-28T01:20,0.55,-1", "id must be a number of at most 9 digits (got '-1')"),
    ("2024-05-28T01:20,0.55,12345678901", "id must be a number of at most 9 digits (got '12345678901')"),
]


@pytest.mark.parametrize(("line", "reason"), BAD, ids=range(len(BAD)))
def test_a_line_that_cannot_be_read_is_dead_and_its_neighbours_pass(write: Write, line: str | bytes, reason: str) -> None:
    folder = write(None, row("01:20", gauge=1), line, row("01:30", gauge=2))
    frames = read(folder)
    assert said(frames) == [("1", "2024-05-28 01:20", 0.55, "2024-05-28 01:30"), ("2", "2024-05-28 01:30", 0.55, "2024-05-28 01:30")]
    assert frames["dead.v1"].rows(named=True) == [
        {
            "feed": "river.level.v1",
            "arrived": jst("2024-05-28T01:30"),
            "source": "2024-05-28.csv",
            "place": 3,
            "reason": reason,
            "raw": line if isinstance(line, bytes) else line.encode(),
            "partition": 0,
            "offset": (int(jst("2024-05-28T01:30").timestamp()) // 60) << 16,
        }
    ]


def test_both_sides_of_an_unsolved_conflict_are_readings(write: Write) -> None:
    lines = [
        "<<<<<<< HEAD",
        row("01:20", gauge=1),
        row("01:20", gauge=2),
        "=======",
        row("01:10", gauge=1),
        ">>>>>>> theirs",
        row("01:30", gauge=3),
    ]
    frames = read(write({"2024-05-28.csv": [HEADER, row("01:00", gauge=1)], "2024-05-28-bk.csv": [HEADER, *lines]}))
    assert sorted(each[:2] for each in said(frames)) == [
        ("1", "2024-05-28 01:00"),
        ("1", "2024-05-28 01:10"),
        ("1", "2024-05-28 01:20"),
        ("2", "2024-05-28 01:20"),
        ("3", "2024-05-28 01:30"),
    ]
    assert [each[:2] for each in dead(frames)] == [("2024-05-28-bk.csv", 2), ("2024-05-28-bk.csv", 5), ("2024-05-28-bk.csv", 7)]


def test_raw_bytes_of_a_dead_line_are_kept_without_its_end(write: Write) -> None:
    frames = read(write({"2024-05-28.csv": [b"\xe6\x97,\xff\r", row()]}))
    assert frames["dead.v1"]["raw"].to_list() == [b"\xe6\x97,\xff"]


def test_a_dead_line_arrives_with_the_row_before_it(write: Write) -> None:
    frames = read(write(None, "first", row("01:00"), "second", row("02:00"), "third"))
    assert frames["dead.v1"].select("place", "arrived").rows() == [
        (2, jst("2024-05-28T01:00")),
        (4, jst("2024-05-28T01:00")),
        (6, jst("2024-05-28T02:00")),
    ]


def test_dead_lines_of_a_file_without_rows_arrive_when_its_day_begins(write: Write) -> None:
    frames = read(write(None, "only this"))
    assert frames["dead.v1"]["arrived"].to_list() == [jst("2024-05-28T00:00")]
    assert ticks(frames) == [jst("2024-05-28T00:00")]


def test_a_dead_line_is_named_by_its_file_below_the_folder(write: Write) -> None:
    assert dead(read(write({"data/old/2024-05-28.csv": ["x"]})))[0][:2] == ("data/old/2024-05-28.csv", 1)


garbage = st.one_of(
    st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")),
    st.text("0123456789-T:,.*< >=日時", max_size=30).map(str.encode),
    st.sampled_from([line if isinstance(line, bytes) else line.encode() for line, _ in BAD]),
)
GOOD_ROW = re.compile(rb"(\xef\xbb\xbf)?\d{4}-\d\d-\d\dT\d\d:\d\d,[^,]*,\d+\r?")
SCRAPES = [row(clock, f"{gauge / 10}", gauge).encode() for clock in ("23:40", "23:50", "24:00") for gauge in (1, 2, 5)]


@given(st.lists(st.tuples(st.integers(0, len(SCRAPES)), garbage.filter(lambda raw: not GOOD_ROW.fullmatch(raw))), max_size=8))
def test_garbage_anywhere_never_changes_what_is_read_of_its_neighbours(junk: list[tuple[int, bytes]]) -> None:
    lines = list(SCRAPES)
    for place, raw in sorted(junk, reverse=True):
        lines.insert(place, raw)
    clean, held = (parse(b"\n".join(each), date(2024, 5, 28)) for each in (SCRAPES, lines))
    assert held.rows.drop("line").equals(clean.rows.drop("line"))
    speaks = [number for number, raw in enumerate(lines, 1) if re.search(rb"[!-~]", raw) and raw not in SCRAPES]
    assert set(speaks) <= set(held.dead["line"])
    assert [lines[line - 1].removesuffix(b"\r") for line in held.dead["line"]] == held.dead["raw"].to_list()
    assert all(reason.isprintable() and " must " in reason for reason in held.dead["reason"])


# --- years -------------------------------------------------------------------------------------------------------


def test_the_first_hours_of_a_year_stand_in_the_file_of_the_year_before(write: Write) -> None:
    lines = [row("00:10", day="2023-01-01", gauge=1), row("24:00", day="2023-12-31", gauge=29), row("08:20", day="2023-01-01", gauge=1)]
    frames = read(write({"2023-01-01.csv": [HEADER, *lines]}))
    assert said(frames) == [
        ("1", "2024-01-01 00:10", 0.55, "2024-01-01 00:10"),
        ("29", "2024-01-01 00:00", 0.55, "2024-01-01 00:10"),
        ("1", "2024-01-01 08:20", 0.55, "2024-01-01 08:20"),
    ]


def test_the_next_new_year_is_told_behind_the_day_itself(write: Write) -> None:
    day = [row(clock, day="2024-01-01", gauge=gauge) for clock in ("10:30", "11:30", "23:20") for gauge in (1, 2)]
    tail = [
        row("00:20", day="2024-01-01", gauge=1),
        row("24:00", day="2024-12-31", gauge=2),
        row("13:40", "", 253, day="2024-12-31"),  # a gauge that spoke hours ago
        row("00:20", day="2024-01-01", gauge=257),  # a gauge that is new since
        row("02:20", day="2024-01-01", gauge=1),
        row("02:20", day="2024-01-01", gauge=2),
    ]
    frames = read(write({"2024-01-01.csv": [HEADER, *day, *tail]}))
    assert observed(frames)[:6] == ["2024-01-01 10:30"] * 2 + ["2024-01-01 11:30"] * 2 + ["2024-01-01 23:20"] * 2
    assert [(each[0], each[1], each[3]) for each in said(frames)[6:]] == [
        ("1", "2025-01-01 00:20", "2025-01-01 00:20"),
        ("2", "2025-01-01 00:00", "2025-01-01 00:20"),
        ("253", "2024-12-31 13:40", "2025-01-01 00:20"),
        ("257", "2025-01-01 00:20", "2025-01-01 00:20"),
        ("1", "2025-01-01 02:20", "2025-01-01 02:20"),
        ("2", "2025-01-01 02:20", "2025-01-01 02:20"),
    ]


def test_the_midnight_of_new_year_is_told_behind_the_old_year(write: Write) -> None:
    lines = [row("23:50", day="2024-12-31"), row("24:00", day="2024-12-31", gauge=1), row("00:10", day="2024-01-01", gauge=2)]
    assert observed(read(write({"2024-12-31.csv": [HEADER, *lines]}))) == ["2024-12-31 23:50", "2025-01-01 00:00", "2025-01-01 00:10"]


def test_one_gauge_that_repeats_an_old_reading_does_not_turn_the_year(write: Write) -> None:
    first = [row("10:30", day="2024-01-01", gauge=gauge) for gauge in (1, 2, 3)]
    second = [row("11:30", day="2024-01-01", gauge=1), row("08:00", day="2024-01-01", gauge=2), row("11:30", day="2024-01-01", gauge=3)]
    assert {each[:10] for each in observed(read(write({"2024-01-01.csv": [HEADER, *first, *second]})))} == {"2024-01-01"}


def test_other_days_may_jump_back_and_keep_their_year(write: Write) -> None:
    frames = read(write(None, row("20:00", gauge=1), row("01:00", gauge=1)))
    assert observed(frames) == ["2024-05-28 01:00", "2024-05-28 20:00"]


def test_a_gauge_silent_for_months_is_shown_with_the_wrong_year_and_set_right(write: Write) -> None:
    lines = [row("10:20", day="2023-10-03", gauge=1), row("24:00", "", 222, day="2023-11-29"), row("10:20", day="2023-10-03", gauge=251)]
    assert said(read(write({"2023-10-03.csv": [HEADER, *lines]}))) == [
        ("1", "2023-10-03 10:20", 0.55, "2023-10-03 10:20"),
        ("222", "2022-11-30 00:00", None, "2023-10-03 10:20"),
        ("251", "2023-10-03 10:20", 0.55, "2023-10-03 10:20"),
    ]


def test_a_year_that_cannot_be_set_right_is_dead(write: Write) -> None:
    frames = read(write(None, row("01:00"), row("01:10", day="2099-05-28", gauge=2), row("01:20", gauge=3)))
    assert arrived(frames) == ["2024-05-28 01:20"] * 2
    assert dead(frames) == [("2024-05-28.csv", 3, "日時 must not lie after its scrape (got '2099-05-28T01:10,0.55,2')")]


# --- arrival -----------------------------------------------------------------------------------------------------


def test_a_row_arrives_at_the_newest_time_of_its_scrape(write: Write) -> None:
    lines = [row("01:20", gauge=1), row("01:00", gauge=29), row("01:30", gauge=43), row("02:20", gauge=1), row("02:00", gauge=29)]
    assert arrived(read(write(None, *lines))) == ["2024-05-28 01:30"] * 3 + ["2024-05-28 02:20"] * 2


def test_gauges_may_be_told_out_of_step(write: Write) -> None:
    lines = [row("01:20", gauge=1), row("22:40", day="2024-05-27", gauge=2), row("02:23", gauge=1), row("02:17", gauge=2)]
    assert [each[1][5:] + " > " + each[3][5:] for each in said(read(write(None, *lines)))] == [
        "05-28 01:20 > 05-28 01:20",
        "05-27 22:40 > 05-28 01:20",
        "05-28 02:23 > 05-28 02:23",
        "05-28 02:17 > 05-28 02:23",
    ]


def test_scrapes_arrive_in_the_order_of_their_times_across_files(write: Write) -> None:
    files: dict[str, list[str | bytes]] = {
        "2024-05-28.csv": [HEADER, row("22:00", gauge=1), row("20:00", gauge=1), row("00:10", day="2024-05-29", gauge=1)],
        "2024-05-28-bk.csv": [HEADER, row("21:00", gauge=1)],
        "2024-05-29.csv": [HEADER, row("00:05", day="2024-05-29", gauge=1), row("24:00", day="2024-05-28", gauge=2)],
    }
    frames = read(write(files))
    assert [each[5:] for each in arrived(frames)] == [
        "05-28 20:00",
        "05-28 21:00",
        "05-28 22:00",
        "05-29 00:05",
        "05-29 00:05",
        "05-29 00:10",
    ]
    assert frames["river.level.v1"]["offset"].is_sorted()


def test_a_file_that_went_on_for_days_arrives_day_by_day(write: Write) -> None:
    stuck = [row("01:00", day=f"2024-05-{day}", gauge=gauge) for day in range(20, 31) for gauge in (2, 3)]
    chunks = list(fukui.open(write({"2024-05-20.csv": stuck, "2024-05-25.csv": [row("02:00", day="2024-05-25")]})).read())
    days = [chunk["river.level.v1"]["arrived"].dt.convert_time_zone("Asia/Tokyo").dt.day().unique().to_list() for chunk in chunks]
    assert days == [[day] for day in range(20, 31)]
    assert [chunk["river.level.v1"].height for chunk in chunks] == [3 if day == 25 else 2 for day in range(20, 31)]


def test_a_scrape_of_stale_rows_alone_arrives_when_the_day_of_its_file_begins(write: Write) -> None:
    assert arrived(read(write(None, row("01:00", day="2023-01-05")))) == ["2024-05-28 00:00"]


def test_a_reading_that_is_hours_late_keeps_its_own_time(write: Write) -> None:
    assert said(read(write(None, row("01:00", gauge=1), row("10:00", gauge=2))))[0][1::2] == ("2024-05-28 01:00", "2024-05-28 10:00")


def test_offsets_count_the_rows_of_a_minute(write: Write) -> None:
    frames = read(write(None, "x", row("01:20", gauge=1), row("01:20", gauge=2), "y", row("01:30", gauge=1)))
    assert [offset & 0xFFFF for offset in frames["river.level.v1"]["offset"]] == [0, 1, 0]
    assert [offset & 0xFFFF for offset in frames["dead.v1"]["offset"]] == [0, 1]


def test_more_rows_in_a_minute_than_offsets_have_room_for_are_an_error(write: Write) -> None:
    folder = write({"2024-05-28.csv": [row()] * 65_537})
    with pytest.raises(fukui.FukuiError) as told:
        read(folder)
    assert str(told.value) == (
        "rows of river.level.v1 in one minute must be at most 65536 (got more at 2024-05-27T16:20:00+00:00): split the files"
    )


# --- clock -------------------------------------------------------------------------------------------------------


def test_the_clock_ticks_from_the_first_arrival_to_the_last(write: Write) -> None:
    frames = read(write(None, row("01:23"), row("01:50")))
    assert ticks(frames) == [jst(f"2024-05-28T01:{minute}") for minute in (20, 30, 40, 50)]
    assert frames["clock.v1"]["arrived"].to_list() == ticks(frames)
    assert frames["clock.v1"]["offset"].to_list() == [(int(each.timestamp()) // 60) << 16 for each in ticks(frames)]


def test_the_clock_goes_on_through_holes(write: Write) -> None:
    folder = write({"2021-09-08.csv": [row("10:00", day="2021-09-08")], "2023-07-13.csv": [row("12:00", day="2023-07-13")]})
    frames = read(folder)
    assert len(ticks(frames)) == (jst("2023-07-13T12:00") - jst("2021-09-08T10:00")) // timedelta(minutes=10) + 1
    assert frames["clock.v1"]["at"].diff().drop_nulls().unique().to_list() == [timedelta(minutes=10)]
    hole = read(folder, jst("2022-02-01T00:03"), jst("2022-02-01T00:30"))
    assert ticks(hole) == [jst("2022-02-01T00:10"), jst("2022-02-01T00:20")]
    assert ticks(read(folder, jst("2023-07-13T12:01"))) == []


def test_a_chunk_arrives_no_later_than_the_next(write: Write) -> None:
    chunks = list(fukui.open(FLOOD).read(jst("2024-05-27T00:00"), jst("2024-05-30T12:00")))
    spans = [pl.concat([frame["arrived"] for frame in chunk.values()]) for chunk in chunks]
    assert all(each.max() - each.min() < timedelta(days=1) for each in spans)  # type: ignore[operator]
    assert len(chunks) == 4
    assert all(before.max() < after.min() for before, after in pairwise(spans))  # type: ignore[operator]


# --- reading from anywhere ---------------------------------------------------------------------------------------


def mixed(folder: Path) -> Path:
    """Files with everything in them that moves rows to other days."""
    files = {
        "2023-01-01.csv": [row(clock, day="2023-01-01", gauge=g) for clock in ("00:10", "05:20", "08:20") for g in (1, 2)] + ["x"],
        "2023-12-30.csv": [row("23:00", day="2023-12-30"), "y", row("24:00", day="2023-12-30")],
        "2023-12-31.csv": [row("23:00", day="2023-12-31"), row("24:00", day="2023-12-31"), row("00:05", day="2023-01-01", gauge=2)],
        "2024-01-01.csv": [row(clock, day="2024-01-01", gauge=g) for clock in ("10:20", "23:20", "00:20", "02:20") for g in (1, 2)],
        "2024-01-02.csv": [row("00:10", day="2024-01-02"), row("12:00", day="2024-12-20", gauge=5), row("01:10", day="2024-01-02")],
        "2024-01-03.csv": [row("01:00", day=f"2024-01-{day:02}") for day in range(3, 20)],
        "2024-01-08.csv": [HEADER, "z"],
        "2024-01-09.csv": [HEADER, row("03:00", day="2024-01-09"), row("24:00", day="2024-01-09")],
    }
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def turn_of_the_year(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Frames]:
    folder = mixed(tmp_path_factory.mktemp("mixed"))
    return folder, read(folder)


FIRST, LAST = jst("2023-12-30T20:00"), jst("2025-01-02T00:00")
moments = st.one_of(
    st.integers(0, int((LAST - FIRST).total_seconds())).map(lambda s: FIRST + timedelta(seconds=s)),
    st.integers(0, 21 * 24 * 6).map(lambda ten: FIRST + timedelta(minutes=10 * ten)),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(since=moments, until=st.none() | moments)
def test_reading_from_anywhere_is_that_part_of_the_full_reading(
    turn_of_the_year: tuple[Path, Frames], since: datetime, until: datetime | None
) -> None:
    folder, whole = turn_of_the_year
    within = (pl.col("arrived") >= since) & (pl.col("arrived") < (until or LAST))
    got = read(folder, since, until)
    for name, frame in whole.items():
        assert got[name].equals(frame.filter(within)), name


def test_offsets_grow_with_arrival_and_none_is_used_twice(turn_of_the_year: tuple[Path, Frames]) -> None:
    for name, frame in turn_of_the_year[1].items():
        assert frame.height, name
        assert frame["offset"].is_unique().all()
        assert frame["offset"].is_sorted()
        assert frame["arrived"].is_sorted()


def test_all_rows_of_the_turn_of_the_year_are_told_once(turn_of_the_year: tuple[Path, Frames]) -> None:
    folder, whole = turn_of_the_year
    lines = [line for path in folder.iterdir() for line in path.read_text(encoding="utf-8").splitlines()]
    assert whole["river.level.v1"].height == sum("T" in line for line in lines)
    assert whole["dead.v1"].height == 3
    assert observed(whole)[:2] == ["2023-12-30 23:00", "2023-12-31 00:00"]
    assert observed(whole)[-4:] == ["2025-01-01 00:20"] * 2 + ["2025-01-01 02:20"] * 2


def test_files_that_end_before_the_time_asked_for_are_not_parsed(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write({f"2024-05-{day}.csv": [row(day=f"2024-05-{day}")] for day in range(10, 31)})
    parsed: list[date] = []

    def counted(data: bytes, day: date) -> DayFile:
        parsed.append(day)
        return parse(data, day)

    monkeypatch.setattr(fukui, "parse", counted)
    assert read(folder, jst("2024-05-29T00:00"))["river.level.v1"].height == 2
    assert min(parsed) >= date(2024, 5, 26)


# --- a whole flood against row by row ----------------------------------------------------------------------------


def row_by_row(folder: Path) -> Iterator[tuple[datetime, str, datetime, float | None]]:
    """The rule of arrival once more, as slowly as it can be said: arrival, gauge, time observed, level."""
    scrapes: list[list[tuple[str, datetime, float | None]]] = []
    for path in sorted(folder.glob("*.csv")):
        last = 10**9
        for line in path.read_text(encoding="utf-8-sig").splitlines()[1:]:
            stamp, level, gauge = line.split(",")
            time = jst(stamp[:10]) + timedelta(hours=int(stamp[11:13]), minutes=int(stamp[14:16]))
            if int(gauge) <= last:
                scrapes.append([])
            scrapes[-1].append((gauge, time, float(level) if level not in ("", "*") else None))
            last = int(gauge)
    for scrape in sorted(scrapes, key=lambda rows: max(time for _, time, _ in rows)):
        newest = max(time for _, time, _ in scrape)
        yield from ((newest, *each) for each in scrape)


def test_the_recorded_flood_is_read_as_row_by_row() -> None:
    levels = read(FLOOD)["river.level.v1"]
    assert levels.height == 28_609
    assert levels.select("arrived", "gauge_id", "observed_at", "level_m").rows() == list(row_by_row(FLOOD))


# --- opening and closing -----------------------------------------------------------------------------------------


REFUSED = r"^archive levels\.tar\.gz must be a whole \.tar\.gz that stays within its folder \(got: .*\): fetch it again$"


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, held in files.items():
            told = tarfile.TarInfo(name)
            told.size = len(held)
            archive.addfile(told, io.BytesIO(held))
    return path


def test_an_archive_is_read_like_its_folder_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = packed(tmp_path / "levels.tar.gz", {f"data/{each.name}": each.read_bytes() for each in FLOOD.iterdir()})
    files = fukui.open(path)
    assert files.unpacked is not None
    folder = Path(files.unpacked.name)
    got = pl.concat([chunk["river.level.v1"] for chunk in files.read()])
    files.close()
    assert got.equals(read(FLOOD)["river.level.v1"])
    assert not folder.exists()


def test_an_archive_that_reaches_outside_itself_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "levels.tar.gz", {"../2024-05-28.csv": row().encode()})
    with pytest.raises(
        fukui.FukuiError,
        match=REFUSED,
    ):
        fukui.open(path)
    assert [each.name for each in tmp_path.iterdir()] == ["levels.tar.gz"]


def test_an_archive_that_breaks_off_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "levels.tar.gz", {each.name: each.read_bytes() for each in FLOOD.iterdir()})
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(
        fukui.FukuiError,
        match=REFUSED,
    ):
        fukui.open(path)


@pytest.mark.parametrize("place", [0, 1, 500, 20_000, -9])
def test_an_archive_with_a_wrong_byte_is_refused(tmp_path: Path, place: int) -> None:
    path = packed(tmp_path / "levels.tar.gz", {each.name: each.read_bytes() for each in FLOOD.iterdir()})
    held = bytearray(path.read_bytes())
    held[place] ^= 0xFF
    path.write_bytes(held)
    with pytest.raises(fukui.FukuiError, match=REFUSED):
        fukui.open(path)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "levels.tar.gz"
    path.write_text("not packed", encoding="utf-8")
    with pytest.raises(fukui.FukuiError, match=REFUSED):
        fukui.open(path)


def test_a_path_where_nothing_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "levels"
    with pytest.raises(fukui.FukuiError) as told:
        fukui.open(path)
    assert str(told.value) == f"path of fukui must be a folder or a .tar.gz of daily files (got {str(path)!r}): see data/fukui/README.md"


def test_a_folder_without_daily_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sensors.csv").write_text("id", encoding="utf-8")
    with pytest.raises(fukui.FukuiError) as told:
        fukui.open(tmp_path)
    assert (
        str(told.value) == f"folder of fukui must hold daily files YYYY-MM-DD.csv (got none in {tmp_path.name!r}): see data/fukui/README.md"
    )


def test_a_file_named_after_no_day_is_refused(write: Write) -> None:
    folder = write({"2024-02-30.csv": [row()]})
    with pytest.raises(fukui.FukuiError) as told:
        fukui.open(folder)
    assert str(told.value) == "name of a daily file must begin with its day (got '2024-02-30.csv'): rename it, or move it away"


@pytest.mark.parametrize("name", ["since", "until"])
def test_a_time_without_zone_is_refused(name: str) -> None:
    with pytest.raises(fukui.FukuiError) as told:
        next(fukui.open(FLOOD).read(**{name: datetime(2024, 5, 28)}))
    assert str(told.value) == f"{name} must have a zone (got datetime.datetime(2024, 5, 28, 0, 0)): for example 2024-05-28T00:00+09:00"


def test_times_may_be_given_in_any_zone() -> None:
    assert read(FLOOD, jst("2024-05-31T20:00"))["river.level.v1"].equals(
        read(FLOOD, datetime(2024, 5, 31, 11, tzinfo=UTC))["river.level.v1"]
    )
