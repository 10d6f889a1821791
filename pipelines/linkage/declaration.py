"""How a linkage is declared: which feeds, together by which key, how far back, which rule, which feed it says.

A declaration reads like a sentence and does nothing; the engine is built from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, Protocol

from pipelines.linkage.errors import DeclarationError

if TYPE_CHECKING:
    from pipelines.linkage.derive import DeriveFold, Rule
    from pipelines.linkage.engine import Fold
    from pipelines.linkage.match import MatchFold
    from pipelines.linkage.route import RouteFold
    from pipelines.linkage.tally import TallyFold, TallyRule
    from schemas.feeds import Feed

__all__ = [
    "CLOCK",
    "AsOf",
    "Derive",
    "Linkage",
    "Match",
    "Past",
    "Records",
    "Route",
    "Tally",
    "as_of",
    "hours",
    "minutes",
    "past",
    "records",
]

CLOCK = "clock.v1"
"""The feed of ticks, which every linkage reads."""


def hours(count: float) -> timedelta:
    """That many hours."""
    return timedelta(hours=count)


def minutes(count: float) -> timedelta:
    """That many minutes."""
    return timedelta(minutes=count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The recent past of a feed, held as a grid of keys × slots of ``every`` along event time."""

    feed: str
    value: str
    reach: timedelta
    every: timedelta
    read: Literal["owned", "all"] = "owned"


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """Reference records, read as of their time: each holds from then until a later one of the same key.

    ``where`` names values that a field may have: a record with another value ends nothing, the one before it goes on to hold.
    """

    feed: str
    read: Literal["owned", "all"]
    where: Mapping[str, tuple[str | bool, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The recent past of a feed as the set of its records: of each identity the highest version.

    ``reach`` is how far back of the line they are held, zero where the verb knows it; ``where`` names values that a field may have.
    """

    feed: str
    reach: timedelta
    where: Mapping[str, tuple[str | bool, ...]]


def records(feed: str, *, reach: timedelta = timedelta(0), where: Mapping[str, tuple[str | bool, ...]] | None = None) -> Records:
    """Records of ``feed``, those only of which each field in ``where`` has one of the values named there."""
    return Records(feed=feed, reach=reach, where=where or {})


def past(feed: str, *, value: str, reach: timedelta, every: timedelta, read: Literal["owned", "all"] = "owned") -> Past:
    """The past of ``feed``: its field ``value`` by key and slot, as far back as ``reach``.

    Args:
        feed: name of the feed; its identity less its time is the key of the grid.
        value: the numeric field that is held; null means that the key spoke without a value.
        reach: how far back from the line one evaluation may look.
        every: width of a slot. A record belongs to the slot that ends at or after its time; of several in one
            slot the one with the newest time counts.
        read: *all*: each worker reads the whole feed, not only its own keys; for what is read beside.

    Raises:
        DeclarationError: reach or every is not positive, or reach is not a multiple of every.
    """
    if every <= timedelta(0):
        raise DeclarationError(f"every must be positive (got {every!r}): a slot needs a width")
    if reach <= timedelta(0) or reach % every:
        raise DeclarationError(f"reach must be a positive multiple of every (got {reach!r} of {every!r}): it is counted in slots")
    return Past(feed=feed, value=value, reach=reach, every=every, read=read)


def as_of(feed: str, *, read: Literal["owned", "all"] = "owned", where: Mapping[str, tuple[str | bool, ...]] | None = None) -> AsOf:
    """Reference records of ``feed``, those only of which each field in ``where`` has one of the values named there.

    One feed may be read under several names, to ask of it what holds, and what held of one kind.

    Args:
        feed: name of the feed; its identity less its time is the key.
        read: *all*: each worker reads the whole feed, not only its own keys.
        where: values that a field may have; asked of the highest version of each record.
    """
    return AsOf(feed=feed, read=read, where=where or {})


class Linkage(Protocol):
    """What the runtimes know of every linkage, whatever its verb."""

    @property
    def name(self) -> str:
        """Name of the linkage."""

    @property
    def says(self) -> str:
        """Feed of its facts."""

    @property
    def together_by(self) -> str:
        """Field that keeps together what is judged together; the partition key."""

    @property
    def feeds(self) -> tuple[str, ...]:
        """Names of all feeds that it reads, the clock included."""

    @property
    def observes(self) -> tuple[str, ...]:
        """Names of the feeds of events that it reads, the leading one first."""

    @property
    def reach(self) -> timedelta:
        """How far back of the line it looks."""

    def refers_to(self, feed: str) -> bool:
        """Whether the records of a feed are read as of their time, and are never late."""

    def whole(self, feed: str) -> bool:
        """Whether every worker reads all of a feed: the clock, and what is read by all; of others each reads what it owns."""

    def later(self, state: str) -> str:
        """The state under which a fact is held, whichever it was said with."""

    def fold(self, feeds: Mapping[str, Feed], *, settles_ms: int, owns: Callable[[str], bool]) -> Fold:
        """The verb at work: what the engine steps, for the values of ``together_by`` that it owns."""


class _Given:
    """What follows for a linkage from its inputs by name."""

    __slots__ = ()
    given: Mapping[str, Past | Records | AsOf]

    @property
    def feeds(self) -> tuple[str, ...]:
        """Names of all feeds that it reads, the clock included."""
        return (*dict.fromkeys(each.feed for each in self.given.values()), CLOCK)

    @property
    def observes(self) -> tuple[str, ...]:
        """Names of the feeds of events that it reads, the leading one first."""
        return tuple(dict.fromkeys(each.feed for each in self.given.values() if not isinstance(each, AsOf)))

    def refers_to(self, feed: str) -> bool:
        """Whether the records of a feed are read as of their time, and are never late."""
        return any(isinstance(each, AsOf) for each in self.given.values() if each.feed == feed)

    def whole(self, feed: str) -> bool:
        """Whether every worker reads all of a feed: the clock, and what is read by all; of others each reads what it owns."""
        mine = [each for each in self.given.values() if each.feed == feed]
        return feed == CLOCK or any(not isinstance(each, Records) and each.read == "all" for each in mine)

    def later(self, state: str) -> str:
        """The state under which a fact is held, whichever it was said with: the same, unless a rule words it otherwise."""
        return state


@dataclass(frozen=True, slots=True, kw_only=True)
class Derive(_Given):
    """What follows for a key along event time from the recent past of that key and of what it reads beside.

    Attributes:
        name: name of the linkage; also its folder.
        says: feed of its facts.
        together_by: field that keeps together what is judged together; the partition key.
        for_each: reference feed whose keys are spoken for even when they are silent.
        given: inputs by the name under which the rule reads them. The first ``Past`` is folded along; others are read beside it.
        rule: what follows.
    """

    name: str
    says: str
    together_by: str
    for_each: str
    given: Mapping[str, Past | AsOf]
    rule: Rule

    def __post_init__(self) -> None:
        pasts = {name: each for name, each in self.given.items() if isinstance(each, Past)}
        if not pasts or next(iter(pasts.values())).read == "all":
            raise DeclarationError(f"given of {self.name} must begin with a past that is owned (got {[*pasts]}): a derive folds along it")
        if len({each.feed for each in pasts.values()}) < len(pasts):
            raise DeclarationError(f"pasts of {self.name} must be of different feeds (got {[each.feed for each in pasts.values()]})")
        if self.for_each not in [each.feed for each in self.given.values() if isinstance(each, AsOf)]:
            raise DeclarationError(f"for_each of {self.name} must be one of its as_of inputs (got {self.for_each!r}): add it to given")

    def fold(self, feeds: Mapping[str, Feed], *, settles_ms: int, owns: Callable[[str], bool]) -> DeriveFold:
        """This verb at work: what the engine steps, for the values of ``together_by`` that it owns."""
        from pipelines.linkage.derive import DeriveFold  # it stands on this module

        return DeriveFold(self, feeds, settles_ms=settles_ms, owns=owns)

    @property
    def reach(self) -> timedelta:
        """How far back of the line it looks."""
        return max(each.reach for each in self.given.values() if isinstance(each, Past))

    def later(self, state: str) -> str:
        """The state under which a fact is held, whichever it was said with."""
        return self.rule.later(state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match(_Given):
    """A fact for each pair of records that belong together, and word of those that stay alone.

    Attributes:
        name: name of the linkage.
        says: feed of its facts.
        together_by: field that keeps together what may be paired; the partition key of both sides.
        left: one side.
        right: the other side. Both may read the same feed.
        within: a pair lies at most so far apart in time.
        within_m: a pair lies at most so far apart on the ground, metres; None: distance does not matter.
        same: fields that are equal in a pair, beside ``together_by``.
        valid: *any*: either may be the earlier one. *right*: the right record holds from its time, until its field
            ``valid_until`` where it has one, and the left one falls into that.
        alone: what is said of a left record without a partner. *said*: that there is none, once the line proves it.
        rule: name and version under which the facts are said.
    """

    name: str
    says: str
    together_by: str
    left: Records
    right: Records
    within: timedelta
    within_m: float | None = None
    same: tuple[str, ...] = ()
    valid: Literal["any", "right"] = "any"
    alone: Literal["said", "unsaid"] = "said"
    rule: str

    def __post_init__(self) -> None:
        if self.within <= timedelta(0):
            raise DeclarationError(f"within of {self.name} must be positive (got {self.within!r}): a match needs a span of time")
        if self.within_m is not None and self.within_m <= 0:
            raise DeclarationError(f"within_m of {self.name} must be positive (got {self.within_m!r}): a match needs a radius")
        if self.within_m is None and not self.same:
            raise DeclarationError(f"{self.name} must match by within_m, by same, or by both (got neither): name one")

    @property
    def given(self) -> Mapping[str, Records]:  # type: ignore[override]
        """Its inputs by name."""
        return {"left": self.left, "right": self.right}

    @property
    def reach(self) -> timedelta:
        """How far back of the line it looks: a record at the far end of the span looks back a span itself."""
        return 2 * self.within

    def fold(self, feeds: Mapping[str, Feed], *, settles_ms: int, owns: Callable[[str], bool]) -> MatchFold:
        """This verb at work: what the engine steps. Only keys that it owns arrive."""
        from pipelines.linkage.match import MatchFold  # it stands on this module

        return MatchFold(self, feeds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally(_Given):
    """Facts that are folded from the set of the records of a key: counts, sums, extremes, and what follows from them.

    Attributes:
        name: name of the linkage; also its folder.
        says: feed of its facts.
        together_by: field that keeps together what is judged together; the partition key.
        given: inputs by the name under which the rule reads them.
        every: how often it is folded again: at the first tick of each such span since midnight in Japan, over all that had arrived
            when the span began.
        rule: what follows.
    """

    name: str
    says: str
    together_by: str
    given: Mapping[str, Records | AsOf]
    every: timedelta
    rule: TallyRule

    def __post_init__(self) -> None:
        if not self.observes:
            raise DeclarationError(f"given of {self.name} must hold records (got {sorted(self.given)}): a tally counts some")
        if self.every <= timedelta(0) or timedelta(days=1) % self.every:
            raise DeclarationError(f"every of {self.name} must divide a day (got {self.every!r}): for example hours(24)")

    @property
    def reach(self) -> timedelta:
        """How far back of the line it looks: as its inputs, and as far as the last fold may lie behind the line."""
        return max(each.reach for each in self.given.values() if isinstance(each, Records)) + self.every

    def fold(self, feeds: Mapping[str, Feed], *, settles_ms: int, owns: Callable[[str], bool]) -> TallyFold:
        """This verb at work: what the engine steps. Only keys that it owns arrive."""
        from pipelines.linkage.tally import TallyFold  # it stands on this module

        return TallyFold(self, feeds, settles_ms=settles_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(_Given):
    """Records under new keys: each in its shard of space, copied to the shards within a halo.

    Attributes:
        name: name of the linkage.
        says: feed of the records under their new key: the fields of the one that is read, ``by``, and ``home``, which tells the
            record in its own shard from its copies.
        together_by: key of the records that are read.
        records: what is read.
        by: field of the new key.
        resolution: H3 resolution of the shards.
        halo_m: whatever lies nearer than this to a record of a shard reaches that shard, metres.
    """

    name: str
    says: str
    together_by: str
    records: Records
    by: str
    resolution: int
    halo_m: float

    def __post_init__(self) -> None:
        if self.halo_m <= 0:
            raise DeclarationError(f"halo_m of {self.name} must be positive (got {self.halo_m!r}): else no copy is made")
        from pipelines.linkage.space import covering  # it stands on this module's errors

        finest = covering(self.halo_m)[0] - 1
        if not 0 <= self.resolution <= finest:
            raise DeclarationError(
                f"resolution of {self.name} must be 0 to {finest} (got {self.resolution!r}): a shard is wider than its halo"
            )

    @property
    def given(self) -> Mapping[str, Records]:  # type: ignore[override]
        """Its inputs by name."""
        return {"records": self.records}

    @property
    def reach(self) -> timedelta:
        """How far back of the line it looks."""
        return timedelta(0)

    def fold(self, feeds: Mapping[str, Feed], *, settles_ms: int, owns: Callable[[str], bool]) -> RouteFold:
        """This verb at work: what the engine steps. Only keys that it owns arrive."""
        from pipelines.linkage.route import RouteFold  # it stands on this module

        return RouteFold(self, feeds)
