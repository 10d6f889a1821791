"""Publishes records to Kafka so that what lies in each partition is always a beginning of what was to be published there.

A plain idempotent producer, without transactions: a transaction that nobody ends would hold back every reader of the partition until
its time-out; an append never does.

**Delivery guarantee.** Each record at most once, in the order in which it was sent to its partition; where a record does not lie there,
none that was sent after it to that partition does. A send whose outcome is unclear is not tried again: the publisher is lost, and
another one goes on from what lies in the topics (``connectors/tail.py``). The broker would drop the copy only of a young record: it
forgets a producer whose newest record carries a timestamp older than ``producer.id.expiration.ms``, and recorded arrivals are old.

**What is lost when.** What was not yet acknowledged when the process died or the publisher was lost. Two publishers of one name at
once both publish: nothing is lost, records are doubled.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.kafka import ClusterError, KafkaSettings
from connectors.tail import FROM

__all__ = ["LostError", "Publisher", "Record"]

AT_MOST = 20_000
"""Records that may wait for their acknowledgement; whoever sends more, waits."""

CLOSES_WITHIN_S = 1.0
HEARS_WITHIN_S = 10.0

GIVES_UP_AFTER_S = 20.0
"""So long may a partition acknowledge nothing of what was sent to it."""

_RETRIES_AFTER_MS = 120_000
"""The client tries again by itself, and cannot be told not to: long after it was given up."""

_PASSING = {KafkaError._FATAL, KafkaError._GAPLESS_GUARANTEE, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT,
            KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT,
            KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, KafkaError.UNKNOWN_PRODUCER_ID, KafkaError.INVALID_PRODUCER_EPOCH,
            KafkaError.INVALID_PRODUCER_ID_MAPPING}  # fmt: skip
"""Errors of the producer rather than of the record: another producer can go on."""


class LostError(RuntimeError):
    """A producer can publish no more. Another one can, from where the topics say that this one came."""


class Record(NamedTuple):
    """One message: where to, its key and value, when it arrived (ms since 1970), and what of which source it is."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    arrived_ms: int
    origin: str


class Publisher:
    """An idempotent producer. ``kept`` counts by topic what was acknowledged."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._producer = Producer(
            settings.client(
                enable_idempotence=True,
                enable_gapless_guarantee=True,
                message_timeout_ms=0,  # whether to wait is decided here
                retry_backoff_ms=_RETRIES_AFTER_MS,
                retry_backoff_max_ms=_RETRIES_AFTER_MS,
                queue_buffering_max_messages=AT_MOST,
                linger_ms=5,
            )
            # Its own log tells every attempt at a connection: while a broker is away a line says so here.
            | {"log_level": 2, "error_cb": self._failed}
        )
        self._waiting: Counter[tuple[str, int]] = Counter()
        self._moved_s: dict[tuple[str, int], float] = {}
        self._fault: KafkaError | None = None
        self._fault_of = ""
        self.kept: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many records wait for their acknowledgement."""
        return len(self._producer)

    def send(self, record: Record, then: Callable[[], None] | None = None) -> None:
        """Sends a record; ``then`` is called, within a later call, when it is acknowledged.

        Raises:
            ClusterError: the cluster will never take a record that was sent.
            LostError: another producer is needed.
        """

        def delivered(fault: KafkaError | None, message: Message) -> None:
            self._delivered(fault, message)
            if fault is None and then is not None:
                then()

        while True:
            try:
                self._producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    record.partition,
                    timestamp=record.arrived_ms,
                    headers=[(FROM, record.origin)],
                    on_delivery=self._delivered if then is None else delivered,
                )
                self._await(record.topic, record.partition)
                break
            except BufferError:  # the queue is full: what the brokers take makes room
                self.poll(0.1)
            except KafkaException as fault:
                self._fault, self._fault_of = self._fault or fault.args[0], self._fault_of or record.topic
                break
        self.poll(0.0)

    def poll(self, wait_s: float) -> None:
        """Hears of acknowledgements; raises as ``send`` does."""
        self._hear(wait_s)
        if self._fault is None and self._stuck():
            self._fault = KafkaError(KafkaError._TIMED_OUT, f"nothing was acknowledged for {GIVES_UP_AFTER_S:.0f} s")
        if self._fault is not None:
            raise self._told()

    def flush(self) -> None:
        """Waits until everything that was sent is acknowledged; raises as ``send`` does."""
        while self._left(0.1):
            self.poll(0.0)
        self.poll(0.0)

    def _left(self, wait_s: float) -> int:
        """How many records wait after a while."""
        try:
            return self._producer.flush(wait_s)
        except KafkaException as fault:
            self._failed(fault.args[0])
            return 1

    def _hear(self, wait_s: float) -> None:
        """Takes in what the client has to tell; that the producer has ended, it raises."""
        try:
            self._producer.poll(wait_s)
        except KafkaException as fault:
            self._failed(fault.args[0])

    def close(self) -> None:
        """Gives up what is not acknowledged, after a moment in which it may still be."""
        if self._fault is None:
            self._left(CLOSES_WITHIN_S)
        while len(self):  # what is between two brokers, or on its way back for a second try, is not given up the first time
            self._producer.purge()
            self._left(0.1)
        self._producer.close()  # it waits without end for what is left

    def _await(self, topic: str, partition: int) -> None:
        """Notes that a record is under way."""
        place = topic, partition
        if not self._waiting[place]:
            self._moved_s[place] = time.monotonic()
        self._waiting[place] += 1

    def _stuck(self) -> bool:
        """Whether a partition has acknowledged nothing for too long. Each acknowledges in order: its oldest record waits longest."""
        now_s = time.monotonic()
        return any(left and now_s - self._moved_s[place] > GIVES_UP_AFTER_S for place, left in self._waiting.items())

    def _failed(self, fault: KafkaError) -> None:
        """Hears of errors that belong to no record. One broker of several may be away: the others take over its partitions."""
        if fault.fatal() or (fault.code() == KafkaError._ALL_BROKERS_DOWN and len(self)):
            self._fault = self._fault or fault

    def _delivered(self, fault: KafkaError | None, message: Message) -> None:
        place = str(message.topic()), int(message.partition() or 0)
        if fault is None:
            self.kept[place[0]] += 1
            self._waiting[place] -= 1
            self._moved_s[place] = time.monotonic()
        elif self._fault is None or (self._fault.code() in _PASSING and fault.code() not in _PASSING):
            self._fault, self._fault_of = fault, place[0]

    def _told(self) -> ClusterError | LostError:
        """Why nothing more is published. That a producer has ended is heard before the fault of the record that ended it."""
        until = time.monotonic() + HEARS_WITHIN_S
        while self._fault is not None and _ended(self._fault) and len(self) and time.monotonic() < until:
            self._hear(0.05)
        fault = self._fault
        if fault is None or fault.code() in _PASSING:
            return LostError(f"producer must know what lies there (got {fault and fault.str()}): begin again from the topics")
        return ClusterError(f"topic {self._fault_of} must take records (got {fault.str()}): see docs/live.md")


def _ended(fault: KafkaError) -> bool:
    """Whether it says no more than that the producer has ended."""
    return bool(fault.fatal()) or fault.code() == KafkaError._FATAL
