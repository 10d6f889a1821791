"""The archive gives back what was put in, once and in order, and names the file that it cannot read."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import fastavro
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors import archive
from connectors.archive import ArchiveError
from schemas.feeds import feed, feed_names

Sample = Callable[[str], pl.DataFrame]
PART = "river.level.v1/2024-05-28/part-000000.avro"


def levels(*offsets: int, day: int = 28, hour: int = 12, partition: int = 0, level_m: float | None = 0.5) -> pl.DataFrame:
    """A reading for each offset, arrived that many minutes after the hour (UTC)."""
    rows = [
        {
            "region": "fukui",
            "gauge_id": "12",
            "observed_at": datetime(2024, 5, day, hour, tzinfo=UTC),
            "version": offset,
            "op": "stated",
            "level_m": level_m,
            "arrived": datetime(2024, 5, day, hour, tzinfo=UTC) + timedelta(minutes=offset),
            "partition": partition,
            "offset": offset,
        }
        for offset in offsets
    ]
    return pl.DataFrame(rows, schema=feed("river.level.v1").frame_schema)


def read(path: Path, since: datetime | None = None, until: datetime | None = None) -> dict[str, pl.DataFrame]:
    chunks = list(archive.open(path).read(since, until))
    names = {name for chunk in chunks for name in chunk}
    return {name: pl.concat([chunk[name] for chunk in chunks if name in chunk]) for name in sorted(names)}


@pytest.mark.parametrize("feed_name", feed_names())
def test_every_feed_comes_back_exactly(tmp_path: Path, sample: Sample, feed_name: str) -> None:
    frame = sample(feed_name)
    archive.open(tmp_path).write(feed_name, frame)
    assert list(read(tmp_path)) == [feed_name]
    assert read(tmp_path)[feed_name].equals(frame)


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_either_codec_comes_back(tmp_path: Path, codec: Any) -> None:
    opened = archive.open(tmp_path, archive.ArchiveSettings(path=tmp_path, codec=codec))
    opened.write("river.level.v1", levels(1, 2))
    assert read(tmp_path)["river.level.v1"].equals(levels(1, 2))


def test_any_avro_tool_can_read_a_part(tmp_path: Path) -> None:
    archive.open(tmp_path).write("river.level.v1", levels(1, level_m=None))
    with (tmp_path / PART).open("rb") as file:
        assert list(fastavro.reader(file)) == levels(1, level_m=None).to_dicts()


def test_a_part_lies_in_the_folder_of_its_feed_and_utc_day(tmp_path: Path) -> None:
    frame = pl.concat([levels(1, hour=14), levels(61, hour=14, day=28), levels(1, day=29, hour=0)])
    opened = archive.open(tmp_path)
    opened.write("river.level.v1", frame)
    opened.write("river.level.v1", levels(9))
    opened.close()
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == [
        "river.level.v1/2024-05-28/part-000000.avro",
        "river.level.v1/2024-05-28/part-000001.avro",
        "river.level.v1/2024-05-29/part-000000.avro",
    ]


def test_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        archive.open(tmp_path / name).write("river.level.v1", levels(1, 2))
    assert (tmp_path / "a" / PART).read_bytes() == (tmp_path / "b" / PART).read_bytes()


def test_rows_written_again_are_read_once(tmp_path: Path) -> None:
    opened = archive.open(tmp_path)
    opened.write("river.level.v1", levels(1, 2, 3))
    opened.write("river.level.v1", levels(2, 3, 4))
    opened.write("river.level.v1", levels(4, 4))
    assert read(tmp_path)["river.level.v1"].equals(levels(1, 2, 3, 4))


def test_the_same_offset_in_another_partition_is_another_row(tmp_path: Path) -> None:
    opened = archive.open(tmp_path)
    opened.write("river.level.v1", pl.concat([levels(1, partition=1), levels(1, partition=0)]))
    assert read(tmp_path)["river.level.v1"]["partition"].to_list() == [0, 1]


def test_feeds_are_merged_by_day_in_order_of_name(tmp_path: Path) -> None:
    opened = archive.open(tmp_path)
    opened.write("river.level.v1", pl.concat([levels(2, day=29), levels(1, day=28)]))
    opened.write("clock.v1", levels(5, day=28).select(pl.col("arrived").alias("at"), "arrived", "partition", "offset"))
    assert [list(chunk) for chunk in opened.read()] == [["clock.v1", "river.level.v1"], ["river.level.v1"]]
    assert [chunk["river.level.v1"]["arrived"].dt.day().to_list() for chunk in opened.read()] == [[28], [29]]


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(12)), cut=st.integers(0, 12), since=st.integers(-10, 80), until=st.integers(-10, 80))
def test_neither_order_nor_parts_change_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], cut: int, since: int, until: int
) -> None:
    path = tmp_path_factory.mktemp("archive")
    offsets = [each * 6 for each in order]
    for part in (offsets[:cut], offsets[cut:], offsets[:3]):
        archive.open(path).write("river.level.v1", levels(*part, hour=23))
    begin = datetime(2024, 5, 28, 23, tzinfo=UTC)
    got = read(path, begin + timedelta(minutes=since), begin + timedelta(minutes=until))
    whole = levels(*(each for each in sorted(offsets) if since <= each < until), hour=23)
    assert got.get("river.level.v1", whole.clear()).equals(whole)


def test_an_archive_without_anything_gives_nothing(tmp_path: Path) -> None:
    assert list(archive.open(tmp_path / "not yet").read()) == []
    archive.open(tmp_path).write("river.level.v1", levels())
    assert list(archive.open(tmp_path).read()) == []


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    frame = levels(1).with_columns(pl.lit("guessed").alias("op"))
    with pytest.raises(
        ArchiveError, match=r"^rows of river\.level\.v1 must fit their schema \(got .*\): see schemas/avro/river\.level\.v1\.avsc$"
    ):
        archive.open(tmp_path).write("river.level.v1", frame)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_writer_left_unfinished_is_not_read(tmp_path: Path) -> None:
    archive.open(tmp_path).write("river.level.v1", levels(1))
    (tmp_path / PART).with_name(".part-000001.avro.77").write_bytes(b"Obj")
    assert read(tmp_path)["river.level.v1"].height == 1


# --- what must not be --------------------------------------------------------------------------------------------


def fails(path: Path, **span: datetime) -> str:
    with pytest.raises(ArchiveError) as told:
        list(archive.open(path).read(**span))
    return str(told.value)


def test_a_frame_without_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError) as told:
        archive.open(tmp_path).write("river.level.v1", levels(1).drop("offset", "op"))
    assert str(told.value) == "frame of river.level.v1 must have all its columns (got none named op, offset): see Feed.frame_schema"


def test_a_null_where_none_may_be_is_refused(tmp_path: Path) -> None:
    frame = levels(1).with_columns(pl.lit(None, pl.String).alias("region"))
    with pytest.raises(ArchiveError, match=r"^rows of river\.level\.v1 must fit their schema"):
        archive.open(tmp_path).write("river.level.v1", frame)


def test_a_row_without_arrival_is_refused(tmp_path: Path) -> None:
    frame = levels(1).with_columns(pl.lit(None, pl.Datetime("ms", "UTC")).alias("arrived"))
    with pytest.raises(ArchiveError) as told:
        archive.open(tmp_path).write("river.level.v1", frame)
    assert str(told.value) == "rows of river.level.v1 must have arrived (got null): stamp them where they enter"


def test_every_cut_of_a_file_is_named(tmp_path: Path) -> None:
    archive.open(tmp_path).write("river.level.v1", levels(*range(1000)))
    path, data = tmp_path / PART, (tmp_path / PART).read_bytes()
    for size in [*range(0, len(data), 997), len(data) - 1]:
        path.write_bytes(data[:size])
        assert fails(tmp_path) in {
            f"file {PART} must be an Avro object container (got {data[:size][:8]!r}): write it again",
            f"file {PART} must be a whole Avro file (got {size} bytes that break off or make no sense): write it again",
            f"file {PART} must hold 1000 records (got 0): write it again",
        }


def test_a_file_cut_between_blocks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_BLOCK_BYTES", 100)
    archive.open(tmp_path).write("river.level.v1", levels(*range(50)))
    path = tmp_path / PART
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(data[-16:], 0, -16) + 16])
    assert fails(tmp_path).startswith(f"file {PART} must hold 50 records (got ")


@pytest.mark.parametrize("held", [b"", b"Obj", b"gauge,level\n12,0.5\n", b"\x00" * 4096])
def test_what_is_no_avro_file_is_named(tmp_path: Path, held: bytes) -> None:
    path = tmp_path / PART
    path.parent.mkdir(parents=True)
    path.write_bytes(held)
    assert fails(tmp_path) == f"file {PART} must be an Avro object container (got {held[:8]!r}): write it again"


def written(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], codec: str = "null") -> None:
    """A part as another program would write it: by a schema of its own."""
    archive.open(path).write("river.level.v1", levels(1))
    with (path / PART).open("rb") as file:
        reader = fastavro.reader(file)
        schema, rows = change(dict(cast("dict[str, Any]", reader.writer_schema))), cast("list[dict[str, Any]]", list(reader))
    names = [each["name"] for each in schema["fields"]]
    file_ = io.BytesIO()
    fastavro.writer(file_, schema, [{name: row.get(name, "") for name in names} for row in rows], codec=codec)
    (path / PART).write_bytes(file_.getvalue())


def test_records_of_another_feed_are_named(tmp_path: Path) -> None:
    written(tmp_path, lambda schema: {**schema, "name": "tsunagu.road.Traffic"})
    assert fails(tmp_path) == f"file {PART} must hold records of river.level.v1 (got 'tsunagu.road.Traffic'): move it away"


def test_records_without_a_field_are_named(tmp_path: Path) -> None:
    written(tmp_path, lambda schema: {**schema, "fields": [each for each in schema["fields"] if each["name"] != "gauge_id"]})
    assert fails(tmp_path).startswith(f"file {PART} must hold the fields of river.level.v1 (got others: ")


def test_a_field_that_came_later_takes_its_default(tmp_path: Path) -> None:
    written(tmp_path, lambda schema: {**schema, "fields": [each for each in schema["fields"] if each["name"] not in {"level_m", "op"}]})
    assert read(tmp_path)["river.level.v1"].equals(levels(1, level_m=None))


def test_a_field_that_was_given_up_is_left_out(tmp_path: Path) -> None:
    written(tmp_path, lambda schema: {**schema, "fields": [*schema["fields"], {"name": "note", "type": "string"}]})
    assert read(tmp_path)["river.level.v1"].equals(levels(1))


def test_a_file_in_the_folder_of_another_day_is_named(tmp_path: Path) -> None:
    archive.open(tmp_path).write("river.level.v1", levels(1))
    (tmp_path / "river.level.v1" / "2024-05-28").rename(tmp_path / "river.level.v1" / "2024-05-27")
    place = "river.level.v1/2024-05-27/part-000000.avro"
    assert fails(tmp_path) == f"file {place} must hold arrivals of its day (got 2024-05-28T12:01:00+00:00): move it"


def test_a_folder_of_no_feed_is_named(tmp_path: Path) -> None:
    (tmp_path / "river.levels").mkdir()
    assert fails(tmp_path) == "folder of an archive must be named after a feed (got 'river.levels'): move it away"


def test_a_folder_of_no_day_is_named(tmp_path: Path) -> None:
    (tmp_path / "river.level.v1" / "May").mkdir(parents=True)
    assert fails(tmp_path) == "folder of river.level.v1 must be named after a day (got 'May'): move it away"


def test_a_file_in_place_of_an_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("x", encoding="utf-8")
    with pytest.raises(ArchiveError) as told:
        archive.open(tmp_path / "archive")
    assert str(told.value) == "path of archive must be a folder (got 'archive'): give the folder that holds the feeds"


@pytest.mark.parametrize("name", ["since", "until"])
def test_a_time_without_zone_is_refused(tmp_path: Path, name: str) -> None:
    assert fails(tmp_path, **{name: datetime(2024, 5, 28)}) == (
        f"{name} must have a zone (got datetime.datetime(2024, 5, 28, 0, 0)): for example 2024-05-28T00:00+09:00"
    )


def test_days_outside_the_time_asked_for_are_not_opened(tmp_path: Path) -> None:
    opened = archive.open(tmp_path)
    for day in (27, 28, 29):
        opened.write("river.level.v1", levels(1, day=day))
    for day in (27, 29):
        (tmp_path / "river.level.v1" / str(date(2024, 5, day)) / "part-000000.avro").write_bytes(b"damaged")
    assert read(tmp_path, datetime(2024, 5, 28, tzinfo=UTC), datetime(2024, 5, 29, tzinfo=UTC))["river.level.v1"].height == 1
