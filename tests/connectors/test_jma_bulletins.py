"""Official flood bulletins: every code and name, what is corrected, withdrawn, an exercise, unknown, hostile or cut off.

The samples of the 気象庁 hold none of the last six, so those are tried on edited copies of the one of 六角川.
"""

from __future__ import annotations

import gzip
import re
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import archive, jma_bulletins, jsonl, open_source, wire
from connectors.jma_bulletins import BULLETINS, DEAD, JmaError
from connectors.jma_flood import standing
from connectors.jma_xml import MOST_BYTES
from jobs.cli import main
from pipelines.linkage.reference import Reference
from schemas import feed

SAMPLES = Path(__file__).parents[2] / "data" / "jma-bulletins"
ROKKAKU = (SAMPLES / "16_02_02_220728_VXKOii.xml").read_text(encoding="utf-8")
REPORTED, SENT = datetime(2021, 8, 13, 6, 10, tzinfo=UTC), datetime(2021, 8, 13, 6, 21, 31, tzinfo=UTC)
MINUTE, MILLISECOND = timedelta(minutes=1), timedelta(milliseconds=1)

Frames = dict[str, pl.DataFrame]
Write = Callable[..., Path]


# --- builders ----------------------------------------------------------------------------------------------------


def telegram(
    code: str = "30",
    name: str = "氾濫警戒情報",
    *swaps: tuple[str, str],
    serial: str = "1",
    after: timedelta = timedelta(0),
    sent_after: timedelta | None = None,
    info_type: str = "発表",
    status: str = "通常",
) -> bytes:
    """The sample of 六角川 (published 15:10 JST, sent 15:21:31), published and sent so much later, with its kind and words swapped."""
    sent_after = after if sent_after is None else sent_after
    edits = [
        ("<Name>氾濫警戒情報</Name>", f"<Name>{name}</Name>"),
        ("<Code>30</Code>", f"<Code>{code}</Code>"),
        ("<Serial>1</Serial>", f"<Serial>{serial}</Serial>"),
        ("<ReportDateTime>2021-08-13T15:10:00+09:00", f"<ReportDateTime>{(REPORTED + after).isoformat()}"),
        ("2021-08-13T06:21:31Z", (SENT + sent_after).isoformat()),
        ("<InfoType>発表", f"<InfoType>{info_type}"),
        ("<Status>通常", f"<Status>{status}"),
        *swaps,
    ]
    text = ROKKAKU
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return text.encode()


def cancelled(serial: str = "1", *, after: timedelta = MINUTE, sent_after: timedelta | None = None, status: str = "通常") -> bytes:
    """A 取消: a headline in words, nothing else."""
    text = telegram(serial=serial, after=after, sent_after=sent_after, info_type="取消", status=status).decode()
    text = re.sub(r"<Information .*</Information>", "", text, flags=re.DOTALL)
    return re.sub(r"<Body .*</Body>", '<Body xmlns="http://xml.kishou.go.jp/jmaxml1/body/meteorology1/"/>', text, flags=re.DOTALL).encode()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def build(*telegrams: bytes, **named: bytes) -> Path:
        folder = tmp_path / "telegrams"
        folder.mkdir(exist_ok=True)
        for nth, each in enumerate(telegrams):
            (folder / f"{nth}.xml").write_bytes(each)
        for name, each in named.items():
            (folder / f"{name}.xml").write_bytes(each)
        return folder

    return build


def read(
    path: Path, since: datetime | None = None, until: datetime | None = None, opens: Callable[[Path], Any] = jma_bulletins.open
) -> Frames:
    source = opens(path)
    chunks = list(source.read(since, until))
    source.close()
    return {name: pl.concat([feed(name).empty(), *(chunk[name] for chunk in chunks)]) for name in (BULLETINS, DEAD)}


def told(path: Path, *fields: str) -> list[tuple[Any, ...]]:
    frames = read(path)
    assert frames[DEAD].is_empty(), frames[DEAD]["reason"].to_list()
    return frames[BULLETINS].select(fields).rows()


def holding(bulletins: pl.DataFrame, at: datetime) -> list[tuple[Any, ...]]:
    """What a linkage finds that reads the feed as of an instant."""
    known = Reference(feed(BULLETINS))
    known.add(bulletins)
    table = known.table(int(at.timestamp() * 1000))
    return [(*key, each["standing"], each["level"]) for key, each in table.items()]


