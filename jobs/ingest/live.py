"""Publishes what comes now: ticks of the clock, and records from an MQTT broker."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import polars as pl

from connectors.clock import Clock
from connectors.jsonl import JsonLinesError, record
from connectors.kafka import ClusterError
from connectors.mqtt import Inbox, Message
from connectors.publish import Record
from connectors.wire import WireError, encode
from jobs.ingest.desk import DEAD, Desk
from pipelines.linkage import CLOCK
from schemas import feed, feed_names

__all__ = ["Receiver", "observed", "publish_ticks"]

REMEMBERS = 10_000
"""Messages of which a second copy is recognised while the first one is remembered."""

LONGEST_BYTES = 256 * 1024
SHOWN_BYTES = 64 * 1024

_WAITS_S = 0.05
_TURNS_S = 0.002


def observed(desk: Desk) -> list[str]:
    """Feeds of what was observed or is known, with a topic and a dead topic in this namespace. Nobody else may say facts or the time."""
    events = [name for name in feed_names() if name not in (CLOCK, "late.v1", DEAD) and not feed(name).said]
    return [name for name in events if desk.tail.find(desk.cluster.topic(name)) and desk.tail.find(desk.cluster.topic(name, "dead"))]


def publish_ticks(desk: Desk, name: str, clock: Clock) -> None:
    """Publishes a tick whenever one is due, until interrupted.

    Raises:
        ClusterError: a tick that lies there is ahead of this machine's clock.
    """
    topic = desk.cluster.topic(CLOCK)
    settles_s, at = clock.settings.settles.total_seconds(), None
    while True:
        asked_s = time.monotonic()
        newest = _newest_tick(desk, topic)
        if time.monotonic() - asked_s > settles_s:
            time.sleep(settles_s)  # Kafka was away: what arrived meanwhile is published by others first
        if newest is not None and newest > clock.now() + clock.settings.every:
            raise ClusterError(f"topic {topic} must hold no tick ahead of now (got {newest.isoformat()}): set the clock of this machine")
        if at is not None and (newest is None or at > newest):
            value = encode(CLOCK, pl.DataFrame({"at": [at]}, schema=feed(CLOCK).columns), desk.ids)[0]
            desk.publisher.send(Record(topic, 0, None, value, _ms(at), f"{name}@{at:%Y%m%dT%H%M%SZ}"))
            desk.publisher.flush()
            newest = at
        at = clock.read(after=newest)


def _newest_tick(desk: Desk, topic: str) -> datetime | None:
    """The newest tick that lies in the topic, whoever published it."""
    desk.tail.partitions(topic)
    found = desk.tail.newest(topic, 0, None)
    return datetime.fromtimestamp(found[0].arrived_ms / 1000, UTC) if found else None


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)


class Receiver:
    """Takes messages to their topics, and acknowledges each, in order, when it lies there."""

    def __init__(self, desk: Desk, name: str, inbox: Inbox, feeds: Sequence[str], at_most: int) -> None:
        self._desk, self._name, self._inbox = desk, name, inbox
        self._order: deque[tuple[Message, str]] = deque()
        self._under_way: set[str] = set()
        self._there: OrderedDict[str, None] = OrderedDict()
        self._connection = inbox.connection
        for feed_name in feeds:
            for topic in (desk.cluster.topic(feed_name), desk.cluster.topic(feed_name, "dead")):
                self._remember(
                    found.place for at in range(desk.tail.partitions(topic)) for found in desk.tail.newest(topic, at, name, 2 * at_most)
                )

    def run(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Goes on until interrupted."""
        while True:
            self.walk(now)

    def walk(self, now: Callable[[], datetime]) -> None:
        """One round: messages that have come, what Kafka has taken, acknowledgements."""
        messages = self._inbox.read(_TURNS_S if self._order else _WAITS_S)
        if self._connection != self._inbox.connection:
            self._order.clear()  # what was not acknowledged comes again
            self._connection = self._inbox.connection
        fresh: dict[str, Message] = {}
        for message in messages:
            digest = _digest(message)
            self._order.append((message, digest))
            if digest not in self._under_way and digest not in self._there:
                fresh[digest] = message
                self._under_way.add(digest)
        for each, digest in self._records(fresh, now()):
            self._desk.publisher.send(each, partial(self._lies_there, digest))
        self._desk.publisher.poll(0.0)
        while self._order and self._order[0][1] in self._there:
            self._inbox.acknowledge(self._order.popleft()[0])

    def _lies_there(self, digest: str) -> None:
        self._under_way.discard(digest)
        self._remember([digest])

    def _remember(self, digests: Iterator[str] | Sequence[str]) -> None:
        self._there.update(dict.fromkeys(digests))
        while len(self._there) > REMEMBERS:
            self._there.popitem(last=False)

    def _records(self, messages: dict[str, Message], now: datetime) -> Iterator[tuple[Record, str]]:
        """What messages say, in the order in which they came; those that cannot be read for the dead topic of their feed."""
        arrived = now.replace(microsecond=now.microsecond // 1000 * 1000)
        for digest, message in messages.items():
            name, rows, values = self._read(message, digest, arrived)
            (to,) = self._desk.addressed(name, rows)
            yield Record(to.topic, to.partitions[0], to.keys[0], values[0], _ms(arrived), f"{self._name}@{digest}"), digest

    def _read(self, message: Message, digest: str, arrived: datetime) -> tuple[str, pl.DataFrame, list[bytes]]:
        """The feed to which a message goes, and its row and value there."""
        name = message.feed_name
        try:
            if len(message.payload) > LONGEST_BYTES:
                raise JsonLinesError(f"message must be at most {LONGEST_BYTES} bytes (got {len(message.payload)}): raw shows how it begins")
            rows = pl.DataFrame([record(message.payload, name, "message")], schema=feed(name).columns)
            return name, rows, encode(name, rows, self._desk.ids)
        except (JsonLinesError, WireError, UnicodeEncodeError, pl.exceptions.PolarsError, OverflowError) as fault:
            rows = self._dead(message, digest, arrived, str(fault))
            return DEAD, rows, encode(DEAD, rows, self._desk.ids)

    def _dead(self, message: Message, digest: str, arrived: datetime, reason: str) -> pl.DataFrame:
        row: dict[str, Any] = {
            "feed": message.feed_name, "arrived": arrived, "source": self._name, "place": int(digest[:15], 16), "reason": reason,
            "raw": message.payload[:SHOWN_BYTES], "partition": 0, "offset": 0,
        }  # fmt: skip
        return pl.DataFrame([row], schema=feed(DEAD).frame_schema)


def _digest(message: Message) -> str:
    """Equal messages are one: the same record, or the same garbage."""
    return hashlib.sha256(message.feed_name.encode() + b"\0" + message.payload).hexdigest()[:32]
