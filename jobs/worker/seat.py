"""One partition of a linkage in a worker: reads, steps, says and commits, and starts again when anything goes wrong.

A seat that has failed keeps nothing: whatever happened, it is built again from what was said and committed.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.kafka import KafkaSettings, partition_of
from connectors.kafka_reader import Place, Reader, ReaderError
from connectors.kafka_writer import Said, Writer
from connectors.wire import REPO, Ids, encode
from jobs.start import begin, furthest
from jobs.worker import told
from jobs.worker.faults import Fault
from jobs.worker.inputs import Inputs, Taken
from jobs.worker.log import Log, places_of
from jobs.worker.metrics import Gauges
from pipelines.linkage import Derive, Engine, Past, Spoken
from schemas import feed

__all__ = ["USUAL", "Overruled", "Seat", "SeatSettings", "Work", "group_of", "lead"]

log = logging.getLogger("tsunagu.worker")

MOST_METADATA_BYTES = 4096
"""What a broker takes as metadata of a commit unless it is told otherwise (``offset.metadata.max.bytes``)."""

_FENCED = {
    KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED, KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID, KafkaError.FENCED_INSTANCE_ID, KafkaError.INVALID_PRODUCER_ID_MAPPING,
}  # fmt: skip


class Overruled(RuntimeError):
    """Somebody else writes into the partition: what was said has to be read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatSettings:
    """How a seat works.

    Attributes:
        most: how many messages are fetched at once.
        commit_every_s: how often progress is committed while there is nothing to say.
        again_after_s: how long it waits before it starts again after a fault; doubles up to ``again_at_most_s``.
    """

    most: int = 5000
    commit_every_s: float = 1.0
    again_after_s: float = 0.1
    again_at_most_s: float = 5.0
    fenced_for_s: float = 2.0


USUAL = SeatSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """How far the last owner came: positions of all inputs, end of what was said, epoch."""

    positions: Mapping[Place, int]
    said: int = 0
    epoch: int = 0


def lead(linkage: Derive) -> str:
    """The input whose partitions the group gives out: the past that the linkage folds along."""
    return next(each.feed for each in linkage.given.values() if isinstance(each, Past))


