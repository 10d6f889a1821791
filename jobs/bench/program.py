"""A process under measurement: on a core of its own where that can be had, with its processor time and the most memory it held."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

__all__ = ["ROOT", "Program", "ProgramError", "apart"]

ENDS_WITHIN_S = 15.0
ROOT = Path(__file__).parents[2]


class ProgramError(RuntimeError):
    """A process under measurement ended by itself."""


def apart() -> int | None:
    """Keeps this process and what it starts off one core, which is left to the program under measurement; None: it cannot be had."""
    if not hasattr(os, "sched_setaffinity") or shutil.which("taskset") is None:
        return None
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        return None
    os.sched_setaffinity(0, others)
    return first


class Program:
    """A command, run in the clone. Use it in a ``with`` block.

    Args:
        command: the program and its arguments.
        core: the core that it is kept to; None: any.
        log: file for what it prints on standard error.
    """

    def __init__(self, command: Sequence[str], core: int | None, log: Path) -> None:
        self._command, self._log = [*(["taskset", "-c", str(core)] if core is not None else []), *command], log

    def __enter__(self) -> Program:
        # One core, one thread: more of them would only take turns.
        environment = os.environ | {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.end()

    def end(self) -> str:
        """Asks it to stop, kills it if it does not; returns what it printed."""
        self._process.terminate()
        try:
            told, _ = self._process.communicate(timeout=ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            told, _ = self._process.communicate()
        except ValueError:  # it was ended before
            return ""
        return told.decode(errors="replace")

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        return self._process.pid

    def lines(self) -> Iterator[str]:
        """What it prints, line by line, until it ends."""
        if self._process.stdout is None:
            return
        # An end of the pipe of its own: whoever ends the program closes the other one.
        with os.fdopen(os.dup(self._process.stdout.fileno()), "rb") as told:
            for line in told:
                yield line.decode(errors="replace").rstrip("\n")

    def check(self) -> None:
        """Looks whether it still runs.

        Raises:
            ProgramError: it does not.
        """
        code = self._process.poll()
        if code is not None:
            told = self._log.read_text(errors="replace").strip()[-2000:]
            raise ProgramError(f"program must run until it is stopped (got exit {code}): {' '.join(self._command)} says\n{told}")

    @property
    def cpu_s(self) -> float:
        """Processor time so far, of all its threads; not a number where the system does not tell."""
        told = self._proc("stat")
        if not told:
            return math.nan
        user, system = told.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    @property
    def peak_mb(self) -> float:
        """The most memory that it has held, MiB; not a number where the system does not tell."""
        found = re.search(r"^VmHWM:\s+(\d+) kB", self._proc("status"), flags=re.M)
        return int(found[1]) / 1024 if found else math.nan

    def _proc(self, name: str) -> str:
        path = Path("/proc") / str(self._process.pid) / name
        return path.read_text() if path.exists() else ""
