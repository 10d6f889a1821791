"""Reads feeds from Kafka as frames: given partitions from given offsets on, in nobody's group.

**Delivery guarantee.** Every committed record from the given offset on, once, in order of offset. What cannot be read comes as
a row of ``dead.v1`` with its place and bytes, its neighbours as they are. A record must lie where its key belongs and have
arrived no earlier, by more than the patience of its feed, than what lies before it; otherwise it is unreadable, too:
two partitions would speak for one key, or the past would change behind the line.

**What is lost when.** Nothing here; what the broker has deleted before it was read is an error of the caller to tell.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from numpy.typing import NDArray

from connectors.epochs import MARK, Epochs
from connectors.kafka import KafkaSettings, Place, partition_of
from connectors.lines import line_of
from connectors.wire import REPO, Ids, decode
from schemas import Feed, feed, feed_names

__all__ = ["Heard", "Place", "Reader", "ReaderError"]

ANSWERS_WITHIN_S = 30.0
_FIRST_MS = int(datetime(1990, 1, 1, tzinfo=UTC).timestamp() * 1000)
_LAST_MS = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp() * 1000)
_DAY_MS = 86_400_000
_LATEST, _EARLIEST = OffsetSpec.latest(), OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_PASSING = {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT}
"""Errors after which the client goes on by itself."""


class ReaderError(RuntimeError):
    """A topic is not there, or does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Records by place, in order of offset, and rows of ``dead.v1`` for what could not be read."""

    frames: dict[Place, pl.DataFrame]
    dead: pl.DataFrame | None


class Reader:
    """A consumer without a group. ``positions``: of each assigned place the offset of the next record.

    Args:
        settings: the cluster.
        admin: asks for offsets; one serves many readers.
        ordered: feeds of events, which come in order of arrival.
        group: whose commits can be asked for; it is not joined.
        ids: what schema ids mean.
    """

    def __init__(
        self, settings: KafkaSettings, admin: AdminClient, *, ordered: Iterable[str] = (), group: str = "tsunagu.reader", ids: Ids = REPO
    ) -> None:
        self._settings, self._admin, self._ordered, self._ids = settings, admin, frozenset(ordered), ids
        self._consumer = Consumer(
            settings.client(
                group_id=group,
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                enable_partition_eof=True,
                isolation_level="read_committed",
                auto_offset_reset="error",
                fetch_wait_max_ms=50,
                queued_min_messages=20_000,
                queued_max_messages_kbytes=16_384,
            )
        )
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._facts = {name for name in feed_names() if feed(name).of_facts}
        self._newest_ms: dict[Place, int] = {}
        self._epochs: dict[Place, Epochs] = {}
        self._stood: dict[Place, int] = {}
        self.positions: dict[Place, int] = {}

    def close(self) -> None:
        """Gives the connections back."""
        self._consumer.close()

    def partitions(self, feed_name: str) -> int:
        """How many partitions the topic of a feed has.

        Raises:
            ReaderError: there is no such topic.
        """
        if feed_name not in self._counts:
            topic = self._settings.topic(feed_name)
            found = self._consumer.list_topics(topic, ANSWERS_WITHIN_S).topics[topic]
            if found.error is not None or not found.partitions:
                raise ReaderError(f"topic {topic} must be there (got {found.error}): run tsunagu topics apply")
            self._names[topic], self._counts[feed_name] = feed_name, len(found.partitions)
        return self._counts[feed_name]

    def ends(self, places: Iterable[Place], within_s: float = ANSWERS_WITHIN_S) -> dict[Place, int]:
        """Of each place the offset after its newest record, committed or not; places that do not answer in time are absent."""
        return self._offsets(places, _LATEST, IsolationLevel.READ_UNCOMMITTED, within_s)

    def committed_ends(self, places: Iterable[Place]) -> dict[Place, int]:
        """Of each place up to where no transaction is open.

        Raises:
            ReaderError: a place does not answer.
        """
        return self._offsets(places, _LATEST, IsolationLevel.READ_COMMITTED, None)

    def starts(self, places: Iterable[Place]) -> dict[Place, int]:
        """Of each place the offset of the oldest record that is still there.

        Raises:
            ReaderError: a place does not answer.
        """
        return self._offsets(places, _EARLIEST, IsolationLevel.READ_UNCOMMITTED, None)

    def since(self, places: Sequence[Place], instant: datetime) -> dict[Place, int]:
        """Of each place the offset of the first record that arrived at or after an instant; its end where there is none."""
        since_ms = max(int(instant.timestamp() * 1000), 0)  # a broker takes what lies before 1970 for a word of its own
        asked = [TopicPartition(self._settings.topic(name), p, since_ms) for name, p in places]
        found = {
            (self._names[each.topic], each.partition): each.offset for each in self._consumer.offsets_for_times(asked, ANSWERS_WITHIN_S)
        }
        none = [place for place, offset in found.items() if offset < 0]
        return found | (self.ends(none) if none else {})

    def committed(self, place: Place) -> TopicPartition | None:
        """What the group has committed of a place, with its metadata; None: nothing."""
        asked = TopicPartition(self._settings.topic(place[0]), place[1])
        (found,) = self._consumer.committed([asked], timeout=ANSWERS_WITHIN_S)
        if found.error is not None:
            raise KafkaException(found.error)
        return found if found.offset >= 0 else None

    def assign(self, positions: Mapping[Place, int]) -> None:
        """Reads these places from these offsets on, and no others. Of a place that goes on where it stood is known what lies before."""
        for name, _ in positions:
            self.partitions(name)
        self._stood |= self.positions
        for place in [place for place, offset in positions.items() if self._stood.get(place) != offset]:
            self._newest_ms.pop(place, None)
            self._epochs.pop(place, None)
        self.positions = dict(positions)
        self._consumer.assign([TopicPartition(self._settings.topic(name), p, offset) for (name, p), offset in positions.items()])

    def read(self, most: int, wait_s: float) -> list[Message]:
        """The next messages, at once when there are any; none when none came in time.

        Raises:
            KafkaException: a position is not there (any more), or reading is refused.
        """
        first = self._consumer.consume(1, wait_s)
        messages = first + self._consumer.consume(most - 1, 0.0) if first else []
        out = []
        for message in messages:
            fault = message.error()
            if fault is None:
                out.append(message)
            elif fault.code() not in _PASSING and fault.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(fault)
            if fault is None or fault.code() == KafkaError._PARTITION_EOF:
                place = self._names[str(message.topic())], int(message.partition() or 0)
                self.positions[place] = int(message.offset() or 0) + (fault is None)
        return out

    def arrives_after(self, place: Place, instant: datetime) -> None:
        """What arrives in a place from now on arrives no earlier than an instant, patience aside."""
        self._newest_ms[place] = max(self._newest_ms.get(place, _FIRST_MS), int(instant.timestamp() * 1000))

    def hold(self, places: Iterable[Place]) -> None:
        """Fetches no more of these places until they are let go."""
        self._consumer.pause([TopicPartition(self._settings.topic(name), p) for name, p in places])

    def let_go(self, places: Iterable[Place]) -> None:
        """Fetches these places again."""
        self._consumer.resume([TopicPartition(self._settings.topic(name), p) for name, p in places])

    def between(self, begin: Mapping[Place, int], until: Mapping[Place, int]) -> Iterator[list[Message]]:
        """All messages of each place from one offset up to another.

        Raises:
            ReaderError: a place gives nothing for too long.
        """
        places = {place: offset for place, offset in begin.items() if offset < until[place]}
        if not places:
            return
        self.assign(places)
        moved = time.monotonic()
        while any(self.positions[place] < until[place] for place in places):
            before = dict(self.positions)
            messages = self.read(5000, 0.2)
            yield [each for each in messages if int(each.offset() or 0) < until[self.place(each)]]
            if self.positions != before:
                moved = time.monotonic()
            elif time.monotonic() - moved > ANSWERS_WITHIN_S:
                slow = [f"{name}[{p}]" for name, p in places if self.positions[name, p] < until[name, p]]
                raise ReaderError(
                    f"topics must answer within {ANSWERS_WITHIN_S:.0f} s (got nothing of {', '.join(slow)}): see the broker's log"
                )
        self.positions = {place: until[place] for place in places}  # what was fetched beyond was not given on

    def first(self, begin: Mapping[Place, int], until: Mapping[Place, int]) -> dict[Place, datetime]:
        """Of each place the arrival of its first message between two offsets; absent where there is none."""
        found: dict[Place, datetime] = {}
        for messages in self.between(begin, {place: until[place] for place in begin}):
            for message in messages:
                arrived_ms = message.timestamp()[1]
                if _FIRST_MS <= arrived_ms <= _LAST_MS:
                    found.setdefault(self.place(message), datetime.fromtimestamp(arrived_ms / 1000, UTC))
            if len(found) == len(begin):
                break
        return found

    def place(self, message: Message) -> Place:
        """Where a message lies."""
        return self._names[str(message.topic())], int(message.partition() or 0)

    def hear(self, messages: Sequence[Message]) -> Heard:
        """Messages as frames, and what cannot be read."""
        by_feed: dict[str, list[Message]] = {}
        for message in messages:
            place = self.place(message)
            aside = not self._holds(place, message) if place[0] in self._facts else feed(place[0]).handed_on and line_of(message)
            if not aside:
                by_feed.setdefault(place[0], []).append(message)
        frames: dict[Place, pl.DataFrame] = {}
        dead = []
        for name, each in by_feed.items():
            rows, bad = self._rows(feed(name), each)
            for (partition,), part in rows.group_by("partition", maintain_order=True):
                frames[name, int(str(partition))] = part
            if bad:
                dead.append(_dead(feed(name), each, bad))
        return Heard(frames=frames, dead=pl.concat(dead) if dead else None)

    def _rows(self, of: Feed, messages: Sequence[Message]) -> tuple[pl.DataFrame, dict[int, str]]:
        decoded = decode(of.name, [message.value() for message in messages], self._ids)
        bad = dict(decoded.bad)
        arrived = np.array([message.timestamp()[1] for message in messages], np.int64)
        partition = np.array([message.partition() for message in messages], np.int32)
        offset = np.array([message.offset() for message in messages], np.int64)
        at = decoded.at
        outside, misplaced = self._outside(arrived), self._misplaced(of, decoded.rows, messages, at)
        sound = np.isin(np.arange(len(messages)), at) & ~outside & ~misplaced
        strange: list[tuple[NDArray[np.bool_], str, Any]] = [
            (outside, "arrived must lie after 1990 and not ahead of now (got {} ms): stamp the message", arrived),
            (misplaced, f"{of.key} must be the message's key and lie in its partition by murmur2 "
             "(got key {}): publish with tsunagu ingest or Kafka's default partitioner", [message.key() for message in messages]),
            (self._backwards(of, arrived, partition, sound), "arrived must not lie further back than patience of what lies before it "
             "(got {} ms): old events belong in a drill", arrived),
        ]  # fmt: skip
        fine = np.ones(len(messages), bool)
        for wrong, rule, got in strange:
            for i in np.flatnonzero(wrong & fine).tolist():
                bad.setdefault(i, rule.format(got[i]))
            fine &= ~wrong
        keep = fine[at]
        rows = decoded.rows.with_columns(
            pl.Series("arrived", arrived[at], pl.Int64).clip(_FIRST_MS, _LAST_MS).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC"),
            pl.Series("partition", partition[at], pl.Int32),
            pl.Series("offset", offset[at], pl.Int64),
        )
        return rows if keep.all() else rows.filter(pl.Series(keep)), bad

    def _holds(self, place: Place, message: Message) -> bool:
        """Whether a message of a feed of facts is one, and not void."""
        return self._epochs.setdefault(place, Epochs()).holds(message) and message.key() != MARK

    def _outside(self, arrived: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which cannot be times of arrival. The topics refuse what lies minutes ahead of now; this is for topics that others made."""
        last_ms = _LAST_MS if self._settings.drill else int(time.time() * 1000) + _DAY_MS
        return (arrived < _FIRST_MS) | (arrived > last_ms)

    def _misplaced(self, of: Feed, rows: pl.DataFrame, messages: Sequence[Message], at: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which readable records do not lie where their key belongs."""
        wrong = np.zeros(len(messages), bool)
        if of.key is None or of.name in self._facts:
            return wrong
        count, expected = self._counts[of.name], rows[of.key].to_list()
        for i, key in zip(at.tolist(), expected, strict=True):
            message = messages[i]
            wrong[i] = message.key() != key.encode() or message.partition() != partition_of(key, count)
        return wrong

    def _backwards(self, of: Feed, arrived: NDArray[np.int64], partition: NDArray[np.int32], sound: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which events arrived further back than patience of the sound ones before them; what cannot be used tells no time."""
        wrong = np.zeros(len(arrived), bool)
        if of.name not in self._ordered or of.handed_on:  # of what is handed on the lines tell what may still come
            return wrong
        for each in np.unique(partition).tolist():
            here = np.flatnonzero((partition == each) & sound)
            if not here.size:
                continue
            newest = np.maximum.accumulate(np.maximum(arrived[here], self._newest_ms.get((of.name, each), _FIRST_MS)))
            wrong[here] = arrived[here] < newest - of.patience.total_seconds() * 1000
            self._newest_ms[of.name, each] = int(newest[-1])
        return wrong

    def _offsets(self, places: Iterable[Place], spec: OffsetSpec, level: IsolationLevel, within_s: float | None) -> dict[Place, int]:
        """Offsets of places; ``within_s``: those that do not answer so soon are absent; None: all must answer."""
        asked = {place: TopicPartition(self._settings.topic(place[0]), place[1]) for place in places}
        found, faults = self._told(asked, spec, level, within_s or ANSWERS_WITHIN_S)
        if faults:  # a broker came back: the client keeps to what it knew of it until it is made to ask for all topics
            with suppress(KafkaException):
                self._admin.list_topics(timeout=within_s or ANSWERS_WITHIN_S)
            again, faults = self._told({place: asked[place] for place in faults}, spec, level, within_s or ANSWERS_WITHIN_S)
            found |= again
        for place, fault in faults.items():
            if within_s is None:
                raise ReaderError(
                    f"topic {asked[place].topic}[{place[1]}] must tell its offsets (got {fault}): see the broker's log"
                ) from fault
        return found

    def _told(
        self, asked: Mapping[Place, TopicPartition], spec: OffsetSpec, level: IsolationLevel, within_s: float
    ) -> tuple[dict[Place, int], dict[Place, Exception]]:
        """Asks once: what was answered, and what went wrong instead."""
        if not asked:
            return {}, {}
        told = self._admin.list_offsets({each: spec for each in asked.values()}, isolation_level=level, request_timeout=within_s)
        found: dict[Place, int] = {}
        faults: dict[Place, Exception] = {}
        for place, each in asked.items():
            try:
                found[place] = int(told[each].result(within_s).offset)
            except (KafkaException, TimeoutError) as fault:
                faults[place] = fault
        return found, faults


def _dead(of: Feed, messages: Sequence[Message], bad: Mapping[int, str]) -> pl.DataFrame:
    """Rows of ``dead.v1`` for messages that cannot be read."""
    rows: list[dict[str, Any]] = []
    for i, reason in sorted(bad.items()):
        message = messages[i]
        place = {"partition": message.partition(), "offset": message.offset()}
        arrived = datetime.fromtimestamp(min(max(message.timestamp()[1], _FIRST_MS), _LAST_MS) / 1000, UTC)
        source = f"{of.name}[{message.partition()}]"
        rows.append({"feed": of.name, "arrived": arrived, "source": source, "place": message.offset(), "reason": reason,
                     "raw": message.value() or b""} | place)  # fmt: skip
    return pl.DataFrame(rows, schema=feed("dead.v1").frame_schema)