# --- samples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sample", "said", "parts"),
    [
        ("16_01_01_220728_VXKOii", ("forecast", "stands", 2, "20", "氾濫注意情報", "○○川上流"), (21, 4)),
        ("16_02_01_220728_VXKOii", ("forecast", "stands", 3, "30", "氾濫警戒情報", "○○川上流"), (21, 4)),
        ("16_02_02_220728_VXKOii", ("forecast", "stands", 3, "30", "氾濫警戒情報", "六角川"), (7, 5)),
        ("16_03_01_220728_VXKOii", ("forecast", "stands", 3, "30", "氾濫警戒情報", "○○川上流"), (21, 4)),
        ("16_04_01_220728_VXKOii", ("forecast", "stands", 5, "53", "氾濫発生情報（氾濫水の予報）", "○○川上流"), (21, 3)),
        ("16_05_01_210630_VXKOii", ("forecast", "stands", 3, "30", "氾濫警戒情報", "○○川上流"), (0, 0)),
        ("16_06_01_220728_VXKOii", ("forecast", "stands", 4, "41", "氾濫危険情報", "○○川上流"), (12, 4)),
        ("16_07_01_220728_VXKOii", ("forecast", "stands", 4, "40", "氾濫危険情報", "○○川上流"), (21, 4)),
        ("91_01_01_241031_VXSUii", ("notified", "stands", 2, "21", "レベル２氾濫注意報", "善川"), (0, 3)),
    ],
)
def test_every_sample_is_read(sample: str, said: tuple[Any, ...], parts: tuple[int, int]) -> None:
    frames = read(SAMPLES / f"{sample}.xml")
    assert frames[DEAD].is_empty()
    (row,) = frames[BULLETINS].rows(named=True)
    assert tuple(row[each] for each in ("rivers_are", "standing", "level", "code", "name", "area")) == said
    assert (len(row["stations"]), len(row["municipalities"])) == parts


def test_a_telegram_is_a_bulletin_with_all_its_fields() -> None:
    frames = read(SAMPLES / "16_02_02_220728_VXKOii.xml")
    assert {name: frame.schema for name, frame in frames.items()} == {name: pl.Schema(feed(name).frame_schema) for name in frames}
    (row,) = frames[BULLETINS].rows(named=True)
    stations, text = row.pop("stations"), row.pop("text")
    assert row == {
        "status": "actual",
        "area_code": "890904000100",
        "reported_at": REPORTED,
        "version": int(SENT.timestamp()) * 1000,
        "op": "stated",
        "info_type": "issued",
        "rivers_are": "forecast",
        "area": "六角川",
        "standing": "stands",
        "level": 3,
        "code": "30",
        "name": "氾濫警戒情報",
        "condition": "洪水警報（発表）",
        "event_id": "890904000100",
        "serial": "1",
        "title": "六角川氾濫警戒情報",
        "headline": "【警戒レベル３相当情報［洪水］】六角川では、今後、氾濫危険水位に到達する見込み",
        "offices": ["武雄河川事務所", "佐賀地方気象台"],
        "sent_at": SENT,
        "target_at": REPORTED,
        "rivers": [{"code": "8909040001", "name": "六角川"}, {"code": "8909040120", "name": "武雄川"}],
        "prefectures": [{"code": "410000", "name": "佐賀県"}],
        "municipalities": [
            {"code": code, "name": name, "districts": None}
            for code, name in (
                ("4120600", "武雄市"), ("4120900", "嬉野市"), ("4142300", "大町町"), ("4142400", "江北町"), ("4142500", "白石町"),
            )
        ],
        "arrived": SENT,
        "partition": 0,
        "offset": 0,
    }  # fmt: skip
    assert text.startswith("【警戒レベル３相当】これは、高齢者等避難の発令の目安です。六角川の潮見橋水位観測所")
    assert stations[:2] == [
        {
            "station_id": "89090400010000021", "station": "潮見橋", "at": datetime(2021, 8, 13, 6, 0, tzinfo=UTC), "is": "observed",
            "level_m": 2.53, "discharge_m3ps": None, "level": 2, "condition": "正常",
        },
        {
            "station_id": "89090400010000021", "station": "潮見橋", "at": datetime(2021, 8, 13, 6, 50, tzinfo=UTC), "is": "forecast",
            "level_m": 3.29, "discharge_m3ps": None, "level": 4, "condition": "正常",
        },
    ]  # fmt: skip
    assert [each["level_m"] for each in stations] == [2.53, 3.29, 3.25, 3.08, 2.85, 2.54, 2.3]


def stations_of(sample: str) -> list[dict[str, Any]]:
    stations: list[dict[str, Any]] = read(SAMPLES / sample)[BULLETINS]["stations"][0].to_list()
    return stations


def test_a_stretch_that_is_judged_by_discharge_has_no_levels() -> None:
    stations = stations_of("16_03_01_220728_VXKOii.xml")
    assert {each["level_m"] for each in stations} == {None}
    assert [each["discharge_m3ps"] for each in stations][:3] == [143.0, 144.8, 145.0]


