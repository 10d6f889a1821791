"""Runs a linkage through arrivals on workers with a real broker: published bit by bit, crashed at any point of the loop."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kafka import KafkaSettings, partition_of
from connectors.kafka_reader import Place, Reader
from connectors.lines import LINE, Line
from connectors.wire import encode
from jobs.worker import Member, Metrics, SeatSettings, told
from jobs.worker.seat import lead
from pipelines.linkage import Came, Linkage
from schemas import feed
from tests.connectors.lying import lies_in
from tests.contract.runs import Logs, Outcome
from tests.contract.script import Script

__all__ = [
    "Crash",
    "Crashes",
    "gathered",
    "lines_at",
    "made",
    "merged",
    "messages",
    "placed",
    "produce",
    "publish",
    "settled",
    "worker",
]

DONE_WITHIN_S = 180

Message = tuple[str, int, str | None, bytes | None, int]
"""Feed, partition, key, value, and when it arrived (ms since 1970)."""


class Crash(Exception):
    """The seat fails here."""


class Crashes:
    """A fault of seats: an early point of their loops fails, then each as often as ``share`` says; ``count`` is how often that was."""

    def __init__(self, seed: int, share: float) -> None:
        self.share, self.count = share, 0
        self._g, self._lock = random.Random(seed), threading.Lock()
        self._early = self._g.randrange(10)

    def __call__(self, _: str) -> None:
        with self._lock:
            fails = self._g.random() < self.share or self._early == 0
            self._early -= 1
            self.count += fails
        if fails:
            raise Crash


def merged(scripts: Mapping[str, Script], together_by: str = "region") -> Script:
    """Several scripts of equal length as one, each among keys of its own."""
    first = next(iter(scripts.values()))

    def together(which: str) -> dict[str, pl.DataFrame]:
        logs = {prefix: getattr(each, which) for prefix, each in scripts.items()}
        out = {}
        for name, log in getattr(first, which).items():
            own = together_by in log.columns
            named = [
                each[name].with_columns(pl.lit(f"{prefix}-").add(pl.col(together_by)).alias(together_by))
                for prefix, each in logs.items()
                if own
            ]
            out[name] = pl.concat(named).sort("arrived", maintain_order=True) if named else log
        return out

    return replace(
        first,
        logs=together("logs"),
        other=together("other"),
        silent=frozenset((f"{prefix}-{subject}", state) for prefix, each in scripts.items() for subject, state in each.silent),
        dead=sum(each.dead for each in scripts.values()),
        late=sum(each.late for each in scripts.values()),
    )


def placed(logs: Logs, partitions: int) -> dict[str, pl.DataFrame]:
    """The logs as they will lie in fresh topics: the partition of each record's key, offsets from 0, lines between them."""
    out = {}
    ticks = logs["clock.v1"]["arrived"]
    for name, log in logs.items():
        key = feed(name).key
        where = pl.lit(0) if key is None else pl.col(key).map_elements(lambda each: partition_of(each, partitions), pl.Int64)
        frame = log.with_columns(where.cast(pl.Int32).alias("partition"))
        lines = ticks.search_sorted(frame["arrived"], side="left") if feed(name).handed_on else 0
        out[name] = frame.with_columns((pl.int_range(pl.len()).over("partition") + lines).cast(pl.Int64).alias("offset"))
    return out


def made(cluster: KafkaSettings, linkage: Linkage, partitions: int, config: Mapping[str, str] | None = None) -> None:
    """Makes the topics of a linkage that are not there; ``config``: further settings of each."""
    admin = AdminClient(cluster.client())
    there = admin.list_topics(timeout=30).topics
    wide = [name for name in (*linkage.feeds, linkage.says) if feed(name).key is not None]
    topics = [NewTopic(cluster.topic(name), partitions if name in wide else 1, 1) for name in (*linkage.feeds, linkage.says)]
    topics += [NewTopic(cluster.topic(name, side), 1, 1) for name in linkage.feeds for side in ("late", "dead")]
    for topic in topics:
        topic.config = {"retention.ms": "-1", "message.timestamp.after.max.ms": str(2**63 - 1), **(config or {})}  # scripts tell of years
    for done in admin.create_topics([each for each in topics if each.topic not in there]).values():
        done.result(30)


