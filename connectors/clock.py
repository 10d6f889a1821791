"""The clock of this machine as a source: an instant at every full ``every``, counted in UTC.

**Delivery guarantee.** Instants never go back, also where the clock of the machine is set back. After a pause only the newest instant
comes: what was missed says nothing that the newest does not say.

**What is lost when.** Nothing can be. An instant comes ``settles`` after itself, so that what arrived before it has been published by
other connectors, and machines may differ by as much. What takes longer to be published comes behind its tick.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from connectors.source import SourceError

__all__ = ["Clock", "ClockError", "ClockSettings", "open"]

_EVERY = re.compile(r"([1-9][0-9]{0,5})([smh])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAP_S = 1.0


class ClockError(SourceError):
    """A clock cannot go as it was told to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSettings:
    """How often it tells the time, and how long after."""

    every: timedelta
    settles: timedelta = timedelta(seconds=5)


def _now() -> datetime:
    return datetime.now(UTC)


def open(every: str, now: Callable[[], datetime] = _now, sleep: Callable[[float], None] = time.sleep) -> Clock:
    """The clock that ``60s``, ``10m`` or ``1h`` names.

    Raises:
        ClockError: it names none.
    """
    told = _EVERY.fullmatch(every)
    if told is None:
        raise ClockError(f"clock must tell the time every so many s, m or h (got {every!r}): for example clock:60s")
    return Clock(settings=ClockSettings(every=timedelta(**{_UNITS[told[2]]: int(told[1])})), now=now, sleep=sleep)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Instants as they come due; see the module for what is promised.

    Example:
        >>> at = datetime(2024, 5, 28, 12, 0, 7, tzinfo=UTC)
        >>> open("60s", now=lambda: at).read(after=None).isoformat()
        '2024-05-28T12:00:00+00:00'
    """

    settings: ClockSettings
    now: Callable[[], datetime] = _now
    sleep: Callable[[float], None] = time.sleep

    def read(self, after: datetime | None) -> datetime:
        """The newest instant that is due, as soon as it is later than ``after``."""
        while True:
            newest = self._due()
            if after is None or newest > after:
                return newest
            # A short nap: the clock of the machine may be set meanwhile.
            left = max(newest, after) + self.settings.every + self.settings.settles - self.now()
            self.sleep(min(max(left.total_seconds(), 0.001), _NAP_S))

    def close(self) -> None:
        """Nothing was opened."""

    def _due(self) -> datetime:
        every = self.settings.every
        return _EPOCH + (self.now() - self.settings.settles - _EPOCH) // every * every
