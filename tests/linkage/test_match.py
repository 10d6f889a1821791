"""Matches: any arrivals, cut and killed anywhere, come to what brute force finds; and step by step, what is said when.

The match is that of ``tests.linkage.near``: calls and answers within 100 m and ten minutes, unless told otherwise. Calls
may come an hour late, answers two, so the line is two hours behind the last tick.
"""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.linkage import Match, records
from pipelines.linkage import side as side_module
from tests.linkage.drawn import END_S, drawn, matches, ticks
from tests.linkage.near import ANSWERS, CALLS, PATIENCE_S, Record, Run, answer, at, by_brute_force, call, match, tick


def forgets_everything(run: Run) -> bool:
    """Whether nothing is held any more when the line has passed all there was."""
    run.logs["clock.v1"].append(tick(END_S + 10 * 86_400))
    run.say(run.step(clock=1))
    return set(run.engine.held().values()) == {0}


class Watched(Run):
    """A run that compares all that stands with brute force after every step, and marks when somebody is called alone."""

    def watch(self) -> None:
        assert self.standing() == by_brute_force(self.linkage, self.heard(), self.engine.line)
        newest = {(row["id"], row["revision"]) for row in self.said}
        assert len(newest) == len(self.said), "a revision is said twice"


@settings(max_examples=60)
@given(matches, st.integers(0, 2**32))
def test_after_each_step_exactly_that_stands_which_brute_force_finds(linkage: Match, seed: int) -> None:
    g = Random(seed)
    linkage, arrivals = drawn(linkage, g)
    run = Watched(linkage, arrivals + ticks(g))
    run.to_the_end(g)
    assert all(each == list(range(1, len(each) + 1)) for each in run.revisions().values())
    assert forgets_everything(run)


@settings(max_examples=50)
@given(matches, st.integers(0, 2**32))
def test_killed_anywhere_it_comes_to_the_same_and_takes_nothing_back(linkage: Match, seed: int) -> None:
    g = Random(seed)
    linkage, arrivals = drawn(linkage, g)
    arrivals += ticks(g)
    run = Watched(linkage, arrivals)
    run.to_the_end(g, kill=0.4)
    assert run.standing() == by_brute_force(linkage, arrivals, run.engine.line)
    assert all(each == list(range(1, len(each) + 1)) for each in run.revisions().values())
    assert forgets_everything(run)


@settings(max_examples=20)
@given(matches, st.integers(0, 2**32))
def test_any_order_of_arrival_within_patience_comes_to_the_same(linkage: Match, seed: int) -> None:
    g = Random(seed)
    linkage, arrivals = drawn(linkage, g)
    on_time = [each for each in arrivals if each["arrived"] - each["at"] <= timedelta(seconds=PATIENCE_S[each["feed"]])]
    again = [each | {"arrived": each["at"] + timedelta(seconds=g.uniform(0, PATIENCE_S[each["feed"]]))} for each in on_time]
    stood = []
    for some in (on_time, again):
        run = Run(linkage, some + ticks(g))
        run.to_the_end(g)
        stood.append(run.standing())
    assert stood[0] == stood[1]


# --- step by step ------------------------------------------------------------------------------------------------


def says(run: Run, **counts: int) -> list[str]:
    """One step; what it said, each fact in a word: ``c-a r1 paired``."""
    names = [[part.partition("@")[0] for part in row["id"].split("/")[1:]] + [row] for row in run.say(run.step(**counts))]
    return [f"{left}-{right} r{row['revision']} {row['state']}" for left, right, row in names]


@pytest.mark.parametrize("first", ["call", "answer"])
def test_a_pair_is_said_when_the_second_arrives_whichever_it_is(first: str) -> None:
    run = Run(match(), [call("c"), answer("a", 60, at_m=40)])
    assert says(run, **{first: 1}) == []
    assert says(run, **{"answer" if first == "call" else "call": 1}) == ["c-a r1 paired"]
    (fact,) = run.said
    assert (fact["town"], fact["time"], fact["lag_s"], fact["rule"]) == ("t", at(60), 60.0, "near 1")
    assert fact["distance_m"] == pytest.approx(40, abs=0.1)
    assert fact["because"]["left"] == {"feed": CALLS, "name": f"c@{round(at(0).timestamp() * 1000)}", "time": at(0), "version": 1}
    assert [(each["feed"], each["offset"]) for each in fact["basis"]] == [(ANSWERS, 0), (CALLS, 0)]


def test_ends_of_the_span_and_of_the_radius_belong_to_it() -> None:
    answers = [answer("end", 600), answer("begin", -600), answer("after", 600.001), answer("before", -600.001)]
    run = Run(match(), [call("c", arrived=900), *answers])
    assert says(run, call=1, answer=4) == ["c-begin r1 paired", "c-end r1 paired"]


