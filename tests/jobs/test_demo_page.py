"""The page of a small made flood: what it says, that it needs nothing else, and that a browser draws it."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from jobs.demo import page
from pipelines.upstream_flood.score import clean, official, score
from tests.jobs.browser import data, drawn, needs_chromium
from tests.jobs.made_flood import at, flood, gauges, levels, notices, said

# What it says --------------------------------------------------------------------------------------------------


def test_the_answer_stands_at_the_top_in_both_languages() -> None:
    html = page.render(**flood()).replace("\u00a0", " ")
    assert (
        "River gauges passed an official level 3 times, and in 1 of these the town had been told before; the median lead was 0 min "
        "(not in time counts as 0). Word came too late 1 time, nobody was told 1 time, and 2 notices had no water after, "
        "1 of them short of the level by 10 cm or less."
    ) in html
    assert "基準水位への到達は3回、そのうち1回は到達前に市町へ早期注意を伝えられました" in html
    assert "<title>早期注意 Fukui 28 May 2024</title>" in html


def test_every_event_and_every_notice_is_a_row() -> None:
    told = data(page.render(**flood()))
    short = [(row["gauge"], row["level"], row["outcome"], row["said"], row["crossed"], row["lead"], row["late"]) for row in told["rows"]]
    assert short == [
        ("上", "L1", "missed", None, 480, None, None),
        ("下", "L1", "in_time", 510, 600, 90.0, None),
        ("横", "L1", "in_vain", 550, None, None, None),
        ("下", "L2", "late", 740, 720, None, 20.0),
        ("横", "L1", "near", 790, None, None, None),
    ]


def test_a_second_word_about_the_same_water_is_not_counted() -> None:
    known, again = gauges(), notices(*said("r/下/L1/2", "下", "L1", (at(17, 30), "raised"), (at(19), "cleared")))
    result = score(clean(levels(), known), official(known), again, (at(0), at(24)))
    assert result.notices["outcome"].to_list()[-1] == "late"
    html = page.render(**flood() | {"notices": again, "events": result.events, "judged": result.notices})
    assert [row["outcome"] for row in data(html)["rows"]] == ["missed", "in_time", "in_vain", "late", "near", "uncounted"]
    assert "Word came too late 1 time," in html


def test_a_row_says_chance_time_and_why() -> None:
    row = data(page.render(**flood()))["rows"][1]
    assert (row["p"], row["eta"], row["threshold"], row["peak"]) == (0.45, [580, 610, 680], 200, 310)
    assert row["why"][0] == {"gauge": "上", "what": "upstream mid", "at": 480, "level": 220, "adds": 42}


def test_what_was_officially_said_stands_beside_where_there_was_something() -> None:
    held = {
        "area_code": "890904000100",
        "area": "六角川",
        "standing": "stands",
        "level": 3,
        "code": "30",
        "name": "氾濫警戒情報",
        "reported_at": at(8),
    }
    told = notices().with_columns(official=pl.when(pl.col("gauge_id") == "下").then(pl.lit(held, notices().schema["official"])))
    rows = data(page.render(**flood() | {"notices": told}))["rows"]
    assert [(row["gauge"], row["official"] and row["official"]["ja"][:11]) for row in rows] == [
        ("上", None), ("下", "公式: 六角川 氾濫警"), ("横", None), ("下", "公式: 六角川 氾濫警"), ("横", None),
    ]  # fmt: skip


def test_gauges_carry_readings_thresholds_and_what_lies_below() -> None:
    told = data(page.render(**flood(sign_lost_below_m=2.0)))
    assert [gauge["id"] for gauge in told["gauges"]] == ["上", "下", "横", "無", "古", "眠"]
    above, below = told["gauges"][:2]
    assert (above["down"], above["levels"], above["t"][:3], above["z"][7:9]) == ("下", [200, 300, None, None], [0, 60, 120], [150, 220])
    assert below["levels"] == [None, 300, None, None]  # L1 is not above the level under which the sign is lost
    assert told["gauges"][4]["z"][9:12] == [30, None, None]


def test_a_day_without_notices_or_water_has_a_page() -> None:
    quiet = {name: frame.clear() if name in ("notices", "events", "judged") else frame for name, frame in flood().items()}
    html = page.render(**quiet)
    assert "No gauge passed an official level." in html
    assert data(html)["rows"] == []


def test_without_readings_there_is_nothing_to_show() -> None:
    with pytest.raises(ValueError, match=r"^levels must hold readings \(got none\): give those of the days to show$"):
        page.render(**flood() | {"levels": flood()["levels"].clear()})


def test_no_word_is_used_that_the_law_keeps_for_others() -> None:
    assert not re.search("警報|予報", page.render(**flood()))


# It needs nothing else -----------------------------------------------------------------------------------------


def test_nothing_is_loaded_from_outside() -> None:
    html = page.render(**flood())
    assert not re.search(
        r"https?://|\bsrc\s*=|\bhref\s*=|@import|\bfetch\s*\(|XMLHttpRequest|\bimport\b\s*[({'\"]|WebSocket|EventSource", html
    )
    assert set(re.findall(r"url\(([^)]*)\)", html)) <= {"#hatch", "#arrow"}
    assert "default-src 'none'" in html


def test_the_page_stays_small() -> None:
    assert len(page.render(**flood()).encode()) < 100_000


HOSTILE = "</script><script>document.title='owned'</script><img onerror=\"x\">&amp;{{data}}\u2028'"


def test_a_hostile_name_cannot_leave_its_place() -> None:
    html = page.render(**flood(name=HOSTILE, river="<b>", municipality="{{answer_en}}"), place_en="<i>Fukui", place_ja=HOSTILE)
    assert len(re.findall("</script", html)) == 2
    assert "<img" not in html
    assert "<i>Fukui" not in html
    assert "\u2028" not in data_text(html)
    told = data(html)["gauges"][1]
    assert (told["name"], told["river"], told["town"]) == (HOSTILE, "<b>", "{{answer_en}}")


def data_text(html: str) -> str:
    return html.partition('id="data">')[2].partition("</script>")[0]


# A browser draws it --------------------------------------------------------------------------------------------


def gauge_states(document: str) -> dict[str, set[str]]:
    """What each gauge on the map shows: the names of its marks."""
    spots = re.findall(r'<g class="gauge"([^>]*data-id[^>]*)>', document)
    found = {}
    for spot in spots:
        (name,) = re.findall(r'data-id="([^"]*)"', spot)
        found[name] = {f"{key}={value}" for key, value in re.findall(r'data-(passed|said|unknown)="([^"]*)"', spot)}
    return found


def go_to(minutes: int) -> str:
    return f"$('slider').value = {minutes}; $('slider').dispatchEvent(new Event('input'));"


@needs_chromium
def test_chromium_draws_map_hydrograph_and_list(tmp_path: Path) -> None:
    document = drawn(page.render(**flood()), tmp_path)
    assert 'data-drawn="5"' in document
    assert "data-error" not in document
    assert len(gauge_states(document)) == 6
    assert len(re.findall(r'<tr aria-current="(?:true|false)"', document)) == 5
    assert re.search(r'<h2 id="chosen-title">足羽川 下 · 福井市 · L1 水防団待機 standby</h2>', document)
    assert "Told 1 h 30 min before the water." in document
    hydrograph = document.partition('id="hydrograph"')[2].partition("</svg>")[0]
    assert "told 08:30" in hydrograph
    assert "water 10:00" in hydrograph
    assert 'class="eta"' in hydrograph
    assert "NaN" not in document.partition('id="data"')[0]
    assert "upstream, 8–20 km" in document


@needs_chromium
@pytest.mark.parametrize(
    ("minutes", "states"),
    [
        (60, {"上": set(), "下": set(), "横": set(), "無": {"unknown=no_threshold"}, "古": set(), "眠": {"unknown=not_observed"}}),
        (
            540,
            {
                "上": {"passed=L1"},
                "下": {"said=L1"},
                "横": set(),
                "無": {"unknown=no_threshold"},
                "古": set(),
                "眠": {"unknown=not_observed"},
            },
        ),
        (
            750,
            {
                "上": set(),
                "下": {"passed=L2", "said=L2"},
                "横": set(),
                "無": {"unknown=no_threshold"},
                "古": {"unknown=stale"},
                "眠": {"unknown=not_observed"},
            },
        ),
    ],
)
def test_the_slider_moves_the_map(minutes: int, states: dict[str, set[str]], tmp_path: Path) -> None:
    document = drawn(page.render(**flood()), tmp_path, go_to(minutes))
    assert gauge_states(document) == states
    assert f">5/28 {minutes // 60:02d}:{minutes % 60:02d}</output>" in document


@needs_chromium
def test_a_silent_gauge_is_never_calm_even_if_nobody_said_so(tmp_path: Path) -> None:
    told = flood()
    unsaid = told["notices"].filter(pl.col("level").is_not_null())
    document = drawn(page.render(**told | {"notices": unsaid}), tmp_path, go_to(13 * 60))
    states = gauge_states(document)
    assert (states["古"], states["無"], states["眠"]) == ({"unknown=no_reading"}, {"unknown=no_threshold"}, {"unknown=no_reading"})


@needs_chromium
def test_play_moves_time_on_and_a_row_can_be_chosen_and_the_language_changed(tmp_path: Path) -> None:
    script = "$('rows').rows[3].click(); $('language').click(); $('play').click(); setTimeout(() => $('play').click(), 1000);"
    document = drawn(page.render(**flood()), tmp_path, script)
    assert "到達の20分後で、遅れました。" in document
    (shown,) = re.findall(r">5/28 (\d\d:\d\d)</output>", document)
    assert shown > "12:20"
    assert 'lang="ja" data-show="ja"' in document
    assert "data-error" not in document


@needs_chromium
def test_chromium_shows_a_hostile_name_as_text(tmp_path: Path) -> None:
    document = drawn(page.render(**flood(name=HOSTILE)), tmp_path)
    assert "<title>早期注意 Fukui 28 May 2024</title>" in document
    assert "data-error" not in document
    assert 'data-drawn="5"' in document


@needs_chromium
def test_chromium_draws_a_quiet_day(tmp_path: Path) -> None:
    quiet = {name: frame.clear() if name in ("notices", "events", "judged") else frame for name, frame in flood().items()}
    document = drawn(page.render(**quiet), tmp_path)
    assert 'data-drawn="0"' in document
    assert "data-error" not in document
