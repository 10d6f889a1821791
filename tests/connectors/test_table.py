"""Tables that others publish: which lines they have, what stands in the cells, which rule a line breaks, and frames of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from connectors.table import cells, first_broken, framed_by_arrival, lines, rule
from schemas import feed

NOON = datetime(2024, 5, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_lines_keep_their_numbers_and_bytes_however_they_end(mark: bytes, end: bytes) -> None:
    header, table = lines(mark + end.join([b"a,b", b"1,2", b"", b"  ", b"3,\xff", "4,水".encode(), b""]))
    assert header == b"a,b"
    assert table.rows() == [(2, b"1,2", "1,2"), (5, b"3,\xff", None), (6, "4,水".encode(), "4,水")]


def test_a_line_is_read_in_the_encoding_of_its_publisher() -> None:
    _, table = lines("番号\n福井\n".encode("cp932") + b"\x81\n", "cp932")
    assert table["text"].to_list() == ["福井", None]


def test_a_file_of_nothing_but_a_header_has_no_lines() -> None:
    assert [lines(each)[1].height for each in (b"", b"a,b", b"a,b\r\n")] == [0, 0, 0]


def test_a_cell_that_is_not_there_is_empty_and_the_last_one_is_counted_from_the_end() -> None:
    _, table = lines(b"a,b,c\n 1 ,2,\xe3\x80\x80x\n4\n\xff\n")
    found = cells(table, {"a": 0, "b": 1, "last": -1, "absent": None})
    assert found.select("a", "b", "last", "absent", "count").rows() == [
        ("1", "2", "x", "", 3),
        ("4", "", "4", "", 1),
        ("", "", "", "", None),
    ]


def test_a_line_is_told_the_first_rule_that_it_breaks_with_its_cells() -> None:
    _, table = lines(b"a,b\n1,2\nx,2\nx,y\n" + b"1," + b"9" * 70 + b"\n")
    number = [pl.col(each).str.contains("^[0-9]{1,9}$") for each in ("a", "b")]
    rules = [rule("a must be a number", ~number[0], "a"), rule("a and b must be numbers", ~number[1], "a", "b")]
    told = cells(table, {"a": 0, "b": 1}).select(first_broken(rules).alias("reason"))["reason"].to_list()
    assert told == [None, "a must be a number (got 'x')", "a must be a number (got 'x')", f"a and b must be numbers (got '1 {'9' * 60}')"]


def test_a_frame_is_in_order_of_arrival_and_what_arrived_at_one_instant_keeps_its_order() -> None:
    late = NOON + timedelta(minutes=1)
    rows = pl.DataFrame({"place": [2, 3, 4], "arrived": [late, NOON, NOON], "reason": ["r"] * 3, "raw": [b"x"] * 3, "source": ["f"] * 3})
    frame = framed_by_arrival("dead.v1", rows, {"feed": pl.lit("river.level.v1")})
    assert frame.schema == pl.Schema(feed("dead.v1").frame_schema)
    assert frame.select("place", "partition", "offset", "feed").rows() == [
        (3, 0, 0, "river.level.v1"), (4, 0, 1, "river.level.v1"), (2, 0, 2, "river.level.v1"),
    ]  # fmt: skip