def test_alone_is_said_once_the_line_has_passed_the_last_partner() -> None:
    """A partner may be ten minutes later than the call and come two hours after that: at 7800 s, and no tick before says a word."""
    run = Run(match(), [call("c"), tick(3600), tick(7800), tick(7800.001), tick(20_000)])
    assert says(run, call=1, clock=1) == []
    assert says(run, clock=1) == []
    assert says(run, clock=1) == ["c-alone r1 alone"]
    assert says(run, clock=1) == []
    assert run.said[0]["time"] == at(600)
    assert run.said[0]["because"]["right"] == {"feed": ANSWERS, "name": None, "time": None, "version": None}


def test_the_last_partner_that_patience_allows_is_waited_for() -> None:
    run = Run(match(), [call("c"), answer("a", 600, arrived=7800), tick(7800)])
    assert says(run, call=1, clock=1) == []
    assert says(run, answer=1) == ["c-a r1 paired"]


def test_while_an_input_is_unread_nobody_is_called_alone() -> None:
    run = Run(match(), [call("c"), answer("a", 10, arrived=7000), answer("b", 90_000), tick(100_000)])
    assert says(run, call=1, clock=1) == []
    assert says(run, answer=1) == ["c-a r1 paired"]
    assert run.engine.line == at(90_000 - 7200)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_late_record_that_was_all_that_was_unread_lets_the_line_pass(restarted: bool) -> None:
    """Nothing is heard of it, but the line that follows from what was read is further: whoever starts from there says it no more."""
    run = Run(match(), [call("c"), tick(9000), answer("late", -9000, arrived=100)])
    assert says(run, call=1, clock=1) == []
    assert says(run, answer=1) == ["c-alone r1 alone"]
    if restarted:
        run.start_again(dict(run.read), None)
    assert len(run.said) == 1


def test_who_starts_behind_the_line_of_the_one_before_says_alone_no_second_time() -> None:
    """The one before knew of nothing unread; by the time of the start something is, and its arrival holds the line back."""
    run = Run(match(), [call("c"), tick(9000)])
    assert says(run, call=1, clock=1) == ["c-alone r1 alone"]
    run.logs[ANSWERS].append(answer("a", 5000, arrived=7300))
    run.start_again(dict.fromkeys(run.read, 0), None)
    assert run.engine.line == at(100)
    assert says(run, answer=1) == []
    assert run.engine.line == at(1800)
    assert len(run.said) == 1


def test_a_record_is_not_alone_in_the_eyes_of_the_other_side() -> None:
    run = Run(match(), [answer("a"), tick(90_000)])
    assert says(run, answer=1, clock=1) == []


def test_a_partner_that_is_withdrawn_leaves_the_other_alone_when_the_line_says_so() -> None:
    run = Run(match(), [call("c"), answer("a", 60), answer("a", 60, version=2, op="withdrawn", arrived=70), tick(7000), tick(9000)])
    assert says(run, call=1, answer=1) == ["c-a r1 paired"]
    assert says(run, answer=1, clock=1) == ["c-a r2 withdrawn"]
    assert says(run, clock=1) == ["c-alone r1 alone"]


def test_a_pair_that_was_withdrawn_and_is_told_again_gets_the_next_revision() -> None:
    versions = [answer("a", 60, version=nth, op=op, arrived=60 + nth) for nth, op in enumerate(["stated", "withdrawn"] * 2, 1)]
    run = Run(match(), [call("c"), *versions])
    assert says(run, call=1, answer=1) == ["c-a r1 paired"]
    assert [says(run, answer=1) for _ in range(3)] == [["c-a r2 withdrawn"], ["c-a r3 paired"], ["c-a r4 withdrawn"]]


def test_what_came_and_went_between_two_steps_was_never_said() -> None:
    run = Run(match(), [call("c"), answer("a", 60), answer("a", 60, version=2, op="withdrawn", arrived=70)])
    assert says(run, answer=1) == []
    assert says(run, call=1, answer=1) == []


def test_a_correction_that_changes_nothing_but_its_version_is_a_revision_that_names_it() -> None:
    run = Run(match(), [call("c"), answer("a", 60), answer("a", 60, version=5, arrived=70)])
    says(run, call=1, answer=1)
    assert says(run, answer=1) == ["c-a r2 paired"]
    assert run.said[-1]["because"]["right"]["version"] == 5


def test_a_lower_version_that_comes_later_and_a_duplicate_say_nothing() -> None:
    twice = [answer("a", 60, version=2), answer("a", 60, version=1, at_m=5000, arrived=70), answer("a", 60, version=2, arrived=80)]
    run = Run(match(), [call("c"), *twice])
    assert says(run, call=1, answer=1) == ["c-a r1 paired"]
    assert says(run, answer=2) == []


