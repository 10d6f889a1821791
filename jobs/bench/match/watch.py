"""Watches a program that prints ``begin``, ``so far N`` and ``done``: how long, how much processor time, how much memory in between.

Counted is the program with all that it starts, from ``begin`` to ``done``: neither its start nor what it is given by others, a broker.
"""

from __future__ import annotations

import math
import os
import queue
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.bench.program import Program, ProgramError

__all__ = ["Watched", "watch"]

BEGINS_WITHIN_S = 180.0
_LOOKS_EVERY_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was seen of a program.

    Attributes:
        seconds: from its begin to its end, or as long as it was given.
        cpu_s: processor time of it and its children meanwhile.
        peak_mb: the most memory that it held, MiB; of children the most that each held.
        done: whether it came to its end.
        so_far: messages that it had worked off by its own last word; None: it said none.
        lines: what else it printed.
    """

    seconds: float
    cpu_s: float
    peak_mb: float
    done: bool
    so_far: int | None
    lines: tuple[str, ...]


def watch(program: Program, within_s: float) -> Watched:
    """Runs a program from start to end, for so long at most.

    Raises:
        ProgramError: it ends by itself, or does not begin.
    """
    with program:
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=_read, args=(program, lines), daemon=True).start()
        told = list(_until(program, lines, "begin", BEGINS_WITHIN_S))
        if "begin" not in told:
            raise ProgramError(f"program must begin within {BEGINS_WITHIN_S:.0f} s (got {told[-3:]}): look at what it needs")
        begin_s, begin_cpu_s = time.monotonic(), _cpu_s(program.pid)
        told += _until(program, lines, "done", within_s)
        seconds, cpu_s = time.monotonic() - begin_s, _cpu_s(program.pid) - begin_cpu_s
        counts = [int(each.rpartition(" ")[2]) for each in told if each.startswith("so far ")]
        return Watched(
            seconds=seconds,
            cpu_s=cpu_s,
            peak_mb=_peak_mb(program.pid),
            done=bool(told) and told[-1] == "done",
            so_far=counts[-1] if counts else None,
            lines=tuple(each for each in told if each not in {"begin", "done"} and not each.startswith("so far ")),
        )


def _read(program: Program, lines: queue.SimpleQueue[str]) -> None:
    for line in program.lines():
        lines.put(line)


def _until(program: Program, lines: queue.SimpleQueue[str], last: str, within_s: float) -> Iterator[str]:
    """Lines up to one that is waited for, or as many as come in time."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            line = lines.get(timeout=_LOOKS_EVERY_S)
        except queue.Empty:
            program.check()
            continue
        yield line
        if line == last:
            return


def _family(pid: int) -> Iterator[int]:
    """A process and all that it and its children have started and that still runs."""
    yield pid
    for thread in _listed(Path("/proc") / str(pid) / "task"):
        for child in _text(thread / "children").split():
            yield from _family(int(child))


def _cpu_s(pid: int) -> float:
    """Processor time of a process and its children, those that have ended included; not a number where the system does not tell."""
    told = [_text(Path("/proc") / str(each) / "stat").rpartition(")")[2].split()[11:15] for each in _family(pid)]
    ticks = sum(int(each) for line in told for each in line)
    return ticks / os.sysconf("SC_CLK_TCK") if any(told) else math.nan


def _peak_mb(pid: int) -> float:
    found = [re.search(r"^VmHWM:\s+(\d+) kB", _text(Path("/proc") / str(each) / "status"), flags=re.M) for each in _family(pid)]
    peaks = [int(each[1]) / 1024 for each in found if each]
    return sum(peaks) if peaks else math.nan


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # it has ended, or the system has none
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
