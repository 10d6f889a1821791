"""One partition of a linkage in a worker: reads, steps, says and commits, and starts again when anything goes wrong.

A seat that has failed keeps nothing: whatever happened, it is built again from what was said and committed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from connectors.epochs import epoch_of
from connectors.kafka import KafkaSettings, partition_of
from connectors.kafka_reader import Place, Reader, ReaderError
from connectors.kafka_writer import Writer
from connectors.lines import Lines
from connectors.wire import REPO, Ids
from jobs.start import begin, furthest
from jobs.worker import told
from jobs.worker.committed import Committed
from jobs.worker.faults import Fault
from jobs.worker.inputs import Inputs, Taken
from jobs.worker.log import Log, places_of
from jobs.worker.metrics import Gauges
from jobs.worker.outlet import outlet
from jobs.worker.voice import Voice
from pipelines.linkage import Came, Engine, Linkage, Spoken
from schemas import feed

__all__ = ["USUAL", "Overruled", "Seat", "SeatSettings", "Work", "group_of", "lead"]

log = logging.getLogger("tsunagu.worker")

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


def lead(linkage: Linkage) -> str:
    """The input whose partitions the group gives out: the first feed of events that the linkage reads."""
    return linkage.observes[0]


def group_of(linkage: Linkage, cluster: KafkaSettings) -> str:
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

    linkage: Linkage
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
        self.partition, self._lead = partition, (lead(work.linkage), partition)
        self._says = feed(work.linkage.says)
        self._name = f"{work.linkage.name}[{partition}]"
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
            committed = Committed.read(self._lead, reader.committed(self._lead))
            out = outlet(
                self._says, self._cluster.topic(self._says.name), reader, partition=self.partition,
                seats=reader.partitions(self._lead[0]), ids=self._ids,
            )  # fmt: skip
            before = out.before(reader, committed.said)
            self._fault("told")
            running, positions, lost, lines = self._begun(reader, committed, before)
            self._fault("begun")
            voice = Voice(
                writer=writer, cluster=self._cluster, outlet=out, lead=self._lead, epoch=max(before.epoch, committed.epoch) + 1,
                said=before.until, membership=self._membership, fault=self._fault, ids=self._ids,
            )  # fmt: skip
            voice.mark(positions, running.line, before.over, lost)
            self._fault("marked")
            inputs = Inputs(reader, positions, out.watched and (out.watched, before.until), self._settings.most, lines)
            if running.line is not None:  # what arrived before the last tick was published before it
                reader.arrives_after(self._lead, running.line + self._patience())
            self._gauges.started(voice.epoch, before.facts.height)
            self._go_on(voice, inputs, running, positions)

    def _reader(self) -> Reader:
        return Reader(
            self._cluster, self._admin, ordered=[self._lead[0]], group=group_of(self._linkage, self._cluster), ids=self._ids
        )  # fmt: skip

    # -- the start ----------------------------------------------------------------------------------------------

    def _begun(
        self, reader: Reader, committed: Committed, before: told.Told
    ) -> tuple[Engine, dict[Place, int], pl.DataFrame | None, dict[Place, Lines]]:
        """The engine, how far it has read, word of what was deleted before it was read, and the lines of routes that came."""
        self._check(reader)
        places = places_of(self._linkage, reader, self.partition)
        starts = reader.starts(places)
        known = furthest(committed.positions, before.facts)
        positions = {place: max(known.get(place, 0), starts[place]) for place in places}
        lost = [self._gone(place, known[place], starts[place]) for place in places if known.get(place, starts[place]) < starts[place]]
        inputs = Log(linkage=self._linkage, reader=reader, places=places, starts=starts)
        said = pl.concat([before.facts, before.over])
        running, read = begin(self._linkage, inputs, positions, said, self._owns(reader), committed.line)
        return running, {place: read[place] for place in places}, pl.concat(lost) if lost else None, inputs.told(read)

    def _patience(self) -> timedelta:
        return max(feed(name).patience for name in self._linkage.feeds)

    def _check(self, reader: Reader) -> None:
        """Inputs that are owned, and what is said, lie in equally many partitions; otherwise nobody would speak for some keys."""
        count = reader.partitions(self._lead[0])
        for name in (*self._linkage.feeds, self._linkage.says):
            whole = self._says.handed_on if name == self._linkage.says else self._linkage.whole(name)
            if not whole and reader.partitions(name) != count:
                rule = f"partitions of {name} must be as many as of {self._lead[0]} (got {reader.partitions(name)} and {count})"
                raise ReaderError(f"{rule}: a fact lies where its key's input lies; see tsunagu topics plan")

    def _owns(self, reader: Reader) -> Callable[[str], bool]:
        count = reader.partitions(self._lead[0])
        return lambda value: partition_of(value, count) == self.partition

    def _gone(self, place: Place, first: int, after: int) -> pl.DataFrame:
        name, partition = place
        source = f"{name}[{partition}]"
        rule = f"records {first} to {after - 1} of {source} must be kept until they are read (got: deleted): keep them longer"
        log.error("%s: %s", self._name, rule)
        where = {"feed": name, "source": source, "place": first, "partition": partition, "offset": first}
        row = where | {"arrived": datetime.now(UTC).replace(microsecond=0), "reason": rule, "raw": b""}
        return pl.DataFrame([row], schema=feed("dead.v1").frame_schema)

    # -- the loop -----------------------------------------------------------------------------------------------

    def _go_on(self, voice: Voice, inputs: Inputs, running: Engine, positions: Mapping[Place, int]) -> None:
        """Evaluates every key once, then steps on as records come."""
        unread, lines = inputs.unread(), inputs.lines()
        held: tuple[Mapping[str, datetime], Mapping[str, Came]] = (unread, lines)
        spoken = running.step({}, unread, lines)
        taken = Taken(batch={}, dead=None, positions=positions, unread=unread, lines=lines, tail=())
        committed, at = dict(positions), time.monotonic()
        while True:
            if spoken or taken.dead is not None or (taken.positions != committed and time.monotonic() - at > self._settings.commit_every_s):
                facts = spoken.facts
                voice.say(taken.positions, running.line, facts, spoken.late, _unreadable(spoken, taken, inputs))
                committed, at = dict(taken.positions), time.monotonic()
                self._fault("committed")
                self._gauges.said(facts)
            self._gauges.stepped(running, inputs, spoken, taken)
            if self._stop.is_set():
                break
            taken = inputs.take(0.1)
            self._fault("read")
            self._watch(taken, voice.epoch)
            holds = (taken.unread, taken.lines)
            free, held = holds != held, holds  # what holds the line may go without a record
            spoken = running.step(taken.batch, taken.unread, taken.lines) if taken.batch or free else Spoken(says=self._says)
            self._fault("stepped")
        if taken.positions != committed:
            voice.say(taken.positions, running.line)

    def _watch(self, taken: Taken, epoch: int) -> None:
        """Looks at what is written into the partition of the output: nobody else may."""
        for other in {epoch_of(message) for message in taken.tail} - {epoch}:
            raise Overruled(f"partition {self._name} must have one owner (got a message of epoch {other} beside {epoch})")


def _unreadable(spoken: Spoken, taken: Taken, inputs: Inputs) -> pl.DataFrame | None:
    """What could not be read, and what cannot be, all with the bytes as they came."""
    dead = [each for each in (taken.dead, _with_bytes(spoken.dead, inputs)) if each is not None]
    return pl.concat(dead) if dead else None


def _with_bytes(dead: pl.DataFrame | None, inputs: Inputs) -> pl.DataFrame | None:
    """Records that cannot be, with the bytes as they came in the place of their fields."""
    if dead is None:
        return None
    raw = [
        inputs.value(name, partition, offset) or held
        for name, partition, offset, held in dead.select("feed", "partition", "offset", "raw").iter_rows()
    ]
    return dead.with_columns(pl.Series("raw", raw, pl.Binary))
