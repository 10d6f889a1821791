"""Every schema file obeys the rules for feeds, bad ones say which rule they break, and any Avro tool can read them."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import polars as pl
import pytest

import schemas.feeds
from schemas import ENVELOPE, FeedError, feed, feed_names
from schemas.feeds import parse

FOLDER = Path(schemas.feeds.__file__).parent / "avro"
NOON = datetime(2024, 5, 28, 12, tzinfo=UTC)
BARE = ("p_exceed", "score", "rank_share", "latent_rank_share")
"""A probability, accidents a year, shares of cells."""
UNITS = ("_m", "_mm", "_mps", "_deg", "_p", "_s", "_h", "_g")


def written(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((FOLDER / f"{name}.avsc").read_text(encoding="utf-8"))
    return schema


def fields_of(schema: Any) -> list[dict[str, Any]]:
    """All fields of a schema, those of inner records too."""
    if isinstance(schema, list):
        return [each for inner in schema for each in fields_of(inner)]
    if not isinstance(schema, dict):
        return []
    own = schema.get("fields", [])
    return own + [each for field in own for each in fields_of(field["type"])] + fields_of(schema.get("items"))


# --- the rules -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", feed_names())
def test_a_schema_file_is_named_after_its_feed_and_its_version(name: str) -> None:
    assert feed(name).name == name
    assert name.rpartition(".v")[2].isdecimal()


@pytest.mark.parametrize("name", feed_names())
def test_every_feed_and_every_field_says_what_it_is(name: str) -> None:
    schema = written(name)
    assert len(schema["doc"]) > 10
    assert [each["name"] for each in fields_of(schema) if not each.get("doc")] == []


@pytest.mark.parametrize("name", feed_names())
def test_identity_key_time_version_and_place_are_fields(name: str) -> None:
    known = feed(name)
    named = {*known.identity, known.time, *(known.place or ()), *known.envelope, *(each for each in (known.key, known.version) if each)}
    assert named <= known.columns.keys()


@pytest.mark.parametrize("name", feed_names())
def test_times_are_utc_timestamps_and_none_of_them_is_a_bare_number(name: str) -> None:
    known = feed(name)
    assert known.columns[known.time] == pl.Datetime("ms", "UTC")


@pytest.mark.parametrize("name", feed_names())
def test_a_number_that_is_measured_bears_its_unit(name: str) -> None:
    measured = [
        each["name"] for each in written(name)["fields"]
        if "double" in (each["type"] if isinstance(each["type"], list) else [each["type"]]) and each["name"] not in BARE
    ]  # fmt: skip
    assert [each for each in measured if not each.endswith(UNITS)] == []


@pytest.mark.parametrize("name", feed_names())
def test_a_place_is_latitude_before_longitude(name: str) -> None:
    assert feed(name).place in (None, ("lat_deg", "lon_deg"))


@pytest.mark.parametrize("name", [each for each in feed_names() if feed(each).version == "version"])
def test_what_can_be_corrected_can_be_withdrawn(name: str) -> None:
    (op,) = [each["type"] for each in written(name)["fields"] if each["name"] == "op"]
    assert op["symbols"] == ["stated", "withdrawn"]


@pytest.mark.parametrize("name", feed_names())
def test_patience_is_never_longer_than_retention(name: str) -> None:
    known = feed(name)
    assert timedelta(0) <= known.patience
    assert known.retention is None or known.patience < known.retention


@pytest.mark.parametrize("name", feed_names())
def test_a_frame_holds_the_fields_in_order_and_then_where_they_lie(name: str) -> None:
    known = feed(name)
    fields = [each["name"] for each in written(name)["fields"]]
    assert list(known.columns) == fields
    assert list(known.frame_schema) == [*fields, *(each for each in ENVELOPE if each not in fields)]
    assert known.empty().schema == pl.Schema(known.frame_schema)


def test_the_level_feed_in_full() -> None:
    level = feed("river.level.v1")
    assert (level.identity, level.key, level.time, level.version) == (
        ("region", "gauge_id", "observed_at"),
        "region",
        "observed_at",
        "version",
    )
    assert (level.place, level.patience, level.retention, level.envelope) == (None, timedelta(hours=3), timedelta(days=400), ())
    assert level.columns["level_m"] == pl.Float64()


def test_what_is_said_declares_its_envelope() -> None:
    notice = feed("river.flood-notice.v1")
    assert notice.envelope == ("revision", "instead_of", "basis", "said_at")
    assert (notice.identity, notice.retention) == (("id",), None)


# --- bad ones --------------------------------------------------------------------------------------------------


def level_schema(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    schema = copy.deepcopy(written("river.level.v1"))
    change(schema)
    return schema


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda each: each["feed"].pop("patience"),
            "feed river.level.v1 must declare patience (got ['identity', 'key', 'name', 'place', 'retention', 'time', 'version']): "
            "see docs/concepts.md",
        ),
        (
            lambda each: each.pop("feed"),
            "feed Level must declare identity, key, name, patience, place, retention, time, version (got []): see docs/concepts.md",
        ),
        (
            lambda each: each["feed"].update(time="seen_at"),
            "feed river.level.v1 must name its own fields (got 'seen_at'): "
            "the fields are region, gauge_id, observed_at, version, op, level_m",
        ),
        (
            lambda each: each["feed"].update(place=["lat_deg", "lon_deg"]),
            "feed river.level.v1 must name its own fields (got 'lat_deg'): "
            "the fields are region, gauge_id, observed_at, version, op, level_m",
        ),
        (
            lambda each: each["feed"].update(envelope=["revision"]),
            "feed river.level.v1 must name its own fields (got 'revision'): "
            "the fields are region, gauge_id, observed_at, version, op, level_m",
        ),
        (
            lambda each: each["feed"].update(identity=["region", "gauge_id"]),
            "identity of river.level.v1 must hold its key and its time (got ['region', 'gauge_id']): add 'observed_at'",
        ),
        (
            lambda each: each["feed"].update(identity=["gauge_id", "observed_at"]),
            "identity of river.level.v1 must hold its key and its time (got ['gauge_id', 'observed_at']): add 'region'",
        ),
        (
            lambda each: each["feed"].update(patience="3 hours"),
            "patience and retention of river.level.v1 must be ISO 8601 durations (got '3 hours'): for example PT3H",
        ),
        (
            lambda each: each["feed"].update(patience="PT"),
            "patience and retention of river.level.v1 must be ISO 8601 durations (got 'PT'): for example PT3H",
        ),
        (
            lambda each: each["feed"].update(retention="P1Y"),
            "patience and retention of river.level.v1 must be ISO 8601 durations (got 'P1Y'): for example PT3H",
        ),
        (
            lambda each: each["feed"].update(patience="forever"),
            "patience and retention of river.level.v1 must be ISO 8601 durations (got 'forever'): for example PT3H",
        ),
    ],
)
def test_a_bad_schema_says_which_rule_it_breaks(change: Callable[[dict[str, Any]], Any], text: str) -> None:
    with pytest.raises(FeedError) as caught:
        parse(level_schema(change))
    assert str(caught.value) == text


def test_a_feed_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(FeedError) as caught:
        feed("river.depth.v1")
    assert str(caught.value) == (
        f"feed must be one of {', '.join(feed_names())} (got 'river.depth.v1'): add schemas/avro/river.depth.v1.avsc"
    )


@pytest.mark.parametrize(
    ("text", "span"),
    [("PT3H", timedelta(hours=3)), ("P1DT2H3M4S", timedelta(days=1, hours=2, minutes=3, seconds=4)), ("PT0S", timedelta(0))],
)
def test_durations(text: str, span: timedelta) -> None:
    assert parse(level_schema(lambda each: each["feed"].update(patience=text))).patience == span


def test_an_error_of_a_feed_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"^feed must be one of "):
        feed("")


# --- any Avro tool ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", feed_names())
def test_an_avro_tool_accepts_the_schema(name: str) -> None:
    parsed = fastavro.parse_schema(written(name))
    assert isinstance(parsed, dict)
    assert parsed["name"] == f"{written(name)['namespace']}.{written(name)['name']}"


def value(kind: Any, *, empty: bool) -> Any:
    """A value of an Avro type; ``empty``: null, nothing, nought wherever the type allows it."""
    if isinstance(kind, list):
        return None if empty and "null" in kind else value(next(each for each in kind if each != "null"), empty=empty)
    match kind["type"] if isinstance(kind, dict) else kind:
        case "enum":
            return kind["symbols"][0 if empty else -1]
        case "array":
            return [] if empty else [value(kind["items"], empty=False)] * 2
        case "record":
            return {each["name"]: value(each["type"], empty=empty) for each in kind["fields"]}
        case "long" if isinstance(kind, dict):
            return NOON + timedelta(milliseconds=0 if empty else 7)
        case "string":
            return "" if empty else "朝谷"
        case "boolean":
            return not empty
        case "bytes":
            return b"" if empty else b"\xff\x00"
        case "float":
            return 0.0 if empty else 0.25
        case "double":
            return 0.0 if empty else 553.05
        case "int" | "long":
            return 0 if empty else 2**31 - 1
    raise AssertionError(f"no value for {kind!r}")


@pytest.mark.parametrize("empty", [False, True], ids=["full", "empty"])
@pytest.mark.parametrize("name", feed_names())
def test_a_row_of_every_feed_survives_the_way_through_avro_and_back(name: str, empty: bool) -> None:
    schema = written(name)
    row = value(schema, empty=empty)
    frame = pl.DataFrame([row], schema=feed(name).columns)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema), frame.to_dicts()[0])
    buffer.seek(0)
    back = fastavro.schemaless_reader(buffer, fastavro.parse_schema(schema), None)
    assert back == row
    assert pl.DataFrame([back], schema=feed(name).columns).equals(frame)


def test_the_schemas_are_read_without_any_avro_package() -> None:
    source = Path(schemas.feeds.__file__).read_text(encoding="utf-8")
    assert "avro" in source
    assert not any(
        line.lstrip().startswith(("import fastavro", "from fastavro", "import avro", "from avro")) for line in source.splitlines()
    )
