"""Reads a topic backwards from its end: what a name has published there last.

Every message that an ingest publishes carries a header ``from``, ``NAME@PLACE``: who published it, and what of the source it
is. Whoever begins again finds there how far the one before had come; no other note is kept of it that could say otherwise.

**Delivery guarantee.** Of a name the newest messages, however many of others lie between, as far back as the topic goes. Also
what a transaction has not committed is seen.

**What is lost when.** What a topic has deleted is not found any more: after its retention a record may be published again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from connectors.kafka import ClusterError, KafkaSettings

__all__ = ["FROM", "Found", "Tail"]

FROM = "from"
ASKS_FOR_S = 2.0
FIRST_WINDOW = 1024
SETTLES_S = 1.0
"""What a process had sent when it was killed, or a publisher when it was given up, reaches the log a moment later: so long after the
cluster has first answered is the end taken for the end."""
_PASSING = {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT, KafkaError._TIMED_OUT_QUEUE,
            KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.REQUEST_TIMED_OUT,
            KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}  # fmt: skip
"""Errors that pass when the brokers are back, or have told each other of a new topic, or the client of one that it had lost sight of."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A message of a name: what of its source it is, when that arrived (ms since 1970), and where it lies."""

    name: str
    place: str
    arrived_ms: int
    offset: int


class Tail:
    """A consumer without a group. It waits for brokers that are away, and says so."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._consumer = Consumer(
            settings.client(
                group_id="tsunagu.tail",  # a name that the client asks for; it joins no group
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                enable_partition_eof=True,
                isolation_level="read_uncommitted",
                auto_offset_reset="earliest",
                fetch_wait_max_ms=50,
                queued_max_messages_kbytes=16_384,
            )
            | {"log_level": 2}  # its own log tells every attempt at a connection
        )
        self._counts: dict[str, int] = {}
        self._settled_at: float | None = None

    def close(self) -> None:
        """Gives the connections back."""
        self._consumer.close()

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has.

        Raises:
            ClusterError: there is no such topic, or it may not be read.
        """
        count = self._counts.get(topic) or self.find(topic)
        if not count:
            raise ClusterError(f"topic {topic} must be there (got none, or no right to read it): run tsunagu topics apply")
        return count

    def find(self, topic: str) -> int:
        """How many partitions a topic has; 0: it is not there."""
        told = self._answered(lambda: self._consumer.list_topics(topic, ASKS_FOR_S).topics[topic])
        self._counts[topic] = 0 if told.error is not None else len(told.partitions)
        return self._counts[topic]

    def newest(self, topic: str, partition: int, name: str | None, most: int | None = 1) -> list[Found]:
        """The newest messages of a name, oldest first.

        Args:
            topic: where to look.
            partition: the partition of it.
            name: whose messages; None: anybody's.
            most: how many at most; None: all of them.
        """
        there = TopicPartition(topic, partition)
        self._settle(there)
        low, until = self._answered(lambda: self._consumer.get_watermark_offsets(there, ASKS_FOR_S, cached=False))
        found: list[Found] = []
        window = FIRST_WINDOW
        while until > low and (most is None or len(found) < most):
            begin = max(low, until - window)
            found = [each for each in self._window(topic, partition, begin, until) if name is None or each.name == name] + found
            until, window = begin, window * 2
        return found if most is None else found[-most:]

    def _settle(self, there: TopicPartition) -> None:
        """Waits, once, until what was on its way has come."""
        if self._settled_at is None:
            self._answered(lambda: self._consumer.get_watermark_offsets(there, ASKS_FOR_S, cached=False))
            self._settled_at = time.monotonic() + SETTLES_S
        time.sleep(max(self._settled_at - time.monotonic(), 0.0))

    def _window(self, topic: str, partition: int, begin: int, until: int) -> list[Found]:
        """What lies in [begin, until). What is no record, as the end of a transaction, has an offset too."""
        self._consumer.assign([TopicPartition(topic, partition, begin)])
        out: list[Found] = []
        while True:
            for message in self._read():
                fault = message.error()
                if fault is None and (message.offset() or 0) < until:
                    out.append(_found(message))
                if (fault is None and (message.offset() or 0) >= until - 1) or (
                    fault is not None and fault.code() == KafkaError._PARTITION_EOF
                ):
                    self._consumer.unassign()
                    return out
                if fault is not None and fault.code() not in _PASSING:
                    raise ClusterError(f"topic {topic} must be readable (got {fault.str()}): give the right to read it")

    def _read(self) -> list[Message]:
        first = self._consumer.consume(1, 1.0)
        return first + self._consumer.consume(4999, 0.0) if first else []

    def _answered(self, ask: Callable[[], Answer]) -> Answer:
        """The answer, as soon as there is one."""
        told = False
        while True:
            try:
                return ask()
            except KafkaException as fault:
                error: KafkaError = fault.args[0]
                if error.code() not in _PASSING and not error.retriable():
                    raise ClusterError(f"cluster {self._settings.brokers} must answer (got {error.str()}): see its log") from fault
            if not told:
                print(f"ingest: waits for Kafka at {self._settings.brokers}", file=sys.stderr, flush=True)
            told = True
            time.sleep(0.2)


def _found(message: Message) -> Found:
    headers: Any = message.headers() or ()
    told = next((value.decode(errors="replace") for name, value in headers if name == FROM and value is not None), "")
    name, _, place = told.rpartition("@")
    return Found(name=name, place=place, arrived_ms=message.timestamp()[1], offset=int(message.offset() or 0))
