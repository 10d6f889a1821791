"""The engine, step by step: arrivals on the left, what is said after each of them on the right.

The linkage is the toy of ``tests.linkage.toy``: a well is *over* while its newest value reaches its limit (5.0 unless told
otherwise), and *silent* when that value is older than 30 minutes. Values may come one hour late, limits two, so the line is
two hours behind the last tick. ``a over@10 r1 value 7.0`` is: well a, over since minute 10, first revision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.linkage import BatchError, Engine, Start
from tests.linkage.toy import FACT, FEEDS, LIMITS, VALUES, Log, Overs, Town, at, declared, feed_of, limit, reading, tick

Record = Mapping[str, Any]


def play(town: Town, *script: tuple[Record | Sequence[Record], list[str]]) -> None:
    """Plays arrivals, and asserts what is said after each."""
    for nth, (arrival, expected) in enumerate(script):
        records = [arrival] if isinstance(arrival, Mapping) else arrival
        assert town.hears(*records) == expected, f"arrival {nth}"


def town(*wells: str, rule: Any = None) -> Town:
    """Limits of 5.0 are known from the beginning."""
    made = Town(rule)
    made.engine.recall(made.log.batch(*(limit(well, -1000) for well in wells or ("a",))))
    return made


# --- what is said, arrival by arrival --------------------------------------------------------------------------


def test_an_episode_begins_goes_on_in_other_words_and_ends() -> None:
    play(
        town(),
        (reading("a", 10, 3.0), []),
        (reading("a", 20, 5.0), ["a over@20 r1 value 5.0"]),
        (reading("a", 30, 5.4), []),
        (reading("a", 40, 7.2), ["a over@20 r2 value 7.2"]),
        (reading("a", 50, 4.9), ["a over@20 r3 cleared at 50 value 4.9"]),
        (reading("a", 60, 4.0), []),
        (reading("a", 70, 6.0), ["a over@70 r1 value 6.0"]),
    )


def test_nothing_is_said_before_anything_but_reference_records_was_heard() -> None:
    made = Town()
    play(made, (limit("a", 0), []), (tick(5), ["a silent@10 r1"]))


def test_a_well_that_never_spoke_is_silent_and_one_without_limit_is_not_spoken_for() -> None:
    play(town("a", "b"), (reading("c", 10, 9.0), ["a silent@10 r1", "b silent@10 r1"]))


def test_ticks_alone_bring_silence_and_nothing_else() -> None:
    made = town()
    play(
        made,
        (reading("a", 10, 7.0), ["a over@10 r1 value 7.0"]),
        (tick(20), []),
        (tick(40), []),
        (tick(41), ["a over@10 r2", "a silent@50 r1"]),
        (tick(60), ["a over@10 r3"]),
        (tick(70), []),
        (reading("a", 75, 4.0), ["a over@10 r4 cleared at 80 value 4.0", "a silent@50 r2 cleared at 80"]),
    )


def test_silence_is_not_the_end_of_what_is_over() -> None:
    made = town()
    made.step(reading("a", 10, 7.0))
    for minute in range(20, 600, 10):
        made.step(tick(minute))
    assert [each.split()[:2] for each in sorted(made.standing())] == [["a", "over@10"], ["a", "silent@50"]]


def test_a_value_that_comes_late_but_in_time_moves_the_onset_and_each_names_the_other() -> None:
    play(
        town(),
        (reading("a", 10, 3.0), []),
        (reading("a", 30, 7.0), ["a over@30 r1 value 7.0"]),
        (
            reading("a", 20, 6.0, arrived=70),
            ["a over@30 r2 withdrawn value 7.0 instead of 20", "a over@20 r1 value 7.0 instead of 30"],
        ),
    )


def test_a_value_that_comes_in_time_takes_back_a_silence() -> None:
    play(
        town(),
        (reading("a", 10, 3.0), []),
        (tick(55), ["a silent@50 r1"]),
        (reading("a", 40, 3.0, arrived=56), ["a silent@50 r2 withdrawn"]),
        (reading("a", 55, 3.0), []),
    )


def test_a_correction_takes_back_and_a_further_one_says_again_under_the_next_revision() -> None:
    play(
        town(),
        (reading("a", 10, 7.0), ["a over@10 r1 value 7.0"]),
        (reading("a", 10, 2.0, version=2), ["a over@10 r2 withdrawn value 7.0"]),
        (reading("a", 10, 8.0, version=3), ["a over@10 r3 value 8.0"]),
        (reading("a", 10, 1.0, version=2), []),
    )


def test_a_withdrawn_value_was_never_there() -> None:
    play(
        town(),
        (reading("a", 10, 3.0), []),
        (reading("a", 20, 7.0), ["a over@20 r1 value 7.0"]),
        (reading("a", 20, version=2, op="withdrawn"), ["a over@20 r2 withdrawn value 7.0"]),
    )


def test_a_new_limit_judges_what_comes_not_what_was_said() -> None:
    play(
        town(),
        (reading("a", 10, 7.0), ["a over@10 r1 value 7.0"]),
        (limit("a", 30, 9.0, arrived=12), []),
        (reading("a", 20, 7.0), []),
        (reading("a", 30, 7.0), ["a over@10 r2 cleared at 30 value 7.0"]),
    )


def test_a_limit_that_begins_to_hold_is_noticed_though_nothing_arrives() -> None:
    play(
        town(),
        (reading("a", 10, 7.0), ["a over@10 r1 value 7.0"]),
        (limit("a", 30, 9.0, arrived=12), []),
        (tick(20), []),
        (tick(30), ["a over@10 r2 cleared at 30 value 7.0"]),
    )


def test_a_limit_that_is_withdrawn_takes_the_episode_with_it() -> None:
    play(
        town(),
        (reading("a", 10, 7.0), ["a over@10 r1 value 7.0"]),
        (limit("a", -1000, version=2, op="withdrawn", arrived=12), ["a over@10 r2 withdrawn value 7.0"]),
    )


class Lasting(Overs):
    """An episode over the limit lasts at least half an hour."""

    least = (timedelta(minutes=30), timedelta(0))


def test_an_episode_lasts_as_long_as_it_must_and_ends_by_time_alone() -> None:
    play(
        town(rule=Lasting()),
        (reading("a", 10, 7.0), ["a over@10 r1 value 7.0"]),
        (reading("a", 20, 1.0), ["a over@10 r2 value 1.0"]),
        (tick(30), []),
        (tick(40), ["a over@10 r3 cleared at 40 value 1.0"]),
    )


def test_what_is_told_is_renewed_though_nothing_changed() -> None:
    made = town()
    said = [made.hears(reading("a", minute, 7.0 + minute / 1000)) for minute in range(10, 130, 10)]
    assert [each for each in said if each] == [["a over@10 r1 value 7.01"], ["a over@10 r2 value 7.06"], ["a over@10 r3 value 7.12"]]


class Told(Overs):
    """What is told of silence needs no renewal."""

    renewed = (True, False)

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def tell(self, grounds: Any, past: Any, weighed: Any, episodes: Any) -> Any:
        self.told += [(each.subject, each.slot) for each in episodes]
        return super().tell(grounds, past, weighed, episodes)


def test_what_needs_no_renewal_is_told_once() -> None:
    made = town(rule=(rule := Told()))
    said = [made.hears(reading("a", 10, 7.0)), *(made.hears(tick(minute)) for minute in range(20, 400, 10))]
    assert [each for some in said for each in some if "a silent" in each] == ["a silent@50 r1"]
    assert len([slot for subject, slot in rule.told if subject == 1]) == 1
    assert len({slot for subject, slot in rule.told if subject == 0}) >= 7, "what stands is renewed each hour"


# --- late and unreadable ---------------------------------------------------------------------------------------


def test_a_late_record_goes_to_late_and_changes_nothing() -> None:
    made = town()
    made.step(reading("a", 100, 3.0))
    spoken = made.step(reading("a", 10, 9.0, arrived=101))
    assert spoken.facts is None
    assert spoken.late is not None
    assert spoken.late.select("feed", "time", "late_by_s").rows() == [(VALUES, at(10), 31 * 60.0)]
    assert made.engine.held()["values"] == 1


def test_a_record_from_the_future_is_put_aside_and_its_neighbours_pass() -> None:
    made = town()
    spoken = made.step(reading("a", 100, 9.0, arrived=50), reading("a", 50, 6.0))
    assert spoken.dead is not None
    assert spoken.dead["place"].to_list() == [0]
    assert made.standing() == {"a over@50 r0 value 6.0"}


@pytest.mark.parametrize("absent", ["value", "observed_at", "arrived", "offset"])
def test_a_batch_without_a_column_is_refused(absent: str) -> None:
    made = town()
    batch = {name: each.drop(absent) for name, each in made.log.batch(reading("a", 10)).items()}
    with pytest.raises(BatchError) as caught:
        made.engine.step(batch)
    assert str(caught.value) == f"batch of toy.value.v1 must have the feed's columns (got none of {absent}): see schemas/avro"


# --- basis and said-at -----------------------------------------------------------------------------------------


def test_a_fact_tells_how_far_each_input_was_read_and_the_newest_arrival_in_it() -> None:
    made = town("a", "b")
    made.step(reading("a", 10, 3.0), reading("b", 10, 3.0))
    made.step(tick(20))
    (fact,) = made.step(reading("a", 20, 7.0, arrived=26)).facts.to_dicts()  # type: ignore[union-attr]
    assert fact["basis"] == [
        {"feed": "clock.v1", "partition": 0, "offset": 0},
        {"feed": LIMITS, "partition": 0, "offset": 1},
        {"feed": VALUES, "partition": 0, "offset": 2},
    ]
    assert fact["said_at"] == at(26)


def test_a_late_record_is_part_of_the_basis() -> None:
    made = town()
    made.step(reading("a", 10, 3.0, arrived=300))
    (fact,) = made.step(reading("a", 290, 7.0)).facts.to_dicts()  # type: ignore[union-attr]
    assert {"feed": VALUES, "partition": 0, "offset": 1} in fact["basis"]
    assert fact["said_at"] == at(300)


class Patient(Overs):
    """Has no news to wait for."""

    def wake(self, ground: Any, past: Any, slot: int) -> int:
        return slot + 2**20


# --- the line --------------------------------------------------------------------------------------------------


def test_the_line_is_the_last_tick_less_the_largest_patience() -> None:
    made = town()
    assert made.engine.line is None
    made.step(reading("a", 500))
    assert made.engine.line is None
    made.step(reading("a", 505), tick(510))
    assert made.engine.line == at(390)


def test_where_ticks_bring_no_news_the_line_may_wait_but_never_for_longer_than_it_is_behind() -> None:
    made = town(rule=Patient())
    made.step(reading("a", 500), tick(502))
    for minute in range(503, 800):
        made.step(tick(minute))
        line = made.engine.line
        assert line is not None
        assert at(minute - 240) <= line <= at(minute - 120)


def test_records_do_not_move_the_line() -> None:
    made = town()
    made.step(tick(10), reading("a", 10))
    made.step(reading("a", 400), limit("a", 5000, arrived=402))
    assert made.engine.line == at(-110)


def test_the_line_never_goes_back() -> None:
    made = town()
    made.step(tick(510), reading("a", 500))
    made.step(reading("a", 510), unread={VALUES: at(300)})
    assert made.engine.line == at(390)


def test_an_input_that_is_behind_holds_the_line_back_but_not_what_is_said() -> None:
    made = town()
    made.step(tick(510), reading("a", 500), unread={VALUES: at(501), LIMITS: at(450)})
    assert made.engine.line == at(330)
    spoken = made.step(tick(600), unread={LIMITS: at(450)})
    assert made.engine.line == at(330)
    assert spoken.facts is not None
    assert spoken.facts["state"].to_list() == ["silent"]


def test_a_settled_fact_stays_and_an_unsettled_one_can_still_change() -> None:
    """The first comes while its episode can still change (its end is not behind the line), the second after that."""
    for tick_at, expected in ((170, ["a over@10 r3 withdrawn value 7.0"]), (180, [])):
        made = town()
        made.step(reading("a", 10, 7.0))
        made.step(reading("a", 50, 4.0))
        made.step(reading("a", 160, 4.0))
        made.step(tick(tick_at))
        change = limit("a", -1000, version=2, op="withdrawn", arrived=tick_at)
        found = [each for each in made.hears(change) if " over" in each]
        assert found == expected


# --- a start is reading again ----------------------------------------------------------------------------------


def successor(made: Town, records: Sequence[Record], rule: Any = None) -> Town:
    """Who goes on after a crash: from the line and what was said, having read again what arrived since line less reach."""
    after = Town(rule, Start(line=made.engine.line, said=made.facts()), made.log)
    since = None if made.engine.line is None else made.engine.line - declared().reach
    after.engine.recall(Log().batch(*(each for each in records if since is None or each["arrived"] >= since or "limit" in each)))
    after.said = list(made.said)
    return after


def story() -> list[Record]:
    """A day of two wells: a flood, a silence, a change of limits, a correction."""
    a = [reading("a", minute, 8.0 if 200 <= minute < 420 else 2.0) for minute in range(10, 900, 20) if not 480 <= minute < 600]
    b = [reading("b", minute, 6.0 - abs(minute - 500) / 200) for minute in range(7, 900, 30)]
    others = [
        limit("a", 300, 9.0, arrived=310), limit("b", 600, 4.0, arrived=590), reading("a", 195, 9.0, arrived=235),
        reading("a", 410, 1.0, version=2, arrived=440),
        reading("b", 97, 9.0, arrived=155, version=2), limit("b", 600, version=2, op="withdrawn", arrived=750),
    ]  # fmt: skip
    return sorted([*a, *b, *(tick(minute) for minute in range(0, 930, 30)), *others], key=lambda each: each["arrived"])


KNOWN = [limit("a", -1000, 5.0), limit("b", -1000, 5.0)]


def numbered(records: Sequence[Record]) -> list[Record]:
    """Each with its offset in its feed."""
    return [each | {"offset": sum(feed_of(other) == feed_of(each) for other in records[:nth])} for nth, each in enumerate(records)]


STORY = numbered([*KNOWN, *story()])


def told_by(records: Sequence[Record]) -> Town:
    made = Town()
    for each in records:
        made.step(each)
    return made


def test_the_story_is_worth_telling() -> None:
    states = {each["state"] for each in told_by(STORY).said}
    assert states == {"over", "silent", "cleared", "withdrawn"}


@pytest.mark.parametrize("killed_after", range(0, 110, 3))
def test_a_start_says_nothing_new_and_what_follows_is_as_if_nothing_had_happened(killed_after: int) -> None:
    after = successor(told_by(STORY[:killed_after]), STORY[:killed_after])
    assert after.hears() == []
    for each in STORY[killed_after:]:
        after.step(each)
    assert after.said == told_by(STORY).said


def test_what_a_corrected_limit_took_away_comes_back_under_its_id_for_a_successor_too() -> None:
    """A limit that is said to end as it begins takes the episode away; its correction brings back what stood open at the line."""
    read = [reading("a", minute, 7.0) for minute in range(10, 300, 20)]
    limits = [limit("a", -1000), limit("a", 250, arrived=240, until=250), limit("a", 250, version=2, arrived=275)]
    ticks = [tick(minute) for minute in range(15, 300, 20)]
    records = numbered(sorted([*read, *limits, *ticks], key=lambda each: each["arrived"]))
    before = [each for each in records if each["arrived"] < at(275)]
    made, after = told_by(before), successor(told_by(before), before)
    assert made.standing() == set()
    for each in records[len(before) :]:
        assert after.hears(each) == made.hears(each)
    assert [each.split()[1] for each in made.standing()] == ["over@10"]


class Fleeting(Overs):
    """An episode may end as soon as it began."""

    least = (timedelta(0), timedelta(0))


def test_an_episode_that_need_not_last_is_renewed_by_time_too_so_that_a_start_says_nothing_new() -> None:
    records = numbered([limit("a", -1000), reading("a", 10, 7.0), *(tick(minute) for minute in range(10, 75, 5))])
    made = Town(Fleeting())
    for each in records:
        made.step(each)
    assert successor(made, records, Fleeting()).hears() == []


def test_what_began_and_fell_away_before_anybody_was_told_is_said_as_withdrawn() -> None:
    made = Town()
    (said,) = made.hears(limit("a", -1000, until=30), reading("a", 10, 7.0), reading("a", 40, 7.0))
    assert "withdrawn" in said


def test_who_has_heard_nothing_says_nothing() -> None:
    assert Town().hears() == []


def test_a_start_with_nothing_said_and_nothing_heard_is_a_beginning() -> None:
    made = Town(start=Start(line=None, said=FACT.empty()))
    assert made.engine.step({}).facts is None
    play(made, (limit("a", 0), []), (reading("a", 10, 7.0), ["a over@10 r1 value 7.0"]))


def test_recalling_says_nothing() -> None:
    engine = Engine(declared(), FEEDS)
    log = Log()
    engine.recall(log.batch(limit("a", 0), reading("a", 10, 7.0), tick(20)))
    spoken = engine.step(log.batch(reading("a", 20, 7.0)))
    assert spoken.facts is not None
    assert spoken.facts["onset"].to_list() == [at(10)]


# --- order, batches, bounds ------------------------------------------------------------------------------------

some_values = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 300), st.integers(0, 9), st.integers(-5, 70)), max_size=25)
some_limits = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(3, 8), st.integers(-50, 200)), max_size=3)


def arrivals(values: list[Any], limits: list[Any]) -> list[Record]:
    """One record of each identity."""
    read = {(well, minute): reading(well, minute, float(value), arrived=minute + delay) for well, minute, value, delay in values}
    known = {(well, hour): limit(well, 60 * hour, float(height), arrived=60 * hour + delay) for well, hour, height, delay in limits}
    return [*read.values(), *known.values()]


def standing_after(batches: Sequence[Sequence[Record]], last_tick: float) -> set[str]:
    made = Town()
    made.step(*KNOWN, tick(-30))
    for batch in batches:
        made.step(*batch)
    made.step(tick(last_tick))
    return {word for word in map(without_words, made.standing()) if word}


def without_words(fact: str) -> str:
    """What stands, less the value: how far an episode was told in the same words rests on the newest slot."""
    return fact.partition(" value")[0]


@settings(max_examples=60)
@given(some_values, some_limits, st.randoms(use_true_random=False))
def test_what_stands_does_not_depend_on_order_batches_or_copies(values: list[Any], limits: list[Any], random: Random) -> None:
    """Nothing is settled here before the end: the line is two hours behind the ticks, which come last."""
    records = arrivals(values, limits)
    shuffled = [*records, *records[::3]]
    random.shuffle(shuffled)
    cut = [shuffled[i : i + 4] for i in range(0, len(shuffled), 4)]
    in_order = sorted(records, key=lambda each: each["arrived"])
    assert standing_after(cut, 370) == standing_after([in_order], 370) == standing_after([[each] for each in in_order], 370)


@settings(max_examples=60)
@given(some_values, some_limits, st.sets(st.integers(0, 370), max_size=12))
def test_what_stands_does_not_depend_on_when_the_clock_ticked(values: list[Any], limits: list[Any], minutes: set[int]) -> None:
    """Records in order of arrival, with and without ticks between them, so that the line moves or stands still."""
    records = arrivals(values, limits)
    alone = sorted(records, key=lambda each: each["arrived"])
    ticked = sorted([*records, *map(tick, minutes)], key=lambda each: each["arrived"])
    assert standing_after([[each] for each in ticked], 370) == standing_after([alone], 370)


def test_what_is_held_does_not_grow_over_a_long_run() -> None:
    made = town("a", "b")
    held = []
    for minute in range(0, 6000, 10):
        made.step(reading("a", minute, float(minute // 100 % 9)), reading("b", minute + 3, 1.0), tick(minute + 5))
        held.append(made.engine.held())
    slots = (120 + 180) // 10 + 2
    assert max(each["values"] for each in held) <= 2 * slots
    assert held[-1]["values"] == held[100]["values"]
    assert max(each["toy.fact.v1"] for each in held) <= 4
    assert len(made.said) > 40


def test_keys_that_nobody_knows_are_forgotten_with_their_records() -> None:
    made = town("a")
    for minute in range(0, 20_000, 10):
        made.step(reading("a", minute, 1.0), reading(f"stranger {minute}", minute, 9.0), tick(minute + 5))
    assert len(made.engine._fold.past.keys) < 700  # type: ignore[attr-defined]
    assert made.said == []
    assert made.hears(reading("a", 20_000, 9.0), tick(20_005)) == ["a over@20000 r1 value 9.0"]


def test_a_lagging_input_keeps_what_it_may_still_change() -> None:
    made = town()
    for minute in range(0, 3000, 10):
        made.step(reading("a", minute, 1.0), tick(minute + 5), unread={LIMITS: at(10)})
    assert made.engine.held()["values"] == 300


def test_facts_come_in_the_columns_of_their_feed() -> None:
    made = town()
    spoken = made.step(reading("a", 10, 7.0))
    assert spoken.facts is not None
    assert dict(spoken.facts.schema) == FACT.columns
    assert isinstance(spoken.facts, pl.DataFrame)


def test_a_tick_from_the_future_is_dead_and_closes_nobodys_window() -> None:
    made = town("a")
    made.step(reading("a", 10, 1.0), tick(20))
    line = made.engine.line
    stray = {"at": at(50_000), "arrived": at(30)}
    spoken = made.step(stray)
    assert spoken.dead is not None
    (reason,) = spoken.dead["reason"].to_list()
    assert reason.startswith("at must not lie more than 600 s after arrival (got ")
    assert made.engine.line == line
    assert made.hears(reading("a", 40, 9.0), tick(40)) == ["a over@40 r1 value 9.0"]
