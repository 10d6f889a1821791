"""JSON lines give back what was written, byte for byte the same for the same rows, and name the line that is bad."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors import jsonl
from connectors.jsonl import JsonLinesError
from schemas.feeds import FeedError, feed, feed_names

Sample = Callable[[str], pl.DataFrame]


def level(**changed: Any) -> dict[str, Any]:
    """A line of ``river.level.v1``, not yet written."""
    return {
        "region": "fukui",
        "gauge_id": "12",
        "observed_at": "2024-05-28T21:00:00+09:00",
        "version": 7,
        "op": "stated",
        "level_m": 0.55,
        "arrived": "2024-05-28T21:10:00+09:00",
        "partition": 0,
        "offset": 7,
    } | changed


def dead(raw: bytes) -> pl.DataFrame:
    arrived = datetime(2024, 5, 28, 12, tzinfo=UTC)
    row = {"feed": "f", "arrived": arrived, "source": "a.csv", "place": 3, "reason": "r", "raw": raw, "partition": 0, "offset": 1}
    return pl.DataFrame([row], schema=feed("dead.v1").frame_schema)


def written(path: Path, feed_name: str, *frames: pl.DataFrame) -> str:
    with jsonl.open(path, feed_name) as file:
        for frame in frames:
            file.write(frame)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("feed_name", feed_names())
def test_every_feed_comes_back_exactly(tmp_path: Path, sample: Sample, feed_name: str) -> None:
    frame = sample(feed_name)
    written(tmp_path / "rows.jsonl", feed_name, frame)
    assert jsonl.read(tmp_path / "rows.jsonl", feed_name).equals(frame)


def test_a_row_is_a_line_that_people_can_read(tmp_path: Path) -> None:
    line = json.dumps(level(region="福井", level_m=None, observed_at="2024-05-28T21:00:00.120+09:00"), ensure_ascii=False)
    (tmp_path / "in.jsonl").write_text(line + "\n", encoding="utf-8")
    frame = jsonl.read(tmp_path / "in.jsonl", "river.level.v1")
    assert written(tmp_path / "out.jsonl", "river.level.v1", frame) == (
        '{"region": "福井", "gauge_id": "12", "observed_at": "2024-05-28T21:00:00.120+09:00", "version": 7, "op": "stated", '
        '"level_m": null, "arrived": "2024-05-28T21:10:00+09:00", "partition": 0, "offset": 7}\n'
    )


def test_a_basis_stays_a_list_of_positions(tmp_path: Path, sample: Sample) -> None:
    frame = sample("river.flood-notice.v1")
    lines = written(tmp_path / "notices.jsonl", "river.flood-notice.v1", frame).splitlines()
    assert [json.loads(line)["basis"] for line in lines] == frame["basis"].to_list()


def test_the_same_rows_make_the_same_bytes_in_one_piece_or_in_many(tmp_path: Path, sample: Sample) -> None:
    frame = sample("river.flood-notice.v1")
    whole = written(tmp_path / "a.jsonl", "river.flood-notice.v1", frame)
    assert written(tmp_path / "b.jsonl", "river.flood-notice.v1", frame.head(1), frame.clear(), frame.tail(-1)) == whole


def test_columns_may_come_in_any_order_and_with_others(tmp_path: Path, sample: Sample) -> None:
    frame = sample("clock.v1")
    mixed = frame.select(pl.lit("x").alias("note"), *reversed(frame.columns))
    assert written(tmp_path / "a.jsonl", "clock.v1", mixed) == written(tmp_path / "b.jsonl", "clock.v1", frame)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"=======", "======="),
        ("水位".encode(), "水位"),
        (b"", ""),
        (b"\xff\x00", {"base64": "/wA="}),
        (b'{"base64": "AA=="}', '{"base64": "AA=="}'),
    ],
)
def test_bytes_are_text_where_they_are_utf_8(tmp_path: Path, raw: bytes, told: Any) -> None:
    assert json.loads(written(tmp_path / "dead.jsonl", "dead.v1", dead(raw)))["raw"] == told
    assert jsonl.read(tmp_path / "dead.jsonl", "dead.v1").equals(dead(raw))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=20))
def test_any_bytes_come_back(tmp_path: Path, raw: bytes) -> None:
    written(tmp_path / "dead.jsonl", "dead.v1", dead(raw))
    assert jsonl.read(tmp_path / "dead.jsonl", "dead.v1").equals(dead(raw))


# --- whole or not at all -----------------------------------------------------------------------------------------


def test_nothing_written_is_an_empty_file(tmp_path: Path) -> None:
    assert written(tmp_path / "rows.jsonl", "clock.v1") == ""
    assert jsonl.read(tmp_path / "rows.jsonl", "clock.v1").equals(feed("clock.v1").empty())


def test_a_file_takes_its_name_only_when_it_is_closed(tmp_path: Path, sample: Sample) -> None:
    path = tmp_path / "rows.jsonl"
    file = jsonl.open(path, "clock.v1")
    file.write(sample("clock.v1"))
    assert not path.exists()
    file.close()
    file.close()
    assert [each.name for each in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_block_that_fails_leaves_what_stood_there(tmp_path: Path, sample: Sample) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("before", encoding="utf-8")

    def crash() -> None:
        with jsonl.open(path, "clock.v1") as file:
            file.write(sample("clock.v1"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        crash()
    assert {each.name: each.read_text(encoding="utf-8") for each in tmp_path.iterdir()} == {"rows.jsonl": "before"}


# --- what must not be --------------------------------------------------------------------------------------------


def test_a_frame_without_a_column_is_refused(tmp_path: Path, sample: Sample) -> None:
    with pytest.raises(JsonLinesError) as told:
        written(tmp_path / "rows.jsonl", "clock.v1", sample("clock.v1").drop("at", "offset"))
    assert str(told.value) == "frame of clock.v1 must have all its columns (got none named at, offset): see Feed.frame_schema"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_know_is_refused(tmp_path: Path, sample: Sample, number: float) -> None:
    frame = sample("river.level.v1").with_columns(pl.lit(number).alias("level_m"))
    with pytest.raises(JsonLinesError) as told:
        written(tmp_path / "rows.jsonl", "river.level.v1", frame)
    assert str(told.value) == "numbers of river.level.v1 must be finite (got level_m): JSON has no others"
    assert list(tmp_path.iterdir()) == []


def test_a_feed_that_is_unknown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FeedError, match=r"^feed must be one of .* \(got 'river\.levels'\)"):
        jsonl.open(tmp_path / "rows.jsonl", "river.levels")
    assert list(tmp_path.iterdir()) == []


FIELDS = "region, gauge_id, observed_at, version, op, level_m, arrived, partition, offset"
PLACE = "line 2 of levels.jsonl"
BAD: list[tuple[bytes | dict[str, Any], str]] = [
    (b"{", f"{PLACE} must be one JSON object in UTF-8 (got b'{{')"),
    (b"", f"{PLACE} must be one JSON object in UTF-8 (got b'')"),
    (b"\xff", f"{PLACE} must be one JSON object in UTF-8 (got b'\\xff')"),
    (b"[]", f"{PLACE} must be an object (got [])"),
    (b"7", f"{PLACE} must be an object (got 7)"),
    (level(note=1), f"{PLACE} must have the fields {FIELDS} (got other: note)"),
    ({"region": "fukui"}, f"{PLACE} must have the fields {FIELDS} (got other: {', '.join(sorted(FIELDS.split(', ')[1:]))})"),
    (level(region=1), f"{PLACE}, region must be text (got 1)"),
    (level(observed_at="yesterday"), f"{PLACE}, observed_at must be a time in ISO 8601 (got 'yesterday')"),
    (level(observed_at=0), f"{PLACE}, observed_at must be a time in ISO 8601 (got 0)"),
    (level(observed_at="0001-01-01T00:00:00+09:00"), f"{PLACE}, observed_at must be a time in ISO 8601 (got '0001-01-01T00:00:00+09:00')"),
    (
        level(observed_at="2024-05-28T21:00:00"),
        f"{PLACE}, observed_at must be a time with its zone, to the millisecond (got '2024-05-28T21:00:00')",
    ),
    (
        level(observed_at="2024-05-28T21:00:00.000001+09:00"),
        f"{PLACE}, observed_at must be a time with its zone, to the millisecond (got '2024-05-28T21:00:00.000001+09:00')",
    ),
    (level(version=7.0), f"{PLACE}, version must be a whole number of 64 bits (got 7.0)"),
    (level(version=True), f"{PLACE}, version must be a whole number of 64 bits (got True)"),
    (level(version=1 << 63), f"{PLACE}, version must be a whole number of 64 bits (got {1 << 63})"),
    (level(partition=1 << 31), f"{PLACE}, partition must be a whole number of 32 bits (got {1 << 31})"),
    (level(level_m="0.5"), f"{PLACE}, level_m must be a finite number (got '0.5')"),
    (level(level_m=False), f"{PLACE}, level_m must be a finite number (got False)"),
    (level(level_m=10**400), f"{PLACE}, level_m must be a finite number (got {10**400})"),
    (json.dumps(level()).replace("0.55", "1e999").encode(), f"{PLACE}, level_m must be a finite number (got inf)"),
]


@pytest.mark.parametrize(("line", "text"), BAD, ids=range(len(BAD)))
def test_a_bad_line_is_named_with_rule_and_value(tmp_path: Path, line: bytes | dict[str, Any], text: str) -> None:
    lines = [json.dumps(level()).encode(), line if isinstance(line, bytes) else json.dumps(line).encode(), b""]
    (tmp_path / "levels.jsonl").write_bytes(b"\n".join(lines))
    with pytest.raises(JsonLinesError) as told:
        jsonl.read(tmp_path / "levels.jsonl", "river.level.v1")
    assert str(told.value) == text


def test_a_bad_value_deep_in_a_line_is_named_with_its_way(tmp_path: Path, sample: Sample) -> None:
    path = tmp_path / "notices.jsonl"
    lines = written(path, "river.flood-notice.v1", sample("river.flood-notice.v1")).splitlines()
    row = json.loads(lines[2])
    row["because"]["weighed_most"][1]["weight_m"] = "heavy"
    path.write_text("\n".join([*lines[:2], json.dumps(row)]), encoding="utf-8")
    with pytest.raises(JsonLinesError) as told:
        jsonl.read(path, "river.flood-notice.v1")
    assert str(told.value) == "line 3 of notices.jsonl, because, weighed_most, 1, weight_m must be a finite number (got 'heavy')"


@pytest.mark.parametrize("raw", [7, ["AA=="], {}, {"base64": "?"}, {"base64": 7}])
def test_bytes_in_any_other_form_are_refused(tmp_path: Path, raw: Any) -> None:
    path = tmp_path / "dead.jsonl"
    row = json.loads(written(path, "dead.v1", dead(b"x"))) | {"raw": raw}
    path.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(JsonLinesError) as told:
        jsonl.read(path, "dead.v1")
    assert str(told.value) == f'line 1 of dead.jsonl, raw must be text or {{"base64": ...}} (got {raw!r})'
