"""Match: a fact for each pair of records that belong together, and word of those that stay alone.

Both sides hold their recent past. A record that arrives asks the other side for its partners, so each pair is found once, by
whichever record came second. What was said follows from what is held: a pair of which both records stand was said, with
revision 1 unless it is among the few that were corrected. Only those are remembered by id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pipelines.linkage.declaration import CLOCK, Match
from pipelines.linkage.grid import NEVER, milliseconds
from pipelines.linkage.said import WITHDRAWN, spoken_schema
from pipelines.linkage.side import Rows, Side

if TYPE_CHECKING:
    from schemas.feeds import Feed

__all__ = ["ALONE", "PAIRED", "MatchFold"]

PAIRED, ALONE = "paired", "alone"
_SPANS = 4
"""A span of the past is so many times as wide as the match in time: a record touches one or two."""
_AT_ONCE = 50_000
_NONE: Rows = np.zeros(0, np.int64)

Pairs = tuple[Rows, Rows]
"""Rows of the left side, rows of the right."""


class MatchFold:
    """A match at work over the keys of one partition."""

    wakes_ms = NEVER

    def __init__(self, linkage: Match, feeds: Mapping[str, Feed]) -> None:
        self._linkage, self._says = linkage, feeds[linkage.says]
        self._within_ms = milliseconds(linkage.within)
        self._sides = tuple(
            Side(each, linkage, feeds[each.feed], _SPANS * self._within_ms) for each in (linkage.left, linkage.right)
        )  # fmt: skip
        self._left, self._right = self._sides
        self._none = pl.DataFrame(schema=spoken_schema(self._says))
        self._changes: list[tuple[bool, Pairs]] = []
        self._corrected: dict[str, tuple[int, int]] = {}
        """Of ids that do not stand with revision 1: newest revision, and the time of the fact."""
        self._before: pl.DataFrame | None = self._says.empty()
        """What was said before a start, until the first word; None: it was compared."""
        self._said_alone: frozenset[str] = frozenset()
        """Ids that a start found said ahead of its own line."""

    # -- the past -----------------------------------------------------------------------------------------------

    def hear(self, feed: str, batch: pl.DataFrame) -> None:
        """Takes in records that are neither late nor unreadable."""
        if feed == CLOCK:
            return
        for side, declared in zip(self._sides, (self._linkage.left, self._linkage.right), strict=True):
            if declared.feed == feed:
                self._admit(side, batch)

    def _admit(self, side: Side, batch: pl.DataFrame) -> None:
        if self._before is not None:
            side.admit(batch)
            return
        for part in batch.iter_slices(_AT_ONCE):
            fresh, stood = side.admit(part)
            self._change(False, self._pairs(side, stood))
            self._change(True, self._pairs(side, fresh))

    def _pairs(self, side: Side, rows: Rows) -> Pairs:
        """The pairs that rows of one side are in."""
        if not rows.size:
            return _NONE, _NONE
        early, late = (-self._within_ms, 0) if self._linkage.valid == "right" else (-self._within_ms, self._within_ms)
        if side is self._left:
            return self._right.partners(side, rows, earliest_ms=early, latest_ms=late)
        right, left = self._left.partners(side, rows, earliest_ms=-late, latest_ms=-early)
        return left, right

    def _change(self, stands: bool, pairs: Pairs) -> None:
        if pairs[0].size:
            self._left.count(pairs[0], 1 if stands else -1)
            self._changes.append((stands, pairs))

    # -- what is said -------------------------------------------------------------------------------------------

    def due(self, tick_ms: int) -> bool:
        """Always: a step that heard nothing, since all that it read was late, may have moved the line, and somebody is alone."""
        return True

    def recall(self, said: pl.DataFrame, line_ms: int) -> None:
        """Takes in what was said before a start, as far as it can still change."""
        unsettled = pl.col("time").to_physical() >= line_ms
        self._before = said.unique("id", keep="last", maintain_order=True).filter(unsettled)

    def speak(self, *, line_ms: int, next_line_ms: int, tick_ms: int, until_ms: int) -> pl.DataFrame | None:
        """Pairs that are new, corrected or gone, and those who turn out to stay alone."""
        if self._before is not None:
            news = self._first_word(line_ms, next_line_ms, self._before)
            self._before = None
        else:
            news = self._news(line_ms, next_line_ms)
        self._changes.clear()
        news = news.filter(pl.col("time").to_physical() >= line_ms)
        if not news.height:
            return None
        return news.sort(pl.col("state") != WITHDRAWN, "id")

    def _news(self, line_ms: int, next_line_ms: int) -> pl.DataFrame:
        alone = self._alone(self._lonely(line_ms, next_line_ms))
        stands = [pairs for stands, pairs in self._changes if stands]
        if not self._corrected and len(stands) == len(self._changes):
            return pl.concat([self._paired(_joined(stands)), alone])
        return pl.concat([*self._corrections(), alone])

    def _corrections(self) -> Iterator[pl.DataFrame]:
        """News where something was taken back: of each pair only what it comes to."""
        told = [(stands, self._paired(pairs)) for stands, pairs in self._changes]
        if not told:
            return
        steps = pl.concat([frame.with_columns(pl.lit(stands).alias("stands")) for stands, frame in told])
        first = steps.unique("id", keep="first", maintain_order=True)
        was_there = set(first.filter(~pl.col("stands"))["id"].to_list())
        last = steps.unique("id", keep="last", maintain_order=True)
        there = pl.col("id").is_in(list(was_there))
        came, went = last.filter(pl.col("stands")), last.filter(~pl.col("stands") & there)
        for frame, state in ((came, PAIRED), (went, WITHDRAWN)):
            yield self._revised(frame.drop("stands").with_columns(pl.lit(state).alias("state")), was_there)

    def _revised(self, frame: pl.DataFrame, was_there: set[str]) -> pl.DataFrame:
        revisions = []
        for id_, time_ms in zip(frame["id"].to_list(), frame["time"].to_physical().to_list(), strict=True):
            newest = self._corrected[id_][0] if id_ in self._corrected else int(id_ in was_there)
            revisions.append(newest + 1)
            if newest:
                self._corrected[id_] = newest + 1, time_ms
        return frame.with_columns(pl.Series("revision", revisions, self._says.columns["revision"]))

    def _first_word(self, line_ms: int, next_line_ms: int, before: pl.DataFrame) -> pl.DataFrame:
        """The difference between all that should be said and all that was."""
        pairs = _joined([self._pairs(self._left, part) for part in _parts(self._left.standing())])
        self._left.count(pairs[0], 1)
        should = pl.concat([self._paired(pairs), self._alone(self._lonely(line_ms, next_line_ms))])
        should = should.filter(pl.col("time").to_physical() >= line_ms)
        said = before.select(
            "id", pl.col("revision").alias("was"), pl.col("state").alias("was_state"), pl.col("because").alias("was_because")
        )
        told = should.join(said, on="id", how="left", maintain_order="left")
        same = (pl.col("was_state") == pl.col("state")) & (_versions("was_because") == _versions("because"))
        news = told.filter(~same.fill_null(False)).with_columns(
            (pl.col("was").fill_null(0) + 1).cast(self._says.columns["revision"]).alias("revision")
        )
        lonely = self._alone(self._left.lonely(NEVER, -NEVER))["id"].to_list()
        wrong = (pl.col("state") == PAIRED) | ~pl.col("id").is_in(lonely)
        gone = before.filter(wrong & (pl.col("state") != WITHDRAWN)).join(should, on="id", how="anti", maintain_order="left")
        gone = gone.with_columns(pl.lit(WITHDRAWN).alias("state"), (pl.col("revision") + 1).alias("revision"))
        out = pl.concat([frame.select(should.columns) for frame in (news, gone)])
        self._said_alone = frozenset(before.filter(pl.col("state") == ALONE).join(should, on="id", how="anti")["id"].to_list())
        newest = pl.concat([before.select("id", "revision", "state", "time"), out.select("id", "revision", "state", "time")])
        newest = newest.unique("id", keep="last", maintain_order=True).filter((pl.col("revision") > 1) | (pl.col("state") == WITHDRAWN))
        self._corrected = {
            id_: (revision, time_ms) for id_, revision, time_ms in newest.select("id", "revision", pl.col("time").to_physical()).iter_rows()
        }
        return out

    def _lonely(self, line_ms: int, next_line_ms: int) -> Rows:
        if self._linkage.alone == "unsaid" or next_line_ms == NEVER:
            return _NONE
        begin = line_ms if line_ms == NEVER else line_ms - self._latest_ms
        return self._left.lonely(begin, next_line_ms - self._latest_ms)

    @property
    def _latest_ms(self) -> int:
        """How much later than the left record a partner may be."""
        return 0 if self._linkage.valid == "right" else self._within_ms

    # -- facts --------------------------------------------------------------------------------------------------

    def _paired(self, pairs: Pairs) -> pl.DataFrame:
        left, right = pairs
        l_ms, r_ms = self._left["time"][left], self._right["time"][right]
        metres = None if self._linkage.within_m is None else np.round(self._left.metres(left, self._right, right), 1)
        return self._facts(left, right, np.maximum(l_ms, r_ms), state=PAIRED, metres=metres, lag_ms=r_ms - l_ms)

    def _alone(self, left: Rows) -> pl.DataFrame:
        facts = self._facts(left, None, self._left["time"][left] + self._latest_ms, state=ALONE, metres=None, lag_ms=None)
        return facts.filter(~pl.col("id").is_in(list(self._said_alone))) if self._said_alone else facts

    def _facts(self, left: Rows, right: Rows | None, time_ms: Any, *, state: str, metres: Any, lag_ms: Any) -> pl.DataFrame:
        columns = self._says.columns
        if not len(left):
            return self._none
        frame = pl.DataFrame(
            {
                "together": self._left.together(left),
                "left": self._left.names(left),
                "right": pl.repeat("alone", len(left), eager=True) if right is None else self._right.names(right),
                "time": time_ms,
            }
        )
        refs = [_record("left", self._left, left, len(left)), _record("right", self._right, right, len(left))]
        values = {
            "revision": pl.lit(1),
            "state": pl.lit(state),
            self._linkage.together_by: pl.col("together"),
            "time": pl.col("time"),
            "distance_m": pl.lit(None if metres is None else pl.Series(metres)),
            "lag_s": pl.lit(None if lag_ms is None else pl.Series(lag_ms / 1000)),
            "rule": pl.lit(self._linkage.rule),
        }
        frame = frame.with_columns(pl.DataFrame(refs).to_struct("because"))
        values |= {"id": pl.concat_str("together", "left", "right", separator="/"), "because": pl.col("because")}
        return frame.select(values[name].cast(columns[name]).alias(name) for name in self._none.columns)

    # -- what is held -------------------------------------------------------------------------------------------

    def settle(self, line_ms: int) -> None:
        """Forgets what lies further back of the line than it reaches, and corrections that are settled."""
        if line_ms == NEVER:
            return
        for side in self._sides:
            side.forget(line_ms - 2 * self._within_ms)
        if self._corrected:
            self._corrected = {id_: each for id_, each in self._corrected.items() if each[1] >= line_ms}

    def held(self) -> Mapping[str, int]:
        """How many records of each side, and how many corrected facts, are held."""
        return {"left": self._left.held(), "right": self._right.held(), self._says.name: len(self._corrected)}


def _joined(pairs: list[Pairs]) -> Pairs:
    return np.concatenate([_NONE, *(left for left, _ in pairs)]), np.concatenate([_NONE, *(right for _, right in pairs)])


def _parts(rows: Rows) -> Iterator[Rows]:
    return (rows[begin : begin + _AT_ONCE] for begin in range(0, len(rows), _AT_ONCE))


def _versions(because: str) -> pl.Expr:
    """The versions of the records of a pair, as one value."""
    left, right = (pl.col(because).struct.field(side).struct.field("version") for side in ("left", "right"))
    return pl.concat_str(left, right.fill_null(-1), separator="/")


def _record(name: str, side: Side, rows: Rows | None, count: int) -> pl.Series:
    """What leads to the very records: feed, name, time and version."""
    if rows is None:
        frame = pl.DataFrame({field: pl.repeat(None, count, eager=True) for field in ("name", "time", "version")})
    else:
        frame = pl.DataFrame({"name": side.names(rows), "time": side["time"][rows], "version": side["version"][rows]})
    return frame.select(pl.struct(pl.lit(side.feed.name).alias("feed"), "name", "time", "version").alias(name)).to_series()