def test_what_was_not_measured_and_not_computed_is_none() -> None:
    silent = stations_of("16_01_01_220728_VXKOii.xml")[:7]
    assert {(each["level_m"], each["level"], each["condition"]) for each in silent} == {(None, None, "欠測")}
    ahead = stations_of("16_04_01_220728_VXKOii.xml")[7:14]
    assert [(each["is"], each["level_m"], each["level"], each["condition"]) for each in ahead] == [
        ("observed", 46.6, 2, "上昇"),
        *[("forecast", None, None, "未計算")] * 6,
    ]


def test_an_empty_body_leaves_the_headline() -> None:
    (row,) = read(SAMPLES / "16_05_01_210630_VXKOii.xml")[BULLETINS].rows(named=True)
    assert (row["level"], row["text"], row["stations"], row["municipalities"]) == (3, None, [], [])
    assert row["headline"] == "【警戒レベル３相当情報［洪水］】○○川上流では、今後、氾濫危険水位に到達する見込み"


def test_a_part_of_a_municipality_has_its_own_code() -> None:
    (row,) = read(SAMPLES / "91_01_01_241031_VXSUii.xml")[BULLETINS].rows(named=True)
    assert [tuple(each.values()) for each in row["municipalities"]] == [
        ("0442101", "黒川郡大和町", "大和町東部"),
        ("0442102", "黒川郡大和町", "大和町西部"),
        ("0442400", "黒川郡大衡村", None),
    ]


def test_districts_are_told_as_published() -> None:
    (row,) = read(SAMPLES / "16_01_01_220728_VXKOii.xml")[BULLETINS].rows(named=True)
    assert [each["districts"] for each in row["municipalities"]] == [
        "○○地区 ○○地区 ○○地区", "△△地区 △△地区 △△地区", "◇◇地区 ◇◇地区 ◇◇地区", None,
    ]  # fmt: skip


# --- codes and names ---------------------------------------------------------------------------------------------

KINDS = [
    ("10", "氾濫注意情報解除", "released", None),
    ("10", "レベル２氾濫注意報解除", "released", None),
    ("20", "氾濫注意情報", "stands", 2),
    ("21", "氾濫注意情報", "stands", 2),
    ("21", "レベル２氾濫注意報", "stands", 2),
    ("22", "氾濫注意情報（警戒情報解除）", "stands", 2),
    ("22", "レベル２氾濫注意報", "stands", 2),
    ("30", "氾濫警戒情報", "stands", 3),
    ("31", "レベル３氾濫警報", "stands", 3),
    ("40", "氾濫危険情報", "stands", 4),
    ("40", "レベル４氾濫危険警報", "stands", 4),
    ("41", "レベル4氾濫危険警報", "stands", 4),
    ("51", "氾濫発生情報", "stands", 5),
    ("51", "レベル５氾濫特別警報", "stands", 5),
    ("53", "氾濫発生情報（氾濫水の予報）", "stands", 5),
    ("40", "まだ誰も知らない名", "stands", 4),
]
UNKNOWN = [
    ("60", "氾濫危険情報"),
    ("00", "解除"),
    ("1", "氾濫注意情報解除"),
    ("１０", "氾濫注意情報解除"),
    ("010", "氾濫注意情報解除"),
    ("", "氾濫危険情報"),
    ("10", "氾濫危険情報"),
    ("10", "氾濫注意情報（警戒情報解除）"),
    ("10", ""),
    ("22", "氾濫注意情報解除"),
    ("40", "氾濫警戒情報"),
    ("40", "レベル３氾濫警報"),
    ("40", "レベル３氾濫危険警報"),
    ("31", "レベル３氾濫危険警報"),
    ("30", "氾濫警報解除"),
]


@pytest.mark.parametrize(("code", "name", "stands", "level"), KINDS)
def test_a_code_has_its_level_under_old_and_new_names(write: Write, code: str, name: str, stands: str, level: int | None) -> None:
    assert told(write(telegram(code, name)), "standing", "level", "code", "name") == [(stands, level, code, name)]


@pytest.mark.parametrize(("code", "name"), UNKNOWN)
def test_an_unknown_or_contradicted_code_is_unknown_and_somebody_is_told(write: Write, code: str, name: str) -> None:
    frames = read(write(telegram("40", "氾濫危険情報"), telegram(code, name, serial="2", after=MINUTE)))
    assert frames[BULLETINS].select("standing", "level").rows() == [("stands", 4), ("unknown", None)]
    raw = telegram(code, name, serial="2", after=MINUTE)
    assert frames[DEAD].drop("raw").rows(named=True) == [
        {
            "feed": BULLETINS,
            "arrived": SENT + MINUTE,
            "source": "1.xml",
            "place": 1,
            "reason": f"Kind of 六角川 must have one known code that its name agrees with (got {code or None!r}, {name or None!r})",
            "partition": 0,
            "offset": 0,
        }
    ]
    assert frames[DEAD]["raw"].to_list() == [raw]


