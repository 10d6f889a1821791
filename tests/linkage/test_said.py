"""What was said against what should be said: new, changed, gone, moved, come back, settled, forgotten.

A fact of the tests is ``fact("a", 10)``: of the subject a, begun in minute 10. Minutes stand for milliseconds. It is *raised*
when it did not stand before, and *updated* from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipelines.linkage.said import Row, Said

LINE, UNTIL = 0, 1000


class Raising:
    """Words of a linkage whose facts are raised first."""

    def first(self, state: str) -> str:
        return "raised" if state == "updated" else state

    def later(self, state: str) -> str:
        return "updated" if state == "raised" else state

    def withdraw(self, row: Row) -> Row:
        return {**row, "value": -abs(row["value"])}


def fact(subject: str, onset: int, *, ended: int | None = None, state: str = "updated", value: float = 1.0, fell: bool = False) -> Row:
    said = {"id": f"{subject}/{onset}", "state": state, "value": float(value)}
    return said | {"subject": subject, "onset_ms": onset, "ended_ms": ended, "fell": fell}


def nothing() -> Said:
    return Said(Raising())


def news(said: Said, *should: Row, scope: Sequence[str] = ("a", "b"), line: int = LINE, until: int = UNTIL) -> list[str]:
    """What is said, each in a word: ``a/10 r1 raised 1.0``."""
    rows = said.difference(should, scope, line_ms=line, until_ms=until)
    return [in_a_word(row) for row in rows]


def in_a_word(row: Mapping[str, Any]) -> str:
    instead = f" instead of {row['instead_of']}" if row["instead_of"] else ""
    return f"{row['id']} r{row['revision']} {row['state']} {row['value']}{instead}"


def already(*facts: Row) -> Said:
    said = nothing()
    said.difference(facts, ("a", "b"), line_ms=LINE, until_ms=UNTIL)
    return said


def test_what_is_new_is_said_once() -> None:
    said = nothing()
    assert news(said, fact("a", 10)) == ["a/10 r1 raised 1.0"]
    assert news(said, fact("a", 10)) == []


def test_what_is_said_holds_the_value_and_nothing_of_the_engine() -> None:
    (row,) = nothing().difference([fact("a", 10)], ["a"], line_ms=LINE, until_ms=UNTIL)
    assert row == {"id": "a/10", "state": "raised", "value": 1.0, "revision": 1, "instead_of": None}


def test_what_changed_is_said_as_the_next_revision() -> None:
    said = already(fact("a", 10))
    assert news(said, fact("a", 10, value=2.0)) == ["a/10 r2 updated 2.0"]
    assert news(said, fact("a", 10, value=2.0, ended=50, state="cleared")) == ["a/10 r3 cleared 2.0"]


def test_what_is_gone_is_withdrawn_once_with_its_last_value() -> None:
    said = already(fact("a", 10, value=2.0))
    assert news(said) == ["a/10 r2 withdrawn -2.0"]
    assert news(said) == []


def test_what_is_out_of_scope_stays() -> None:
    said = already(fact("a", 10), fact("b", 20))
    assert news(said, scope=["b"]) == ["b/20 r2 withdrawn -1.0"]
    assert news(said, scope=[]) == []


def test_what_is_settled_stays_though_it_should_not_be_said_any_more() -> None:
    said = already(fact("a", 10, ended=50, state="cleared"))
    assert news(said, line=51) == []
    assert news(said, line=50) == ["a/10 r2 withdrawn -1.0"]


def test_an_open_fact_is_never_settled() -> None:
    assert news(already(fact("a", 10)), line=999) == ["a/10 r2 withdrawn -1.0"]


def test_a_moved_onset_withdraws_one_id_and_says_another_each_naming_the_other() -> None:
    said = already(fact("a", 10))
    assert news(said, fact("a", 30)) == ["a/10 r2 withdrawn -1.0 instead of a/30", "a/30 r1 raised 1.0 instead of a/10"]


def test_a_moved_onset_names_only_ids_of_its_own_subject() -> None:
    said = already(fact("a", 10), fact("b", 10))
    assert news(said, fact("a", 30), fact("b", 10)) == ["a/10 r2 withdrawn -1.0 instead of a/30", "a/30 r1 raised 1.0 instead of a/10"]


def test_a_second_episode_beside_the_first_replaces_nothing() -> None:
    said = already(fact("a", 10, ended=50, state="cleared"))
    assert news(said, fact("a", 10, ended=50, state="cleared"), fact("a", 80)) == ["a/80 r1 raised 1.0"]


def test_revisions_count_on_after_a_withdrawal_and_a_return() -> None:
    said = already(fact("a", 10))
    assert news(said) == ["a/10 r2 withdrawn -1.0"]
    assert news(said, fact("a", 10)) == ["a/10 r3 raised 1.0"]
    assert news(said) == ["a/10 r4 withdrawn -1.0"]


def test_a_withdrawn_id_can_come_back_until_the_line_has_passed_it() -> None:
    said = already(fact("a", 10))
    news(said, until=500)
    said.forget(500)
    assert len(said) == 1
    assert news(said, fact("a", 10), line=500) == ["a/10 r3 raised 1.0"]
    news(said, until=500)
    said.forget(501)
    assert len(said) == 0


def test_withdrawals_come_first_so_that_no_reader_sees_two_at_a_time() -> None:
    said = already(fact("b", 10))
    assert news(said, fact("a", 20)) == ["b/10 r2 withdrawn -1.0", "a/20 r1 raised 1.0"]


def test_forgetting_keeps_what_can_still_change() -> None:
    said = already(fact("a", 10), fact("b", 10, ended=50, state="cleared"), fact("b", 60, ended=90, state="cleared"))
    said.forget(51)
    assert len(said) == 2
    assert news(said, line=51) == ["a/10 r2 withdrawn -1.0", "b/60 r2 withdrawn -1.0"]


def test_what_stood_open_at_an_instant_had_begun_before_it_and_had_not_ended_before_it() -> None:
    said = already(fact("a", 10), fact("b", 10, ended=50, state="cleared"))
    assert [dict(said.opened(each)) for each in (10, 11, 50, 51)] == [{}, {"a": 10, "b": 10}, {"a": 10, "b": 10}, {"a": 10}]


def test_a_fact_that_ended_and_goes_on_after_all_is_raised_again() -> None:
    said = already(fact("a", 10), fact("b", 10, ended=50, state="cleared"))
    assert news(said, fact("a", 10), fact("b", 10)) == ["b/10 r2 raised 1.0"]


def test_what_fell_away_stood_open_until_then() -> None:
    said = already(fact("a", 10))
    assert news(said, fact("a", 10, ended=50, state="withdrawn", fell=True)) == ["a/10 r2 withdrawn 1.0"]
    assert [dict(said.opened(each)) for each in (11, 50, 51)] == [{"a": 10}, {"a": 10}, {}]


def test_what_began_and_fell_away_unheard_is_said_as_withdrawn_so_that_a_successor_knows_of_it() -> None:
    """Late data may yet show that it ended before it fell away; a successor must then know its onset."""
    assert news(nothing(), fact("a", 10, ended=50, state="withdrawn", fell=True)) == ["a/10 r1 withdrawn 1.0"]


def test_what_was_withdrawn_did_not_stand() -> None:
    said = already(fact("a", 10))
    news(said)
    assert said.opened(20) == {}


def recalled(*rows: Row) -> Said:
    said = nothing()
    schema = {"id": pl.String, "state": pl.String, "value": pl.Float64, "subject": pl.String, "onset_ms": pl.Int64}
    schema |= {"ended_ms": pl.Int64, "fell": pl.Boolean}
    said.recall(pl.DataFrame(rows, schema=schema | {"revision": pl.Int32}))
    return said


def test_after_a_recall_nothing_is_new() -> None:
    assert news(recalled(fact("a", 10) | {"revision": 3}), fact("a", 10)) == []


def test_after_a_recall_it_is_known_what_was_raised() -> None:
    said = recalled(fact("a", 10, state="raised") | {"revision": 1})
    assert news(said, fact("a", 10)) == []
    assert news(said, fact("a", 10, value=2.0)) == ["a/10 r2 updated 2.0"]


def test_after_a_recall_revisions_go_on() -> None:
    said = recalled(fact("a", 10) | {"revision": 3}, fact("a", 10, value=9.0) | {"revision": 4}, fact("a", 10) | {"revision": 2})
    assert news(said, fact("a", 10)) == ["a/10 r5 updated 1.0"]


# --- properties ------------------------------------------------------------------------------------------------

standing = st.dictionaries(
    st.tuples(st.sampled_from("ab"), st.integers(0, 3)), st.tuples(st.sampled_from(["updated", "stale"]), st.integers(1, 3)), max_size=5
).map(lambda facts: [fact(subject, onset, state=state, value=value) for (subject, onset), (state, value) in facts.items()])


@given(st.lists(standing, max_size=6))
def test_what_stands_is_what_should_be_said_and_revisions_count_up_by_one(wanted: list[list[Row]]) -> None:
    said, log = nothing(), {}
    for should in wanted:
        for row in said.difference(should, ["a", "b"], line_ms=LINE, until_ms=UNTIL):
            assert row["revision"] == log.get(row["id"], {"revision": 0})["revision"] + 1
            log[row["id"]] = row
        stands = {(id_, Raising().later(row["state"]), row["value"]) for id_, row in log.items() if row["state"] != "withdrawn"}
        assert stands == {(row["id"], row["state"], row["value"]) for row in should}


@given(standing, standing)
def test_whoever_starts_from_what_was_said_says_the_same_as_who_said_it(first: list[Row], then: list[Row]) -> None:
    said = already(*first)
    successor = recalled(*(row | {"revision": 1} for row in first))
    assert news(successor, *then) == news(said, *then)


def test_what_fell_away_and_then_never_was_is_taken_back_so_that_no_successor_takes_it_up() -> None:
    fallen = fact("a", 10, ended=50, state="withdrawn", fell=True)
    said = already(fact("a", 10))
    assert news(said, fallen) == ["a/10 r2 withdrawn 1.0"]
    assert said.opened(30) == {"a": 10}
    assert news(said) == ["a/10 r3 withdrawn -1.0"]
    assert said.opened(30) == {}
    assert news(said) == []
