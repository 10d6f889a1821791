"""Says records to Kafka and commits how far was read, in one transaction.

**Delivery guarantee.** Readers of committed records see all of a transaction or none of it, and each once. Opening a writer
ends whatever an earlier one of the same name had begun: that one can commit nothing any more. A commit is also refused to
who is no longer the group's member for the partition.

**What is lost when.** What was not committed. A writer that has failed once is of no further use: close it, open another, and
read again how far the last one came.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from connectors.kafka import KafkaSettings

__all__ = ["Said", "Writer", "WriterError"]

WITHIN_S = 30.0
OPEN_AT_MOST_MS = 10_000
"""The broker ends a transaction that nobody has committed for so long: it holds back all readers of its partitions."""


Offsets = Callable[[Mapping[tuple[str, int], int]], Iterable[TopicPartition]]


class WriterError(RuntimeError):
    """A transaction could not be brought to its end; nothing of it can be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One message: where to, its key and value, when it arrived (ms since 1970), and headers."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    arrived_ms: int
    headers: Mapping[str, bytes]


class Writer:
    """A transactional producer.

    Args:
        settings: the cluster.
        name: whoever opens a writer of the same name ends this one.

    Raises:
        KafkaException: the cluster refuses it, or does not answer.
    """

    def __init__(self, settings: KafkaSettings, name: str) -> None:
        self._producer = Producer(
            settings.client(transactional_id=name, transaction_timeout_ms=OPEN_AT_MOST_MS, delivery_timeout_ms=OPEN_AT_MOST_MS, linger_ms=1)
        )
        _insist(self._producer.init_transactions)

    def commit(self, messages: Sequence[Said], offsets: Offsets, group: Callable[[], object], at: Callable[[str], None]) -> None:
        """Says messages and commits offsets, all or nothing.

        A transaction that the broker has ended without fault of ours, as while the group gives out its partitions anew, is begun again.

        Args:
            messages: what to say, in order.
            offsets: from topic and partition → offset after the newest message said there, what to commit.
            group: gives metadata of the consumer group, which refuses who is no longer a member.
            at: is told where the commit stands.

        Raises:
            WriterError: a message was refused.
            KafkaException: the transaction has failed for good, or somebody else has opened a writer of this name.
        """
        until = time.monotonic() + WITHIN_S
        while True:
            try:
                return self._once(messages, offsets, group, at)
            except KafkaException as fault:
                if not fault.args[0].txn_requires_abort() or time.monotonic() > until:
                    raise
                _insist(self._producer.abort_transaction)
                time.sleep(0.05)

    def _once(self, messages: Sequence[Said], offsets: Offsets, group: Callable[[], object], at: Callable[[str], None]) -> None:
        ends: dict[tuple[str, int], int] = {}
        refused: list[KafkaError] = []

        def delivered(fault: KafkaError | None, message: Message) -> None:
            if fault is not None:
                refused.append(fault)
            else:
                ends[str(message.topic()), int(message.partition() or 0)] = int(message.offset() or 0) + 1

        self._producer.begin_transaction()
        for i, each in enumerate(messages):
            self._produce(each, delivered)
            if i == len(messages) // 2:
                at("half said")
        if self._producer.flush(WITHIN_S):
            raise WriterError(f"messages must be taken by the broker within {WITHIN_S:.0f} s (got no answer): see its log")
        if refused:
            raise KafkaException(refused[0])
        at("said")
        _insist(lambda left_s: self._producer.send_offsets_to_transaction(list(offsets(ends)), group(), left_s))
        at("offsets sent")
        _insist(self._producer.commit_transaction)

    def _produce(self, said: Said, delivered: Callable[[KafkaError | None, Message], None]) -> None:
        while True:
            try:
                self._producer.produce(
                    said.topic, said.value, said.key, said.partition, timestamp=said.arrived_ms, headers=dict(said.headers),
                    on_delivery=delivered,
                )  # fmt: skip
                break
            except BufferError:  # the queue is full: what the broker takes makes room
                self._producer.poll(0.1)
        self._producer.poll(0)

    def close(self) -> None:
        """Gives up what is not committed, as far as the broker answers."""
        with suppress(KafkaException):
            self._producer.abort_transaction(1.0)
        self._producer.purge()
        self._producer.close()  # not left to whoever still holds a reference: its threads would go on asking for the brokers
        del self._producer


def _insist(call: Callable[[float], None]) -> None:
    """Calls again as long as the fault is said to pass, within bounds."""
    until = time.monotonic() + WITHIN_S
    while True:
        try:
            return call(max(until - time.monotonic(), 0.1))
        except KafkaException as fault:
            if not fault.args[0].retriable() or time.monotonic() > until:
                raise
            time.sleep(0.01)
