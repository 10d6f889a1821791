"""``tsunagu bench width``: replays at the width of a nation, on one core: what a reading costs, and how that grows from one prefecture.

The gauges of 福井県 and a recorded flood are repeated, each copy a region of its own. They lie in an archive before the clock runs.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from jobs.bench import program, report
from jobs.bench.figures import Layout, factor, number, table

if TYPE_CHECKING:
    from jobs.bench.live import Bench
    from jobs.bench.width_inputs import Width

__all__ = ["Replayed", "run"]

REGIONS = (1, 10, 165)
"""Of a hundred gauges each."""
SHARES = {
    "decode": ("decode",),
    "past": ("judge", "past"),
    "rule": ("weigh", "transitions", "words", "fold"),
    "write": ("write",),
    "else": ("frames", "else"),
}
"""What the stages of a replay (``width_replay``) are put together to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One replay, measured.

    Attributes:
        name: what was replayed.
        gauges: how many gauge records there are.
        readings: between the warm-up and the end.
        said: statements meanwhile.
        peak_mb: the most memory that the process held, MiB.
        spent_s: processor time of each stage, seconds.
    """

    name: str
    gauges: int
    readings: int
    said: int
    peak_mb: float
    spent_s: Mapping[str, float]

    @property
    def cpu_us(self) -> float:
        """Processor time of a reading, microseconds."""
        return sum(self.spent_s.values()) / self.readings * 1e6

    def share(self, stages: Sequence[str]) -> float:
        """Part of the time that these stages took."""
        return sum(self.spent_s.get(each, 0.0) for each in stages) / (sum(self.spent_s.values()) or math.inf)


def run(settings: Bench) -> int:
    """Measures, and prints what was measured; returns the exit code."""
    core = program.apart()
    print(report.machine(core), flush=True)
    for told in _measured(settings, core):
        print(f"\n{told}", flush=True)
    return 0


def _measured(settings: Bench, core: int | None) -> Iterator[str]:
    from jobs.bench.width_inputs import ABOUT, Width

    yield ABOUT
    widths = [Width(regions=regions) for regions in sorted({max(round(each * settings.size), 1) for each in REGIONS})]
    measured = [_replayed(each, core) for each in (*widths, Width(regions=widths[-1].regions, weather="one region in twelve"))]
    yield told(measured, settings.layout)
    yield f"Where the time goes at {measured[len(widths) - 1].gauges:,} gauges:"
    yield spent(measured[len(widths) - 1], settings.layout)


def _replayed(width: Width, core: int | None) -> Replayed:
    """One width, written to an archive and replayed in a process of its own."""
    print(f"{width.name} …", file=sys.stderr, flush=True)
    with TemporaryDirectory(prefix="tsunagu-width-") as folder:
        width.record(Path(folder) / "archive")
        command = [sys.executable, "-m", "jobs.bench.width_replay", "--folder", folder, "--regions", str(width.regions)]
        log = Path(folder) / "log"
        with program.Program(command, core, log) as running:
            lines = list(running.lines())
        if not lines:
            raise program.ProgramError(f"replay of {width.name} must tell its figures (got none): it says\n{log.read_text()[-2000:]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return Replayed(name=width.name, **found)


def told(measured: Sequence[Replayed], layout: Layout) -> str:
    """A row for each replay; the growth is that of a reading's cost over the first."""
    head = ("", "gauges", "readings", "readings/s", "µs of CPU each", "growth", *SHARES, "statements", "peak MiB")
    rows = (
        [each.name, f"{each.gauges:,}", f"{each.readings:,}", number(1e6 / each.cpu_us), number(each.cpu_us),
         "" if each is measured[0] else factor(each.cpu_us, measured[0].cpu_us),
         *(f"{each.share(stages):.0%}" for stages in SHARES.values()), f"{each.said:,}", number(each.peak_mb)]
        for each in measured
    )  # fmt: skip
    return table(head, rows, layout)


def spent(of: Replayed, layout: Layout) -> str:
    """Stage by stage."""
    from jobs.bench.width_replay import STAGES

    rows = ((what, number(of.spent_s.get(name, 0.0) / of.readings * 1e6), f"{of.share([name]):.0%}") for name, what in STAGES.items())
    return table(("stage", "µs of CPU a reading", "of all"), rows, layout)
