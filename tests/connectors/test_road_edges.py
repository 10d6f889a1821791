"""What the edges of the road give survives every way that records take: archive, wire and JSON lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from connectors import archive, honhyo, jsonl, probe, simra, wire
from connectors.source import Source
from pipelines.latent_accident_spots.braking import near_misses
from schemas.feeds import feed
from tests.connectors.honhyo_fixture import accidents, encoded

DATA = Path(__file__).parents[2] / "data"


def police(folder: Path) -> Source:
    (folder / "honhyo_2021.csv").write_bytes(encoded(accidents(2021)) + b"1,52\r\n")
    return honhyo.open(folder)


SOURCES: dict[str, Callable[[Path], Source]] = {
    "honhyo": police,
    "simra": lambda _: simra.open(DATA / "simra"),
    "probe": lambda _: probe.open(DATA / "probe", near_misses),
}
FEEDS = [
    ("honhyo", "road.accident.v1", 912),
    ("honhyo", "road.accident-year.v1", 1),
    ("honhyo", "dead.v1", 1),
    ("simra", "road.near-miss.v1", 1955),
    ("probe", "road.near-miss.v1", 11),
    ("probe", "road.passes.v1", 472),
]


@pytest.fixture
def given(tmp_path: Path) -> Callable[[str, str], pl.DataFrame]:
    def read(kind: str, name: str) -> pl.DataFrame:
        folder = tmp_path / "given"
        folder.mkdir()
        return pl.concat(chunk[name] for chunk in SOURCES[kind](folder).read())

    return read


@pytest.mark.parametrize(("kind", "name", "rows"), FEEDS)
def test_an_archive_gives_back_what_a_source_gave(
    given: Callable[[str, str], pl.DataFrame], tmp_path: Path, kind: str, name: str, rows: int
) -> None:
    frame = given(kind, name)
    assert frame.height == rows
    archive.open(tmp_path / "kept").write(name, frame)
    assert pl.concat(chunk[name] for chunk in archive.open(tmp_path / "kept").read()).equals(frame)


@pytest.mark.parametrize(("kind", "name", "rows"), FEEDS)
def test_lines_of_json_give_back_what_a_source_gave(
    given: Callable[[str, str], pl.DataFrame], tmp_path: Path, kind: str, name: str, rows: int
) -> None:
    frame = given(kind, name)
    with jsonl.open(tmp_path / "lines.jsonl", name) as lines:
        lines.write(frame)
    back = jsonl.read(tmp_path / "lines.jsonl", name)
    assert back.height == rows
    assert back.equals(frame)


@pytest.mark.parametrize(("kind", "name", "rows"), FEEDS)
def test_the_wire_gives_back_what_a_source_gave(given: Callable[[str, str], pl.DataFrame], kind: str, name: str, rows: int) -> None:
    fields = given(kind, name).select(*feed(name).columns)
    back = wire.decode(name, wire.encode(name, fields))
    assert (back.rows.height, back.bad) == (rows, [])
    assert back.rows.select(*feed(name).columns).equals(fields)


@pytest.mark.parametrize("name", ["road.near-miss.v1", "road.passes.v1"])
def test_offsets_grow_with_arrival_and_no_two_records_are_one(given: Callable[[str, str], pl.DataFrame], name: str) -> None:
    frame = given("probe", name)
    assert frame["arrived"].is_sorted()
    assert frame["offset"].is_sorted()
    assert frame["offset"].is_unique().all()
    assert frame.select(*feed(name).identity).is_unique().all()
