"""The sentences: right in both languages, and never a word that the law keeps for others.

気象業務法 keeps 警報 and 予報 for the agencies that answer for them; what is said here is 早期注意.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest

from pipelines.upstream_flood import words
from pipelines.upstream_flood.words import LEVEL_NAMES, Told, own_state, sentence
from tests.upstream_flood.river import NO_LEVELS, Watch, gauge, levels, model, reading, river, tick

ETA = datetime(2024, 5, 28, 9, 40, tzinfo=UTC)
OWN_STATES = ("stale", "no_reading", "no_threshold", "not_observed")
KEPT_FOR_OTHERS = ("警報", "予報", "warning", "forecast")


def told(**fields: Any) -> Told:
    """A notice that is raised: .6 that 朝谷 passes 2.50 m at 18:40 JST; it stands at 2.10 m."""
    known = {
        "gauge": gauge(name="朝谷"), "level": "L2", "state": "raised", "threshold_m": 2.5, "observed_m": 2.1, "p_exceed": 0.6,
        "eta": ETA, "unconfirmed": False,
    }  # fmt: skip
    return Told(**known | fields)


@pytest.mark.parametrize(
    ("fields", "ja", "en"),
    [
        ({}, "3時間以内に氾濫注意水位(2.50m)を超える可能性 60%、18:40頃。現在2.10m",
         "60 % within 3 h to pass the flood caution level (2.50 m), about 18:40; now 2.10 m"),
        ({"eta": None}, "3時間以内に氾濫注意水位(2.50m)を超える可能性 60%。現在2.10m",
         "60 % within 3 h to pass the flood caution level (2.50 m); now 2.10 m"),
        ({"unconfirmed": True}, "3時間以内に氾濫注意水位(2.50m)を超える可能性 60%、18:40頃。現在2.10m（水位急変、未確認）",
         "60 % within 3 h to pass the flood caution level (2.50 m), about 18:40; now 2.10 m (unconfirmed jump)"),
        ({"observed_m": 2.5}, "氾濫注意水位(2.50m)を超えています。現在2.50m", "over the flood caution level (2.50 m); now 2.50 m"),
        ({"observed_m": None, "p_exceed": None, "eta": None}, "氾濫注意水位(2.50m)の早期注意中。水位不明",
         "the notice for the flood caution level (2.50 m) stands; level unknown"),
        ({"p_exceed": None, "eta": None}, "氾濫注意水位(2.50m)の早期注意中（可能性は計算できません）。現在2.10m",
         "the notice for the flood caution level (2.50 m) stands, its chance cannot be told; now 2.10 m"),
        ({"state": "cleared", "observed_m": 1.0}, "氾濫注意水位(2.50m)の早期注意を終わります。現在1.00m",
         "the notice for the flood caution level (2.50 m) ends; now 1.00 m"),
        ({"level": "L4"}, "3時間以内に氾濫危険水位(2.50m)を超える可能性 60%、18:40頃。現在2.10m",
         "60 % within 3 h to pass the flood danger level (2.50 m), about 18:40; now 2.10 m"),
    ],
)  # fmt: skip
def test_a_notice_in_a_sentence(fields: dict[str, Any], ja: str, en: str) -> None:
    assert sentence(told(**fields)) == (f"【早期注意】福井市 足羽川 朝谷: {ja}", f"Early notice, 朝谷 (足羽川, 福井市): {en}")


def every_sentence() -> list[str]:
    """All that can be said, in either language."""
    shown = product(LEVEL_NAMES, ("raised", "updated", "cleared"), (None, 2.1, 2.6), (None, 0.6), (None, ETA), (True, False))
    out = [
        each
        for level, state, observed_m, p, eta, doubt in shown
        for each in sentence(told(level=level, state=state, observed_m=observed_m, p_exceed=p, eta=eta, unconfirmed=doubt))
    ]
    return out + [each for subject in OWN_STATES for state in (subject, "cleared") for each in own_state(gauge(), state, subject)]


@pytest.mark.parametrize("word", KEPT_FOR_OTHERS)
def test_no_sentence_uses_a_word_that_is_kept_for_others(word: str) -> None:
    assert [each for each in every_sentence() if word in each] == []


@pytest.mark.parametrize("word", ["警報", "予報"])
def test_no_text_of_the_module_holds_it_either(word: str) -> None:
    texts = [each for table in (words.LEVEL_NAMES, words._OWN, words._ENDED) for pair in table.values() for each in pair]
    assert len(texts) > 20
    assert [each for each in texts if word in each] == []


def test_what_the_linkage_says_does_not_use_them() -> None:
    watch = Watch(*river(), model())
    watch.hears(*levels("93", 1.0, 1.5, 2.6, 1.0, 1.0, 1.0), *levels("92", 1.0, 2.0, 3.0), reading("400", 0, 0.2), ticks=20)
    watch.hears(*levels("97", 1.0, 1.5, 2.6, first=600), tick(900), gauge("97", version=2, arrived=901, **NO_LEVELS))
    assert {each["state"] for each in watch.said} >= {"raised", "updated", "cleared", "withdrawn", "stale", "no_reading", "not_observed"}
    said = [each[name] for each in watch.said for name in ("headline_ja", "headline_en")]
    assert [each for each in said if any(word in each for word in KEPT_FOR_OTHERS)] == []


@pytest.mark.parametrize("subject", OWN_STATES)
def test_no_state_of_a_gauge_sounds_like_an_all_clear(subject: str) -> None:
    ja, en = own_state(gauge(), subject, subject)
    assert not any(word in ja for word in ("安全", "異常なし", "解除"))
    assert not any(word in en for word in ("safe", "normal", "clear"))


def test_the_four_states_are_told_apart_in_both_languages() -> None:
    told_of = [own_state(gauge(), each, each) for each in OWN_STATES]
    assert len({ja for ja, _ in told_of}) == len({en for _, en in told_of}) == 4
