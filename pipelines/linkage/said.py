"""What was said, and how it differs from what should be said.

Facts are rows with at least ``id``, ``subject`` (all of the id but its onset), ``onset_ms``, ``ended_ms``
(null: the fact stands open), ``fell`` (it ended because there is nothing to speak of any more), ``state``; the other
columns are its value. A fact can still change while it is open
or ended no earlier than the line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

if TYPE_CHECKING:
    from schemas.feeds import Feed

__all__ = ["WITHDRAWN", "Row", "Said", "Words", "spoken_schema"]

WITHDRAWN = "withdrawn"
_SUPPORT = ("subject", "onset_ms", "ended_ms", "fell")
"""Columns that the engine needs and that are not said."""

Row = dict[str, Any]


@dataclass(slots=True)
class _Fact:
    revision: int
    row: Row


def spoken_schema(says: Feed) -> dict[str, Any]:
    """The columns that a verb fills; what was read by then, and when, is the engine's to say."""
    return {name: dtype for name, dtype in says.columns.items() if name not in ("basis", "said_at")}


class Words(Protocol):
    """How a linkage words what depends on what was said before."""

    def first(self, state: str) -> str:
        """The state of a fact that did not stand open before; for example ``raised`` where later it is ``updated``."""

    def later(self, state: str) -> str:
        """The state under which a fact is held, whichever it was said with."""

    def withdraw(self, row: Row) -> Row:
        """The value of a fact that does not hold, made from the value that was said."""


class Said:
    """The newest revision of every fact that can still change."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._facts: dict[str, _Fact] = {}
        self._of: dict[str, set[str]] = {}
        self._ended: set[str] = set()

    def __len__(self) -> int:
        return len(self._facts)

    def recall(self, facts: pl.DataFrame) -> None:
        """Takes in what was said earlier: for each id its newest revision, with the support columns."""
        for row in facts.iter_rows(named=True):
            revision = row.pop("revision")
            row["state"] = self._words.later(row["state"])
            held = self._facts.get(row["id"])
            if held is None or revision > held.revision:
                self._keep(row["id"], revision, row)

    def difference(self, should: Sequence[Row], scope: Sequence[str], *, line_ms: int, until_ms: int) -> list[Row]:
        """Says what is new, changed or gone among the unsettled facts of the subjects in scope.

        Args:
            should: all unsettled facts of these subjects, as they should stand.
            scope: subjects that were evaluated; what stands of them and is not in ``should`` is withdrawn.
            line_ms: the line.
            until_ms: an instant after everything that was evaluated; a withdrawn id may come back until the line
                has passed it.

        A fact that is gone never was: it is withdrawn without an end. One that ``fell`` ended, and is among those that should
        stand; by this a successor tells the two apart.

        Returns:
            Rows to say, withdrawals first, each in order of id, so that whoever comes to the same says it in the same order. Each is a
            value with ``revision`` and ``instead_of``: the id that a moved onset replaced, or that replaces this one.
        """
        wanted = {row["id"]: row for row in should}
        news = [wanted[id_] for id_ in sorted(wanted) if self._differs(wanted[id_])]
        gone = [
            self._words.withdraw(self._facts[id_].row) | {"state": WITHDRAWN, "ended_at": None, "ended_ms": until_ms, "fell": False}
            for id_ in sorted(id_ for subject in scope for id_ in self._of.get(subject, ()))
            if id_ not in wanted and self._unsettled(id_, line_ms) and self._told(id_)
        ]
        return [self._say(row) | {"instead_of": other} for row, other in _paired(gone, news, self._facts.keys())]

    def opened(self, before_ms: int) -> Mapping[str, int]:
        """Subject → onset (ms) of each fact that stood open at an instant: begun before it, not ended before it.

        One that fell away later stood open, too; one that was withdrawn because it never was did not.
        """
        return {fact.row["subject"]: fact.row["onset_ms"] for fact in self._facts.values() if _open_at(fact.row, before_ms)}

    def forget(self, line_ms: int) -> None:
        """Drops the facts that can no longer change."""
        for id_ in [id_ for id_ in self._ended if not self._unsettled(id_, line_ms)]:
            self._ended.discard(id_)
            subject = self._facts.pop(id_).row["subject"]
            self._of[subject].discard(id_)
            if not self._of[subject]:
                del self._of[subject]

    def _unsettled(self, id_: str, line_ms: int) -> bool:
        ended_ms = self._facts[id_].row["ended_ms"]
        return ended_ms is None or bool(ended_ms >= line_ms)

    def _told(self, id_: str) -> bool:
        """Whether something is said under this id that would have to be taken back; that it fell away is something, too."""
        row = self._facts[id_].row
        return row["state"] != WITHDRAWN or bool(row["fell"])

    def _stands(self, id_: str) -> bool:
        held = self._facts.get(id_)
        return held is not None and held.row["state"] != WITHDRAWN and held.row["ended_ms"] is None

    def _differs(self, row: Row) -> bool:
        held = self._facts.get(row["id"])
        return held is None or held.row != row

    def _say(self, row: Row) -> Row:
        held = self._facts.get(row["id"])
        revision = held.revision + 1 if held else 1
        state = row["state"] if self._stands(row["id"]) else self._words.first(row["state"])
        self._keep(row["id"], revision, row)
        return {name: value for name, value in row.items() if name not in _SUPPORT} | {"revision": revision, "state": state}

    def _keep(self, id_: str, revision: int, row: Row) -> None:
        self._facts[id_] = _Fact(revision, row)
        self._of.setdefault(row["subject"], set()).add(id_)
        (self._ended.discard if row["ended_ms"] is None else self._ended.add)(id_)


def _open_at(row: Row, instant_ms: int) -> bool:
    if row["state"] == WITHDRAWN and not row["fell"]:
        return False
    return bool(row["onset_ms"] < instant_ms and (row["ended_ms"] is None or row["ended_ms"] >= instant_ms))


def _paired(gone: list[Row], news: list[Row], known: Any) -> list[tuple[Row, str | None]]:
    """Withdrawals and first statements with the id that took the place of the other, withdrawals first."""
    fresh = {row["subject"]: row["id"] for row in reversed(news) if row["id"] not in known}
    stale = {row["subject"]: row["id"] for row in gone}
    out = [(row, fresh.get(row["subject"])) for row in gone]
    return out + [(row, stale.get(row["subject"]) if fresh.get(row["subject"]) == row["id"] else None) for row in news]