def messages(logs: Logs, partitions: int = 1) -> list[Message]:
    """All records as they are published: in order of arrival, a tick after all that arrived before it, and then the lines of a route."""
    out = []
    ticks = logs["clock.v1"]["arrived"].to_physical().to_list() if "clock.v1" in logs else []
    for name, log in logs.items():
        key = feed(name).key
        keys = [None] * log.height if key is None else log[key].to_list()
        rows = zip(log["arrived"].to_physical().to_list(), log["partition"].to_list(), keys, encode(name, log), strict=True)
        out += [
            (arrived, name == "clock.v1", i, name, partition, each_key, value)
            for i, (arrived, partition, each_key, value) in enumerate(rows)
        ]
        if feed(name).handed_on:
            out += [(tick, True, partition + 1, name, partition, LINE.decode(), None) for tick in ticks for partition in range(partitions)]
    out.sort(key=lambda each: each[:3])
    return [(name, partition, key, value, arrived) for arrived, _, _, name, partition, key, value in out]


def produce(producer: Producer, cluster: KafkaSettings, some: Sequence[Message]) -> None:
    """Publishes these messages; whoever reads a tick can read all that arrived before it."""

    def taken(fault: object, message: KafkaMessage) -> None:
        assert fault is None, f"{message.topic()} must take what a script tells (got {fault})"

    for name, partition, key, value, arrived in some:
        if name == "clock.v1":
            assert producer.flush(180) == 0
        headers = _line(name, arrived).headers() if key == LINE.decode() else {}
        producer.produce(cluster.topic(name), value, key, partition, timestamp=arrived, on_delivery=taken, headers=list(headers.items()))
        producer.poll(0)
    assert producer.flush(180) == 0


def _line(name: str, tick_ms: int) -> Line:
    """The line of a route that has read a tick and all before it."""
    return Line(at=datetime.fromtimestamp(tick_ms / 1000, UTC) - feed(name).patience, partition=0, partitions=1)


def lines_at(logs: Logs, name: str, partition: int, basis: Mapping[Place, int]) -> Came:
    """The line that had come with a feed by a basis."""
    log = logs[name].filter(pl.col("partition") == partition)
    told = {int((log["arrived"] <= tick).sum()) + at: tick for at, tick in enumerate(logs["clock.v1"]["arrived"].to_list())}
    read = [offset for offset in told if offset <= basis.get((name, partition), -1)]
    return Came(line=told[max(read)] - feed(name).patience if read else None, offsets={partition: max(read)} if read else {})


