"""A Kafka cluster: where it is, how topics are named, and in which partition a record lies.

``river.level.v1`` is the live topic of a feed, ``drill.NAME.river.level.v1`` that of a drill, ``late.`` and ``dead.``
stand before the feed for its side feeds. Values are in Confluent wire format (``connectors/wire.py``), the timestamp of a
message is when the record arrived.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

__all__ = ["CLIENT", "ClusterError", "KafkaSettings", "Place", "partition_of", "read_client", "refusal"]

Place = tuple[str, int]
"""A feed and a partition of it."""

CLIENT: Mapping[str, Any] = {
    "logger": logging.getLogger("librdkafka"),
    "log_level": 2,  # its own log tells every attempt at a connection, a hundred a second; errors that matter come as errors
    # A worker that answers in milliseconds cannot wait for the usual 100 ms after a coordinator says "not yet".
    "retry.backoff.ms": 2,
    "retry.backoff.max.ms": 5,
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 1000,
    "log.connection.close": False,
    "enable.metrics.push": False,  # brokers learn nothing of our processes
}
"""Settings of librdkafka that every client of ours has."""


class ClusterError(ValueError):
    """A cluster cannot be used as it was told: its settings, its answer, or what lies in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """Where the cluster is, and in which namespace topics lie.

    Attributes:
        brokers: ``host:port`` of one or more brokers, separated by commas.
        drill: name of a drill; its topics cannot reach live subscribers. None: live.
        registry: address of a schema registry that gives the ids of schemas; None: ids come from the repo.
        more: further settings of librdkafka, for example of TLS.
    """

    brokers: str
    drill: str | None = None
    registry: str | None = field(default=None, repr=False)
    more: Mapping[str, str] = field(default_factory=dict, repr=False)

    def topic(self, feed_name: str, side: str | None = None) -> str:
        """The topic of a feed; ``side``: ``late`` or ``dead`` for its side feeds."""
        parts = [*(["drill", self.drill] if self.drill else []), *([side] if side else []), feed_name]
        return ".".join(parts)

    def client(self, **more: Any) -> dict[str, Any]:
        """Settings for a client of librdkafka; in the names of ``more`` an underscore stands for a dot."""
        return {**CLIENT, "bootstrap.servers": self.brokers, **self.more} | {name.replace("_", "."): value for name, value in more.items()}


def refusal(fault: KafkaError) -> ClusterError:
    """What is told where a cluster does not answer, or does not allow what was asked."""
    return ClusterError(f"cluster must answer and allow it (got {fault.str()!r}): see --brokers and --client")


def read_client(path: Path) -> dict[str, str]:
    """Settings of librdkafka, for example of TLS, from lines ``name=value``; ``#`` begins a remark.

    Raises:
        ClusterError: the file cannot be read, or a line is no setting. What it holds is never told: it may be secret.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise ClusterError(f"client must be a file that can be read (got {str(path)!r}): one setting name=value on each line") from fault
    settings = {}
    for number, line in enumerate(lines, 1):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not line.strip() or name.startswith("#"):
            continue
        if not name or not equals:
            raise ClusterError(f"lines of client {path.name} must be name=value (got another at line {number}): see docs/live.md")
        settings[name] = value
    return settings


@lru_cache(maxsize=65536)
def partition_of(key: str, partitions: int) -> int:
    """The partition in which records of a key lie: murmur2 as Kafka's own Java clients compute it."""
    data = key.encode()
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return ((h ^ h >> 15) & 0x7FFFFFFF) % partitions
