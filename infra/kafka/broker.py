"""Starts one Apache Kafka broker in KRaft mode: fetched by Maven, formatted, started, awaited, stopped. No Docker.

``python -m infra.kafka.broker --folder build/kafka --port 9092`` runs it until it is interrupted. What it writes lies in
the folder: ``data/``, ``server.properties`` and ``broker.log``. It listens on 127.0.0.1 only.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from infra.maven import MavenError, once

__all__ = ["Broker", "BrokerError", "BrokerSettings", "free_port"]

HERE = Path(__file__).parent
READY_WITHIN_S = 300
STOPPED_WITHIN_S = 30


class BrokerError(RuntimeError):
    """The broker cannot be fetched, formatted or started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """Where the broker keeps its files and listens.

    Attributes:
        folder: its data, settings and log; what lies there already is taken up again.
        port: for clients; 0: any free one.
        heap_mb: memory of the Java heap, MiB.
        libs: folder of the jars, filled by Maven when it is empty.
        more: further lines of ``server.properties``.
    """

    folder: Path
    port: int = 0
    heap_mb: int = 384
    libs: Path = HERE / "libs"
    more: Mapping[str, str] = field(default_factory=dict)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Broker:
    """One broker process. Use it in a ``with`` block, or call ``start`` and ``stop``; after ``kill``, ``start`` goes on."""

    def __init__(self, settings: BrokerSettings) -> None:
        self.settings = settings
        self.port = settings.port or free_port()
        self._controller_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """Where clients connect, for ``bootstrap.servers``."""
        return f"127.0.0.1:{self.port}"

    @property
    def lives(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the broker and waits until it answers.

        Raises:
            BrokerError: Java or Maven is absent, or the broker ends or does not answer in time; its log is named.
        """
        fetch(self.settings.libs)
        folder = self.settings.folder
        folder.mkdir(parents=True, exist_ok=True)
        properties = folder / "server.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in self._properties().items()), encoding="utf-8")
        if not (folder / "data" / "meta.properties").exists():
            self._format(properties)
        with (folder / "broker.log").open("ab") as log:
            begun = log.tell()
            self._process = subprocess.Popen(
                [*self._java(self.settings.heap_mb), "kafka.Kafka", str(properties)], stdout=log, stderr=log, start_new_session=True
            )
        self._await(begun)

    def stop(self) -> None:
        """Stops the broker as an operator would, and kills it if it does not end."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """Kills the broker at once, as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _properties(self) -> dict[str, str]:
        """Settings of one broker for which no other will stand in: nothing is replicated, nothing made by accident."""
        return {
            "node.id": "1",
            "process.roles": "broker,controller",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "log.dirs": str((self.settings.folder / "data").absolute()),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "8",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "8",
            "group.initial.rebalance.delay.ms": "0",
            "auto.create.topics.enable": "false",
            **self.settings.more,
        }

    def _java(self, heap_mb: int) -> list[str]:
        if shutil.which("java") is None:
            raise BrokerError("java must be on the path (got none): install a Java 17 or newer, for example openjdk-17-jre-headless")
        logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
        return ["java", f"-Xmx{heap_mb}m", logging, "-cp", f"{self.settings.libs}/*"]

    def _format(self, properties: Path) -> None:
        # Never with a hyphen at its head: the formatter would take it for an option.
        cluster = "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
        command = [*self._java(128), "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            raise BrokerError(f"storage of the broker must be formatted (got {done.stderr.decode(errors='replace').strip()!r})")

    def _await(self, begun: int) -> None:
        """Waits until the broker takes connections and its log says, after ``begun`` bytes, that it is up."""
        until = time.monotonic() + READY_WITHIN_S
        log = self.settings.folder / "broker.log"
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                raise BrokerError(f"broker must stay up (got exit {self._process and self._process.returncode}): read {log}")
            if self._answers() and b"Kafka Server started" in log.read_bytes()[begun:]:
                return
            time.sleep(0.1)
        self.kill()
        raise BrokerError(f"broker must answer within {READY_WITHIN_S} s (got nothing on {self.bootstrap}): read {log}")

    def _answers(self) -> bool:
        with socket.socket() as one:
            one.settimeout(0.5)
            return one.connect_ex(("127.0.0.1", self.port)) == 0


def fetch(libs: Path) -> None:
    """Brings the jars by Maven, once.

    Raises:
        BrokerError: Maven is absent or fails.
    """
    try:
        once(libs, "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies", f"-DoutputDirectory={libs.absolute()}")
    except MavenError as fault:
        raise BrokerError(f"broker must be brought ({fault}); or use infra/kafka/compose.yaml with Docker") from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a broker until it is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m infra.kafka", description="Runs one Kafka broker on this machine.")
    parser.add_argument("--folder", type=Path, default=Path("build/kafka"), help="data, settings and log; default: build/kafka")
    parser.add_argument("--port", type=int, default=9092, help="port for clients; default: 9092")
    given = parser.parse_args(arguments)
    broker = Broker(BrokerSettings(folder=given.folder, port=given.port))
    try:
        broker.start()
        print(f"Kafka answers on {broker.bootstrap}; data and log in {given.folder}; interrupt to stop", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    except BrokerError as fault:
        print(f"kafka: {fault}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        pass
    finally:
        broker.stop()
    return os.EX_OK
