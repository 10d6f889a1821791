"""Points of a worker's loop at which it can be killed on purpose, to see that nothing is lost by it.

``TSUNAGU_FAULT=said:3`` ends the process with SIGKILL, as a power cut would, when it comes to the point ``said`` for the third time.
``TSUNAGU_FAULT=stop@said:3`` stops it there with SIGSTOP, as a machine that stands still would; SIGCONT lets it go on, and it knows of
nothing.
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

_SIGNALS = {"": signal.SIGKILL, "stop": signal.SIGSTOP}

Fault = Callable[[str], None]
"""Is told each point as it is passed."""


class FaultError(ValueError):
    """The environment names no point."""


def from_environment(environment: Mapping[str, str] = os.environ) -> Fault:
    """Kills or stops this process where ``TSUNAGU_FAULT`` says; without it, nothing ever.

    Raises:
        FaultError: there is no such point.
    """
    named = environment.get("TSUNAGU_FAULT")
    if not named:
        return lambda _: None
    how, _, where = named.rpartition("@")
    point, _, count = where.partition(":")
    if how not in _SIGNALS or point not in POINTS or not (count or "1").isdecimal():
        rule = f"TSUNAGU_FAULT must be POINT:COUNT or stop@POINT:COUNT (got {named!r})"
        raise FaultError(f"{rule}: POINT is one of {', '.join(POINTS)}")
    passed: Counter[str] = Counter()

    def strike(at: str) -> None:
        passed[at] += 1
        if at == point and passed[at] == int(count or 1):
            os.kill(os.getpid(), _SIGNALS[how])

    return strike
