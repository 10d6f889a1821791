"""What a record costs while ever more of the past is held: the same town, as many records an hour, held for longer.

As a program it fills the past, then steps on for a while with all of it held, and prints what it found as JSON.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from dataclasses import asdict, dataclass

from jobs.bench.match.inputs import DELAY, EVENTS, SPAN, WITHIN, inputs
from jobs.bench.match.ours import AT_ONCE
from jobs.bench.match.toy import batches, engine

__all__ = ["AMOUNTS", "LAST", "Held", "held"]

AMOUNTS = (100_000, 1_000_000, 10_000_000)
LAST = 400_000
"""So many records are read after the past is full."""

_AROUND = 4 * WITHIN
"""About so much more than its patience the engine holds: what is within reach of the line, and the span of time around that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a record costs while so many are held, microseconds of processor time.

    Attributes:
        held: records at the end.
        typical_us: in a step like most with all of them held (median).
        mean_us: on average since half of them were held: with the rare steps that move all that is held to where there is more room.
        longest_ms: the longest of these steps.
    """

    held: int
    typical_us: float
    mean_us: float
    longest_ms: float


def held(amount: int, last: int = LAST) -> Held:
    """Steps until about so many records are held, then through the last ones."""
    each = SPAN / (2 * EVENTS)
    given = inputs(span=(amount + last) * each)
    running, read = engine(max(amount * each - _AROUND, 2 * DELAY)), 0
    steps: list[tuple[int, int, float]] = []
    for batch in batches(given.left, given.right, AT_ONCE):
        count = sum(frame.height for frame in batch.values()) - 1
        begin_s = time.process_time()
        running.step(batch)
        steps.append((read, count, time.process_time() - begin_s))
        read += count
    kept = running.held()
    late = [each for each in steps if each[0] >= amount // 2] or steps
    full = sorted(cpu_s / count for begin, count, cpu_s in steps if begin >= amount and count) or [late[-1][2] / late[-1][1]]
    return Held(
        held=kept["left"] + kept["right"],
        typical_us=full[len(full) // 2] * 1e6,
        mean_us=sum(cpu_s for _, _, cpu_s in late) / sum(count for _, count, _ in late) * 1e6,
        longest_ms=max(cpu_s for _, _, cpu_s in late) * 1e3,
    )


def main() -> None:
    """Prints what was found for one amount, then waits to be ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--amount", type=int, required=True)
    parser.add_argument("--last", type=int, default=LAST)
    given = parser.parse_args()
    print("begin", flush=True)
    print(json.dumps(asdict(held(given.amount, given.last))), flush=True)
    print("done", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
