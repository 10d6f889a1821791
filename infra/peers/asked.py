"""What a peer is asked, and how it tells of it: the same for every program in Python that calls a function for each message."""

from __future__ import annotations

import argparse
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

__all__ = ["Asked", "Event", "Told", "asked"]

_A_M, _E2 = 6_378_137.0, 0.006_694_379_990_141_317
_TELLS_EVERY_S = 0.5

Event = tuple[int, int, float, float]
"""Number, time (ms), latitude and longitude (degrees); a list after a trip through JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Where the messages lie, how many there are, and what a pair is. Spans of time are milliseconds."""

    brokers: str
    name: str
    left: str
    right: str
    messages: int
    to: Path
    folder: str
    late_ms: int
    within_ms: int
    within_m: float

    def pair(self, left: Event, right: Event) -> bool:
        """Whether two events are a pair: by time, then by Gauss' mid-latitude formula on WGS84.

        It lacks the terms of third order, which are less than a micrometre at 50 m.
        """
        if abs(left[1] - right[1]) > self.within_ms or abs(left[2] - right[2]) * 110_500.0 > self.within_m:
            return False
        middle = math.radians((left[2] + right[2]) / 2)
        w2 = 1 - _E2 * math.sin(middle) ** 2
        across = _A_M / math.sqrt(w2) * math.cos(middle) * math.radians(right[3] - left[3])
        along = _A_M * (1 - _E2) / (w2 * math.sqrt(w2)) * math.radians(right[2] - left[2])
        return math.hypot(across, along) <= self.within_m


def asked() -> Asked:
    """Reads the command line of a peer."""
    parser = argparse.ArgumentParser()
    for name in ("brokers", "name", "left", "right", "folder"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--to", type=Path, required=True)
    for name in ("messages", "late-ms", "within-ms"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--within-m", type=float, required=True)
    return Asked(**vars(parser.parse_args()))


class Told:
    """Writes pairs, counts messages, and prints ``begin``, ``so far N`` and ``done``."""

    def __init__(self, given: Asked) -> None:
        self._messages, self._count, self._next_s = given.messages, 0, 0.0
        self._to: TextIO = given.to.open("w")

    def pair(self, left: Event, right: Event) -> None:
        """Takes a pair down."""
        self._to.write(f"{left[0]},{right[0]}\n")

    def message(self) -> None:
        """Notes that a message has met its partners."""
        self._count += 1
        if self._count == 1:
            _say("begin")
        if self._count == self._messages:
            self._to.close()
            _say("done")
        elif self._count % 64 == 0 and time.monotonic() > self._next_s:
            self._next_s = time.monotonic() + _TELLS_EVERY_S
            _say(f"so far {self._count}")


def _say(what: str) -> None:
    # A framework may have put something else in the place of sys.stdout, and have begun a line of its own.
    os.write(1, f"\n{what}\n".encode())
