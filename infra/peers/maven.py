"""Builds a peer that is written in Java: Maven brings its jars and compiles its one source, once for each state of both files."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Literal

from infra.maven import MavenError, once

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
    if shutil.which("java") is None:
        raise PeerError(f"java must be on the path (got none): a Java 17 or newer runs {name}")
    try:
        once(folder, "-f", str(source / "pom.xml"), "package", state=state)
    except MavenError as fault:
        raise PeerError(f"{name} must be built ({fault})") from None
    return folder
