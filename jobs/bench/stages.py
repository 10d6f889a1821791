"""A worker that tells where its time goes: the points of its loop, timed from one to the next.

Run as a program it works until it is stopped, and then prints for each stage the processor time of the seat's thread and the
time that went by, in seconds, as JSON.
"""

from __future__ import annotations

import argparse
import json
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable

from connectors.kafka import KafkaSettings
from jobs.bench.recording import FLOOD

__all__ = ["STAGES", "Stages"]

STAGES = {
    "read": "fetch, decode, order",
    "stepped": "step: judge, weigh, fold, difference",
    "half said": "encode",
    "said": "send",
    "offsets sent": "send offsets",
    "committed": "commit",
}
"""The point at which a stage ends, and what it is."""


class Stages:
    """Is told each point of a loop, and adds up the time since the one before it.

    Example:
        >>> ticks = iter([0.0, 1.0, 5.0])
        >>> stages = Stages(lambda: next(ticks), lambda: 0.0)
        >>> for point in "marked", "read", "stepped":
        ...     stages(point)
        >>> stages.spent["stepped"]
        (4.0, 0.0)
    """

    def __init__(self, cpu_s: Callable[[], float] = time.thread_time, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._cpu_s, self._clock_s = cpu_s, clock_s
        self._last: tuple[float, float] | None = None
        self.spent: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))

    def __call__(self, point: str) -> None:
        now = self._cpu_s(), self._clock_s()
        if self._last is not None and point in STAGES:
            cpu_s, went_s = self.spent[point]
            self.spent[point] = cpu_s + now[0] - self._last[0], went_s + now[1] - self._last[1]
        self._last = now


def main() -> None:
    """Works until it is stopped."""
    from jobs.worker import Member, Metrics

    parser = argparse.ArgumentParser()
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--drill", required=True)
    given = parser.parse_args()
    stages, stop = Stages(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Member(FLOOD, KafkaSettings(brokers=given.brokers, drill=given.drill), Metrics(), stages).run(stop)
    print(json.dumps(stages.spent))


if __name__ == "__main__":
    main()
