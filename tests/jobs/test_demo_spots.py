"""The page of accident spots: what it says, and how a browser shows it."""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from jobs import demo_spots
from jobs.demo_spots import page
from schemas import feed
from tests.jobs.browser import data, drawn, needs_chromium


@cache
def made() -> tuple[str, str]:
    """The page of the demo, and what the terminal shows."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as told:
        assert demo_spots.run(Path(folder)) == 0
        return (Path(folder) / "spots.html").read_text(encoding="utf-8"), told.getvalue()


def test_every_place_stands_on_the_page_with_its_why() -> None:
    html, told = made()
    spots = data(html)["spots"]
    counts = [line.split() for line in told.splitlines()[1:5]]
    for state, large, small in counts:
        assert [sum(each["state"] == state and each["res"] == res for each in spots) for res in (10, 11)] == [int(large), int(small)]
    assert all(each["ja"] and each["en"] and each["because"] and each["reason"] for each in spots)
    assert all(each["low"] < each["score"] < each["high"] for each in spots)
    assert all(len(each["outline"]) in (6, 7, 8) for each in spots)


def test_a_candidate_has_few_accidents_on_record_and_says_that_it_is_no_proof() -> None:
    candidates = [each for each in data(made()[0])["spots"] if each["state"] == "candidate" and each["res"] == 10]
    assert candidates
    assert max(sum(count for _, count in each["years"]) for each in candidates) <= 1
    assert all("possibly more dangerous than it looks" in each["en"] and "可能性があります" in each["ja"] for each in candidates)


def test_the_page_says_what_near_misses_weigh_and_needs_nothing_else() -> None:
    html, told = made()
    assert "near misses weigh 0 in this model" in told
    assert "Near misses weigh 0 in this model: no near misses were given." in html
    assert "警察庁" in html
    assert not re.findall(r"(?:src|href)=", html)


def test_without_statements_there_is_no_page() -> None:
    with pytest.raises(ValueError, match=r"^spots must hold statements \(got none\): give accidents of two years at least$"):
        page.render(spots=feed("road.spot.v1").empty(), accidents=pl.DataFrame(), place_en="", place_ja="", model={})


@needs_chromium
def test_a_browser_draws_the_places_and_tells_why(tmp_path: Path) -> None:
    document = drawn(made()[0], tmp_path)
    assert "data-error" not in document
    shown = [each for each in data(made()[0])["spots"] if each["res"] == 10]
    assert f'data-drawn="{len(shown)}"' in document
    assert len(re.findall(r'<tr data-id="', document)) == 400
    why = document.partition('id="why"')[2].partition("</dl>")[0]
    assert "Expected injury accidents a year, 90 % interval" in why
    assert "Records that weighed most" in why


@needs_chromium
def test_states_sizes_and_languages_can_be_chosen_and_a_row_leads_to_its_place(tmp_path: Path) -> None:
    script = (
        "document.querySelector('[data-state=candidate]').click();"
        "$('resolution').value = '11'; $('resolution').dispatchEvent(new Event('change'));"
        "$('language').click(); $('rows').rows[2].click();"
    )
    document = drawn(made()[0], tmp_path, script)
    shown = [each for each in data(made()[0])["spots"] if each["res"] == 11 and each["state"] != "candidate"]
    assert "data-error" not in document
    assert f'data-drawn="{len(shown)}"' in document
    assert 'data-show="ja"' in document
    (chosen,) = re.findall(r'<tr data-id="([^"]*)"[^>]* data-chosen=""', document)
    assert chosen == shown[2]["id"]
    assert "年間の期待人身事故件数" in document
