"""Who is measured at the match: ours and its peers, what each is given and how it is started."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from infra.peers import built
from jobs.bench.match.files import Wire
from jobs.bench.match.inputs import DELAY, WITHIN, WITHIN_M
from jobs.bench.program import ROOT

__all__ = ["OURS", "PEERS", "Contestant", "Lies", "Place"]

_MINUTES = [str(each.seconds // 60) for each in (DELAY, WITHIN)]
_METRES = f"{WITHIN_M:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a contestant finds its input and leaves its pairs: files, or topics of a broker with so many messages in both."""

    left: str
    right: str
    to: Path
    folder: Path
    name: str
    brokers: str = ""
    messages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lies:
    """How messages lie in topics: what their values are, and whether their time stamp tells when an event happened or arrived."""

    wire: Wire
    stamp: Literal["at_ms", "arrived_ms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A program that finds pairs.

    Attributes:
        name: as the table calls it.
        command: what starts it.
        share: part of the inputs that it is given, so that it comes to an end in about a minute.
        input: files as we read them, files with cells, or topics.
        there: whether what it needs is installed.
    """

    name: str
    command: Callable[[Place], Sequence[str]]
    share: float = 1.0
    input: Literal["events", "cells"] | Lies
    there: Callable[[], bool] = lambda: True


def _ours(at: Place) -> Sequence[str]:
    return [sys.executable, "-m", "jobs.bench.match.ours", "--left", at.left, "--right", at.right, "--to", str(at.to)]


def _flink(at: Place) -> Sequence[str]:
    # Its serialisers look into the collections of the JDK.
    opened = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in ("java.util", "java.lang")]
    return ["java", "-Xmx4g", *opened, "-cp", f"{built('flink')}/*", "FlinkMatch", at.left, at.right, str(at.to), *_MINUTES, _METRES]


def _streams(store: str) -> Callable[[Place], Sequence[str]]:
    def command(at: Place) -> Sequence[str]:
        where = [at.brokers, at.name, at.left, at.right, str(at.messages), str(at.to), str(at.folder)]
        return ["java", "-Xmx4g", "-cp", f"{built('streams')}/*", "StreamsMatch", *where, store, *_MINUTES, _METRES]

    return command


def _python(venv: str, module: str) -> Callable[[Place], Sequence[str]]:
    def command(at: Place) -> Sequence[str]:
        where = {"brokers": at.brokers, "name": at.name, "left": at.left, "right": at.right, "folder": at.folder, "to": at.to}
        spans = {"late-ms": _ms(_MINUTES[0]), "within-ms": _ms(_MINUTES[1]), "within-m": _METRES, "messages": at.messages}
        options = [word for name, value in (where | spans).items() for word in (f"--{name}", str(value))]
        return [str(_interpreter(venv)), "-m", f"infra.peers.{module}", *options]

    return command


def _interpreter(venv: str) -> Path:
    return ROOT / venv / "bin" / "python"


def _ms(minutes: str) -> int:
    return int(minutes) * 60_000


OURS = Contestant(name="tsunagu", command=_ours, input="events")

_BINARY, _JSON = Lies(wire="bytes", stamp="at_ms"), Lies(wire="json", stamp="arrived_ms")

PEERS = (
    Contestant(name="Flink SQL", command=_flink, input="cells"),
    Contestant(name="Kafka Streams, RocksDB", command=_streams("rocksdb"), share=0.2, input=_BINARY),
    Contestant(name="Kafka Streams, in memory", command=_streams("memory"), share=0.05, input=_BINARY),
    Contestant(
        name="Quix Streams",
        command=_python(".venv-quix", "quix_streams"),
        share=0.05,
        input=_JSON,
        there=_interpreter(".venv-quix").exists,
    ),
    Contestant(
        name="Faust, tables",
        command=_python(".venv-faust", "faust_streaming"),
        share=0.02,
        input=_JSON,
        there=_interpreter(".venv-faust").exists,
    ),
)
