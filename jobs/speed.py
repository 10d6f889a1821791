"""How fast recorded arrivals are told again: as they came, faster, or as fast as can be."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Pace"]


@dataclass(slots=True, kw_only=True)
class Pace:
    """Keeps the distances between arrivals, from the first one on.

    Attributes:
        speed: recorded seconds in a second; None: no waiting.
        clock: seconds that never go back.
        sleep: waits so many seconds, or until interrupted.

    Example:
        >>> naps = []
        >>> pace = Pace(speed=600, clock=lambda: 7.0, sleep=naps.append)
        >>> for minute in 0, 10, 20:
        ...     pace.wait(minute * 60_000)
        >>> naps
        [1.0, 2.0]
    """

    speed: float | None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _begun: tuple[float, int] | None = field(default=None, init=False)

    def left_s(self, arrived_ms: int) -> float:
        """Seconds until an arrival is due; 0: it is."""
        if self.speed is None:
            return 0.0
        if self._begun is None:
            self._begun = self.clock(), arrived_ms
        began_s, first_ms = self._begun
        return max(began_s + (arrived_ms - first_ms) / 1000 / self.speed - self.clock(), 0.0)

    def wait(self, arrived_ms: int) -> None:
        """Waits until an arrival is due."""
        left_s = self.left_s(arrived_ms)
        if left_s > 0:
            self.sleep(left_s)