def test_neighbours_under_different_keys_are_no_pair_though_each_side_knows_one_key_only() -> None:
    run = Run(match(), [call("c"), answer("a", town="u"), answer("b", town="t", arrived=5)])
    assert says(run, call=1, answer=1) == []
    assert says(run, answer=1) == ["c-b r1 paired"]


def test_nothing_equals_what_is_not_known() -> None:
    linkage = match(within_m=None, same=("band",))
    run = Run(linkage, [call("c", band=None), call("d", band="b"), answer("a", band=None), answer("b", band="b"), answer("e", band="")])
    assert says(run, call=2, answer=3) == ["d-b r1 paired"]


def test_a_record_is_no_partner_of_itself() -> None:
    run = Run(match(left=records(CALLS), right=records(CALLS)), [call("c"), call("d", 10), call("far", at_m=900), tick(90_000)])
    assert says(run, call=3, clock=1) == ["c-d r1 paired", "d-c r1 paired", "far-alone r1 alone"]


@pytest.mark.parametrize(("second", "pairs"), [(99.999, []), (100, ["c-a r1 paired"]), (159.999, ["c-a r1 paired"]), (160, [])])
def test_the_right_record_holds_from_its_time_until_it_ends_whichever_comes_first(second: float, pairs: list[str]) -> None:
    arrivals = [answer("a", 100, valid_until=at(160)), call("c", second), tick(0)]
    for first, then in (({"call": 1}, {"answer": 1}), ({"answer": 1}, {"call": 1}), ({}, {"call": 1, "answer": 1})):
        run = Run(match(valid="right"), arrivals)
        assert says(run, clock=1) == []
        assert says(run, **first) == []
        assert says(run, **then) == pairs


def test_what_holds_without_an_end_holds_for_the_span() -> None:
    run = Run(match(valid="right"), [answer("a", 100), call("c", 700), call("d", 700.001)])
    assert says(run, call=2, answer=1) == ["c-a r1 paired"]


def test_what_comes_again_behind_the_line_is_settled() -> None:
    """A mirror keeps the time of arrival: the record is not late by its own words, but nobody waits for it any more."""
    run = Run(match(), [call("c"), answer("a", 60), tick(90_000), call("c", 0, arrived=90_001), answer("a", 60, arrived=90_002)])
    assert says(run, call=1, answer=1) == ["c-a r1 paired"]
    assert says(run, clock=1) == []
    for each in run.logs[CALLS][1:] + run.logs[ANSWERS][1:]:
        each["arrived"] = each["at"]
    assert says(run, call=1, answer=1) == []


def test_late_records_find_nobody() -> None:
    run = Run(match(), [call("c", arrived=3600.001), answer("a")])
    assert says(run, call=1, answer=1) == []


# --- much of it --------------------------------------------------------------------------------------------------


def test_old_rows_are_given_back_and_what_is_left_is_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days of records pass through; rows are numbered anew more than once, and a correction still finds its record."""
    compacted = []
    compact = side_module.Side._compact

    def counting(side: Any) -> None:
        compacted.append(len(side))
        compact(side)

    monkeypatch.setattr(side_module.Side, "_compact", counting)
    g = Random(4)
    arrivals: list[Record] = []
    for number in range(15_000):
        second, place_m = number * 120.0, g.uniform(0, 1_000)
        builder = g.choice([call, answer])
        arrivals.append(builder(f"n{number}", second, at_m=place_m))
        if number % 50 == 0:
            arrivals.append(builder(f"n{number}", second, at_m=place_m + 90, version=2, arrived=second + 3000))
    run = Run(match(), arrivals + [tick(second) for second in range(0, 15_000 * 120 + 20_000, 90_000)])
    while run.unread():
        until = min(run.unread().values()) + timedelta(seconds=90_000)
        counts = {name.split(".")[-2]: sum(each["arrived"] <= until for each in log[run.read[name] :]) for name, log in run.logs.items()}
        run.say(run.step(**counts))
    assert len(compacted) >= 2
    assert max(compacted) > 4096
    assert run.standing() == windowed_brute_force(run)


def windowed_brute_force(run: Run) -> dict[str, str]:
    """Brute force, hour by hour: a record asks those of its own hour and of the ones beside it."""
    out: dict[str, str] = {}
    by_hour: dict[int, list[Record]] = {}
    for each in run.heard():
        if "name" in each:
            by_hour.setdefault(int((each["at"] - at(0)) / timedelta(hours=1)), []).append(each)
    for hour, own in by_hour.items():
        near = [each for beside in (hour - 1, hour, hour + 1) for each in by_hour.get(beside, [])]
        found, names = by_brute_force(run.linkage, near, run.engine.line), {each["name"] for each in own}
        out |= {id_: each for id_, each in found.items() if id_.split("/")[1].partition("@")[0] in names}
    return out