def test_an_info_type_that_is_not_known_is_no_release_and_no_level(write: Write) -> None:
    frames = read(write(telegram("40", "氾濫危険情報"), telegram("10", "氾濫注意情報解除", serial="2", after=MINUTE, info_type="遅延")))
    assert frames[BULLETINS].select("info_type", "standing", "level", "code").rows() == [
        ("issued", "stands", 4, "40"),
        ("other", "unknown", None, "10"),
    ]
    assert frames[DEAD].select("source", "reason").rows() == [("1.xml", "InfoType must be one of 発表, 訂正, 取消 (got '遅延')")]


@given(
    code=st.one_of(st.none(), st.text(max_size=3), st.integers(0, 999).map("{:02}".format)), name=st.sampled_from([*{k[1] for k in KINDS}])
)
def test_nothing_but_code_ten_is_a_release(code: str | None, name: str) -> None:
    stands, level = standing(code, name)
    assert (stands == "released") == (code == "10" and name.endswith("解除"))
    assert (level is not None) == (stands == "stands")


def test_two_kinds_for_one_stretch_are_none(write: Write) -> None:
    first = re.search(r"<Kind>.*?</Kind>", ROKKAKU, re.DOTALL)
    assert first is not None
    twice = telegram("30", "氾濫警戒情報", (first[0], first[0] + first[0].replace("30", "40").replace("警戒情報", "危険情報")))
    frames = read(write(twice))
    assert frames[BULLETINS].select("standing", "level", "code").rows() == [("unknown", None, "30, 40")]
    assert frames[DEAD]["reason"].to_list() == [
        "Kind of 六角川 must have one known code that its name agrees with (got '30, 40', '氾濫警戒情報')"
    ]


# --- versions ----------------------------------------------------------------------------------------------------


def test_the_newest_bulletin_of_a_stretch_holds(write: Write) -> None:
    kinds = [("30", "氾濫警戒情報"), ("40", "氾濫危険情報"), ("22", "氾濫注意情報（警戒情報解除）"), ("10", "氾濫注意情報解除")]
    bulletins = read(write(*(telegram(*kind, serial=str(nth), after=60 * nth * MINUTE) for nth, kind in enumerate(kinds))))[BULLETINS]
    found = [holding(bulletins, REPORTED + nth * timedelta(hours=1))[0][2:] for nth in range(4)]
    assert found == [("stands", 3), ("stands", 4), ("stands", 2), ("released", None)]


@pytest.mark.parametrize("after", [timedelta(0), 30 * MINUTE], ids=["time of the first", "time of its own"])
def test_a_correction_is_a_version_of_the_bulletin_that_it_corrects(write: Write, after: timedelta) -> None:
    folder = write(
        telegram("30", "氾濫警戒情報"),
        telegram("31", "氾濫警戒情報", serial="2", after=10 * MINUTE),
        telegram("40", "氾濫危険情報", after=after, sent_after=30 * MINUTE, info_type="訂正"),
    )
    rows = told(folder, "reported_at", "info_type", "op", "level", "sent_at")
    assert rows == [
        (REPORTED, "issued", "stated", 3, SENT),
        (REPORTED + 10 * MINUTE, "issued", "stated", 3, SENT + 10 * MINUTE),
        (REPORTED, "corrected", "stated", 4, SENT + 30 * MINUTE),
    ]
    bulletins = read(folder)[BULLETINS]
    assert holding(bulletins, REPORTED) == [("actual", "890904000100", "stands", 4)]
    assert bulletins["version"].to_list() == [int(each.timestamp()) * 1000 for each in bulletins["sent_at"]]


@pytest.mark.parametrize("serial", ["2", ""], ids=["with its number", "without a number"])
def test_a_cancelled_bulletin_gives_way_to_the_one_before_it(write: Write, serial: str) -> None:
    folder = write(
        telegram("30", "氾濫警戒情報"),
        telegram("10", "氾濫注意情報解除", serial="2", after=10 * MINUTE),
        cancelled(serial, after=20 * MINUTE),
    )
    rows = told(folder, "reported_at", "info_type", "op", "standing", "sent_at")
    assert rows[2] == (REPORTED + 10 * MINUTE, "cancelled", "withdrawn", "released", SENT + 20 * MINUTE)
    bulletins = read(folder)[BULLETINS]
    assert holding(bulletins[:2], REPORTED + 15 * MINUTE) == [("actual", "890904000100", "released", None)]
    assert holding(bulletins, REPORTED + 15 * MINUTE) == [("actual", "890904000100", "stands", 3)]