def publish(
    cluster: KafkaSettings, logs: Logs, *, pause_s: float = 0.0, chunks: int = 1, stop: threading.Event | None = None, partitions: int = 1
) -> None:  # fmt: skip
    """Publishes logs in order of arrival, in so many chunks with pauses between them."""
    producer = Producer(cluster.client(enable_idempotence=True, linger_ms=2))
    out = messages(logs, partitions)
    for at in range(chunks):
        produce(producer, cluster, out[len(out) * at // chunks : len(out) * (at + 1) // chunks])
        if stop is not None and stop.is_set():
            return
        time.sleep(pause_s)


def ends(cluster: KafkaSettings, logs: Logs, partitions: int) -> dict[Place, int]:
    """Where each place ends when all is published."""
    out = {}
    for name, log in logs.items():
        for partition in range(1 if feed(name).key is None else partitions):
            lines = logs["clock.v1"].height if feed(name).handed_on else 0
            out[name, partition] = int((log["partition"] == partition).sum()) + lines
    return out


def settled(cluster: KafkaSettings, linkage: Linkage, until: Mapping[Place, int], within_s: float = DONE_WITHIN_S) -> None:
    """Waits until every partition is committed as far as its inputs go; fails when none has moved for too long."""
    group = Consumer(
        cluster.client(group_id=cluster.topic(f"tsunagu.{linkage.name}"), enable_auto_commit=False, isolation_level="read_committed")
    )
    topic, name = cluster.topic(lead(linkage)), lead(linkage)
    asked = [TopicPartition(topic, partition) for feed_name, partition in until if feed_name == name]
    waited, behind, stood = time.monotonic() + within_s, asked, None
    try:
        while behind:
            behind, told = [], asked
            with suppress(KafkaException):  # a broker that is overtaxed may give its groups up for a moment
                told = group.committed(asked, timeout=60)
            for each in told:
                read = _read(each.metadata)
                others = [(n, p) for (n, p) in until if n != name and (linkage.whole(n) or p == each.partition)]
                there = all(n in read and p < len(read[n]) and (read[n][p] or 0) >= until[n, p] for n, p in others)
                if each.offset < until[name, each.partition] or not there:
                    behind.append((each.partition, each.offset, each.metadata))
            if stood != (stood := [(partition, offset, _read(metadata)) for partition, offset, metadata in behind]):
                waited = time.monotonic() + within_s
            assert time.monotonic() < waited, f"not done: {behind}, wanted {dict(until)}, there are {_there(cluster, until)}"
            time.sleep(0.1)
    finally:
        group.close()


def _there(cluster: KafkaSettings, places: Iterable[Place]) -> dict[Place, int]:
    """How many records of each place a plain reader sees."""
    return {(name, partition): len(lies_in(cluster, cluster.topic(name), partition)) for name, partition in places}


def _read(metadata: str | None) -> dict[str, list[int | None]]:
    """How far the other inputs were read, as a commit says."""
    read: dict[str, list[int | None]] = json.loads(metadata).get("read", {}) if metadata else {}
    return read


def gathered(cluster: KafkaSettings, linkage: Linkage, partitions: int) -> Outcome:
    """All that stands committed in the topics of the output."""
    admin = AdminClient(cluster.client())
    reader, out, says = Reader(cluster, admin), Outcome(), feed(linkage.says)
    try:
        for partition in range(partitions):
            out.streams[partition] = told.read(reader, says, partition, 0).facts.to_dicts()
        for side in ("late", "dead"):
            keys: set[bytes | None] = set()
            for name in linkage.feeds:
                keys |= {message.key() for message in lies_in(cluster, cluster.topic(name, side))}
            setattr(out, side, len(keys))
    finally:
        reader.close()
    return out


@contextmanager
def running(cluster: KafkaSettings, linkage: Linkage, workers: int, fault: object) -> Iterator[list[Member]]:
    """So many workers at once, in this process."""
    stop = threading.Event()
    settings = SeatSettings(most=200, commit_every_s=0.2, again_after_s=0.01, again_at_most_s=0.2)
    members = [Member(linkage, cluster, Metrics(), fault, settings=settings) for _ in range(workers)]  # type: ignore[arg-type]
    threads = [threading.Thread(target=each.run, args=[stop]) for each in members]
    for each in threads:
        each.start()
    try:
        yield members
    finally:
        stop.set()
        for each in threads:
            each.join(60)
            assert not each.is_alive()


def worker(cluster: KafkaSettings, linkage: Linkage, logs: Logs, seed: int, *, kill: float, workers: int, partitions: int) -> Outcome:
    """Published bit by bit to so many workers over so many partitions, each step failing now and then."""
    crashes = Crashes(seed, kill)
    made(cluster, linkage, partitions)
    with running(cluster, linkage, workers, crashes):
        publish(cluster, logs, chunks=40, pause_s=0.1, partitions=partitions)
        crashes.share /= 4  # what is left must come to its end
        settled(cluster, linkage, ends(cluster, logs, partitions))
    out = gathered(cluster, linkage, partitions)
    out.kills = crashes.count
    return out
