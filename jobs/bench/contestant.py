"""Who is measured: our worker, and each peer with its environment and its settings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors.kafka import KafkaSettings
from jobs.bench.program import ROOT
from jobs.bench.recording import FLOOD

__all__ = ["OURS", "PEERS", "STAGED", "Contestant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A program that works on the flood rule.

    Attributes:
        name: as the tables call it.
        starts: the interpreter, below the clone, and what follows it.
        group: its consumer group.
        more: further arguments.
        peer: whether it is a peer, which is told its group and a folder of its own.
    """

    name: str
    starts: tuple[str, ...]
    group: str
    more: tuple[str, ...] = ()
    peer: bool = True

    @property
    def there(self) -> bool:
        """Whether its environment is installed."""
        return Path(self.starts[0]).exists()

    def group_in(self, cluster: KafkaSettings) -> str:
        """Its consumer group in a namespace."""
        return cluster.topic(self.group)

    def command(self, cluster: KafkaSettings, folder: Path) -> Sequence[str]:
        """What starts it."""
        where = ["--brokers", cluster.brokers, "--drill", cluster.drill or ""]
        own = ["--group", self.group_in(cluster), "--folder", str(folder)] if self.peer else []
        return [*self.starts, *where, *own, *self.more]


OURS = Contestant(
    name="tsunagu",
    starts=(str(Path(sys.executable).with_name("tsunagu")), "run", FLOOD.name),
    group=f"tsunagu.{FLOOD.name}",
    more=("--http", "0"),
    peer=False,
)

STAGED = Contestant(name="tsunagu", starts=(sys.executable, "-m", "jobs.bench.stages"), group=OURS.group, peer=False)
"""Our worker with a watch on each point of its loop."""


def _peer(name: str, venv: str, module: str, *more: str) -> Contestant:
    python = str(ROOT / venv / "bin" / "python")
    return Contestant(name=name, starts=(python, "-m", f"jobs.bench.peers.{module}"), group=f"bench.{module}", more=more)


PEERS = (
    _peer("Quix Streams, at least once", ".venv-quix", "quix_streams"),
    _peer("Quix Streams, exactly once", ".venv-quix", "quix_streams", "--guarantee", "exactly-once"),
    _peer("Faust, at least once", ".venv-faust", "faust_streaming"),
    _peer("Faust, at least once, take", ".venv-faust", "faust_streaming", "--at-once", "1000"),
)