@pytest.mark.parametrize(
    "lone",
    [cancelled("7"), cancelled(after=25 * 60 * MINUTE), cancelled(after=-MINUTE, sent_after=MINUTE)],
    ids=["another number", "a day later", "earlier"],
)
def test_a_cancellation_of_nothing_withdraws_nothing_and_somebody_is_told(write: Write, lone: bytes) -> None:
    frames = read(write(telegram("40", "氾濫危険情報"), lone))
    assert frames[BULLETINS].select("op", "level").rows() == [("stated", 4)]
    assert frames[DEAD].select("source", "reason", "raw").rows() == [
        ("1.xml", "取消 must have a bulletin that it withdraws (got none of its event and number within a day)", lone)
    ]


def test_a_correction_of_what_is_not_there_stands_by_itself(write: Write) -> None:
    old = telegram("30", "氾濫警戒情報")
    correction = telegram("40", "氾濫危険情報", after=400 * 24 * 60 * MINUTE, info_type="訂正")
    frames = read(write(old, correction, cancelled(after=400 * 24 * 60 * MINUTE + MINUTE)))
    assert frames[BULLETINS].select("op", "info_type", "level").rows() == [
        ("stated", "issued", 3),
        ("stated", "corrected", 4),
        ("withdrawn", "cancelled", 4),
    ]
    assert frames[BULLETINS]["reported_at"].to_list() == [REPORTED, *[REPORTED + timedelta(days=400)] * 2]


def test_a_correction_that_names_another_stretch_withdraws_the_first(write: Write) -> None:
    elsewhere = ("<Name>六角川</Name>\n              <Code>890904000100", "<Name>牛津川</Name>\n              <Code>890904000200")
    folder = write(telegram(), telegram("30", "氾濫警戒情報", elsewhere, sent_after=MINUTE, info_type="訂正"))
    assert told(folder, "area_code", "op", "info_type") == [
        ("890904000100", "stated", "issued"),
        ("890904000200", "stated", "corrected"),
        ("890904000100", "withdrawn", "corrected"),
    ]


@pytest.mark.parametrize(
    ("last", "stands"),
    [
        (cancelled("1", after=5 * MINUTE), [("stands", 4)]),
        (cancelled("2", after=timedelta(0), sent_after=5 * MINUTE), [("stands", 3)]),
        (cancelled("2", after=5 * MINUTE), [("stands", 3)]),
        (telegram("22", "氾濫注意情報（警戒情報解除）", sent_after=5 * MINUTE, info_type="訂正"), [("stands", 4)]),
        (telegram("51", "氾濫発生情報", serial="2", after=5 * MINUTE, info_type="訂正"), [("stands", 5)]),
    ],
    ids=["first cancelled", "second cancelled with its time", "second cancelled", "first corrected", "second corrected"],
)
def test_of_two_bulletins_of_one_minute_neither_takes_the_other_with_it(write: Write, last: bytes, stands: list[tuple[Any, ...]]) -> None:
    folder = write(telegram("30", "氾濫警戒情報"), telegram("40", "氾濫危険情報", serial="2", sent_after=MINUTE), last)
    frames = read(folder)
    assert frames[DEAD].is_empty()
    assert [each[2:] for each in holding(frames[BULLETINS], REPORTED + 10 * MINUTE)] == stands


def test_a_correction_that_stands_by_itself_is_not_taken_back_with_another_bulletin_of_its_minute(write: Write) -> None:
    lone = telegram("40", "氾濫危険情報", serial="2", info_type="訂正")
    frames = read(write(lone, telegram("51", "氾濫発生情報", serial="3", sent_after=MINUTE), cancelled("3", after=5 * MINUTE)))
    assert [each[2:] for each in holding(frames[BULLETINS], REPORTED + 10 * MINUTE)] == [("stands", 4)]


def test_file_names_decide_nothing_where_times_and_numbers_do(write: Write, tmp_path: Path) -> None:
    telegrams = [
        telegram("30", "氾濫警戒情報"),
        telegram("40", "氾濫危険情報", sent_after=MINUTE, info_type="訂正"),
        telegram("41", "氾濫危険情報", serial="2", sent_after=MINUTE),
        cancelled(after=timedelta(0), sent_after=MINUTE),
    ]
    forward = read(write(*telegrams))[BULLETINS]
    assert forward["info_type"].to_list() == ["issued", "issued", "corrected", "cancelled"]
    assert forward.select("reported_at", "version").is_unique().all()
    assert forward["reported_at"].unique().to_list() == [REPORTED, REPORTED + MILLISECOND]
    other = tmp_path / "other"
    other.mkdir()
    for nth, each in enumerate(reversed(telegrams)):
        (other / f"{nth}.xml").write_bytes(each)
    assert read(other)[BULLETINS].equals(forward)


def test_of_contradictions_sent_in_one_second_the_higher_level_counts(write: Write) -> None:
    bulletins = read(write(telegram("40", "氾濫危険情報"), telegram("20", "氾濫注意情報")))[BULLETINS]
    assert bulletins["version"].n_unique() == 2
    assert holding(bulletins, REPORTED + MINUTE) == [("actual", "890904000100", "stands", 4)]


