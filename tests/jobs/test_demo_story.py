"""The story of a small made flood, line by line."""

from __future__ import annotations

import re

import polars as pl

from jobs.demo import story
from tests.jobs.made_flood import at, flood, notices, said

TOLD = """\
--- 2024-05-28 (Tue) ---------------------------------------------------------------------------
00:00  ? unknown 基準水位なし no official level set: 無
00:00  ? unknown 観測開始水位未満 below where the device starts: 眠
08:00  ~ WATER   池田町   足羽川 上              L1 水防団待機 standby   MISSED, nobody told
08:30  > told    福井市   足羽川 下              L1 水防団待機 standby
                 now 1.40 m, 60 cm below; 45% within 3 h; expected 10:10 (09:40 to 11:20)
                 because of 足羽川 上: 2.20 m at 08:00
09:10  > told    鯖江市   足羽川 横              L1 水防団待機 standby
                 now 1.40 m, 60 cm below; 30% within 3 h
10:00  ~ WATER   福井市   足羽川 下              L1 水防団待機 standby   told 1 h 30 min before
11:00  ? unknown 古い値のみ last reading is old: 古
11:10  . in vain 鯖江市   足羽川 横              L1 水防団待機 standby
                 peak 50 cm below; stood 2 h 00 min
12:00  ~ WATER   福井市   足羽川 下              L2 氾濫注意 caution     not told yet
12:20  > told    福井市   足羽川 下              L2 氾濫注意 caution
                 20 min after the water; now 3.10 m, 10 cm above
13:10  > told    鯖江市   足羽川 横              L1 水防団待機 standby
                 now 1.60 m, 40 cm below; 50% within 3 h
16:10  . near    鯖江市   足羽川 横              L1 水防団待機 standby
                 peak 5 cm below; stood 3 h 00 min

--- Summary ------------------------------------------------------------------------------------
Water came 3 times: told in time 1, too late 1, missed 1.
Told before the water (not in time = 0): median 0 min, lower quartile 0 min.
No water came after 2 notices: in vain 1, near 1.
  L1 水防団待機 standby    in time 1 of 2
  L2 氾濫注意 caution      in time 0 of 1
Not told in time:
08:00  missed    池田町   足羽川 上              L1 水防団待機 standby   nobody told
12:00  late      福井市   足羽川 下              L2 氾濫注意 caution     20 min after the water"""


def test_the_flood_is_told_in_order_of_time_with_leads_misses_and_what_was_in_vain() -> None:
    lines = list(story.tell(**flood()))
    assert "\n".join(lines[lines.index("") + 1 :]) == TOLD


def test_a_title_and_a_legend_come_first() -> None:
    title, *legend = list(story.tell(**flood()))[:7]
    assert title == "早期注意 Early notices, 2024-05-28 00:00 to 2024-05-28 23:00 JST, 5 gauges"
    assert "L4 氾濫危険 danger" in legend[-1]
    assert any("no all-clear" in line for line in legend)


def test_no_line_is_wider_than_a_terminal_and_none_ends_in_blanks() -> None:
    for line in story.tell(**flood(name="とても長い名前の観測所" * 9, municipality="とても長い名前の市" * 9)):
        columns = sum(2 if re.match(r"[^\x00-\xff]", each) else 1 for each in line)
        assert columns <= 96, line
        assert line == line.rstrip()


def test_no_word_is_used_that_the_law_keeps_for_others() -> None:
    assert not re.search("警報|予報", "\n".join(story.tell(**flood())))


def test_colour_only_if_asked_for_and_the_same_text() -> None:
    plain, painted = "\n".join(story.tell(**flood())), "\n".join(story.tell(**flood(), colour=True))
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[\d;]*m", "", painted) == plain
    assert painted != plain


def test_a_name_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in "\n".join(story.tell(**flood(name="\x1b[2J下", municipality="福井\r市")))


def test_many_gauges_that_fall_silent_at_once_are_one_line() -> None:
    silent = [each for gauge_id in "上下横古" for each in said(f"r/{gauge_id}/gauge/9", gauge_id, None, (at(20), "no_reading"))]
    lines = list(story.tell(**flood() | {"notices": notices(*silent)}))
    assert "20:00  ? unknown 値なし no reading: 4 gauges, 上、下 …" in lines


def test_a_quiet_day_is_told_too() -> None:
    quiet = {name: frame.clear() if name in ("notices", "events", "judged") else frame for name, frame in flood().items()}
    assert list(story.tell(**quiet))[-2:] == [
        "Water came 0 times: told in time 0, too late 0, missed 0.",
        "No water came after 0 notices: in vain 0, near 0.",
    ]


def test_notices_still_standing_are_not_judged() -> None:
    told = flood()
    standing = told["judged"].with_columns(
        outcome=pl.when(pl.col("outcome") == "near").then(pl.lit("open")).otherwise("outcome"),
        over_at=pl.when(pl.col("outcome") != "near").then("over_at"),
    )
    lines = list(story.tell(**told | {"judged": standing}))
    assert "Not judged: 1 notice still stood at the end, 0 could not be compared with the river." in lines
