"""What is officially said, beside ours: only a release ends it, nothing unknown, old, silent or exercised lowers it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.upstream_flood.bulletins import highest, official, sentence
from schemas import feed

BULLETINS = feed("river.flood-bulletin.v1")
AT = datetime(2021, 8, 13, 6, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KINDS = {2: "氾濫注意情報", 3: "氾濫警戒情報", 4: "氾濫危険情報", 5: "氾濫発生情報"}


def bulletin(level: int | None = 3, minute: int = 0, **fields: Any) -> dict[str, Any]:
    """A bulletin of 六角川, published and arrived so many minutes after 15:10 JST; no level: a release."""
    known = {
        "status": "actual", "area_code": "890904000100", "reported_at": AT + minute * MINUTE, "version": 1, "op": "stated",
        "info_type": "issued", "rivers_are": "forecast", "area": "六角川", "standing": "stands" if level else "released", "level": level,
        "code": f"{level}0" if level else "10", "name": KINDS[level] if level else "氾濫注意情報解除", "event_id": "890904000100",
        "title": "六角川", "headline": "", "offices": [], "sent_at": AT + minute * MINUTE, "rivers": [], "prefectures": [],
        "municipalities": [], "stations": [], "arrived": AT + minute * MINUTE, "partition": 0, "offset": minute,
    }  # fmt: skip
    return known | fields


def unknown(minute: int, **fields: Any) -> dict[str, Any]:
    return bulletin(None, minute, standing="unknown", code="60", name="？") | fields


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=BULLETINS.frame_schema)


def standing(*rows: dict[str, Any], minute: int = 10_000) -> list[tuple[Any, ...]]:
    return official(frame(*rows), AT + minute * MINUTE).select("standing", "level").rows()


def test_the_newest_bulletin_holds_however_old_it_is() -> None:
    assert standing(bulletin(3), bulletin(4, 60)) == [("stands", 4)]
    assert standing(bulletin(4), bulletin(2, 60)) == [("stands", 2)]
    assert standing(bulletin(3), minute=60 * 24 * 365) == [("stands", 3)]


def test_only_a_release_ends_it() -> None:
    assert standing(bulletin(3), bulletin(None, 60)) == [("released", None)]
    assert standing(bulletin(3), unknown(60)) == [("unknown", 3)]
    assert standing(bulletin(3), unknown(60), unknown(70)) == [("unknown", 3)]
    assert standing(bulletin(3), bulletin(None, 60), unknown(70)) == [("unknown", None)]


def test_what_is_withdrawn_gives_way_to_the_one_before() -> None:
    assert standing(bulletin(4), bulletin(None, 60), bulletin(None, 60, version=2, op="withdrawn")) == [("stands", 4)]
    assert standing(bulletin(4), bulletin(4, version=2, op="withdrawn")) == []


def test_nothing_counts_before_it_arrived_or_was_published() -> None:
    rows = bulletin(3), bulletin(4, 60, arrived=AT + 65 * MINUTE), bulletin(None, 90, arrived=AT + 80 * MINUTE)
    assert [standing(*rows, minute=at) for at in (-1, 0, 64, 65, 89, 90)] == [
        [], [("stands", 3)], [("stands", 3)], [("stands", 4)], [("stands", 4)], [("released", None)],
    ]  # fmt: skip


def test_each_stretch_is_on_its_own_and_drills_are_apart() -> None:
    other = bulletin(2, area_code="8201813100", area="善川")
    drill = bulletin(None, 60, status="exercise")
    found = official(frame(bulletin(4), other, drill), AT + 99 * MINUTE)
    assert found.select("area_code", "area", "level").rows() == [("8201813100", "善川", 2), ("890904000100", "六角川", 4)]
    assert found.schema == pl.Schema(BULLETINS.frame_schema)
    assert official(frame(bulletin(4), drill), AT + 99 * MINUTE, "exercise")["standing"].to_list() == ["released"]


ROWS = st.lists(
    st.builds(
        lambda level, minute, version, op: (unknown(minute) if level == 0 else bulletin(level, minute)) | {"version": version, "op": op},
        level=st.sampled_from([None, 0, 2, 3, 4, 5]),
        minute=st.integers(0, 6),
        version=st.integers(1, 3),
        op=st.sampled_from(["stated", "stated", "withdrawn"]),
    ),
    max_size=12,
    unique_by=lambda each: (each["reported_at"], each["version"]),
)


@given(rows=ROWS, data=st.data())
def test_any_order_and_any_repetition_say_the_same(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    again = data.draw(st.permutations([*rows, *rows]))
    assert standing(*again) == standing(*rows)


@given(rows=ROWS)
def test_what_is_unknown_never_lowers_a_level(rows: list[dict[str, Any]]) -> None:
    before = standing(*rows)
    assert standing(*rows, unknown(7)) == [("unknown", before[0][1] if before else None)]


@given(rows=ROWS, ours=st.sampled_from([None, "L1", "L2", "L3", "L4"]))
def test_neither_lowers_the_other(rows: list[dict[str, Any]], ours: str | None) -> None:
    held = official(frame(*rows), AT + 99 * MINUTE).rows(named=True)
    shown = highest(ours, held[0] if held else None)
    levels = [level for level in (int(ours[1]) if ours else None, held[0]["level"] if held else None) if level is not None]
    assert shown == (max(levels) if levels else None)


@pytest.mark.parametrize(
    ("row", "ja", "en"),
    [
        (bulletin(4), "公式: 六角川 氾濫危険情報（警戒レベル4相当、8月13日15:10発表）",
         "Official, 六角川: level 4, 氾濫危険情報 (2021-08-13 15:10 JST)"),
        (bulletin(None), "公式: 六角川 氾濫注意情報解除（8月13日15:10発表）",
         "Official, 六角川: released, 氾濫注意情報解除 (2021-08-13 15:10 JST)"),
        (unknown(0, level=4), "公式: 六角川 ？コード60は判断できません（解除ではありません。直前は警戒レベル4相当、8月13日15:10発表）",
         "Official, 六角川: ？ code 60 is not understood (no release, level 4 before it; 2021-08-13 15:10 JST)"),
        (unknown(0), "公式: 六角川 ？コード60は判断できません（解除ではありません、8月13日15:10発表）",
         "Official, 六角川: ？ code 60 is not understood (no release; 2021-08-13 15:10 JST)"),
        (None, "公式: 情報は届いていません（安全を示すものではありません）", "Official: no bulletin is known (this is no all-clear)"),
    ],
    ids=["stands", "released", "unknown after a level", "unknown", "none"],
)  # fmt: skip
def test_a_sentence_says_whose_word_it_is_and_when(row: dict[str, Any] | None, ja: str, en: str) -> None:
    assert sentence(row) == (ja, en)