def test_the_same_telegram_twice_is_the_same_version_of_the_same_bytes(write: Write) -> None:
    bulletins = read(write(telegram(), telegram().replace(b"\n", b"\r\n")))[BULLETINS]
    first, second = wire.encode(BULLETINS, bulletins.select(*feed(BULLETINS).columns))
    assert first == second


# --- drills ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "ours"), [("訓練", "exercise"), ("試験", "test")])
def test_an_exercise_never_comes_out_of_the_source_of_real_ones(write: Write, status: str, ours: str) -> None:
    real, exercise = telegram("40", "氾濫危険情報"), telegram("10", "氾濫注意情報解除", serial="2", after=MINUTE, status=status)
    folder = write(real, exercise, cancelled(after=2 * MINUTE, status=status))
    frames = read(folder)
    assert frames[BULLETINS].select("status", "level").rows() == [("actual", 4)]
    reason = f"Status must be 通常 (got '{status}'): jma-drills reads it"
    assert frames[DEAD].select("source", "reason", "raw").rows()[0] == ("1.xml", reason, exercise)
    assert frames[DEAD]["reason"].to_list() == [reason, reason]
    apart = read(folder, opens=jma_bulletins.drills)
    assert apart[BULLETINS].select("status", "standing").rows() == [(ours, "released")]
    assert apart[DEAD].select("source", "reason").rows() == [
        ("0.xml", "Status must be 訓練 or 試験 (got '通常'): jma-bulletins reads it"),
        ("2.xml", "取消 must have a bulletin that it withdraws (got none of its event and number within a day)"),
    ]


def test_real_ones_and_exercises_of_one_stretch_and_minute_are_not_one_bulletin(write: Write) -> None:
    folder = write(telegram("40", "氾濫危険情報"), telegram("10", "氾濫注意情報解除", status="訓練", sent_after=MINUTE))
    both = pl.concat([read(folder)[BULLETINS], read(folder, opens=jma_bulletins.drills)[BULLETINS]])
    assert holding(both, REPORTED + MINUTE) == [("actual", "890904000100", "stands", 4), ("exercise", "890904000100", "released", None)]


def test_an_exercise_is_not_published_live(capsys: pytest.CaptureFixture[str], write: Write) -> None:
    assert main(["ingest", f"jma-drills:{write(telegram(status='訓練'))}", "--brokers", "127.0.0.1:1"]) == 3
    assert "source jma-drills must be published to a drill (got the live namespace): name one with --drill" in capsys.readouterr().err


# --- what cannot be read -----------------------------------------------------------------------------------------

BOMB = b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><r>&b;</r>'
OUTSIDE = b'<?xml version="1.0"?>\n<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]><r>&x;</r>'
HOSTILE: list[tuple[str, bytes, int, str]] = [
    ("bomb", BOMB, 1, "telegram must not declare a document type (got 'r')"),
    ("outside", OUTSIDE, 2, "telegram must not declare a document type (got 'r')"),
    ("typed", telegram().replace(b"<Report", b"<!DOCTYPE Report>\n<Report", 1), 2,
     "telegram must not declare a document type (got 'Report')"),
    ("entity", b"<r>&x;</r>", 1, "telegram must be whole XML (got: undefined entity: line 1, column 3)"),
    ("deep", b"<a>" * 65, 1, "telegram must be at most 64 elements deep (got more)"),
    ("large", b"<a>" + b" " * MOST_BYTES, 1, f"telegram must have at most {MOST_BYTES} bytes (got {MOST_BYTES + 1})"),
    ("empty", b"", 1, "telegram must be whole XML (got: no element found: line 1, column 0)"),
    ("cut", telegram()[:3000], telegram()[:3000].count(b"\n") + 1, "telegram must be whole XML (got: "),
    ("coded", b'<?xml version="1.0" encoding="klingon"?><a/>', 1, "telegram must be whole XML (got: unknown encoding: klingon)"),
    ("latin", b"<a>\xff</a>", 1, "telegram must be whole XML (got: not well-formed (invalid token): line 1, column 3)"),
    ("html", b"<html/>", 1, "telegram must be a Report with Control and Head (got 'html')"),
    ("other namespace", telegram().replace(b"http://xml.kishou.go.jp/jmaxml1/", b"http://example.org/"), 1,
     "telegram must be a Report with Control and Head (got 'Report')"),
    ("status", telegram(status="CCA"), 1, "Status must be one of 通常, 訓練, 試験 (got 'CCA')"),
    ("no info type", telegram(info_type=""), 1, "InfoType must be told (got nothing)"),
    ("event", telegram("30", "氾濫警戒情報", ("<EventID>890904000100", "<EventID>")), 1, "EventID must be told (got nothing)"),
    ("time", telegram("30", "氾濫警戒情報", ("<ReportDateTime>2021-08-13T06:10:00+00:00", "<ReportDateTime>2021-08-13")), 1,
     "ReportDateTime must be a time with its zone, of 1900 to 2200 (got '2021-08-13')"),
    ("no time", telegram("30", "氾濫警戒情報", ("2021-08-13T06:21:31+00:00", "昨日")), 1, "DateTime must be a time (got '昨日')"),
    ("far time", telegram("30", "氾濫警戒情報", ("2021-08-13T06:21:31+00:00", "9999-12-31T23:59:59-23:59")), 1,
     "DateTime must be a time "),
    ("no area", telegram("30", "氾濫警戒情報", ("指定河川洪水予報（予報区域）", "何か")), 1,
     "headline must tell a kind for a stretch in 指定河川洪水予報（予報区域） (got none)"),
    ("no area code", telegram("30", "氾濫警戒情報", ("<Code>890904000100</Code>", "")), 1, "Code must be told (got nothing)"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "line", "reason"), [each[1:] for each in HOSTILE], ids=[each[0] for each in HOSTILE])
