"""What the owner of a partition commits: how far all inputs were read, up to where it has said, and its epoch.

One commit holds it all, so that nothing can fall apart: the offset of the input that leads, and the rest in the commit's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import TopicPartition

from connectors.kafka_reader import Place

__all__ = ["Committed"]

MOST_METADATA_BYTES = 4096
"""What a broker takes unless it is told otherwise (``offset.metadata.max.bytes``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """Of each input the offset of the next record, the offset behind what was said, the epoch, and the line.

    Empty: nobody has committed. The line is here since it may never go back, whatever the next unread record says of its arrival.
    """

    positions: Mapping[Place, int]
    said: int = 0
    epoch: int = 0
    line: datetime | None = None

    @classmethod
    def read(cls, lead: Place, found: TopicPartition | None) -> Committed:
        """From the commit of the input that leads; None: there is none, or it was forgotten."""
        if found is None:
            return cls(positions={})
        more = json.loads(found.metadata or "{}")
        others = {
            (name, p): offset for name, offsets in more.get("read", {}).items() for p, offset in enumerate(offsets) if offset is not None
        }
        return cls(
            positions=others | {lead: found.offset}, said=more.get("said", 0), epoch=more.get("epoch", 0), line=_time(more.get("line"))
        )

    def written(self, lead: Place, topic: str) -> TopicPartition:
        """As a commit of the input that leads.

        Raises:
            ValueError: there are more inputs than a commit can hold.
        """
        read: dict[str, list[int | None]] = {}
        for (name, partition), offset in sorted(self.positions.items()):
            if (name, partition) != lead:
                each = read.setdefault(name, [])
                each += [None] * (partition + 1 - len(each))
                each[partition] = offset
        metadata = json.dumps({"epoch": self.epoch, "said": self.said, "line": _ms(self.line), "read": read}, separators=(",", ":"))
        if len(metadata) > MOST_METADATA_BYTES:
            rule = f"metadata of a commit must fit in {MOST_METADATA_BYTES} bytes (got {len(metadata)})"
            raise ValueError(f"{rule}: give feeds that are read whole fewer partitions")
        return TopicPartition(topic, lead[1], self.positions[lead], metadata)


def _ms(time: datetime | None) -> int | None:
    return None if time is None else round(time.timestamp() * 1000)


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)
