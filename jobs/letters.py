"""The letters that lie in a cluster about what could not be read: read whole, published again, taken out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # offered there, not declared so

from connectors.kafka import ClusterError, KafkaSettings, partition_of, refusal
from connectors.registry import ids_of
from connectors.wire import Ids, decode
from schemas import feed_names

__all__ = ["Letter", "Letters"]

ANSWER_WITHIN_S = 30.0
LETTERS = "dead.v1"
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What could not be read. ``place``: where that lay, ``source@place``; ``lies``: where the letter lies; ``key``: the letter's own."""

    place: str
    lies: str
    partition: int
    key: bytes | None
    feed: str
    arrived: datetime
    reason: str
    raw: bytes


class Letters:
    """All letters of a namespace. Every call may raise ``ClusterError``. ``ids``: what schema ids mean there.

    Raises:
        ClusterError: the cluster does not answer, or has no topics for letters.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings, self.ids = settings, ids_of(settings)
        self._admin = AdminClient(settings.client())
        self._counts = _answered(self._partitions)
        if not any(settings.topic(name, "dead") in self._counts for name in feed_names()):
            raise ClusterError(f"topics dead.* must be there (got none, drill {settings.drill}): run tsunagu topics apply")

    def all(self, only: str | None = None) -> list[Letter]:
        """The letters that are not taken out, of one feed or of all, in order of arrival."""
        by_key: dict[tuple[str, bytes], Message] = {}
        for name, message in self._messages("dead", only):
            by_key[name, message.key() or f"{message.topic()}@{message.offset()}".encode()] = message
        found = [_letter(name, message, self.ids) for (name, _), message in by_key.items() if message.value() is not None]
        return sorted(found, key=lambda each: (each.arrived, each.place))

    def late(self) -> Mapping[str, int]:
        """How many late records lie there, by feed; feeds that have letters only are there too."""
        counts = {name: 0 for name in feed_names() if self._settings.topic(name, "dead") in self._counts}
        for name, _ in self._messages("late", None):
            counts[name] = counts.get(name, 0) + 1
        return counts

    def publish(self, keyed: Iterable[tuple[Letter, str | None]]) -> None:
        """Publishes the bytes of letters to their feeds, each under its key, as new arrivals."""
        with _Said(self._settings) as said:
            for letter, key in keyed:
                topic = self._settings.topic(letter.feed)
                if topic not in self._counts:
                    raise ClusterError(f"topic {topic} must be there (got none): run tsunagu topics apply")
                partition = 0 if key is None else partition_of(key, self._counts[topic])
                said.say(topic, partition, None if key is None else key.encode(), letter.raw, self._arrives_ms(topic, partition, letter))

    def take_out(self, letters: Iterable[Letter]) -> None:
        """Writes a tombstone for each letter: readers no longer see it, and compaction deletes it."""
        with _Said(self._settings) as said:
            for each in letters:
                said.say(self._settings.topic(each.feed, "dead"), each.partition, each.key, None, _now_ms())

    def _arrives_ms(self, topic: str, partition: int, letter: Letter) -> int:
        """Now; in a drill, whose times are long past, when the newest record of the partition arrived: nothing may seem to go back."""
        if self._settings.drill is None:
            return _now_ms()
        place = TopicPartition(topic, partition)
        asked = self._admin.list_offsets({place: OffsetSpec.max_timestamp()}, request_timeout=ANSWER_WITHIN_S)  # type: ignore[no-untyped-call]
        newest: int = _answered(lambda: asked[place].result(2 * ANSWER_WITHIN_S)).timestamp
        return max(newest, int(letter.arrived.timestamp() * 1000))

    def _partitions(self) -> dict[str, int]:
        return {name: len(each.partitions) for name, each in self._admin.list_topics(timeout=ANSWER_WITHIN_S).topics.items()}

    def _messages(self, side: str, only: str | None) -> Iterator[tuple[str, Message]]:
        """Feed and message of all that lies in side topics now, those of one partition in order."""
        topics = {self._settings.topic(name, side): name for name in feed_names() if only in {None, name}}
        places = [TopicPartition(topic, each, OFFSET_BEGINNING) for topic in topics for each in range(self._counts.get(topic, 0))]
        consumer = Consumer(
            self._settings.client(
                group_id="tsunagu.letters",  # a name that the client asks for; it joins no group
                enable_auto_commit=False,
                enable_partition_eof=True,
                isolation_level="read_committed",
            )
        )
        try:
            consumer.assign(places)
            for message in _until_the_end(consumer, len(places)):
                yield topics[str(message.topic())], message
        finally:
            consumer.close()


class _Said:
    """Messages that are all taken by the brokers when the block ends, or a fault says that they are not."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._producer = Producer(settings.client(enable_idempotence=True))
        self._refused: list[str] = []

    def __enter__(self) -> _Said:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            left = self._producer.flush(ANSWER_WITHIN_S)
            if left or self._refused:
                got = self._refused[0] if self._refused else f"no answer for {left}"
                raise ClusterError(f"brokers must take what is published (got {got}): it is tried again with the next retry")

    def say(self, topic: str, partition: int, key: bytes | None, value: bytes | None, arrived_ms: int) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, partition, timestamp=arrived_ms, on_delivery=self._delivered)
                break
            except BufferError:  # the queue is full: what the brokers take makes room
                self._producer.poll(0.1)
        self._producer.poll(0)

    def _delivered(self, fault: KafkaError | None, _: Message) -> None:
        if fault is not None:
            self._refused.append(fault.str())


def _until_the_end(consumer: Consumer, places: int) -> Iterator[Message]:
    """Messages up to where no more are there now, in each of so many partitions."""
    ended, until = 0, time.monotonic() + ANSWER_WITHIN_S
    while ended < places:
        messages = consumer.consume(1000, 0.2)
        for message in messages:
            fault = message.error()
            if fault is None:
                yield message
            elif fault.code() == KafkaError._PARTITION_EOF:
                ended += 1
            elif not fault.retriable():
                raise refusal(fault)
        until = time.monotonic() + ANSWER_WITHIN_S if messages else until
        if time.monotonic() > until:
            raise ClusterError(f"brokers must answer within {ANSWER_WITHIN_S:.0f} s (got nothing): see their logs")


def _letter(feed_name: str, message: Message, ids: Ids) -> Letter:
    value = message.value() or b""
    lies = f"{message.topic()}[{message.partition()}]@{message.offset()}"
    told, row = decode(LETTERS, [value], ids), dict[str, Any]()
    if told.bad:
        arrived = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
        row = {"arrived": arrived, "reason": f"not even the letter can be read: {told.bad[0][1]}", "raw": value}
        place = (message.key() or lies.encode()).decode(errors="replace")
    else:
        row = told.rows.row(0, named=True)
        place = f"{row['source']}@{row['place']}"
    return Letter(
        place=place,
        lies=lies,
        partition=int(message.partition() or 0),
        key=message.key(),
        feed=feed_name,
        arrived=row["arrived"],
        reason=row["reason"],
        raw=row["raw"],
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _answered(call: Callable[[], Answer]) -> Answer:
    try:
        return call()
    except KafkaException as fault:
        raise refusal(fault.args[0]) from fault
