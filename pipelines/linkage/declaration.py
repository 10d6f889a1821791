"""How a linkage is declared: which feeds, together by which key, how far back, which rule, which feed it says.

A declaration reads like a sentence and does nothing; the engine is built from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from pipelines.linkage.errors import DeclarationError

if TYPE_CHECKING:
    from pipelines.linkage.derive import DeriveFold, Rule
    from schemas.feeds import Feed

__all__ = ["CLOCK", "AsOf", "Derive", "Past", "as_of", "hours", "minutes", "past"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """Reference records, read as of their time: each holds from then until a later one of the same key."""

    feed: str
    read: Literal["owned", "all"]


def past(feed: str, *, value: str, reach: timedelta, every: timedelta) -> Past:
    """The past of ``feed``: its field ``value`` by key and slot, as far back as ``reach``.

    Args:
        feed: name of the feed; its identity less its time is the key of the grid.
        value: the numeric field that is held; null means that the key spoke without a value.
        reach: how far back from the line one evaluation may look.
        every: width of a slot. A record belongs to the slot that ends at or after its time; of several in one
            slot the one with the newest time counts.

    Raises:
        DeclarationError: reach or every is not positive, or reach is not a multiple of every.
    """
    if every <= timedelta(0):
        raise DeclarationError(f"every must be positive (got {every!r}): a slot needs a width")
    if reach <= timedelta(0) or reach % every:
        raise DeclarationError(f"reach must be a positive multiple of every (got {reach!r} of {every!r}): it is counted in slots")
    return Past(feed=feed, value=value, reach=reach, every=every)


def as_of(feed: str, *, read: Literal["owned", "all"] = "owned") -> AsOf:
    """Reference records of ``feed``; ``read="all"``: each worker reads the whole feed, not only its own keys."""
    return AsOf(feed=feed, read=read)


@dataclass(frozen=True, slots=True, kw_only=True)
class Derive:
    """What follows for a key along event time from the recent past of that key and of what it reads beside.

    Attributes:
        name: name of the linkage; also its folder.
        says: feed of its facts.
        together_by: field that keeps together what is judged together; the partition key.
        for_each: reference feed whose keys are spoken for even when they are silent.
        given: inputs by the name under which the rule reads them; exactly one is a ``Past``.
        rule: what follows.
    """

    name: str
    says: str
    together_by: str
    for_each: str
    given: Mapping[str, Past | AsOf]
    rule: Rule

    def __post_init__(self) -> None:
        pasts = [name for name, each in self.given.items() if isinstance(each, Past)]
        if len(pasts) != 1:
            raise DeclarationError(f"given of {self.name} must hold exactly one past (got {pasts}): a derive folds along one of them")
        if self.for_each not in [each.feed for each in self.given.values() if isinstance(each, AsOf)]:
            raise DeclarationError(f"for_each of {self.name} must be one of its as_of inputs (got {self.for_each!r}): add it to given")

    @property
    def feeds(self) -> tuple[str, ...]:
        """Names of all feeds that it reads, the clock included."""
        return (*dict.fromkeys(each.feed for each in self.given.values()), CLOCK)

    def fold(self, feeds: Mapping[str, Feed], *, settles_ms: int, owns: Callable[[str], bool]) -> DeriveFold:
        """This verb at work: what the engine steps, for the values of ``together_by`` that it owns."""
        from pipelines.linkage.derive import DeriveFold  # it stands on this module

        return DeriveFold(self, feeds, settles_ms=settles_ms, owns=owns)

    def input(self, feed: str) -> Past | AsOf | None:
        """How it reads a feed; None: it does not, or it is the clock."""
        return next((each for each in self.given.values() if each.feed == feed), None)

    def whole(self, feed: str) -> bool:
        """Whether every worker reads all of a feed: the clock, and what is read by all; of others each reads what it owns."""
        how = self.input(feed)
        return how is None or (isinstance(how, AsOf) and how.read == "all")

    @property
    def reach(self) -> timedelta:
        """How far back of the line it looks."""
        return next(each.reach for each in self.given.values() if isinstance(each, Past))
