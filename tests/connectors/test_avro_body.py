"""A body is read to its last byte or refused with the reason."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest

from connectors.avro_body import UnreadableError, body_reader
from schemas.feeds import feed, feed_names
from tests.schemas.test_feeds import value, written


def record(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": list(fields)}


def one(kind: Any) -> dict[str, Any]:
    return record({"name": "x", "type": kind})


def read(kind: Any, body: bytes) -> Any:
    return body_reader("feed.v1", one(kind))(body)["x"]


@pytest.mark.parametrize("empty", [False, True], ids=["full", "empty"])
@pytest.mark.parametrize("name", feed_names())
def test_what_fastavro_wrote_is_read_as_fastavro_reads_it(name: str, empty: bool) -> None:
    parsed, buffer = fastavro.parse_schema(written(name)), io.BytesIO()
    fastavro.schemaless_writer(buffer, parsed, value(written(name), empty=empty))
    row = body_reader(name, feed(name).schema)(buffer.getvalue())
    again = io.BytesIO()
    fastavro.schemaless_writer(again, parsed, row)
    assert again.getvalue() == buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("long", b"\x80\x00", 0),
        ("long", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 2**63 - 1),
        ("long", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", -(2**63)),
        ("int", b"\xff\xff\xff\xff\x0f", -(2**31)),
        ({"type": "array", "items": "int"}, b"\x02\x02\x04\x04\x06\x00", [1, 2, 3]),
        ({"type": "array", "items": "int"}, b"\x03\x04\x02\x04\x00", [1, 2]),
        (["double", "null"], b"\x02", None),
        ("boolean", b"\x01", True),
    ],
    ids=["a longer nought", "greatest", "least", "least int", "two blocks", "a block with its size", "null behind", "true"],
)
def test_whatever_avro_allows_is_read(kind: Any, body: bytes, told: Any) -> None:
    assert read(kind, body) == told


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("long", b"", "x of feed.v1 must end within 10 bytes (got b''): send it whole"),
        ("long", b"\x80\x80", r"x of feed.v1 must end within 10 bytes (got b'\x80\x80'): send it whole"),
        (
            "long",
            b"\x80" * 10 + b"\0",
            r"x of feed.v1 must end within 10 bytes (got b'\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80'): send it whole",
        ),
        (
            "long",
            b"\x80" * 9 + b"\2",
            "x of feed.v1 must be a number of 64 bits (got 9223372036854775808): write it with the schema of its id",
        ),
        ("int", b"\x80\x80\x80\x80\x10", "x of feed.v1 must be a number of 32 bits (got 2147483648): write it with the schema of its id"),
        ("double", bytes(7), "x of feed.v1 must be 8 bytes (got 7): send it whole"),
        ("float", b"", "x of feed.v1 must be 4 bytes (got 0): send it whole"),
        ("boolean", b"\2", r"x of feed.v1 must be byte 0 or 1 (got b'\x02'): write it with the schema of its id"),
        ("boolean", b"", "x of feed.v1 must be byte 0 or 1 (got b''): write it with the schema of its id"),
        ("string", b"\x06ab", "length of x of feed.v1 must fit its value (got 3 of 2 bytes): send it whole"),
        ("bytes", b"\x01", "length of x of feed.v1 must fit its value (got -1 of 0 bytes): send it whole"),
        ("string", b"\x04\xff\xfe", r"x of feed.v1 must be UTF-8 (got b'\xff\xfe'): write it as text"),
        ("string", b"\x06\xed\xa0\x80", r"x of feed.v1 must be UTF-8 (got b'\xed\xa0\x80'): write it as text"),
        (["null", "int"], b"\x04", "branch of x of feed.v1 must be one of 2 (got 2): write it with the schema of its id"),
        (["null", "int"], b"\x01\x00", "branch of x of feed.v1 must be one of 2 (got -1): write it with the schema of its id"),
        (
            {"type": "enum", "name": "E", "symbols": ["stated", "withdrawn"]},
            b"\x01",
            "x of feed.v1 must be one of stated, withdrawn (got number -1): write it with the schema of its id",
        ),
        (
            {"type": "array", "items": "int"},
            b"\xfe\xff\xff\xff\x0f",
            "length of x of feed.v1 must fit its value (got 2147483647 items): write it with the schema of its id",
        ),
        (
            {"type": "array", "items": "int"},
            b"\x03\x06\x02\x04\x00",
            "block of x of feed.v1 must be as long as it says (got 2 bytes, not 3): write it anew",
        ),
        (
            {"type": "array", "items": one("double")},
            b"\x02",
            "length of x of feed.v1 must fit its value (got 1 items): write it with the schema of its id",
        ),
        (one("double"), b"", "x of x of feed.v1 must be 8 bytes (got 0): send it whole"),
        (
            {"type": "long", "logicalType": "timestamp-millis"},
            b"\x80\xf0\xfe\xa1\xfa\x9d\x73",
            "x of feed.v1 must lie in the years 1900 to 2200 (got 253402300800000 ms since 1970): check the sender's clock",
        ),
        ("int", b"\0\0\0", "value of feed.v1 must end with its last field (got 2 bytes more): write one record in one value"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(kind: Any, body: bytes, text: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        read(kind, body)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("time_ms", "readable"),
    [(-2_208_988_800_001, False), (-2_208_988_800_000, True), (0, True), (7_289_654_399_999, True), (7_289_654_400_000, False)],
)
def test_a_time_lies_between_1900_and_2200(time_ms: int, readable: bool) -> None:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(one("long")), {"x": time_ms})
    if readable:
        assert read({"type": "long", "logicalType": "timestamp-millis"}, buffer.getvalue()) == time_ms
    else:
        with pytest.raises(UnreadableError, match=r"must lie in the years 1900 to 2200"):
            read({"type": "long", "logicalType": "timestamp-millis"}, buffer.getvalue())


def test_a_type_that_no_feed_has_is_refused_before_anything_is_read() -> None:
    with pytest.raises(TypeError) as caught:
        body_reader("feed.v1", one({"type": "map", "values": "int"}))
    assert str(caught.value) == "type of x of feed.v1 must be one that feeds have (got 'map'): see schemas/feeds.py"


def test_an_unreadable_body_is_a_value_error() -> None:
    assert issubclass(UnreadableError, ValueError)
