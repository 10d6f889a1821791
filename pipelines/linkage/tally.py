"""Tally: facts that are folded from the set of the records of a key, never from the order in which they came.

Of each identity the highest version counts. The fold is made again when a span of time has ended, over all that had
arrived by then; what arrives later counts from the end of the next span on. So a tally says the same whatever is read
in between, and a file of a million records costs one fold. Longer windows are tallies of shorter ones, and "at most two of each
vehicle" is a tally of a tally: both are frames inside the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from pipelines.linkage.declaration import CLOCK, AsOf, Records, Tally
from pipelines.linkage.edge import AHEAD
from pipelines.linkage.grid import EPOCH, NEVER, Key, instant, milliseconds
from pipelines.linkage.reference import Reference
from pipelines.linkage.said import WITHDRAWN, spoken_schema

if TYPE_CHECKING:
    from schemas.feeds import Feed

__all__ = ["TallyFold", "TallyRule"]

_LOCAL_MS = milliseconds(timedelta(hours=9))
"""Spans begin at midnight in Japan."""

Tables = Mapping[str, Mapping[Key, Mapping[str, Any]]]
"""Name of a reference input → key → the record that holds."""


class TallyRule(Protocol):
    """What a tally asks of its rule. It is pure, and the order of the records does not matter to it."""

    def fold(self, past: Mapping[str, pl.DataFrame], tables: Callable[[datetime], Tables], at: datetime) -> pl.DataFrame:
        """The facts that should stand.

        Args:
            past: input → its records: of each identity the highest version, withdrawn ones left out.
            tables: what the references say as of a time, up to ``at``; times in a record are milliseconds since 1970.
            at: the end of the span; all had arrived before it.

        Returns:
            The fields of the feed that the linkage says, without its envelope; ``ended_at`` is null where a fact stands open.
        """


class _Held:
    """The records of one input that lie within reach."""

    def __init__(self, declared: Records, feed: Feed) -> None:
        self.feed, self.reach_ms, self._where = feed, milliseconds(declared.reach), declared.where
        self._parts: list[pl.DataFrame] = [feed.empty()]

    def __len__(self) -> int:
        return sum(part.height for part in self._parts)

    def add(self, batch: pl.DataFrame) -> None:
        self._parts.append(batch)

    def as_of(self, at_ms: int) -> pl.DataFrame:
        """Of each identity the highest version that had arrived before an instant, withdrawn ones left out."""
        frame = self._together().filter(pl.col("arrived").to_physical() < at_ms)
        newest = frame.unique(self.feed.identity, keep="last", maintain_order=True)
        asked = [pl.col(name).is_in(values) for name, values in self._where.items()]
        stated = [pl.col("op") != WITHDRAWN] if "op" in self.feed.columns else []
        return newest.filter(pl.all_horizontal(pl.lit(True), *asked, *stated)).select(*self.feed.columns)

    def forget(self, before_ms: int) -> None:
        """Drops what happened before an instant."""
        old = pl.col(self.feed.time).to_physical() < before_ms
        if any(part.select(old.any()).item() for part in self._parts):
            self._parts = [self._together().filter(~old)]

    def _together(self) -> pl.DataFrame:
        """All records, each version once, in order of identity and version."""
        if len(self._parts) > 1:
            version = [self.feed.version] if self.feed.version else []
            order = [*self.feed.identity, *version]
            self._parts = [pl.concat(self._parts).sort(*order, "arrived").unique(order, keep="first", maintain_order=True)]
        return self._parts[0]


class TallyFold:
    """A tally at work over the keys of one partition."""

    wakes_ms = NEVER

    def __init__(self, linkage: Tally, feeds: Mapping[str, Feed], *, settles_ms: int) -> None:
        self._rule, self._says, self._every_ms = linkage.rule, feeds[linkage.says], milliseconds(linkage.every)
        self._settles_ms, self._line_ms = settles_ms, NEVER
        """Behind the line: what arrived since the last fold is not counted yet, and may be so much older."""
        self._held = {name: _Held(each, feeds[each.feed]) for name, each in linkage.given.items() if isinstance(each, Records)}
        self._references = {name: Reference(feeds[each.feed], each.where) for name, each in linkage.given.items() if isinstance(each, AsOf)}
        self._feeds = {name: each.feed for name, each in linkage.given.items()}
        self._said = _Said(self._says)
        self._folded_ms = NEVER
        self._waiting = self._stale = False

    def hear(self, feed: str, batch: pl.DataFrame) -> None:
        """Takes in records that are neither late nor unreadable."""
        if feed == CLOCK:
            return
        for name in (name for name, each in self._feeds.items() if each == feed):
            if name in self._held:
                self._held[name].add(batch)
                self._waiting = True
                self._stale |= bool(batch["arrived"].to_physical().min() < self._folded_ms)  # type: ignore[operator]
            else:
                changed = self._references[name].add(batch)
                self._waiting |= changed is not None
                self._stale |= changed is not None and changed <= self._folded_ms

    def due(self, tick_ms: int) -> bool:
        """Whether a fold can say anything new: a span has ended, or what belongs before its end came behind it."""
        if tick_ms == NEVER:
            return False
        at_ms = self._span(tick_ms)
        changes = any(each.changes(self._folded_ms, at_ms) for each in self._references.values())
        return self._stale or (at_ms > self._folded_ms and (self._waiting or changes))

    def recall(self, said: pl.DataFrame, line_ms: int) -> None:
        """Takes in what was said before a start, as far as it can still change."""
        self._line_ms = line_ms if line_ms == NEVER else line_ms - self._every_ms  # the last fold was no earlier
        self._said.recall(said, self._line_ms)

    def speak(self, *, line_ms: int, next_line_ms: int, tick_ms: int, until_ms: int) -> pl.DataFrame | None:
        """What is new, changed or gone since the last fold."""
        self._folded_ms = self._span(tick_ms)
        self._waiting = any(self._later(each) for each in self._held.values())
        self._stale = False
        past = {name: each.as_of(self._folded_ms) for name, each in self._held.items()}
        should = self._rule.fold(past, self._tables, instant(self._folded_ms))
        return self._said.difference(should, line_ms=self._line_ms, until_ms=until_ms)

    def settle(self, line_ms: int) -> None:
        """Forgets what lies further back of the line than it reaches, and facts that can no longer change."""
        self._line_ms = max(self._line_ms, min(line_ms, self._folded_ms - self._settles_ms))
        if line_ms != NEVER:
            self._said.forget(self._line_ms)
            for each in self._held.values():
                each.forget(self._line_ms - each.reach_ms)

    def held(self) -> Mapping[str, int]:
        """How many records of each input, and how many facts, are held."""
        records = {name: len(each) for name, each in self._held.items()} | {name: each.held() for name, each in self._references.items()}
        return records | {self._says.name: len(self._said)}

    def _tables(self, at: datetime) -> Tables:
        """What the references say as of a time."""
        return {name: each.table(milliseconds(at - EPOCH)) for name, each in self._references.items()}

    def _span(self, tick_ms: int) -> int:
        """When the span began in which a tick lies, and the one before it ended."""
        return (tick_ms + _LOCAL_MS) // self._every_ms * self._every_ms - _LOCAL_MS

    def _later(self, held: _Held) -> bool:
        """Whether something is held that counts only from the end of the next span on."""
        return bool(held._together().select((pl.col("arrived").to_physical() >= self._folded_ms).any()).item())


class _Said:
    """The newest revision of every fact that can still change, in bulk."""

    def __init__(self, says: Feed) -> None:
        self._values = [name for name in says.columns if name not in says.envelope]
        self._schema = spoken_schema(says)
        self._facts = pl.DataFrame(schema=self._schema | {"until_ms": pl.Int64(), "digest": pl.UInt64()})

    def __len__(self) -> int:
        return self._facts.height

    def recall(self, said: pl.DataFrame, line_ms: int) -> None:
        """Takes in what was said earlier: for each id its newest revision."""
        ended_ms = pl.col("ended_at").max().over("id").to_physical()
        until_ms = pl.max_horizontal(pl.col("said_at").to_physical() + 2 * milliseconds(AHEAD), ended_ms)
        newest = said.with_columns(until_ms.alias("until_ms")).unique("id", keep="last", maintain_order=True)
        self._facts = self._keep(newest)
        self.forget(line_ms)

    def difference(self, should: pl.DataFrame, *, line_ms: int, until_ms: int) -> pl.DataFrame | None:
        """Facts that are new, changed or gone: withdrawals first, each in order of id."""
        stand = self._facts.filter(pl.col("state") != WITHDRAWN)
        unsettled = pl.col("ended_at").is_null() | (pl.col("ended_at").to_physical() >= line_ms)
        should = should.filter(unsettled | pl.col("id").is_in(stand["id"].to_list())).with_columns(self._digest())
        was = self._facts.select("id", pl.col("revision").alias("was"), pl.col("digest").alias("was_digest"))
        told = should.join(was, on="id", how="left", maintain_order="left")
        news = told.filter(pl.col("digest").ne_missing(pl.col("was_digest")))
        news = news.with_columns((pl.col("was").fill_null(0) + 1).cast(self._schema["revision"]).alias("revision"))
        gone = stand.join(should, on="id", how="anti", maintain_order="left")
        gone = gone.with_columns(
            pl.lit(WITHDRAWN).alias("state"), pl.lit(None, self._schema["ended_at"]).alias("ended_at"), pl.col("revision") + 1
        )
        out = self._paired(gone, news)
        if not out.height:
            return None
        left = self._facts.join(out, on="id", how="anti", maintain_order="left")
        ended = self._facts.select("id", pl.max_horizontal("until_ms", pl.col("ended_at").to_physical()).alias("ended_ms"))
        until = pl.max_horizontal(pl.lit(until_ms), "ended_ms").alias("until_ms")
        self._facts = pl.concat([left, self._keep(out.join(ended, on="id", how="left", maintain_order="left").with_columns(until))])
        return out

    def forget(self, line_ms: int) -> None:
        """Drops the facts that can no longer change."""
        ended = pl.when(pl.col("state") == WITHDRAWN).then(pl.col("until_ms")).otherwise(pl.col("ended_at").to_physical())
        self._facts = self._facts.filter(ended.is_null() | (ended >= line_ms))

    def _keep(self, facts: pl.DataFrame) -> pl.DataFrame:
        return facts.with_columns(self._digest()).select(self._facts.columns)

    def _digest(self) -> pl.Expr:
        """A number that is equal where all values are."""
        return pl.struct(pl.col(name) for name in self._values).hash(0).alias("digest")

    def _paired(self, gone: pl.DataFrame, news: pl.DataFrame) -> pl.DataFrame:
        """Withdrawals and news; where one took the place of the other, each names the other."""
        columns = [name for name in self._schema if name != "instead_of"]
        out = pl.concat([gone.select(columns).sort("id"), news.select(columns).sort("id")])
        if "instead_of" not in self._schema:
            return out
        about = pl.col("id").str.replace(r"/[^/]*$", "").alias("about")
        fresh = news.filter(pl.col("revision") == 1).select("id", about).unique("about", keep="first", maintain_order=True)
        stale = gone.select("id", about).unique("about", keep="first", maintain_order=True)
        swapped = fresh.join(stale, on="about", suffix="_other").drop("about")
        names = pl.concat([swapped, swapped.select(pl.col("id_other").alias("id"), pl.col("id").alias("id_other"))])
        return out.join(names, on="id", how="left", maintain_order="left").rename({"id_other": "instead_of"}).select(*self._schema)
