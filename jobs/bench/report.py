"""What the bench found, in tables for people or as Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence

from jobs.bench.figures import Flow, Layout, Waits, factor, number, percentile, table
from jobs.bench.stages import STAGES

__all__ = ["flows", "machine", "spent", "waited"]


def machine(core: int | None) -> str:
    """On what it was measured."""
    apart = "what is measured on one of them, all else on the others" if core is not None else "shared by all"
    return f"{os.cpu_count()} cores ({apart}), {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def flows(measured: Sequence[Flow], layout: Layout) -> str:
    """Records worked off; the factors are of the first."""
    ours, head = measured[0], ("", "readings", "readings/s", "µs of CPU each", "peak MiB", "statements", "what stands")
    return table([*head, "×"] if len(measured) > 1 else head, (_flow(each, ours, len(measured) > 1) for each in measured), layout)


def _flow(each: Flow, ours: Flow, compared: bool) -> Sequence[str]:
    stands = "did not come to its end" if each.standing is None else str(each.standing)
    cells = [each.name, f"{each.records:,}", number(each.per_s), number(each.cpu_us), number(each.peak_mb), f"{each.said:,}", stands]
    return [*cells, "" if each is ours else factor(ours.per_s, each.per_s)] if compared else cells


def spent(stages: Mapping[str, Sequence[float]], readings: int, layout: Layout) -> str:
    """Where the time of our worker goes."""
    whole = sum(cpu_s for cpu_s, _ in stages.values()) or 1.0
    rows = (
        (what, number(cpu_s / readings * 1e6), f"{cpu_s / whole:.0%}", number(went_s - cpu_s, "s"))
        for point, what in STAGES.items()
        for cpu_s, went_s in [stages.get(point, (0.0, 0.0))]
    )
    return table(("stage", "µs of CPU a reading", "of all", "waited"), rows, layout)


def waited(measured: Sequence[Waits], layout: Layout) -> str:
    """From arrival to being seen."""
    return table(("", "readings/s", "statements", "p50", "p99", ""), map(list, map(_waits, measured)), layout)


def _waits(each: Waits) -> Iterator[str]:
    yield from (each.name, number(each.per_s), f"{len(each.waits_ms):,}")
    yield from (number(percentile(each.waits_ms, percent), "ms") for percent in (50, 99))
    yield f"falls behind, at the end by {number(each.behind_s, 's')}" if each.falls_behind else ""
