"""Which topics there should be, told by the feeds' schema files and the linkages that read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from connectors.kafka import KafkaSettings
from jobs.linkages import LINKAGES
from pipelines.linkage import AHEAD, Linkage
from schemas import Feed, feed, feed_names

__all__ = ["SIDES", "Topic", "safe", "wanted"]

SIDES = {"late": "late.v1", "dead": "dead.v1"}
"""Side topics, and the feed whose records lie in them."""


_NEVER_MS = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic as it is or should be. ``config``: at least the settings that are ruled over here."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]

    @property
    def kept(self) -> timedelta | None:
        """How long a record is kept, compaction aside; None: forever."""
        kept_ms = int(self.config["retention.ms"])
        return timedelta(milliseconds=kept_ms) if kept_ms >= 0 and "delete" in self.config["cleanup.policy"] else None

    @property
    def compacted(self) -> bool:
        """Whether only the newest record of each key is kept."""
        return "compact" in self.config["cleanup.policy"]


def wanted(cluster: KafkaSettings, *, partitions: int, replication: int) -> list[Topic]:
    """Every topic of a namespace, as schema files and linkages want it, in order of name.

    Feeds with a key have ``partitions``, all of them the same: so a key lies in the same partition of each. The clock and the side
    topics have one. In a drill nothing grows old: what is recorded there carries the times of its arrival, which are long past.
    """
    feeds = [feed(name) for name in feed_names() if name not in SIDES.values()]
    topics = [_topic(cluster, each, None, partitions if each.key else 1, replication) for each in feeds]
    topics += [_topic(cluster, feed(name), side, 1, replication) for name, side in _sides(LINKAGES.values())]
    return sorted(topics, key=lambda each: each.name)


def _sides(linkages: Iterable[Linkage]) -> set[tuple[str, str]]:
    """Feeds with the side topics that they need: all that is published may be unreadable, only what is observed and read be late."""
    linkages = list(linkages)
    facts = {each.says for each in linkages if not feed(each.says).handed_on}
    observed = {name for each in linkages for name in each.observes} - facts
    published = {name for name in feed_names() if name not in SIDES.values() and not feed(name).of_facts}
    return {(name, "late") for name in observed} | {(name, "dead") for name in published}


def _topic(cluster: KafkaSettings, of: Feed, side: str | None, partitions: int, replication: int) -> Topic:
    lies = feed(SIDES[side]) if side else of
    retention = None if cluster.drill else lies.retention
    config = {
        "cleanup.policy": _cleanup(lies, side),
        "retention.ms": "-1" if retention is None else str(retention // timedelta(milliseconds=1)),
        "retention.bytes": "-1",  # the cluster's own default may be finite; how long a feed is kept is told in time
        "message.timestamp.type": "CreateTime",
        # What says that it arrived later than now would make all that follows look long past. An exercise may play next year.
        "message.timestamp.after.max.ms": str(_NEVER_MS if cluster.drill else AHEAD // timedelta(milliseconds=1)),
    }
    return Topic(name=cluster.topic(of.name, side), partitions=partitions, replication=replication, config=config | safe(replication))


def _cleanup(lies: Feed, side: str | None) -> str:
    """Compaction keeps the newest record of each key, which is all that counts where the key alone is the identity."""
    if side == "dead":
        return "compact,delete"  # a letter is taken out by a tombstone
    return "compact" if lies.retention is None and lies.of_facts else "delete"


def safe(replication: int) -> dict[str, str]:
    """With three copies a record is there once two have it, so that either of the others may be away."""
    return {"min.insync.replicas": "2"} if replication >= 3 else {}
