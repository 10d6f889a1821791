"""The repo keeps every version of every schema, and says what a change to one would break."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import schemas.versions
from schemas.feeds import FeedError, feed, feed_names
from schemas.versions import FIRST_ID, check, id_of, keep, main, versions

NAME = "river.level.v1"
Field = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the project's schemas, to be changed."""
    pytest.importorskip("avro", reason="avro is not here: `make check` brings what judges versions")
    for name in ("avro", "kept"):
        shutil.copytree(schemas.versions.HERE / name, tmp_path / name)
    return tmp_path


def change(folder: Path, to: Callable[[dict[str, Any]], Any], name: str = NAME) -> None:
    """Changes the current schema of a feed."""
    path = folder / "avro" / f"{name}.avsc"
    schema = json.loads(path.read_text(encoding="utf-8"))
    to(schema)
    path.write_text(json.dumps(schema, ensure_ascii=False), encoding="utf-8")


def fields(schema: dict[str, Any]) -> dict[str, Field]:
    return {each["name"]: each for each in schema["fields"]}


def add(**more: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda schema: schema["fields"].append({"name": "sender", "type": "string", "doc": "Who sent it."} | more)


# --- as it is --------------------------------------------------------------------------------------------------


def test_all_is_kept(folder: Path) -> None:
    assert check(folder) == []
    assert keep(folder) == []


@pytest.mark.parametrize("name", feed_names())
def test_the_current_version_is_among_the_versions_and_the_last(name: str) -> None:
    assert list(versions(name))[-1] == id_of(feed(name).schema)
    assert all(FIRST_ID <= each < 2**31 for each in versions(name))


def test_an_id_is_the_same_wherever_it_is_computed() -> None:
    assert id_of({"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}]}) == 1928831703


@pytest.mark.parametrize(
    "to",
    [
        lambda schema: schema.update(doc="Another word."),
        lambda schema: schema["feed"].update(retention="P30D"),
        lambda schema: fields(schema)["op"].update(default="withdrawn"),
        lambda schema: fields(schema)["level_m"].update(aliases=["height_m"]),
    ],
    ids=["doc", "feed", "default", "alias"],
)
def test_what_only_readers_need_makes_no_version(to: Callable[[dict[str, Any]], Any], folder: Path) -> None:
    change(folder, to)
    assert check(folder) == []


# --- a change --------------------------------------------------------------------------------------------------


def test_a_change_that_is_not_kept_is_told_with_what_to_do(folder: Path) -> None:
    change(folder, add(default=""))
    ours = id_of(json.loads((folder / "avro" / f"{NAME}.avsc").read_text(encoding="utf-8")))
    assert check(folder) == [
        f"schemas/avro/river.level.v1.avsc must be kept before it is used (got version {ours}, "
        "which schemas/kept/river.level.v1.jsonl has not): run python -m schemas.versions keep"
    ]


def test_a_change_that_is_kept_is_good_and_the_version_before_it_stays(folder: Path) -> None:
    before = (folder / "kept" / f"{NAME}.jsonl").read_text(encoding="utf-8")
    change(folder, add(default=""))
    assert keep(folder) == [NAME]
    assert check(folder) == []
    assert (folder / "kept" / f"{NAME}.jsonl").read_text(encoding="utf-8").startswith(before)


def test_a_way_back_is_no_new_version(folder: Path) -> None:
    change(folder, add(default=""))
    keep(folder)
    change(folder, lambda schema: schema["fields"].pop())
    assert keep(folder) == []
    assert check(folder) == []


APART = [
    (add(), "sender at /fields/6"),
    (lambda schema: schema["fields"].remove(fields(schema)["region"]), "region at /fields/0"),
    (lambda schema: fields(schema)["gauge_id"].update(name="station_id"), "station_id at /fields/1"),
    (lambda schema: fields(schema)["version"].update(type="int"), "reader type: int not compatible with writer type: long at "),
    (lambda schema: fields(schema)["op"]["type"]["symbols"].append("doubted"), "{'doubted'} at /fields/4/type/symbols"),
    (lambda schema: fields(schema)["op"]["type"]["symbols"].remove("withdrawn"), "{'withdrawn'} at /fields/4/type/symbols"),
    (lambda schema: fields(schema)["region"].update(type=["null", "string"]), "reader type: string not compatible with writer type: null"),
    (lambda schema: fields(schema)["gauge_id"].update(type="bytes"), "/gauge_id is bytes here and a plain value there"),
    (lambda schema: schema.update(name="Height"), "tsunagu.river.Level at /name"),
    (lambda schema: fields(schema)["observed_at"].update(type="long"), "/observed_at is a plain value here and timestamp-millis there"),
    (
        lambda schema: fields(schema)["observed_at"]["type"].update(logicalType="timestamp-micros"),
        "/observed_at is timestamp-micros here and timestamp-millis there",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("to", "text"),
    APART,
    ids=["new", "gone", "renamed", "narrower", "more symbols", "fewer symbols", "null", "bytes", "record", "no time", "microseconds"],
)
def test_a_change_that_somebody_could_not_read_is_refused(to: Callable[[dict[str, Any]], Any], text: str, folder: Path) -> None:
    change(folder, to)
    assert keep(folder) == []
    told = [each for each in check(folder) if each.startswith("versions of river.level.v1 must read each other (got ")]
    assert any(text in each for each in told), told
    assert all(each.endswith("): give what is new or gone a default, or make it a feed of its own with the next number") for each in told)


def test_who_cannot_read_what_is_told_in_full(folder: Path) -> None:
    change(folder, add())
    assert check(folder)[1:] == [
        "versions of river.level.v1 must read each other "
        "(got schemas/avro/river.level.v1.avsc, which cannot read line 1 of schemas/kept/river.level.v1.jsonl: sender at /fields/6): "
        "give what is new or gone a default, or make it a feed of its own with the next number"
    ]


def test_a_version_is_held_against_all_before_it_and_not_only_the_last(folder: Path) -> None:
    """An int that became nothing and came back as a string suits its neighbour and not the first."""
    change(folder, add(type="int", default=0))
    keep(folder)
    change(folder, lambda schema: schema["fields"].pop())
    change(folder, add(default=""))
    assert any("cannot read line 2 of schemas/kept/river.level.v1.jsonl: " in each for each in check(folder))
    assert not any("line 1 " in each for each in check(folder))


def test_more_symbols_are_good_where_old_readers_have_one_to_fall_back_on(folder: Path) -> None:
    change(folder, lambda schema: fields(schema)["op"]["type"].update(default="stated"))
    (folder / "kept" / f"{NAME}.jsonl").unlink()
    keep(folder)
    change(folder, lambda schema: fields(schema)["op"]["type"]["symbols"].append("doubted"))
    assert keep(folder) == [NAME]
    assert check(folder) == []


# --- the files -------------------------------------------------------------------------------------------------


def test_a_kept_version_that_was_edited_is_found(folder: Path) -> None:
    path = folder / "kept" / f"{NAME}.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace('"level_m"', '"height_m"'), encoding="utf-8")
    ours = id_of(feed(NAME).schema)
    theirs = id_of(json.loads(path.read_text(encoding="utf-8"))["schema"])
    assert check(folder)[0] == (
        f"line 1 of schemas/kept/river.level.v1.jsonl must be as it was kept (got a schema of id {theirs} under id {ours}): "
        "restore it, and change the schema in schemas/avro"
    )


@pytest.mark.parametrize("line", ["{", "[1]", '{"id": 1}', '{"id": 1, "schema": "string"}'])
def test_a_line_that_is_no_version_is_named(line: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "kept" / f"{NAME}.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    text = f"line 2 of schemas/kept/river.level.v1.jsonl must be an object with id and schema (got {line!r}): restore it"
    with pytest.raises(FeedError) as caught:
        check(folder)
    assert str(caught.value) == text
    assert main(["check", "--folder", str(folder)]) == 1
    assert capsys.readouterr().err == f"schemas: {text}\n"


def test_two_feeds_with_records_of_one_name_and_form_are_refused(folder: Path) -> None:
    shutil.copy(folder / "avro" / "clock.v1.avsc", folder / "avro" / "tick.v1.avsc")
    keep(folder)
    ours = id_of(feed("clock.v1").schema)
    assert check(folder) == [f"id of schemas/avro/tick.v1.avsc must be its own (got {ours}, which is one of clock.v1): rename its record"]


def test_versions_of_a_feed_that_is_gone_are_found(folder: Path) -> None:
    (folder / "avro" / "clock.v1.avsc").unlink()
    assert check(folder) == ["schemas/kept/clock.v1.jsonl must belong to a feed (got no schemas/avro/clock.v1.avsc): restore it"]


# --- the command -----------------------------------------------------------------------------------------------


def test_the_command_checks_and_keeps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--folder", str(folder)]) == 0
    change(folder, add(default=""))
    assert main(["check", "--folder", str(folder)]) == 1
    assert capsys.readouterr().err.startswith("schemas: schemas/avro/river.level.v1.avsc must be kept before it is used (got version ")
    assert main(["keep", "--folder", str(folder)]) == 0
    assert capsys.readouterr().out == "kept: river.level.v1\n"
    assert main(["check", "--folder", str(folder)]) == 0


def test_make_check_runs_it() -> None:
    makefile = (schemas.versions.HERE.parent / "Makefile").read_text(encoding="utf-8")
    assert "-m schemas.versions check || status=1" in makefile
