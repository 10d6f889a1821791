"""Derive: what follows for a key along event time from its recent past.

Event time goes in slots. A rule *weighs* every slot (what do the readings up to here say? no memory), *judges* it (may
an episode begin or end here? looking back over weighed slots), and *tells* of the episodes in words and numbers. The
fold below carries the episodes from slot to slot: begun, ended, or fallen away. It folds again from the earliest
slot that was touched, and needs of what it said before only which episodes stood open at the line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from pipelines.linkage.declaration import CLOCK, AsOf, Derive, Past
from pipelines.linkage.edge import AHEAD
from pipelines.linkage.grid import NEVER, Grid, Key, instant, instants, milliseconds
from pipelines.linkage.reference import Reference
from pipelines.linkage.said import WITHDRAWN, Row, Said, Words, spoken_schema
from pipelines.linkage.sliding import Array, Sliding

if TYPE_CHECKING:
    from schemas.feeds import Feed

__all__ = ["NONE", "Episode", "Rule", "Verdict"]

NONE = NEVER
"""In arrays of onsets: no episode."""

Tables = Mapping[str, Mapping[Key, Mapping[str, Any]]]
"""Name of a reference input → key → the record that holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """For slots × rows × subjects: may an episode begin, may it end, is there nothing to speak of."""

    opens: Array
    closes: Array
    void: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One episode of one subject of one key.

    ``slot`` is the one whose weights are told, ``ended_ms`` null while it stands. One that ``fell`` did not end: there is
    nothing to speak of any more, and it is told as withdrawn.
    """

    row: int
    subject: int
    id: str
    onset_ms: int
    ended_ms: int | None
    slot: int
    fell: bool = False


class Rule(Words, Protocol):
    """What a derive linkage asks of its rule.

    All methods are pure. One rule serves all partitions of a worker, each in a thread of its own: what it keeps to save work may only be
    what follows from its arguments, and is replaced in one assignment.
    """

    name: str
    version: str
    subjects: tuple[str, ...]
    """What an episode can be about, for each key."""
    least: tuple[timedelta, ...]
    """How long an episode of each subject lasts at least."""
    lookback: timedelta
    """How far back ``judge`` looks over weighed slots."""
    renewal: timedelta
    """How often what is told of an open episode is renewed at least; divides the day."""
    renewed: tuple[bool, ...]
    """Of which subjects; of the others all that is told is in ``content``, and nothing of it goes out of date."""
    bridge: timedelta
    """Values that lie further apart than this are not interpolated."""
    weights: Mapping[str, tuple[Any, Any, tuple[int, ...]]]
    """Arrays that ``weigh`` gives: name → (dtype, fill where nothing is known, trailing shape)."""

    def ground(self, keys: Sequence[Key], tables: Tables, every_ms: int) -> Any:
        """All that the reference records in force say, in the order of the rows."""

    def weigh(self, ground: Any, past: Grid, slots: range) -> Mapping[str, Array]:
        """What the records up to each slot say, without memory: arrays (slots, rows, …)."""

    def judge(self, ground: Any, past: Grid, weighed: Sliding, slots: range) -> Verdict:
        """Whether episodes may begin or end in each slot."""

    def content(self, ground: Any, weighed: Sliding, slot: int, row: Array, subject: Array) -> Array:
        """A number for each open episode that changes exactly when what is told of it changes."""

    def wake(self, ground: Any, past: Grid, slot: int) -> int:
        """The next slot in which silence alone, or the end of a slot of a past beside, changes what is weighed."""

    def ends(self, weighed: Sliding, slot: int, row: Array, subject: Array) -> Array:
        """For each open episode the slot in which it may end though nothing more is heard."""

    def tell(self, grounds: Callable[[int], Any], past: Grid, weighed: Sliding, episodes: Sequence[Episode]) -> list[dict[str, Any]]:
        """The value of each episode, as fields of the feed that the linkage says."""


_SPARE_ROWS = 256
"""So many rows are held before it is asked whether some can go."""
_AT_ONCE = 2**17
"""So many cells (slots × rows) are weighed and judged at once, at most: what a start reads of a nation would fill the memory."""


@dataclass(slots=True)
class _Beside:
    """A past that is read beside the one that is folded along."""

    grid: Grid
    reach: int
    crowded: int = _SPARE_ROWS

    def forget(self, line_ms: int) -> None:
        """Drops what lies further back than it is read, and keys of which nothing is held."""
        self.grid.forget(self.grid.slot_of(line_ms) - self.reach)
        if len(self.grid.keys) > self.crowded:
            self.grid.keep(np.setdiff1d(np.arange(len(self.grid.keys)), self.grid.empty_rows()))
            self.crowded = 2 * len(self.grid.keys) + _SPARE_ROWS


class DeriveFold:
    """A derive linkage at work over the keys of one partition."""

    def __init__(self, linkage: Derive, feeds: Mapping[str, Feed], *, settles_ms: int, owns: Callable[[str], bool]) -> None:
        self._rule, self._says, subjects = linkage.rule, feeds[linkage.says], feeds[linkage.for_each]
        self._said = Said(linkage.rule)
        self._told_fields = [name for name in self._says.columns if name not in self._says.envelope]
        self._told_schema = spoken_schema(self._says)
        (self._past_name, declared), *beside = [(name, each) for name, each in linkage.given.items() if isinstance(each, Past)]
        self.past = Grid(feeds[declared.feed], value=declared.value, every=declared.every, bridge=self._rule.bridge)
        self._past_feed, self._past_time, self._every_ms = declared.feed, feeds[declared.feed].time, self.past.every_ms
        for name, each in beside:
            self.past.beside[name] = Grid(feeds[each.feed], value=each.value, every=each.every, bridge=timedelta(0))
        self._beside = {each.feed: _Beside(self.past.beside[name], each.reach // each.every) for name, each in beside}
        self._references = {name: Reference(feeds[each.feed], each.where) for name, each in linkage.given.items() if isinstance(each, AsOf)}
        self._by_feed: dict[str, list[str]] = {}
        for name in self._references:
            self._by_feed.setdefault(linkage.given[name].feed, []).append(name)
        self._for_each = self._by_feed[linkage.for_each][0]
        self._together = [name for name in subjects.identity if name != subjects.time].index(linkage.together_by)
        self._owns = owns
        self._reach, self._settles = declared.reach // declared.every, -(-settles_ms // self._every_ms)
        self._lookback = max(self._rule.lookback, self._rule.renewal) // declared.every
        self._renewal, self._renewed = self._rule.renewal // declared.every, np.array(self._rule.renewed)
        self._least_ms = np.array([milliseconds(each) for each in self._rule.least])
        tail = (len(self._rule.subjects),)
        self._weighed = Sliding(self._rule.weights)
        self._state = Sliding(
            {name: (np.int64, NONE, tail) for name in ("onset", "ended", "fell", "run", "code")},
        )
        self._grounds: dict[tuple[int, int], Any] = {}
        self._knows_all = False
        self._begin: int | None = None
        self._touched: int | None = None
        self._newest: int | None = None
        self._wake = NEVER
        self._crowded = _SPARE_ROWS

    def hear(self, feed: str, batch: pl.DataFrame) -> None:
        """Takes in records that are neither late nor unreadable."""
        if feed == CLOCK:
            self._begins(batch["at"])
        elif feed == self._past_feed:
            self._begins(batch[self._past_time])
            self._touch(self.past.add(batch))
        elif feed in self._beside:
            changed = self._beside[feed].grid.add(batch)
            self._touch(None if changed is None else self.past.slot_of(changed * self._beside[feed].grid.every_ms))
        else:
            for name in self._by_feed[feed]:
                changed_ms = self._references[name].add(batch)
                if changed_ms is not None:
                    self._grounds.clear()
                    self._knows_all = False
                    self._touch(self.past.slot_of(changed_ms))

    def due(self, tick_ms: int) -> bool:
        """Whether anything can have changed since the last evaluation."""
        return self._touched is not None or self._newest is None or self.past.slot_of(tick_ms) >= self._wake

    @property
    def wakes_ms(self) -> int:
        """The earliest tick (ms) after which anything can follow from time alone; ``NEVER``: any may."""
        return NEVER if self._touched is not None or self._newest is None else (self._wake - 1) * self._every_ms + 1

    def recall(self, said: pl.DataFrame, line_ms: int) -> None:
        """Takes in what was said before a start, as far as it can still change."""
        self._said.recall(_supported(self._says, said))
        self._said.forget(line_ms)

    def speak(self, *, line_ms: int, next_line_ms: int, tick_ms: int, until_ms: int) -> pl.DataFrame | None:
        """What is new, changed or gone of the episodes that can still change."""
        should, scope = self._evaluate(line_ms, tick_ms)
        rows = self._said.difference(should, scope, line_ms=line_ms, until_ms=until_ms)
        return pl.DataFrame(rows, schema=self._told_schema) if rows else None

    def _evaluate(self, line_ms: int, tick_ms: int) -> tuple[list[Row], Sequence[str]]:
        """What should be said of the subjects in scope, and these subjects.

        Args:
            line_ms: the line; ``NEVER`` where nothing is settled.
            tick_ms: the last tick; ``NEVER`` where there was none.
        """
        if self._begin is None:
            return [], []
        first = max(self.past.slot_of(line_ms), self._begin) if line_ms > NEVER else self._begin
        newest = max(self.past.slot_of(tick_ms), self._newest or NEVER, self.past.slots.stop - 1 if len(self.past.slots) else NEVER)
        if not self._knows_all:
            self.past.know(self._spoken_for())
            self._knows_all = True
        if self._newest is None:
            start = first
            self._resume(first, newest, self._said.opened(line_ms))
        else:
            start = max(first, min(self._newest + 1, newest + 1 if self._touched is None else self._touched))
            self.past.extend(start, newest + 1)
        before = self._glance(start, newest)
        self._weigh(start, newest + 1)
        self._fold(start, newest + 1)
        scope = self._changed(before, start, newest)
        self._newest, self._touched = newest, None
        self._wake = self._next_wake(newest)
        return self._told(scope, first, newest)

    def settle(self, line_ms: int) -> None:
        """Forgets what lies further back of the line than it reaches, and facts that can no longer change."""
        self._said.forget(line_ms)
        if line_ms == NEVER or self._newest is None:
            return
        line = self.past.slot_of(line_ms)
        self.past.forget(line - self._reach)
        for each in self._beside.values():
            each.forget(line_ms)
        self._weighed.forget(line - self._lookback)
        self._state.forget(line - 1 - self._renewal)
        if len(self.past.keys) > self._crowded:
            self._forget_strangers()

    def _forget_strangers(self) -> None:
        """Gives up the rows of keys that no reference knows and that have been silent for the whole reach.

        Whoever sends under ever new keys would otherwise fill the memory.
        """
        known = set(self._spoken_for())
        gone = [row for row in self.past.empty_rows().tolist() if self.past.keys[row] not in known]
        if gone:
            rows = np.delete(np.arange(len(self.past.keys)), gone)
            self.past.keep(rows)
            for arrays in (self._weighed, self._state):
                arrays.widen(len(rows) + len(gone))
                arrays.keep(rows)
            self._grounds.clear()
        self._crowded = 2 * len(self.past.keys) + _SPARE_ROWS

    def held(self) -> Mapping[str, int]:
        """How many records of each input, and how many facts, are held."""
        pasts = {self._past_name: self.past} | self.past.beside
        records = {name: each.held() for name, each in pasts.items()} | {name: each.held() for name, each in self._references.items()}
        return records | {self._says.name: len(self._said)}

    def _spoken_for(self) -> list[Key]:
        """The keys of ``for_each`` that are ours, though they be silent."""
        known = self._references[self._for_each].keys()
        return [key for key in known if self._owns(key[self._together])]

    # -- the slots ---------------------------------------------------------------------------------------------

    def _touch(self, slot: int | None) -> None:
        if slot is not None:
            self._touched = slot if self._touched is None else min(self._touched, slot)

    def _begins(self, times: pl.Series) -> None:
        """The first slot in which anything was heard, a tick or a record."""
        slot = int(self.past.slot_of(instants(times).min()))
        if self._begin is None or slot < self._begin:
            self._begin = slot
            self._touch(slot)

    def _resume(self, first: int, newest: int, opened: Mapping[str, int]) -> None:
        """A start: takes up the episodes that stood open at the line, and weighs the settled slots that still matter."""
        settled = range(max(first - self._lookback, self._begin or first), first)
        self.past.extend(min(settled.start, first), newest + 1)
        self._weigh(settled.start, first)
        self._state.extend(min(settled.start, first - self._renewal) - 1, first)
        at = {self._subject(row, each): (row, each) for row in range(len(self.past.keys)) for each in range(len(self._rule.subjects))}
        for subject in opened.keys() & at.keys():
            begun = np.arange(self._state.first, first) * self._every_ms >= opened[subject]
            self._state["onset"][begun, *at[subject]] = opened[subject]
        for slots in self._segments(max(settled.start, first - self._renewal), first):
            for slot in slots:
                self._run(self._ground(slots.start), slot)

    def _widen(self) -> None:
        self._state.widen(len(self.past.keys))
        self._weighed.widen(len(self.past.keys))

    def _ground(self, slot: int) -> Any:
        """What the references say at the end of a slot."""
        at_ms = slot * self._every_ms
        changed = max(each.changed_by(at_ms) for each in self._references.values())
        key = (changed, len(self.past.keys))
        if key not in self._grounds:
            if len(self._grounds) > 16:
                self._grounds.clear()
            tables = {name: each.table(at_ms) for name, each in self._references.items()}
            self._grounds[key] = self._rule.ground(self.past.keys, tables, self._every_ms)
        return self._grounds[key]

    def _segments(self, start: int, stop: int) -> list[range]:
        """The slots start … stop − 1 cut where a reference record begins or ends to hold, and where they would be too many at once."""
        edges = [start, *self._cuts(start, stop - 1), stop]
        most = max(_AT_ONCE // max(len(self.past.keys), 1), 1)
        return [range(at, min(at + most, b)) for a, b in pairwise(edges) for at in range(a, b, most)]

    def _cuts(self, after: int, until: int) -> list[int]:
        """Slots in (after, until] from which a reference says something else."""
        a, b = after * self._every_ms, until * self._every_ms
        return sorted({self.past.slot_of(each) for reference in self._references.values() for each in reference.changes(a, b)})

    def _weigh(self, start: int, stop: int) -> None:
        self._widen()
        self._weighed.extend(start, stop)
        for slots in self._segments(start, stop):
            for name, values in self._rule.weigh(self._ground(slots.start), self.past, slots).items():
                self._weighed.window(name, slots.start, slots.stop)[...] = values

    # -- the episodes ------------------------------------------------------------------------------------------

    def _fold(self, start: int, stop: int) -> None:
        """Carries the episodes through slots start … stop − 1."""
        self._state.extend(start - 1, stop)
        for slots in self._segments(start, stop):
            ground = self._ground(slots.start)
            verdict = self._rule.judge(ground, self.past, self._weighed, slots)
            for i, slot in enumerate(slots):
                self._step(ground, slot, verdict.opens[i], verdict.closes[i], verdict.void[i])

    def _step(self, ground: Any, slot: int, opens: Array, closes: Array, void: Array) -> None:
        before = self._state.window("onset", slot - 1, slot)[0]
        self._state.window("fell", slot, slot + 1)[0] = np.where(void, before, NONE)
        onset = np.where(void, NONE, before)
        is_open = onset != NONE
        end_ms = slot * self._every_ms
        closing = is_open & closes & (end_ms - onset >= self._least_ms)
        self._state.window("ended", slot, slot + 1)[0] = np.where(closing, onset, NONE)
        opening = ~is_open & opens & ~void
        onset = np.where(closing, NONE, np.where(opening, end_ms, onset))
        self._state.window("onset", slot, slot + 1)[0] = onset
        self._run(ground, slot)

    def _run(self, ground: Any, slot: int) -> None:
        """Since which slot an open episode has been told in the same words."""
        onset = self._state.window("onset", slot, slot + 1)[0]
        run = self._state.window("run", slot, slot + 1)[0]
        code = self._state.window("code", slot, slot + 1)[0]
        run[...] = code[...] = NONE
        row, subject = np.divmod(np.flatnonzero(onset != NONE), onset.shape[1])
        if not row.size:
            return
        content = self._rule.content(ground, self._weighed, slot, row, subject)
        code[row, subject] = content
        goes_on = (
            (self._state.window("onset", slot - 1, slot)[0][row, subject] == onset[row, subject])
            & (self._state.window("code", slot - 1, slot)[0][row, subject] == content)
            & ((slot % self._renewal != 0) | ~self._renewed[subject])
        )
        run[row, subject] = np.where(goes_on, self._state.window("run", slot - 1, slot)[0][row, subject], slot)

    # -- what is said of them ----------------------------------------------------------------------------------

    def _glance(self, start: int, newest: int) -> tuple[Array, Array, Array] | None:
        """How the episodes stood before this evaluation."""
        if self._newest is None:
            return None
        self._widen()
        at = self._newest
        ended = self._any_ended(start, max(at, newest) + 1)
        onset, run = (self._state.window(name, at, at + 1)[0].copy() for name in ("onset", "run"))
        return ended, onset, run

    def _changed(self, before: tuple[Array, Array, Array] | None, start: int, newest: int) -> Array:
        """Rows × subjects of which something may be said that was not."""
        onset, run = (self._state.window(name, newest, newest + 1)[0] for name in ("onset", "run"))
        if before is None:
            return np.ones(onset.shape, bool)
        ended, old_onset, old_run = before
        now_ended = self._any_ended(start, newest + 1)
        is_open = onset != NONE
        changed: Array = ended | now_ended | (onset != old_onset) | (is_open & ((run != old_run) | (run >= start)))
        return changed

    def _any_ended(self, start: int, stop: int) -> Array:
        """Rows × subjects of which an episode ended or fell away in these slots."""
        any_ended: Array = ((self._state.window("ended", start, stop) != NONE) | (self._state.window("fell", start, stop) != NONE)).any(
            axis=0
        )
        return any_ended

    def _told(self, scope: Array, first: int, newest: int) -> tuple[list[Row], Sequence[str]]:
        if not scope.any():
            return [], []
        episodes = []
        for slot, row, subject, onset_ms in self._ends("ended", scope, first, newest):
            episodes.append(self._episode(row, subject, onset_ms, slot, slot * self._every_ms))
        for slot, row, subject, onset_ms in self._ends("fell", scope, first, newest):
            episodes.append(replace(self._episode(row, subject, onset_ms, slot - 1, slot * self._every_ms), fell=True))
        onset, run = (self._state.window(name, newest, newest + 1)[0] for name in ("onset", "run"))
        for row, subject in np.argwhere((onset != NONE) & scope).tolist():
            episodes.append(self._episode(row, subject, int(onset[row, subject]), int(run[row, subject]), None))
        subjects = [self._subject(row, subject) for row, subject in np.argwhere(scope).tolist()]
        return self._facts(episodes), subjects

    def _ends(self, name: str, scope: Array, first: int, newest: int) -> list[list[int]]:
        """Slot, row, subject and onset (ms) of each episode in scope that ended, or fell away, in slots first … newest."""
        rows = np.flatnonzero(scope.any(axis=1))
        onsets = self._state.window(name, first, newest + 1)[:, rows]
        at, row, subject = np.nonzero((onsets != NONE) & scope[rows])
        return np.stack([first + at, rows[row], subject, onsets[at, row, subject]], axis=-1).tolist()  # type: ignore[no-any-return]

    def _facts(self, episodes: Sequence[Episode]) -> list[Row]:
        values = self._rule.tell(cache(self._ground), self.past, self._weighed, episodes) if episodes else []
        return [
            {name: value[name] for name in self._told_fields}
            | {"subject": each.id.rpartition("/")[0], "onset_ms": each.onset_ms, "ended_ms": each.ended_ms, "fell": each.fell}
            for each, value in zip(episodes, (self._as_fallen(*both) for both in zip(episodes, values, strict=True)), strict=True)
        ]

    def _as_fallen(self, each: Episode, value: Row) -> Row:
        return self._rule.withdraw(value) | {"state": WITHDRAWN} if each.fell else value

    def _episode(self, row: int, subject: int, onset_ms: int, slot: int, ended_ms: int | None) -> Episode:
        id_ = f"{self._subject(row, subject)}/{_stamp(onset_ms)}"
        return Episode(row=row, subject=subject, id=id_, onset_ms=onset_ms, ended_ms=ended_ms, slot=slot)

    def _subject(self, row: int, subject: int) -> str:
        return "/".join((*self.past.keys[row], self._rule.subjects[subject]))

    def _next_wake(self, newest: int) -> int:
        """The next slot that must be folded though no record arrives; never so late that the line could pass it."""
        latest = newest + max(self._settles - 1, 1)
        return min([latest, self._rule.wake(self._ground(newest), self.past, newest), *self._cuts(newest, latest), *self._timed(newest)])

    def _timed(self, newest: int) -> list[int]:
        """Slots in which time alone may end an episode that stands, or renew what is told of it."""
        onset = self._state.window("onset", newest, newest + 1)[0]
        row, subject = np.nonzero(onset != NONE)
        if not row.size:
            return []
        least = (onset[row, subject] + self._least_ms[subject]) // self._every_ms
        ends = self._rule.ends(self._weighed, newest, row, subject)
        renewals = [newest + self._renewal - newest % self._renewal] if self._renewed[subject].any() else []
        ahead = np.concatenate([least, ends])
        return [*renewals, *ahead[ahead > newest].tolist()]


@lru_cache(maxsize=2**12)
def _stamp(onset_ms: int) -> str:
    return f"{instant(onset_ms):%Y%m%dT%H%MZ}"


def _supported(feed: Feed, said: pl.DataFrame) -> pl.DataFrame:
    """Facts as they were said, with what the engine needs to hold them: subject, onset, end."""
    fell = (pl.col("state") == WITHDRAWN) & pl.col("ended_at").is_not_null()
    ended = pl.when((pl.col("state") == WITHDRAWN) & ~fell).then(pl.col("said_at") + 2 * AHEAD).otherwise(pl.col("ended_at"))
    return said.select(
        *(name for name in feed.columns if name not in feed.envelope),
        "revision",
        pl.col("id").str.replace(r"/[^/]*$", "").alias("subject"),
        pl.col("onset").to_physical().alias("onset_ms"),
        ended.to_physical().alias("ended_ms"),
        fell.alias("fell"),
    )
