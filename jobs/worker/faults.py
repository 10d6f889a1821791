"""Points of a worker's loop at which it can be killed on purpose, to see that nothing is lost by it.

``TSUNAGU_FAULT=said:3`` ends the process with SIGKILL, as a power cut would, when it comes to the point ``said`` for the third time.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping

__all__ = ["POINTS", "Fault", "FaultError", "from_environment"]

POINTS = (
    "fenced", "told", "begun", "marked", "read", "stepped", "half said", "said", "offsets sent", "committed",
)  # fmt: skip
"""In order: at a start (who held the seat is fenced off; what was said is read; the past is read; the mark stands), then in each step."""

Fault = Callable[[str], None]
"""Is told each point as it is passed."""


class FaultError(ValueError):
    """The environment names no point."""


def from_environment(environment: Mapping[str, str] = os.environ) -> Fault:
    """Kills this process where ``TSUNAGU_FAULT`` says; without it, nothing ever.

    Raises:
        FaultError: there is no such point.
    """
    named = environment.get("TSUNAGU_FAULT")
    if not named:
        return lambda _: None
    point, _, count = named.partition(":")
    if point not in POINTS or not (count or "1").isdecimal():
        raise FaultError(f"TSUNAGU_FAULT must be POINT:COUNT (got {named!r}): POINT is one of {', '.join(POINTS)}")
    passed: Counter[str] = Counter()

    def kill(at: str) -> None:
        passed[at] += 1
        if at == point and passed[at] == int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)

    return kill
