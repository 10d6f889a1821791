"""The voice of a seat: what it says and commits, under its epoch, into one partition of the output and the side feeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from connectors.kafka import KafkaSettings
from connectors.kafka_reader import Place
from connectors.kafka_writer import Said, Writer
from connectors.wire import Ids, encode
from jobs.worker.committed import Committed
from jobs.worker.faults import Fault
from jobs.worker.outlet import Outlet

__all__ = ["Voice"]


@dataclass(slots=True, kw_only=True)
class Voice:
    """Says and commits, all or nothing.

    Attributes:
        writer: ours alone.
        cluster: where.
        outlet: where what is said goes.
        lead: the input whose commit tells how far all were read.
        epoch: ours; higher than all before.
        said: the offset behind what was said so far.
        membership: gives the membership in the group as it is now.
        fault: is told each point of a commit.
        ids: what schema ids mean.
    """

    writer: Writer
    cluster: KafkaSettings
    outlet: Outlet
    lead: Place
    epoch: int
    said: int
    membership: Callable[[], object]
    fault: Fault
    ids: Ids

    def mark(self, positions: Mapping[Place, int], line: datetime | None, over: pl.DataFrame, dead: pl.DataFrame | None) -> None:
        """Takes the partition: a mark, then over again what a lost owner has written behind an earlier one."""
        mark = self.outlet.taken(self.epoch, _now_ms())
        self._commit([*self._side("dead", dead), *mark, *self.outlet.messages(over, self.epoch)], positions, line)

    def say(
        self,
        positions: Mapping[Place, int],
        line: datetime | None,
        facts: pl.DataFrame | None = None,
        late: pl.DataFrame | None = None,
        dead: pl.DataFrame | None = None,
    ) -> None:
        """Says facts, and what came late or could not be read; commits how far the inputs were read."""
        self._commit([*self._side("late", late), *self._side("dead", dead), *self.outlet.messages(facts, self.epoch)], positions, line)

    def _commit(self, messages: list[Said], positions: Mapping[Place, int], line: datetime | None) -> None:
        def offsets(ends: Mapping[tuple[str, int], int]) -> Iterable[object]:
            if self.outlet.watched is not None:
                name, partition = self.outlet.watched
                self.said = ends.get((self.cluster.topic(name), partition), self.said)
            committed = Committed(positions=positions, said=self.said, epoch=self.epoch, line=line)
            return [committed.written(self.lead, self.cluster.topic(self.lead[0]))]

        messages += self.outlet.line(line, _now_ms())
        self.writer.commit(messages, offsets, self.membership, self.fault)  # type: ignore[arg-type]

    def _side(self, side: str, frame: pl.DataFrame | None) -> list[Said]:
        """Late or unreadable records as messages of their side feed; the key is the place."""
        if frame is None:
            return []
        places = frame.select("feed", "partition", "offset", pl.col("arrived").to_physical()).iter_rows()
        return [
            Said(
                topic=self.cluster.topic(name, side),
                partition=0,
                key=f"{name}[{p}]@{offset}".encode(),
                value=value,
                arrived_ms=arrived,
                headers={},
            )
            for (name, p, offset, arrived), value in zip(places, encode(f"{side}.v1", frame, self.ids), strict=True)
        ]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
