"""A real MQTT broker that keeps its sessions on disk: started, killed, started again."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from getpass import getuser
from pathlib import Path
from types import TracebackType

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from infra.kafka.broker import free_port

PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
needs_mosquitto = pytest.mark.skipif(PROGRAM is None, reason="mosquitto is not here: a test starts it")


class Mosquitto:
    """One broker process. Use it in a ``with`` block."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.port, self._folder = free_port(), folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)
        lines = [
            f"user {getuser()}",  # started by root it would become another, who may not write here
            f"listener {self.port} 127.0.0.1", f"log_dest file {folder}/log", "persistence true", f"persistence_location {folder}/",
            "autosave_interval 1", "max_queued_messages 0", *(more or ["allow_anonymous true"]),
        ]  # fmt: skip
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def __enter__(self) -> Mosquitto:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        assert PROGRAM is not None
        self._process = subprocess.Popen([PROGRAM, "-c", str(self._folder / "mosquitto.conf")])
        while True:
            assert self._process.poll() is None, (self._folder / "log").read_text(encoding="utf-8")
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """As an operator would: sessions are saved."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def saved(self) -> None:
        """Waits until its sessions are on disk as they are now, which it sees to every second."""
        begun = time.time()
        while not (file := self._folder / "mosquitto.db").exists() or file.stat().st_mtime <= begun:
            time.sleep(0.05)

    def publish(self, *messages: tuple[str, bytes], qos: int = 1, retain: bool = False) -> None:
        """Publishes messages, each acknowledged by the broker."""
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.max_inflight_messages_set(100)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        for told in [client.publish(topic, payload, qos=qos, retain=retain) for topic, payload in messages]:
            told.wait_for_publish(60)
            assert told.is_published()
        client.disconnect()
        client.loop_stop()
