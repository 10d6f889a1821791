"""Findings of the bench of the match that were made up."""

from __future__ import annotations

from jobs.bench.match.held import Held
from jobs.bench.match.measure import Matched
from jobs.bench.match.truth import Compared


def a_match(*, name: str, events: int = 2000, seconds: float = 2.0, cpu_s: float = 1.0, lost: int = 0, compared: bool = True) -> Matched:
    """Two thousand events in two seconds, nothing lost of nine hundred pairs."""
    pairs = Compared(pairs=900, lost=lost, extra=0) if compared else None
    return Matched(name=name, given=2000, events=events, seconds=seconds, cpu_s=cpu_s, peak_mb=100.0, compared=pairs)


def a_held(held: int, cpu_us: float) -> Held:
    """A past for which the average record costs what most do."""
    return Held(held=held, typical_us=cpu_us, mean_us=cpu_us, longest_ms=50.0)
