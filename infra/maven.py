"""Runs Maven, which brings and builds what is written in Java: one run at a time, since two would tread on each other's files."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["MavenError", "once", "one_at_a_time"]

LOCK = Path(__file__).parents[1] / "build" / "maven.lock"


class MavenError(RuntimeError):
    """Maven is absent or fails."""


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Waits until no other process of this clone is in here."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def once(folder: Path, *arguments: str, state: str = "") -> None:
    """Runs Maven with some arguments, unless they filled ``folder`` in the same ``state`` before; what else lies there goes.

    Raises:
        MavenError: Maven is absent or fails.
    """
    mark = folder / ".complete"
    with one_at_a_time():
        if mark.exists() and mark.read_text() == state:
            return
        if shutil.which("mvn") is None:
            raise MavenError("mvn must be on the path (got none): install Maven")
        shutil.rmtree(folder, ignore_errors=True)
        done = subprocess.run(["mvn", "-q", "-B", *arguments], capture_output=True, check=False)
        if done.returncode:
            raise MavenError(f"Maven must do its work (got {(done.stdout + done.stderr).decode(errors='replace').strip()[-500:]!r})")
        folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(state)
