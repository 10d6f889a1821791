"""Values are in Confluent's wire format, and each is judged alone whatever its neighbours are."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import fastavro
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.wire import FEW, REPO, WireError, decode, encode
from schemas import FeedError
from schemas.feeds import feed, feed_names
from schemas.versions import id_of
from tests.schemas.test_feeds import value, written

NAME = "river.level.v1"
MANY = FEW * 2
"""So many values of one version that they are read by columns."""


def levels(*levels_m: float | None, region: str = "fukui") -> pl.DataFrame:
    """A reading for each level, ten minutes apart."""
    rows = [
        {
            "region": region,
            "gauge_id": str(number),
            "observed_at": datetime(2024, 5, 28, tzinfo=UTC) + timedelta(minutes=10 * number),
            "version": 1_716_854_400_000 + number,
            "op": "withdrawn" if number % 7 == 3 else "stated",
            "level_m": level_m,
        }
        for number, level_m in enumerate(levels_m)
    ]
    return pl.DataFrame(rows, schema=feed(NAME).columns)


def many(count: int = MANY) -> pl.DataFrame:
    return levels(*(None if number % 5 == 4 else number / 100 for number in range(count)))


# --- the format ------------------------------------------------------------------------------------------------


def test_a_value_is_byte_nought_the_id_and_the_body() -> None:
    (sent,) = encode("clock.v1", pl.DataFrame({"at": [datetime(1970, 1, 1, tzinfo=UTC)]}, schema=feed("clock.v1").columns))
    assert sent == b"\0" + id_of(feed("clock.v1").schema).to_bytes(4, "big") + b"\0"


def test_any_avro_reader_reads_the_body() -> None:
    (sent,) = encode(NAME, levels(0.82))
    assert fastavro.schemaless_reader(io.BytesIO(sent[5:]), fastavro.parse_schema(written(NAME)), None) == levels(0.82).to_dicts()[0]


@pytest.mark.parametrize("count", [0, 1, 2, FEW, FEW + 1, MANY])
@pytest.mark.parametrize("name", feed_names())
def test_what_is_encoded_is_decoded(name: str, count: int) -> None:
    rows = [value(written(name), empty=number % 3 == 1) for number in range(count)]
    frame = pl.DataFrame(rows, schema=feed(name).columns)
    decoded = decode(name, encode(name, frame))
    assert decoded.rows.equals(frame)
    assert decoded.rows.schema == frame.schema
    assert (decoded.at.tolist(), decoded.at.dtype, decoded.bad) == (list(range(count)), np.dtype(np.int64), [])


@given(
    st.lists(
        st.builds(
            dict,
            region=st.text(max_size=3),
            gauge_id=st.text(max_size=70),
            observed_at=st.datetimes(datetime(1900, 1, 1), datetime(2200, 12, 31), timezones=st.just(UTC)),
            version=st.integers(-(2**63), 2**63 - 1),
            op=st.sampled_from(["stated", "withdrawn"]),
            level_m=st.none() | st.floats(),
        ),
        max_size=20,
    )
)
def test_any_row_survives_by_columns_as_it_does_alone(rows: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(rows, schema=feed(NAME).columns)
    values = encode(NAME, frame)
    assert decode(NAME, values).rows.equals(frame)
    assert decode(NAME, values + encode(NAME, many())).rows.equals(pl.concat([frame, many()]))


def test_columns_beside_the_fields_are_not_sent() -> None:
    frame = levels(0.5).with_columns(arrived=pl.col("observed_at"), partition=pl.lit(0, pl.Int32), offset=pl.lit(7, pl.Int64))
    assert encode(NAME, frame) == encode(NAME, levels(0.5))


# --- what cannot be read ---------------------------------------------------------------------------------------

GOOD = encode(NAME, levels(0.5))[0]
HEAD, BODY = GOOD[:5], GOOD[5:]
BAD = [
    (None, "value of river.level.v1 must be a record (got null): to withdraw one, send it with op withdrawn"),
    (
        b"",
        "value of river.level.v1 must begin with byte 0 and a schema id of 4 bytes (got b''): write Confluent's wire format",
    ),
    (
        b"\0\0\1",
        r"value of river.level.v1 must begin with byte 0 and a schema id of 4 bytes (got b'\x00\x00\x01'): write Confluent's wire format",
    ),
    (
        b'{"region": "fukui"}',
        "value of river.level.v1 must begin with byte 0 and a schema id of 4 bytes (got b'{\"reg'): write Confluent's wire format",
    ),
    (
        b"\0\0\0\0\7" + BODY,
        "schema id must be one of river.level.v1 (got 7, which nobody knows): see schemas/kept/river.level.v1.jsonl",
    ),
    (
        b"\0" + REPO.write("clock.v1").to_bytes(4, "big") + BODY,
        f"schema id must be one of river.level.v1 (got {REPO.write('clock.v1')}, one of clock.v1): see schemas/kept/river.level.v1.jsonl",
    ),
    (HEAD, "length of region of river.level.v1 must end within 10 bytes (got b''): send it whole"),
    (GOOD[:-1], "level_m of river.level.v1 must be 8 bytes (got 7): send it whole"),
    (GOOD + b"\0", "value of river.level.v1 must end with its last field (got 1 bytes more): write one record in one value"),
    (GOOD.replace(b"fukui", b"\xff\xff\xff\xff\xff"), None),
]  # fmt: skip


@pytest.mark.parametrize("neighbours", [0, 1, MANY], ids=["alone", "between two", "among many"])
@pytest.mark.parametrize(("bad", "text"), BAD)
def test_a_bad_value_is_named_with_its_reason_and_its_neighbours_pass(bad: bytes | None, text: str | None, neighbours: int) -> None:
    frame = many(neighbours)
    good = encode(NAME, frame)
    decoded = decode(NAME, [*good, bad, *good])
    text = text or r"region of river.level.v1 must be UTF-8 (got b'\xff\xff\xff\xff\xff'): write it as text"
    assert decoded.bad == [(neighbours, text)]
    assert decoded.rows.equals(pl.concat([frame, frame]))
    assert decoded.at.tolist() == [each for each in range(2 * neighbours + 1) if each != neighbours]


@pytest.mark.parametrize("neighbours", [0, MANY], ids=["two alone", "among many"])
def test_bytes_that_slipped_over_the_border_between_two_values_make_both_bad(neighbours: int) -> None:
    one, other = encode(NAME, levels(0.5, 0.6))
    frame = many(neighbours)
    decoded = decode(NAME, [*encode(NAME, frame), one[:-8], HEAD + one[-8:] + other[5:]])
    assert [index for index, _ in decoded.bad] == [neighbours, neighbours + 1]
    assert decoded.rows.equals(frame)


@pytest.mark.parametrize("year", [1, 1899, 2201, 9999])
def test_a_time_that_nobody_meant_is_bad(year: int) -> None:
    frame = many().with_columns(observed_at=pl.lit(datetime(year, 6, 1, tzinfo=UTC), pl.Datetime("ms", "UTC")))
    decoded = decode(NAME, encode(NAME, frame))
    assert (decoded.rows.height, len(decoded.bad)) == (0, MANY)
    assert decoded.bad[0][1].startswith("observed_at of river.level.v1 must lie in the years 1900 to 2200 (got ")


def test_numbers_that_are_none_pass_here() -> None:
    frame = pl.concat([levels(float("nan"), float("inf"), -0.0, 5e-324), many()])
    assert decode(NAME, encode(NAME, frame)).rows.equals(frame)


def test_nothing_at_all_is_no_rows() -> None:
    decoded = decode(NAME, [])
    assert (decoded.rows.schema, decoded.rows.height, decoded.at.tolist(), decoded.bad) == (pl.Schema(feed(NAME).columns), 0, [], [])


def test_a_feed_that_is_not_there_is_refused() -> None:
    with pytest.raises(FeedError, match=r"^feed must be one of .* \(got 'river.depth.v1'\)"):
        decode("river.depth.v1", [GOOD])
    with pytest.raises(FeedError, match=r"^feed must be one of .* \(got 'river.depth.v1'\)"):
        encode("river.depth.v1", levels(0.5))


# --- other versions --------------------------------------------------------------------------------------------


class Known:
    """Ids of a feed that has had other versions."""

    def __init__(self, *schemas: Mapping[str, Any]) -> None:
        self._schemas = {id_of(each): each for each in (feed(NAME).schema, *schemas)}

    def write(self, feed_name: str) -> int:
        return REPO.write(feed_name)

    def schema(self, feed_name: str, schema_id: int) -> Mapping[str, Any] | None:
        return self._schemas.get(schema_id) if feed_name == NAME else None


def changed(**fields: Any) -> dict[str, Any]:
    """The schema of levels with the types of some fields changed, or with further ones, or (None) without them."""
    told = {each["name"]: each for each in written(NAME)["fields"]}
    told |= {name: {"name": name, "type": kind} for name, kind in fields.items()}
    return {**written(NAME), "fields": [each for each in told.values() if each["type"] is not None]}


def sent(schema: Mapping[str, Any], row: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(dict(schema)), dict(row))
    return b"\0" + id_of(schema).to_bytes(4, "big") + buffer.getvalue()


ROW = levels(0.5).to_dicts()[0]


@pytest.mark.parametrize(
    ("schema", "row", "told"),
    [
        (changed(level_m=None), {}, {"level_m": None}),
        (changed(op=None), {}, {"op": "stated"}),
        (changed(sender={"type": "array", "items": "string"}), {"sender": ["a"]}, {}),
        (changed(level_m=["null", "float"]), {}, {}),
        (changed(version="int"), {"version": 5}, {"version": 5}),
        (changed(level_m="double"), {}, {}),
    ],
    ids=["null was not there", "op was not there", "there was more", "it was narrower", "it was an int", "it was never null"],
)
def test_a_value_of_another_version_is_resolved(schema: Mapping[str, Any], row: dict[str, Any], told: dict[str, Any]) -> None:
    old, new = sent(schema, ROW | row), encode(NAME, many())
    decoded = decode(NAME, [old, *new, old], Known(schema))
    ours = pl.DataFrame([ROW | told], schema=feed(NAME).columns)
    assert decoded.rows.equals(pl.concat([ours, many(), ours]))
    assert (decoded.at.tolist(), decoded.bad) == (list(range(MANY + 2)), [])


@pytest.mark.parametrize(
    ("schema", "row", "end", "text"),
    [
        (
            changed(level_m=None), {}, b"\0",
            "value of river.level.v1 must end with its last field (got 1 bytes more): write one record in one value",
        ),
        (
            changed(region="bytes"), {"region": b"\xff"}, b"",
            "value of river.level.v1 must resolve to its current version "
            "(got 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte): write a version of it",
        ),
        (
            changed(level_m={"type": "map", "values": "double"}), {"level_m": {}}, b"",
            "schema of river.level.v1 must be one that feeds have "
            "(got type of level_m of river.level.v1 must be one that feeds have (got 'map'): see schemas/feeds.py): "
            "write a version of the feed",
        ),
    ],
    ids=["bytes are left", "it does not resolve", "a type that no feed has"],
)  # fmt: skip
def test_a_value_of_another_version_that_cannot_be_read_is_bad(
    schema: Mapping[str, Any], row: dict[str, Any], end: bytes, text: str
) -> None:
    decoded = decode(NAME, [GOOD, sent(schema, ROW | row) + end, GOOD], Known(schema))
    assert decoded.bad == [(1, text)]
    assert decoded.at.tolist() == [0, 2]


# --- what cannot be written ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (
            levels(0.5).drop("op", "level_m"),
            "frame of river.level.v1 must have all its columns (got none named op, level_m): see Feed.columns",
        ),
        (
            levels(0.5).with_columns(region=pl.lit(None, pl.String)),
            "rows of river.level.v1 must fit their schema (got must be string on field region): see schemas/avro/river.level.v1.avsc",
        ),
        (
            levels(0.5).with_columns(op=pl.lit("deleted")),
            "rows of river.level.v1 must fit their schema (got 'deleted' is not in list): see schemas/avro/river.level.v1.avsc",
        ),
    ],
)
def test_rows_that_do_not_fit_are_refused(frame: pl.DataFrame, text: str) -> None:
    with pytest.raises(WireError) as caught:
        encode(NAME, frame)
    assert str(caught.value) == text


def test_a_column_of_another_type_is_refused() -> None:
    with pytest.raises(WireError, match=r"^rows of river.level.v1 must fit their schema \(got "):
        encode(NAME, levels(0.5).with_columns(version=pl.lit("first")))
