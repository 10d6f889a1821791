"""What is officially said, beside ours: only a release ends it, nothing unknown, old, silent or exercised lowers it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.linkage import AsOf
from pipelines.linkage.reference import Reference
from pipelines.upstream_flood import upstream_flood
from pipelines.upstream_flood.bulletins import STATUS, beside, highest, official, sentence
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


def held(*rows: dict[str, Any], minute: int = 10_000) -> dict[str, Any] | None:
    """What is official at 六角川 at a minute, as the linkage finds it in its references."""
    tables = {}
    for name in ("bulletins", "understood"):
        declared = upstream_flood.given[name]
        assert isinstance(declared, AsOf)
        known = Reference(BULLETINS, declared.where)
        known.add(frame(*rows))
        tables[name] = known.table(int((AT + minute * MINUTE).timestamp() * 1000))
    return official(*(tables[name].get((STATUS, "890904000100")) for name in ("bulletins", "understood")))


def standing(*rows: dict[str, Any], minute: int = 10_000) -> list[tuple[Any, ...]]:
    found = held(*rows, minute=minute)
    return [] if found is None else [(found["standing"], found["level"])]


def test_the_newest_bulletin_holds_however_old_it_is() -> None:
    assert standing(bulletin(3), bulletin(4, 60)) == [("stands", 4)]
    assert standing(bulletin(4), bulletin(2, 60)) == [("stands", 2)]
    assert standing(bulletin(3), minute=60 * 24 * 365) == [("stands", 3)]


def test_only_a_release_ends_it() -> None:
    assert standing(bulletin(3), bulletin(None, 60)) == [("released", None)]
    assert standing(bulletin(3), bulletin(2, 60, code="22", name="氾濫注意情報（警戒情報解除）")) == [("stands", 2)]
    assert standing(bulletin(3), unknown(60)) == [("unknown", 3)]
    assert standing(bulletin(3), unknown(60), unknown(70)) == [("unknown", 3)]
    assert standing(bulletin(3), bulletin(None, 60), unknown(70)) == [("unknown", None)]


def test_what_is_withdrawn_gives_way_to_the_one_before() -> None:
    assert standing(bulletin(4), bulletin(None, 60), bulletin(None, 60, version=2, op="withdrawn")) == [("stands", 4)]
    assert standing(bulletin(4), bulletin(4, version=2, op="withdrawn")) == []


def test_what_is_corrected_to_be_unknown_is_not_understood_any_more() -> None:
    wrong = bulletin(5, 60), unknown(60, version=2)
    assert standing(bulletin(3), *wrong) == [("unknown", 3)]
    assert standing(bulletin(3), *wrong, bulletin(4, 60, version=3)) == [("stands", 4)]


def test_a_bulletin_counts_from_when_it_was_published_and_late_ones_from_three_hours_before_they_came() -> None:
    rows = bulletin(3), bulletin(4, 60, arrived=AT + 235 * MINUTE), bulletin(None, 90, arrived=AT + 400 * MINUTE)
    assert [standing(*rows, minute=at) for at in (-1, 0, 59, 60, 219, 220)] == [
        [], [("stands", 3)], [("stands", 3)], [("stands", 4)], [("stands", 4)], [("released", None)],
    ]  # fmt: skip


def test_each_stretch_is_on_its_own_and_drills_are_apart() -> None:
    other = bulletin(None, 50, area_code="8201813100", area="善川")
    for status in ("exercise", "test"):
        drill = bulletin(None, 60, status=status)
        assert standing(bulletin(4), other, drill) == [("stands", 4)]
        assert standing(drill) == []


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
    found = held(*rows)
    shown = highest(ours, found)
    levels = [level for level in (int(ours[1]) if ours else None, found["level"] if found else None) if level is not None]
    assert shown == (max(levels) if levels else None)


@pytest.mark.parametrize(
    ("level", "row", "first_ja", "first_en"),
    [
        ("L2", bulletin(4), "【公式 警戒レベル4相当】", "[Official level 4] "),
        (None, bulletin(2), "【公式 警戒レベル2相当】", "[Official level 2] "),
        ("L2", unknown(0, level=3), "【公式 直前は警戒レベル3相当】", "[Official level 3 before] "),
        ("L4", bulletin(4), "", ""),
        ("L4", bulletin(2), "", ""),
        ("L1", bulletin(None), "", ""),
        (None, unknown(0), "", ""),
    ],
    ids=["higher", "ours ended", "not understood", "equal", "lower", "released", "nothing before"],
)
def test_an_official_level_that_is_higher_is_read_first(level: str | None, row: dict[str, Any], first_ja: str, first_en: str) -> None:
    ja, en = sentence(row)
    assert beside(("こちら", "Ours"), level, row) == (f"{first_ja}こちら。{ja}", f"{first_en}Ours. {en}")


def test_without_a_bulletin_our_sentence_stands_alone() -> None:
    assert beside(("こちら", "Ours"), "L1", None) == ("こちら", "Ours")


@pytest.mark.parametrize(
    ("row", "ja", "en"),
    [
        (bulletin(4), "公式: 六角川 氾濫危険情報（警戒レベル4相当、2021年8月13日15:10発表）",
         "Official, 六角川: level 4, 氾濫危険情報 (2021-08-13 15:10 JST)"),
        (bulletin(None), "公式: 六角川 氾濫注意情報解除（2021年8月13日15:10発表）",
         "Official, 六角川: released, 氾濫注意情報解除 (2021-08-13 15:10 JST)"),
        (unknown(0, level=4), "公式: 六角川 ？コード60は判断できません（解除ではありません。直前は警戒レベル4相当、"
         "2021年8月13日15:10発表）",
         "Official, 六角川: ？ code 60 is not understood (no release, level 4 before it; 2021-08-13 15:10 JST)"),
        (unknown(0), "公式: 六角川 ？コード60は判断できません（解除ではありません、2021年8月13日15:10発表）",
         "Official, 六角川: ？ code 60 is not understood (no release; 2021-08-13 15:10 JST)"),
        (bulletin(4, name=None), "公式: 六角川 コード40（警戒レベル4相当、2021年8月13日15:10発表）",
         "Official, 六角川: level 4, code 40 (2021-08-13 15:10 JST)"),
        (None, "公式: 情報は届いていません（安全を示すものではありません）", "Official: no bulletin is known (this is no all-clear)"),
    ],
    ids=["stands", "released", "unknown after a level", "unknown", "without a name", "none"],
)  # fmt: skip
def test_a_sentence_says_whose_word_it_is_and_when(row: dict[str, Any] | None, ja: str, en: str) -> None:
    assert sentence(row) == (ja, en)