def test_a_telegram_that_cannot_be_read_is_dead_and_its_neighbours_pass(write: Write, raw: bytes, line: int, reason: str) -> None:
    frames = read(write(telegram(), raw, telegram("40", "氾濫危険情報", serial="2", after=MINUTE)))
    assert frames[BULLETINS]["level"].to_list() == [3, 4]
    (letter,) = frames[DEAD].rows(named=True)
    assert letter["reason"].startswith(reason)
    assert (letter["feed"], letter["source"], letter["place"], letter["arrived"]) == (BULLETINS, "1.xml", line, SENT)
    assert letter["raw"] == raw[: 512 << 10]


@pytest.mark.parametrize("cut", range(200, len(telegram()) - 2, 977))
def test_wherever_a_telegram_is_cut_off_it_is_dead(write: Write, cut: int) -> None:
    frames = read(write(telegram()[:cut]))
    assert (frames[BULLETINS].height, frames[DEAD].height) == (0, 1)
    assert frames[DEAD]["arrived"].to_list() == [datetime(2000, 1, 1, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("swap", "doubt"),
    [
        (('refID="2" condition="正常">3.29', 'refID="99" condition="正常">3.29'), "refID must be a timeId of its series (got '99')"),
        ((">3.29<", ">3,29<"), "水位 or 流量 must be a number (got '3,29')"),
        ((">3.29<", ">nan<"), "水位 or 流量 must be a number (got 'nan')"),
        (('unit="m" refID="2"', 'unit="cm" refID="2"'), "unit of 水位 must be m (got 'cm')"),
        (('type="レベル" refID="2">4', 'type="レベル" refID="2">6'), "レベル must be 0 to 5, or 9 (got '6')"),
        (("<DateTime>2021-08-13T15:50:00+09:00", "<DateTime>"), "DateTime must be told (got nothing)"),
    ],
)
def test_a_body_that_cannot_be_read_harms_no_headline(write: Write, swap: tuple[str, str], doubt: str) -> None:
    frames = read(write(telegram("40", "氾濫危険情報", swap)))
    (row,) = frames[BULLETINS].rows(named=True)
    assert (row["standing"], row["level"], row["stations"], len(row["municipalities"])) == ("stands", 4, [], 5)
    assert frames[DEAD]["reason"].to_list() == [f"水位・流量情報 is left out: {doubt}"]


def test_a_time_that_only_tells_of_the_contents_harms_no_headline(write: Write) -> None:
    frames = read(write(telegram("40", "氾濫危険情報", ("<TargetDateTime>2021-08-13T15:10:00+09:00", "<TargetDateTime>夕方"))))
    assert frames[BULLETINS].select("level", "target_at").rows() == [(4, None)]
    assert frames[DEAD]["reason"].to_list() == ["TargetDateTime must be a time (got '夕方')"]


def test_telegrams_about_something_else_are_passed_over_unless_their_name_says_flood(write: Write) -> None:
    other = telegram(
        "30", "氾濫警戒情報", ("<Title>指定河川洪水予報", "<Title>震度速報"), ("<InfoKind>指定河川洪水予報", "<InfoKind>震度速報")
    )
    assert list(jma_bulletins.open(write(other)).read()) == []
    frames = read(write(**{"20210813062131_0_VXKO50_410000": other}))
    assert frames[DEAD]["reason"].to_list() == [
        "Title of a telegram named VXKO or VXSU must be 指定河川洪水予報 or 水位周知河川に関する情報 (got '震度速報')"
    ]


def test_namespaces_are_known_by_their_uri_not_their_prefix(write: Write) -> None:
    text = telegram().decode().replace("jmx_eb:", "eb:").replace("xmlns:jmx_eb", "xmlns:eb")
    head = "http://xml.kishou.go.jp/jmaxml1/informationBasis1/"
    before, inside, behind = re.split(r"<Head xmlns=\"[^\"]*\">(.*)</Head>", text, flags=re.DOTALL)
    inside = re.sub(r"<(/?)(?=[A-Z])", r"<\1h:", inside)
    prefixed = f'{before}<h:Head xmlns:h="{head}">{inside}</h:Head>{behind}'
    assert read(write(prefixed.encode()))[BULLETINS].equals(read(write(telegram()))[BULLETINS])


# --- ways in and out ---------------------------------------------------------------------------------------------


def packed(folder: Path, to: Path) -> Path:
    with tarfile.open(to, "w:gz") as into:
        into.add(folder, arcname=".")
    return to


def test_a_folder_its_parts_and_an_archive_of_it_give_the_same(write: Write, tmp_path: Path) -> None:
    folder = write(telegram(), b"<a>", telegram("40", "氾濫危険情報", serial="2", after=MINUTE))
    (folder / "2021").mkdir()
    (folder / "2.xml").rename(folder / "2021" / "2.xml")
    (folder / "notes.txt").write_text("no telegram")
    frames = read(folder)
    assert frames[BULLETINS]["level"].to_list() == [3, 4]
    (tmp_path / "packed").mkdir()
    unpacked = read(packed(folder, tmp_path / "packed" / "all.tar.gz"))
    assert all(unpacked[name].equals(frames[name]) for name in frames)


@pytest.mark.parametrize(
    "spoil",
    [lambda whole: whole[: len(whole) // 2], lambda _: b"no gzip", lambda _: gzip.compress(b"no tar" * 99)],
    ids=["half", "no gzip", "no tar"],
)
def test_a_damaged_archive_is_refused(write: Write, tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = packed(write(telegram()), tmp_path / "all.tar.gz")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(JmaError, match=r"^archive all\.tar\.gz must be a whole \.tar\.gz \(got: .*\): fetch it again$"):
        jma_bulletins.open(path)


def test_a_path_without_telegrams_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JmaError, match=r"^path of jma-bulletins must hold telegrams \*\.xml \(got none in '.*'\): see data/jma-bulletins"):
        jma_bulletins.open(tmp_path)
    with pytest.raises(JmaError, match=r"^path of jma-bulletins must be a \.xml, a folder or a \.tar\.gz of them \(got 'none'\)$"):
        jma_bulletins.open(tmp_path / "none")


def test_reading_from_any_time_gives_the_same_rows_at_the_same_positions(write: Write) -> None:
    folder = write(telegram(), b"<a>", telegram(serial="2", after=MINUTE), telegram("60", "？", serial="3", after=2 * MINUTE))
    frames = read(folder)
    for name, frame in frames.items():
        assert frame["offset"].to_list() == list(range(frame.height))
        later = read(folder, since=SENT + MINUTE, until=SENT + 2 * MINUTE)[name]
        assert later.equals(frame.filter((pl.col("arrived") >= SENT + MINUTE) & (pl.col("arrived") < SENT + 2 * MINUTE)))
    with pytest.raises(JmaError, match=r"^since must have a zone \(got datetime"):
        read(folder, since=datetime(2021, 8, 13))


def test_archive_lines_and_wire_give_back_what_the_samples_gave(tmp_path: Path) -> None:
    frame = read(SAMPLES)[BULLETINS]
    assert frame.height == 9
    archive.open(tmp_path / "kept").write(BULLETINS, frame)
    assert pl.concat(chunk[BULLETINS] for chunk in archive.open(tmp_path / "kept").read()).equals(frame)
    with jsonl.open(tmp_path / "lines.jsonl", BULLETINS) as lines:
        lines.write(frame)
    assert jsonl.read(tmp_path / "lines.jsonl", BULLETINS).equals(frame)
    fields = frame.select(*feed(BULLETINS).columns)
    back = wire.decode(BULLETINS, wire.encode(BULLETINS, fields))
    assert (back.bad, back.rows.select(*feed(BULLETINS).columns).equals(fields)) == ([], True)


def test_the_samples_are_recorded_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = tmp_path / "bulletins"
    assert main(["record", "--from", f"jma-bulletins:{SAMPLES}", "--to", f"archive:{to}"]) == 0
    assert capsys.readouterr().out == f"13 records in archive:{to}\n"  # with four ticks
    chunks = list(open_source(f"archive:{to}").read())
    assert sum(chunk[BULLETINS].height for chunk in chunks if BULLETINS in chunk) == 9
    assert main(["record", "--from", f"jma-bulletins:{tmp_path / 'bulletins'}", "--to", f"archive:{to}"]) == 3
    assert "path of jma-bulletins must hold telegrams" in capsys.readouterr().err
