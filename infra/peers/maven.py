"""Builds a peer that is written in Java: Maven brings its jars and compiles its one source, once for each state of both files."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Literal

__all__ = ["PeerError", "built"]

HERE = Path(__file__).parent
BUILT = HERE.parents[1] / "build" / "peers"


class PeerError(RuntimeError):
    """A peer cannot be built."""


def built(name: Literal["flink", "streams"]) -> Path:
    """The folder with all jars of a peer.

    Raises:
        PeerError: Java or Maven is absent, or Maven fails.
    """
    source, folder = HERE / name, BUILT / name
    state = hashlib.sha256(b"".join(each.read_bytes() for each in sorted(source.iterdir()))).hexdigest()
    mark = folder / ".complete"
    if mark.exists() and mark.read_text() == state:
        return folder
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise PeerError(f"{program} must be on the path (got none): a Java 17 or newer runs {name}, Maven builds it")
    shutil.rmtree(folder, ignore_errors=True)
    done = subprocess.run(["mvn", "-q", "-B", "-f", str(source / "pom.xml"), "package"], capture_output=True, check=False)
    if done.returncode:
        raise PeerError(f"Maven must build {name} (got {(done.stdout + done.stderr).decode(errors='replace').strip()[-500:]!r})")
    mark.write_text(state)
    return folder
