"""Tallies: any arrivals, cut and killed anywhere, come to the fold over the set; and step by step, what is said when.

The tally is that of ``tests.linkage.gates``: passes of a gate in each hour, at most two of each vehicle counted. Passes may
come two hours late; it is folded at the first tick of each hour unless told otherwise. ``a/28T00 r1 3 passes, 2 counted`` is: gate a, the
hour that begins on the 28th at 00:00 UTC, first revision.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.linkage import hours, minutes
from tests.linkage.gates import COUNTS, HOUR_S, PASSES, Gates, Hourly, SinceFirst, by_hand, cap, passing, span_began, tally
from tests.linkage.near import Record, at, tick

END_S = 30 * HOUR_S

# --- drawn scripts -----------------------------------------------------------------------------------------------


def drawn(g: Random) -> list[Record]:
    """Passes of a few vehicles, told late, again, corrected, moved to another gate, withdrawn; and ticks, some of them missing."""
    out = []
    for number in range(g.randint(5, 30)):
        second = float(g.choice([g.randrange(0, 12) * HOUR_S, g.randrange(0, 12 * HOUR_S)]))
        what: dict[str, Any] = {"gate": g.choice("aab"), "vehicle": g.choice("vw"), "op": "stated"}
        for version in range(1, g.choice([2, 2, 3, 4])):
            for _ in range(g.choice([1, 1, 2])):
                delay_s = g.choice([0, g.randrange(0, 600), g.randrange(0, 7200), 7200, g.randrange(7201, 20_000)])
                out.append(passing(f"n{number}", second, version=version, arrived=second + delay_s, **what))
            what |= g.choice([{"gate": g.choice(["a", "b", None])}, {"op": "withdrawn"}, {"op": "stated"}, {"vehicle": "w"}])
    every_s = g.choice([600, 3600, 7000])
    ticks = [tick(second) for second in range(0, END_S, every_s) if g.random() < 0.8]
    return out + ticks + [tick(END_S)]


class Watched(Gates):
    """A run that compares all that stands with the fold over the set after every step."""

    window = hours(1)

    def watch(self) -> None:
        folded = self.folded()
        expected = {} if folded is None else by_hand(self.heard(), folded, self.window)
        assert self.standing() == expected
        assert all(row["said_at"] >= row["time"] for row in self.said)


class WatchedByDay(Watched):
    window = hours(24)


spans = st.sampled_from([minutes(30), hours(1), hours(6), hours(24)])


@settings(max_examples=40)
@given(st.integers(0, 2**32), spans, st.booleans(), st.sampled_from([0.0, 0.4]))
def test_after_each_step_exactly_that_stands_which_the_set_comes_to(seed: int, every: timedelta, by_day: bool, kill: float) -> None:
    g = Random(seed)
    window = hours(24) if by_day else hours(1)
    run = (WatchedByDay if by_day else Watched)(drawn(g), tally(Hourly(window), every=every, reach=window))
    run.to_the_end(g, kill=kill)
    assert all(each == list(range(1, len(each) + 1)) for each in run.revisions().values())
    run.logs[PASSES].append(passing("last", END_S + 5 * 86_400))
    run.logs["clock.v1"].append(tick(END_S + 6 * 86_400))
    run.say(run.step(**{"pass": 1}, clock=1))
    assert max(run.engine.held().values()) <= 1, "what is settled is held"


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_any_order_of_arrival_within_patience_comes_to_the_same(seed: int) -> None:
    g = Random(seed)
    arrivals = drawn(g)
    on_time = [each for each in arrivals if each["feed"] != PASSES or each["arrived"] - each["at"] <= hours(2)]
    again = [each if each["feed"] != PASSES else each | {"arrived": each["at"] + timedelta(seconds=g.randrange(7200))} for each in on_time]
    stood = []
    for some in (on_time, again):
        run = Gates(some)
        run.to_the_end(g)
        stood.append(run.standing())
    assert stood[0] == stood[1] == by_hand(on_time, at(END_S))


# --- step by step ------------------------------------------------------------------------------------------------


def test_nothing_is_said_before_the_span_ends() -> None:
    run = Gates([passing("n", 60), passing("m", 70), passing("o", 80), tick(0), tick(3599.999), tick(3600)])
    assert run.says(passes=3, clock=1) == []
    assert run.says(clock=1) == []
    assert run.says(clock=1) == ["a/28T00 r1 3 passes, 2 counted"]


def test_at_most_two_of_each_vehicle_are_counted() -> None:
    names = [("n", "v"), ("m", "v"), ("o", "v"), ("p", "w")]
    run = Gates([passing(name, 60, vehicle=vehicle) for name, vehicle in names] + [tick(3600)])
    assert run.says(passes=4, clock=1) == ["a/28T00 r1 4 passes, 3 counted"]


def test_what_arrives_within_the_next_span_counts_when_that_one_ends() -> None:
    run = Gates([passing("n", 60), passing("m", 70, arrived=4000), tick(3600), tick(7100), tick(7200)])
    assert run.says(passes=1, clock=1) == ["a/28T00 r1 1 passes, 1 counted"]
    assert run.says(passes=1, clock=1) == []
    assert run.says(clock=1) == ["a/28T00 r2 2 passes, 2 counted"]


def test_what_is_read_before_its_span_ends_is_not_counted_early() -> None:
    """The feed is read ahead of the clock: what arrives after the end of a span is left for the next."""
    run = Gates([passing("n", 60), passing("m", 70, arrived=3600), tick(3600), tick(7200)])
    assert run.says(passes=2, clock=1) == ["a/28T00 r1 1 passes, 1 counted"]
    assert run.says(clock=1) == ["a/28T00 r2 2 passes, 2 counted"]


def test_what_arrived_before_the_end_and_is_read_behind_it_revises_at_once() -> None:
    run = Gates([passing("n", 60), passing("m", 70), tick(3600)])
    assert run.says(passes=1, clock=1) == ["a/28T00 r1 1 passes, 1 counted"]
    assert run.says(passes=1) == ["a/28T00 r2 2 passes, 2 counted"]


def test_it_says_the_same_whether_a_span_was_folded_at_its_end_or_long_after() -> None:
    arrivals = [passing("n", 60), passing("m", 3700), passing("o", 90, arrived=7000), *map(tick, range(0, 30_000, 600))]
    run, other = Gates(arrivals), Gates(arrivals)
    assert run.says(passes=3, clock=100) == ["a/28T00 r1 2 passes, 2 counted", "a/28T01 r1 1 passes, 1 counted"]
    while other.unread():
        other.say(other.step(**{"pass": 1 if min(other.unread(), key=lambda name: other.unread()[name]) == PASSES else 0}, clock=1))
    assert run.standing() == other.standing()


def test_ticks_that_run_ahead_of_the_fold_settle_nothing_that_was_not_folded() -> None:
    """Folded once a day, and told in one go that it is noon: what arrived since midnight is not settled before it was counted."""
    linkage = tally(every=hours(24))
    run = Gates([tick(-9 * HOUR_S), tick(0), passing("n", 60), passing("m", 3700), tick(14 * HOUR_S), tick(15 * HOUR_S)], linkage)
    assert run.says(passes=1, clock=3) == []
    assert run.says(passes=1) == []
    assert run.says(clock=1) == ["a/28T00 r1 1 passes, 1 counted", "a/28T01 r1 1 passes, 1 counted"]


def test_a_start_between_two_folds_loses_nothing_that_was_not_folded() -> None:
    """The line that follows from the last tick is hours ahead of the last fold."""
    run = Gates([tick(0), passing("n", 60), tick(14 * HOUR_S), tick(15 * HOUR_S)], tally(every=hours(24)))
    run.says(passes=1, clock=2)
    run.start_again(dict(run.read), None)
    assert run.says(clock=1) == ["a/28T00 r1 1 passes, 1 counted"]


def test_a_correction_moves_a_pass_from_gate_to_gate() -> None:
    run = Gates([passing("n", 60), passing("m", 60), passing("n", 60, gate="b", version=2, arrived=4000), tick(3600), tick(7200)])
    run.says(passes=2, clock=1)
    assert run.says(passes=1, clock=1) == ["a/28T00 r2 1 passes, 1 counted", "b/28T00 r1 1 passes, 1 counted"]


def test_a_lower_version_that_comes_later_changes_nothing() -> None:
    run = Gates([passing("n", 60, version=2), passing("n", 60, gate="b", version=1, arrived=4000), tick(3600), tick(7200)])
    assert run.says(passes=1, clock=1) == ["a/28T00 r1 1 passes, 1 counted"]
    assert run.says(passes=1, clock=1) == []


def test_only_what_was_asked_for_is_counted() -> None:
    run = Gates([passing("n", 60), passing("m", 60, gate="b"), passing("o", 60, gate=None), tick(3600)], tally(where={"gate": ("b",)}))
    assert run.says(passes=3, clock=1) == ["b/28T00 r1 1 passes, 1 counted"]


def test_a_fact_that_should_not_stand_is_withdrawn_and_may_come_back_with_the_next_revision() -> None:
    ops = [passing("n", 60, version=nth, op=op, arrived=60 + nth * 1800) for nth, op in enumerate(["stated", "withdrawn", "stated"], 1)]
    run = Gates([*ops, *map(tick, range(3600, 10_801, 1800))], tally(every=minutes(30)))
    assert [run.says(passes=each, clock=1) for each in (1, 1, 1)] == [
        ["a/28T00 r1 1 passes, 1 counted"], ["a/28T00 r2 withdrawn"], ["a/28T00 r3 1 passes, 1 counted"],
    ]  # fmt: skip
    assert [row["ended_at"] for row in run.said] == [at(3600), None, at(3600)]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_window_that_is_longer_than_patience_remembers_what_was_withdrawn_in_it(restarted: bool) -> None:
    passes = [passing("n", 60), passing("n", 60, version=2, op="withdrawn", arrived=4000), passing("beside", 30_000, gate="b")]
    run = Gates([*passes, passing("m", 50_000), *map(tick, (3600, 7200, 36_000, 54_000))], tally(Hourly(hours(24)), reach=hours(24)))
    assert run.says(passes=1, clock=1) == ["a/28T00 r1 1 passes, 1 counted"]
    assert run.says(passes=1, clock=1) == ["a/28T00 r2 withdrawn"]
    assert run.says(passes=1, clock=1) == ["b/28T00 r1 1 passes, 1 counted"]
    assert run.engine.line == at(28_800)
    if restarted:
        run.start_again(dict(run.read), run.engine.line)
    assert run.says(passes=1, clock=1) == ["a/28T00 r3 1 passes, 1 counted"]


def test_an_id_that_moved_names_the_other_and_the_other_names_it() -> None:
    run = Gates([passing("n", 3000), passing("m", 600, arrived=4000), tick(3600), tick(7200)], tally(SinceFirst()))
    assert run.says(passes=1, clock=1) == ["a/28T0050 r1 1 passes, 1 counted"]
    assert run.says(passes=1, clock=1) == [
        "a/28T0050 r2 withdrawn, instead of a/28T0010",
        "a/28T0010 r1 2 passes, 2 counted, instead of a/28T0050",
    ]


def test_gates_beside_it_are_not_named_in_its_place() -> None:
    told = [passing("n", 3000), passing("n", 3000, version=2, gate="b", arrived=4000)]
    run = Gates([*told, tick(3600), tick(7200)], tally(SinceFirst()))
    run.says(passes=1, clock=1)
    assert run.says(passes=1, clock=1) == ["a/28T0050 r2 withdrawn", "b/28T0050 r1 1 passes, 1 counted"]


def test_an_open_fact_that_turns_out_to_have_ended_before_the_line_is_said_to_have_ended_and_is_settled() -> None:
    """It is given up for good with the fifth pass, as if it had ended a minute after the first."""
    passes = [passing(f"n{number}", second) for number, second in enumerate([60, 61, 62, 10_000, 14_000, 20_000])]
    run = Gates([*passes, *map(tick, (3600, 10_800, 14_400, 21_600))], tally(SinceFirst(), reach=hours(240)))
    assert run.says(passes=3, clock=1) == ["a/28T0001 r1 3 passes, 3 counted"]
    assert run.says(passes=1, clock=1) == ["a/28T0001 r2 4 passes, 4 counted"]
    assert run.engine.line == at(3600)
    assert run.says(passes=1, clock=1) == ["a/28T0001 r3 5 passes, 5 counted"]
    assert run.said[-1]["ended_at"] == at(120)
    assert run.says(passes=1, clock=1) == []


def test_what_is_settled_stays_and_is_forgotten() -> None:
    run = Gates(
        [passing("n", 60), passing("m", 20_000), tick(3600), tick(25_000), tick(90_000), passing("o", 86_000), passing("p", 89_000)]
    )
    run.says(passes=1, clock=1)
    assert run.engine.held() == {"passes": 1, "caps": 0, COUNTS: 1}
    assert run.says(passes=1, clock=1) == ["a/28T05 r1 1 passes, 1 counted"]
    assert run.engine.held() == {"passes": 1, "caps": 0, COUNTS: 1}
    assert run.says(passes=1, clock=1) == ["a/28T23 r1 1 passes, 1 counted"]
    assert run.engine.held() == {"passes": 1, "caps": 0, COUNTS: 1}
    assert run.standing().keys() == {"t/a/28T00", "t/a/28T05", "t/a/28T23"}


def test_an_unread_record_keeps_its_hour_from_settling() -> None:
    run = Gates([passing("n", 60), passing("m", 60, arrived=7000), tick(3600), tick(90_000)])
    run.says(passes=1, clock=2)
    assert run.engine.line == at(7000 - 7200)
    assert run.says(passes=1) == ["a/28T00 r2 2 passes, 2 counted"]


def test_a_start_says_nothing_twice_and_takes_nothing_back() -> None:
    run = Gates([*(passing(f"n{nth}", nth * 1000.0) for nth in range(20)), *map(tick, range(3600, 18_001, 3600))])
    run.says(passes=14, clock=3)
    said = len(run.said)
    run.start_again(dict(run.read), run.engine.line)
    assert len(run.said) == said > 0
    assert run.says(clock=1) == ["a/28T03 r1 3 passes, 2 counted"]


def test_a_reference_counts_from_its_time_and_at_the_next_fold() -> None:
    run = Gates([cap(1, 5000, arrived=0), passing("n", 60), passing("m", 70), tick(3600), tick(7200)])
    assert run.says(passes=2, cap=1, clock=1) == ["a/28T00 r1 2 passes, 2 counted"]
    assert run.says(clock=1) == ["a/28T00 r2 2 passes, 1 counted"]


def test_late_passes_are_not_counted() -> None:
    run = Gates([passing("n", 60, arrived=7260.001), passing("m", 60, arrived=7260), tick(10_800)])
    assert run.says(passes=2, clock=1) == ["a/28T00 r1 1 passes, 1 counted"]


@pytest.mark.parametrize(
    ("every", "time", "began"),
    [
        (hours(24), datetime.fromisoformat("2024-05-28T14:59+00:00"), "2024-05-27T15:00+00:00"),
        (hours(24), datetime.fromisoformat("2024-05-28T15:00+00:00"), "2024-05-28T15:00+00:00"),
        (hours(6), datetime.fromisoformat("2024-05-28T03:00+00:00"), "2024-05-28T03:00+00:00"),
        (hours(6), datetime.fromisoformat("2024-05-28T02:59+00:00"), "2024-05-27T21:00+00:00"),
    ],
)
def test_spans_begin_at_midnight_in_japan(every: timedelta, time: datetime, began: str) -> None:
    assert span_began(tally(every=every), time) == datetime.fromisoformat(began)
    second = (datetime.fromisoformat(began) - at(0)).total_seconds()
    run = Gates([passing("n", second - 1), passing("m", second, gate="b"), tick((time - at(0)).total_seconds())], tally(every=every))
    assert [each[0] for each in run.says(passes=2, clock=1)] == ["a"]
