"""The arithmetic of the bench: what was counted and timed becomes figures, ratios and tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Flow", "Layout", "Standing", "Waits", "factor", "number", "percentile", "table"]

Layout = Literal["plain", "markdown"]


def percentile(values: Sequence[float], percent: float) -> float:
    """The least of the values that so many percent do not exceed (nearest rank); not a number where there are none.

    Example:
        >>> percentile([4.0, 1.0, 3.0, 2.0], 50), percentile([4.0, 1.0, 3.0, 2.0], 99)
        (2.0, 4.0)
    """
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1] if ordered else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What stands at the end beside what should: not said, said in vain, said otherwise."""

    right: int
    lost: int
    extra: int
    other: int

    @classmethod
    def of(cls, stands: Mapping[str, Any], should: Mapping[str, Any]) -> Standing:
        """Compares by id."""
        both = stands.keys() & should.keys()
        right = sum(stands[each] == should[each] for each in both)
        return cls(right=right, lost=len(should.keys() - both), extra=len(stands.keys() - both), other=len(both) - right)

    def __str__(self) -> str:
        if not self.lost + self.extra + self.other:
            return f"all {self.right:,} right"
        return f"{self.right:,} right, {self.lost:,} lost, {self.extra:,} extra, {self.other:,} other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Records worked off topic to topic by one process.

    Attributes:
        name: who.
        records: readings between its first commit and its last.
        seconds: between these commits.
        cpu_s: processor time of the process meanwhile; not a number where the system does not tell.
        peak_mb: the most memory that it held.
        said: statements in its output.
        standing: what stands at the end; None: it was not given the time to come to an end.
    """

    name: str
    records: int
    seconds: float
    cpu_s: float
    peak_mb: float
    said: int
    standing: Standing | None

    @property
    def per_s(self) -> float:
        """Readings a second."""
        return self.records / self.seconds if self.seconds > 0 else math.nan

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time for a reading."""
        return self.cpu_s / self.records * 1e6 if self.records else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long statements took at a pace: from the newest arrival in their basis until a reader of committed records had them.

    Attributes:
        name: who.
        per_s: readings published a second.
        waits_ms: of each statement, in the order in which they were seen.
        behind_s: when the last reading was published, how old was the newest one behind anything that was seen.
    """

    name: str
    per_s: float
    waits_ms: Sequence[float]
    behind_s: float

    @property
    def falls_behind(self) -> bool:
        """Whether waits grow: there is none yet, or the last quarter is told more than twice as late as the first, and by a second."""
        quarter = len(self.waits_ms) // 4
        if not quarter:
            return True
        first, last = percentile(self.waits_ms[:quarter], 50), percentile(self.waits_ms[-quarter:], 50)
        return last > 2 * first + 1000


def factor(ours: float, theirs: float) -> str:
    """How many times one figure is another; a dash where one of them is not known."""
    if not (ours > 0 and theirs > 0) or math.isinf(ours) or math.isinf(theirs):
        return "–"
    return f"{ours / theirs:,.1f}" if ours < 10 * theirs else f"{ours / theirs:,.0f}"


def number(value: float, unit: str = "") -> str:
    """A figure with three digits that count; a dash where it is not known."""
    if not math.isfinite(value):
        return "–"
    digits = 0 if abs(value) >= 100 or value == 0 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}{unit and ' '}{unit}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], layout: Layout) -> str:
    """Rows under a head, in columns for people or as Markdown."""
    lines = [list(head), *(list(row) for row in rows)]
    if layout == "markdown":
        told = [f"| {' | '.join(line)} |" for line in lines]
        return "\n".join([told[0], "|" + "---|" * len(head), *told[1:]])
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