def group_of(linkage: Derive, cluster: KafkaSettings) -> str:
    """The consumer group of the workers of a linkage."""
    return cluster.topic(f"tsunagu.{linkage.name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What all seats of a member share.

    Attributes:
        linkage: what to run.
        cluster: where.
        membership: gives the membership in the group as it is now.
        admin: asks for offsets.
        fault: is told each point of the loop.
        settings: how a seat works.
        ids: what schema ids mean.
    """

    linkage: Derive
    cluster: KafkaSettings
    membership: Callable[[], object]
    admin: AdminClient
    fault: Fault
    settings: SeatSettings = USUAL
    ids: Ids = REPO


class Seat:
    """Runs one partition, of the input that leads and of what is said, in a thread of its own."""

    def __init__(self, work: Work, partition: int, gauges: Gauges) -> None:
        self._linkage, self._cluster, self._settings, self._ids = work.linkage, work.cluster, work.settings, work.ids
        self._membership, self._admin, self._fault, self._gauges = work.membership, work.admin, work.fault, gauges
        self.partition, self._lead_feed = partition, lead(work.linkage)
        self._says = feed(work.linkage.says)
        self._name = f"{work.linkage.name}[{partition}]"
        self._out = work.cluster.topic(work.linkage.says), partition
        self._said_until = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)

    def start(self) -> None:
        """Begins to work."""
        self._thread.start()

    def stop(self) -> None:
        """Asks it to end after the step that it is in."""
        self._stop.set()

    def join(self, within_s: float) -> bool:
        """Waits until it has ended; False: it has not."""
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        wait_s = self._settings.again_after_s
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                self._session()
            except BaseException as fault:  # Polars' panics are no Exceptions
                if self._stop.is_set():
                    break
                if time.monotonic() - begun > 60:
                    wait_s = self._settings.again_after_s
                fenced = isinstance(fault, KafkaException) and fault.args[0].code() in _FENCED
                pause_s = max(wait_s, self._settings.fenced_for_s) if fenced else wait_s
                self._gauges.failed(fault)
                log.warning(
                    "%s starts again in %.1f s: %s", self._name, pause_s, fault, exc_info=not isinstance(fault, KafkaException | Overruled)
                )
                self._stop.wait(pause_s)
                wait_s = min(2 * wait_s, self._settings.again_at_most_s)
        self._gauges.ended()

    def _session(self) -> None:
        with ExitStack() as stack:
            self._gauges.state("starting")
            writer = stack.enter_context(closing(Writer(self._cluster, f"{self._cluster.topic(self._linkage.name)}.{self.partition}")))
            self._fault("fenced")
            reader = stack.enter_context(closing(self._reader()))
            committed = self._committed(reader)
            before = told.read(reader, self._says, self.partition, committed.said, self._ids)
            self._fault("told")
            running, positions, lost = self._begun(reader, committed, before)
            self._fault("begun")
            epoch, self._said_until = max(before.epoch, committed.epoch) + 1, before.until
            self._mark(writer, epoch, positions, before, lost)
            self._fault("marked")
            inputs = Inputs(reader, positions, ((self._says.name, self.partition), before.until), self._settings.most)
            self._gauges.started(epoch, before.facts.height)
            self._go_on(writer, inputs, running, epoch, positions)

    def _reader(self) -> Reader:
        return Reader(
            self._cluster, self._admin, ordered=[self._lead_feed], group=group_of(self._linkage, self._cluster), ids=self._ids
        )  # fmt: skip

    # -- the start ----------------------------------------------------------------------------------------------

    def _committed(self, reader: Reader) -> Committed:
        """What the group knows of this partition; nothing where nobody has committed, or so long ago that it was forgotten."""
        found = reader.committed((self._lead_feed, self.partition))
        if found is None:
            return Committed(positions={})
        more = json.loads(found.metadata or "{}")
        positions = {
            (name, p): offset for name, offsets in more.get("read", {}).items() for p, offset in enumerate(offsets) if offset is not None
        }
        return Committed(
            positions=positions | {(self._lead_feed, self.partition): found.offset}, said=more.get("said", 0), epoch=more.get("epoch", 0)
        )

    def _begun(
        self, reader: Reader, committed: Committed, before: told.Told
    ) -> tuple[Engine, dict[Place, int], list[tuple[Place, int, int]]]:
        """The engine, how far it has read, and what was deleted before it was read: place, first and next offset."""
        self._check(reader)
        places = places_of(self._linkage, reader, self.partition)
        starts = reader.starts(places)
        known = furthest(committed.positions, before.facts) if committed.positions else furthest({}, before.facts)
        positions = {place: max(known.get(place, 0), starts[place]) for place in places}
        lost = [(place, known[place], starts[place]) for place in places if place in known and known[place] < starts[place]]
        running, read = begin(
            self._linkage, Log(linkage=self._linkage, reader=reader, places=places, starts=starts), positions,
            pl.concat([before.facts, before.over]), self._owns(reader),
        )  # fmt: skip
        return running, {place: read[place] for place in places}, lost

    def _check(self, reader: Reader) -> None:
        """Inputs that are owned, and what is said, lie in equally many partitions; otherwise nobody would speak for some keys."""
        count = reader.partitions(self._lead_feed)
        for name in (*self._linkage.feeds, self._linkage.says):
            whole = name != self._linkage.says and self._linkage.whole(name)
            if not whole and reader.partitions(name) != count:
                rule = f"partitions of {name} must be as many as of {self._lead_feed} (got {reader.partitions(name)} and {count})"
                raise ReaderError(f"{rule}: a fact lies where its key's input lies; see tsunagu topics plan")

    def _owns(self, reader: Reader) -> Callable[[str], bool]:
        count = reader.partitions(self._lead_feed)
        return lambda value: partition_of(value, count) == self.partition

    def _mark(
        self, writer: Writer, epoch: int, positions: Mapping[Place, int], before: told.Told, lost: Iterable[tuple[Place, int, int]]
    ) -> None:
        """Takes the partition: a mark with a higher epoch, then over again what a lost owner has written behind an earlier one."""
        topic, partition = self._out
        now_ms = int(time.time() * 1000)
        mark = Said(topic=topic, partition=partition, key=told.MARK, value=None, arrived_ms=now_ms, headers=_headers(epoch))
        gone = [self._gone(place, first, after, now_ms) for place, first, after in lost]
        over = self._facts(before.over, epoch) if before.over.height else []
        self._commit(writer, [*self._side("dead", pl.concat(gone) if gone else None), mark, *over], epoch, positions)

    def _gone(self, place: Place, first: int, after: int, now_ms: int) -> pl.DataFrame:
        name, partition = place
        source = f"{name}[{partition}]"
        rule = f"records {first} to {after - 1} of {source} must be kept until they are read (got: deleted): keep them longer"
        log.error("%s: %s", self._name, rule)
        where = {"feed": name, "source": source, "place": first, "partition": partition, "offset": first}
        row = where | {"arrived": datetime.fromtimestamp(now_ms // 1000, UTC), "reason": rule, "raw": b""}
        return pl.DataFrame([row], schema=feed("dead.v1").frame_schema)

    # -- the loop -----------------------------------------------------------------------------------------------

    def _go_on(self, writer: Writer, inputs: Inputs, running: Engine, epoch: int, positions: Mapping[Place, int]) -> None:
        """Evaluates every key once, then steps on as records come."""
        spoken = running.step({}, inputs.unread())
        taken = Taken(batch={}, dead=None, positions=positions, unread={}, tail=())
        committed, at = dict(positions), time.monotonic()
        while True:
            if spoken or taken.dead is not None or (taken.positions != committed and time.monotonic() - at > self._settings.commit_every_s):
                self._say(writer, inputs, spoken, taken, epoch)
                committed, at = dict(taken.positions), time.monotonic()
                self._fault("committed")
            self._gauges.stepped(running, inputs, spoken, taken)
            if self._stop.is_set():
                break
            taken = inputs.take(0.1)
            self._fault("read")
            self._watch(taken, epoch)
            spoken = running.step(taken.batch, taken.unread) if taken.batch else Spoken(says=self._says)
            self._fault("stepped")
        if taken.positions != committed:
            self._commit(writer, [], epoch, taken.positions)

    def _watch(self, taken: Taken, epoch: int) -> None:
        """Looks at what is written into the partition of the output: nobody else may."""
        for message in taken.tail:
            if told.epoch_of(message) != epoch:
                raise Overruled(
                    f"partition {self._name} must have one owner (got a message of epoch {told.epoch_of(message)} beside {epoch})"
                )

    def _say(self, writer: Writer, inputs: Inputs, spoken: Spoken, taken: Taken, epoch: int) -> None:
        dead = [each for each in (taken.dead, _with_bytes(spoken.dead, inputs)) if each is not None]
        messages = [*self._side("late", spoken.late), *self._side("dead", pl.concat(dead) if dead else None)]
        facts = spoken.facts
        if facts is not None:
            messages += self._facts(facts, epoch)
        self._commit(writer, messages, epoch, taken.positions)
        self._gauges.said(facts)

    def _commit(self, writer: Writer, messages: list[Said], epoch: int, positions: Mapping[Place, int]) -> None:
        def offsets(ends: Mapping[tuple[str, int], int]) -> list[TopicPartition]:
            self._said_until = ends.get(self._out, self._said_until)
            return [self._offset(positions, epoch)]

        writer.commit(messages, offsets, self._membership, self._fault)

    def _offset(self, positions: Mapping[Place, int], epoch: int) -> TopicPartition:
        """The commit of the input that leads; the positions of all others, the end of what was said and the epoch in its metadata."""
        read: dict[str, list[int | None]] = {}
        for (name, partition), offset in sorted(positions.items()):
            if name != self._lead_feed:
                each = read.setdefault(name, [])
                each += [None] * (partition + 1 - len(each))
                each[partition] = offset
        metadata = json.dumps({"epoch": epoch, "said": self._said_until, "read": read}, separators=(",", ":"))
        if len(metadata) > MOST_METADATA_BYTES:
            rule = f"metadata of a commit must fit in {MOST_METADATA_BYTES} bytes (got {len(metadata)})"
            raise ValueError(f"{rule}: give feeds that are read whole fewer partitions")
        return TopicPartition(self._cluster.topic(self._lead_feed), self.partition, positions[self._lead_feed, self.partition], metadata)

    # -- messages -----------------------------------------------------------------------------------------------

    def _facts(self, facts: pl.DataFrame, epoch: int) -> list[Said]:
        topic, partition = self._out
        ids, said_at = facts["id"].to_list(), facts["said_at"].to_physical().to_list()
        return [
            Said(topic=topic, partition=partition, key=id_.encode(), value=value, arrived_ms=arrived, headers=_headers(epoch))
            for id_, arrived, value in zip(ids, said_at, encode(self._says.name, facts, self._ids), strict=True)
        ]

    def _side(self, side: str, frame: pl.DataFrame | None) -> list[Said]:
        """Late or unreadable records as messages of their side feed; the key is the place."""
        if frame is None:
            return []
        places = frame.select("feed", "partition", "offset", pl.col("arrived").to_physical()).iter_rows()
        return [
            Said(
                topic=self._cluster.topic(name, side),
                partition=0,
                key=f"{name}[{partition}]@{offset}".encode(),
                value=value,
                arrived_ms=arrived,
                headers={},
            )
            for (name, partition, offset, arrived), value in zip(places, encode(f"{side}.v1", frame, self._ids), strict=True)
        ]


def _headers(epoch: int) -> dict[str, bytes]:
    return {told.EPOCH: str(epoch).encode()}


def _with_bytes(dead: pl.DataFrame | None, inputs: Inputs) -> pl.DataFrame | None:
    """Records that cannot be, with the bytes as they came in the place of their fields."""
    if dead is None:
        return None
    raw = [
        inputs.value(name, partition, offset) or held
        for name, partition, offset, held in dead.select("feed", "partition", "offset", "raw").iter_rows()
    ]
    return dead.with_columns(pl.Series("raw", raw, pl.Binary))
