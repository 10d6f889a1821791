"""Publishes records to Kafka so that what lies in each partition is always a beginning of what was to be published there.

A plain idempotent producer, without transactions: a transaction that nobody ends would hold back every reader of the partition until
its time-out; an append never does.

**Delivery guarantee.** Each record once, in the order in which it was sent to its partition, as soon as a broker answers: there is no
time-out. Where a record fails, none that was sent after it to that partition lies there.

**What is lost when.** What was not yet acknowledged when the process died; ``connectors/tail.py`` tells how far it came. Two
publishers of one name at once both publish: nothing is lost, records are doubled.
"""

from __future__ import annotations

import sys
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

_PASSING = {KafkaError._FATAL, KafkaError._GAPLESS_GUARANTEE, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT,
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
                message_timeout_ms=0,  # Kafka may be away for days
                queue_buffering_max_messages=AT_MOST,
                linger_ms=5,
            )
            # Its own log tells every attempt at a connection: while a broker is away a line says so here.
            | {"log_level": 2, "error_cb": self._failed}
        )
        self._settings, self._waits = settings, False
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
                break
            except BufferError:  # the queue is full: what the brokers take makes room
                self.poll(0.1)
            except KafkaException as fault:
                self._fault, self._fault_of = self._fault or fault.args[0], self._fault_of or record.topic
                break
        self.poll(0.0)

    def poll(self, wait_s: float) -> None:
        """Hears of acknowledgements; raises as ``send`` does."""
        self._producer.poll(wait_s)
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
        except KafkaException as fault:  # the producer has ended; what became of each record is told by the next poll
            self._failed(fault.args[0])
            return 1

    def close(self) -> None:
        """Gives up what is not acknowledged, after a moment in which it may still be."""
        if self._fault is None:
            self._left(CLOSES_WITHIN_S)
        self._producer.purge()
        self._left(CLOSES_WITHIN_S)

    def _failed(self, fault: KafkaError) -> None:
        """Hears of errors that belong to no record. Only what ends the producer counts: all others pass when the brokers are back."""
        if fault.fatal():
            self._fault = self._fault or fault
        elif not self._waits:
            print(f"ingest: waits for Kafka at {self._settings.brokers} ({fault.str()})", file=sys.stderr, flush=True)
            self._waits = True

    def _delivered(self, fault: KafkaError | None, message: Message) -> None:
        topic = str(message.topic())
        if fault is None:
            self.kept[topic] += 1
            self._waits = False
        elif self._fault is None or (self._fault.code() in _PASSING and fault.code() not in _PASSING):
            self._fault, self._fault_of = fault, topic

    def _told(self) -> ClusterError | LostError:
        """Why nothing more is published. That a producer has ended is heard before the fault of the record that ended it."""
        until = time.monotonic() + CLOSES_WITHIN_S
        while len(self) and time.monotonic() < until:
            self._producer.poll(0.05)
        fault = self._fault
        if fault is None or fault.code() in _PASSING:
            return LostError(f"producer must stay in order (got {fault and fault.str()}): begin again from what lies in the topics")
        return ClusterError(f"topic {self._fault_of} must take records (got {fault.str()}): see docs/live.md")
