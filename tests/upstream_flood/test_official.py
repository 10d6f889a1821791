"""Official bulletins beside a notice, through the linkage: shown as they stand, corrected as they are; nothing of ours is changed.

The notice is the one of a gauge that rises to 1.5 m: raised at minute 120 for L1, which is 2 m, told anew at the reading of minute 180,
and ended at 240.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.upstream_flood.river import AREA, Watch, at, bulletin, gauge, levels, minute_of, model, not_understood, tick

RISING = (1.0, 1.1, 1.5, 1.5, 1.5, 1.5)
OTHER = "8201813100"
Record = Mapping[str, Any]


def watched(*records: Record, area: str | None = AREA, until: float = 360) -> Watch:
    """93 in the area, its rise, and what else comes; a tick every ten minutes."""
    watch = Watch(gauge("93", forecast_area=area), model(["93"]))
    watch.hears(*levels("93", *RISING), *records, tick(until), ticks=10)
    return watch


def notices(watch: Watch, gauge_id: str = "93") -> list[dict[str, Any]]:
    return [each for each in watch.said if each["level"] == "L1" and each["gauge_id"] == gauge_id]


def shown(watch: Watch, gauge_id: str = "93") -> list[tuple[Any, ...]]:
    """Minute, state and what is official, of what is said of L1; several with the same official word running are one."""
    out: list[tuple[Any, ...]] = []
    for each in notices(watch, gauge_id):
        held = each["official"]
        told = None if held is None else (held["standing"], held["level"])
        if not out or out[-1][2] != told:
            out.append((minute_of(each["time"]), each["state"], told))
    return out


def ours(watch: Watch) -> list[tuple[Any, ...]]:
    """What a notice says of its own, without mere repetitions."""
    out: list[tuple[Any, ...]] = []
    for each in watch.said:
        told = tuple(each[name] for name in ("id", "level", "onset", "ended_at", "p_exceed", "eta_p50", "observed_m", "confirmed"))
        if told not in out:
            out.append(told)
    return out


def test_a_bulletin_stands_beside_the_notice_with_its_words() -> None:
    (first, *_) = notices(watched(bulletin(100)))
    assert first["official"] == {
        "area_code": AREA, "area": "六角川", "standing": "stands", "level": 3, "code": "30", "name": "氾濫警戒情報", "reported_at": at(100),
    }  # fmt: skip
    assert first["headline_ja"] == (
        "【公式 警戒レベル3相当】【早期注意】福井市 足羽川 観測所93: 3時間以内に水防団待機水位(2.00m)を超える可能性 55%、13:20頃。現在1.50m"
        "。公式: 六角川 氾濫警戒情報（警戒レベル3相当、2024年5月28日10:40発表）"
    )
    assert first["headline_en"].startswith("[Official level 3] Early notice, 観測所93")
    assert first["headline_en"].endswith(". Official, 六角川: level 3, 氾濫警戒情報 (2024-05-28 10:40 JST)")


def test_each_new_bulletin_and_the_release_are_told_once() -> None:
    watch = watched(bulletin(100), bulletin(150, 4), bulletin(200, 2), bulletin(220, None))
    assert shown(watch) == [
        (120, "raised", ("stands", 3)), (150, "updated", ("stands", 4)), (200, "updated", ("stands", 2)),
        (220, "updated", ("released", None)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "said",
    [[bulletin(100, 5)], [bulletin(100), bulletin(150, None)], [not_understood(130)], [bulletin(10, None)]],
    ids=["level 5", "released", "not understood", "released before"],
)
def test_no_bulletin_raises_ends_or_changes_what_we_say(said: list[Record]) -> None:
    assert ours(watched(*said)) == ours(watched())
    calm = Watch(gauge("93", forecast_area=AREA), model(["93"]))
    calm.hears(*levels("93", *[1.0] * 5), *said, ticks=10)
    assert calm.said == []


def test_a_release_of_the_warning_alone_is_no_release() -> None:
    watch = watched(bulletin(100), bulletin(150, 2))
    assert notices(watch)[-1]["official"]["code"] == "22"
    assert shown(watch)[-1] == (150, "updated", ("stands", 2))


def test_what_is_not_understood_keeps_the_level_before_it() -> None:
    watch = watched(bulletin(100, 4), not_understood(150))
    assert shown(watch)[-1] == (150, "updated", ("unknown", 4))
    assert notices(watch)[-1]["headline_ja"].startswith("【公式 直前は警戒レベル4相当】")
    assert "コード60は判断できません（解除ではありません" in notices(watch)[-1]["headline_ja"]


def test_a_cancelled_bulletin_gives_way_to_the_one_before_and_the_notice_says_so() -> None:
    watch = watched(bulletin(100), bulletin(150, None), bulletin(150, None, version=2, op="withdrawn", arrived=200))
    assert shown(watch)[1:] == [(150, "updated", ("released", None)), (180, "updated", ("stands", 3))]
    assert "withdrawn" not in {each["state"] for each in notices(watch)}


def test_a_corrected_bulletin_is_told_anew_and_one_corrected_in_other_words_is_not() -> None:
    watch = watched(bulletin(100), bulletin(100, 4, version=2, arrived=200))
    assert shown(watch) == [(120, "raised", ("stands", 3)), (180, "updated", ("stands", 4))]
    silent = watched(bulletin(100), bulletin(100, version=2, headline="ほかの見出し", text="ほかの主文", arrived=200))
    assert [each["revision"] for each in notices(silent)] == [each["revision"] for each in notices(watched(bulletin(100)))]


def test_a_bulletin_that_comes_late_revises_what_was_said_before_it() -> None:
    assert shown(watched(bulletin(110, 4, arrived=150))) == [(120, "raised", None), (120, "updated", ("stands", 4))]
    assert shown(watched(bulletin(110, 4, arrived=200))) == [(120, "raised", None), (180, "updated", ("stands", 4))]


def test_what_was_sent_for_an_exercise_is_never_seen() -> None:
    for status in ("exercise", "test"):
        watch = watched(bulletin(100), bulletin(110, 5, status=status), bulletin(130, None, status=status))
        assert shown(watch) == [(120, "raised", ("stands", 3))]
        assert shown(watched(bulletin(100, 5, status=status))) == [(120, "raised", None)]


def test_each_gauge_shows_its_own_area() -> None:
    known = gauge("93", forecast_area=AREA), gauge("97", north_km=60, forecast_area=OTHER), gauge("92", north_km=-60)
    watch = Watch(*known, model(["92", "93", "97"]))
    rising = [each for gauge_id in ("92", "93", "97") for each in levels(gauge_id, *RISING)]
    watch.hears(*rising, bulletin(100), bulletin(110, 5, area_code=OTHER, area="善川"), ticks=10)
    assert {gauge_id: shown(watch, gauge_id) for gauge_id in ("92", "93", "97")} == {
        "92": [(120, "raised", None)], "93": [(120, "raised", ("stands", 3))], "97": [(120, "raised", ("stands", 5))],
    }  # fmt: skip


def test_a_gauge_learns_its_area_while_a_notice_stands() -> None:
    watch = Watch(gauge("93"), model(["93"]))
    watch.hears(*levels("93", *RISING), bulletin(100), gauge("93", since=200, arrived=190, forecast_area=AREA), ticks=10)
    assert shown(watch) == [(120, "raised", None), (200, "updated", ("stands", 3))]


def test_a_gauge_that_loses_its_area_while_a_notice_stands_still_names_what_it_was_compared_with() -> None:
    watch = Watch(gauge("93", forecast_area=AREA), model(["93"]))
    watch.hears(*levels("93", *RISING), bulletin(-9000), gauge("93", since=200, arrived=190, forecast_area=None), ticks=10)
    assert shown(watch) == [(120, "raised", ("stands", 3)), (200, "updated", None)]
    (lost,) = [each for each in notices(watch) if minute_of(each["time"]) == 200]
    assert [(each["keys"], minute_of(each["from_time"])) for each in lost["because"]["ranges"]][1:] == [([AREA], -9000)]


def test_what_is_said_of_the_gauge_itself_has_no_official_level() -> None:
    watch = watched(bulletin(100, 4), until=600)
    own = [each for each in watch.said if each["level"] is None]
    assert {each["state"] for each in own} == {"stale", "no_reading"}
    assert {each["official"] for each in own} == {None}
    assert notices(watch)[-1]["official"]["level"] == 4, "the notice that stands goes on to show it"


def test_because_names_the_bulletins_of_the_area_back_to_the_oldest_that_counts() -> None:
    for said, since in (([], -2280), ([bulletin(100)], -2280), ([bulletin(-9000)], -9000), ([bulletin(-9000), not_understood(90)], -9000)):
        (first, *_) = notices(watched(*said))
        assert [(each["keys"], minute_of(each["from_time"]), minute_of(each["to_time"])) for each in first["because"]["ranges"]] == [
            (["93"], -2280, 120), ([AREA], since, 120),
        ]  # fmt: skip
    assert len(notices(watched(bulletin(100), area=None))[0]["because"]["ranges"]) == 1


def test_a_first_statement_without_a_model_does_not_say_that_it_goes_on() -> None:
    watch = Watch(gauge("93"))
    watch.hears(*levels("93", 1.0, 1.1, 1.6), ticks=10)
    (first, *_) = notices(watch)
    assert (first["revision"], first["model"]) == (1, None)
    assert first["headline_ja"].endswith("水防団待機水位(2.00m)の早期注意中（可能性は計算できません）。現在1.60m")
    assert first["headline_en"].endswith(
        "the notice for the flood-team standby level (2.00 m) stands, its chance cannot be told; now 1.60 m"
    )


def test_a_jump_that_nobody_around_could_have_seen_is_not_called_unconfirmed() -> None:
    alone = Watch(gauge("93"), model(["93"]))
    alone.hears(*levels("93", 1.0, 2.1))
    assert {each["confirmed"] for each in alone.said if each["level"]} == {"confirmed"}
    stale = Watch(gauge("93"), gauge("92", north_km=4), model(["92", "93"]))
    stale.hears(*levels("93", 1.0, 1.0, 1.0, 2.1), *levels("92", 1.0))
    assert {each["confirmed"] for each in stale.said if each["level"]} == {"confirmed"}
