"""Messages that nobody should send, among good ones: each lies with its reason and bytes in its dead-letter topic, and changes nothing.

``TSUNAGU_HOSTILE`` is how many (20000). What is done to bytes is that of ``tests/connectors/test_wire_mutated.py``, where a million
are tried on the decoder alone.
"""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from connectors.kafka import KafkaSettings
from connectors.wire import decode, encode
from schemas import feed
from tests.connectors.lying import lies_in
from tests.connectors.test_wire_mutated import MUTATIONS, stretched
from tests.contract.worker import Message
from tests.jobs.test_run import asked
from tests.jobs.worker.trial import LINKAGE, SEED, Trial, Worker

HOSTILE = int(os.environ.get("TSUNAGU_HOSTILE", "20000"))
LEVEL, CLOCK = "river.level.v1", "clock.v1"
FAR = datetime(2190, 1, 1, tzinfo=UTC)
NEVER_MS = int(datetime(2200, 1, 2, tzinfo=UTC).timestamp() * 1000)
"""A drill may lie in the future, as far as 2200."""
TAKES_ANY_TIME = {"message.timestamp.after.max.ms": str(2**62), "message.timestamp.before.max.ms": str(2**62)}

REASONS = {
    "bytes": r"(?s)(value|schema|length|branch|block|\w+ of) .*must .* \(got .*\): .+",
    "key": r"(region|area_code) must be the message's key and lie in its partition by murmur2 \(got key .*\): .+",
    "partition": r"(region|area_code) must be the message's key and lie in its partition by murmur2 \(got key .*\): .+",
    "time": r"arrived must lie after 1990 and not ahead of now \(got \d+ ms\): .+",
    "ahead": r"\w+ must not lie more than 600 s after arrival \(got 2190-.*\): .+",
    "late": "",
}
"""Kinds of what is wrong, and what is said of it; what is late is said elsewhere."""


def spoiled(g: random.Random, good: list[Message], partitions: int) -> Iterator[tuple[str, Message]]:
    """Messages with nothing right about them but their neighbours, and what is wrong."""
    by_feed: dict[str, list[Message]] = {}
    for each in good:
        by_feed.setdefault(each[0], []).append(each)
    while True:
        name, partition, key, value, arrived = g.choice(good)
        match g.choice(["bytes", "bytes", "bytes", "bytes", *list(REASONS)[1:]]):
            case "bytes":
                mutation = g.choice([*MUTATIONS, stretched(name), lambda *_: [None, b"", g.randbytes(40)]])
                for each in mutation(g, value, g.choice(by_feed[name])[3]):
                    if decode(name, [each]).bad:
                        yield "bytes", (name, partition, key, each, arrived)
            case "key" if key is not None:
                yield "key", (name, partition, g.choice([None, "", f"{key}x", "\0"]), forged(name, value), arrived)
            case "partition" if key is not None:
                yield "partition", (name, (partition + g.randrange(1, partitions)) % partitions, key, forged(name, value), arrived)
            case "time":
                yield "time", (name, partition, key, forged(name, value), g.choice([1, NEVER_MS, 2**53, 2**61]))
            case "ahead" if name in {LEVEL, CLOCK}:
                yield "ahead", (name, partition, key, forged(name, value, FAR), arrived)
            case "late" if name == LEVEL:
                yield "late", (name, partition, key, forged(name, value, datetime.fromtimestamp(0, UTC)), arrived)


def forged(name: str, value: Any, time: datetime | None = None) -> bytes:
    """A record that would change what is said, were it believed."""
    row = decode(name, [value]).rows
    if name == LEVEL:
        row = row.with_columns(level_m=pl.lit(99.0, row.schema["level_m"]), version=pl.lit(99, row.schema["version"]))
    if time is not None:
        row = row.with_columns(pl.lit(time).cast(row.schema[feed(name).time]).alias(feed(name).time))
    return encode(name, row)[0]


def among(trial: Trial, g: random.Random) -> dict[tuple[str, int, int], tuple[str, bytes]]:
    """Mixes hostile messages into what is published; tells what is wrong with each, and its bytes, by place."""
    spoil = spoiled(g, trial.all, trial.partitions)
    after: dict[int, list[tuple[str, Message]]] = {}
    for _ in range(HOSTILE):
        after.setdefault(g.randrange(len(trial.all)), []).append(next(spoil))
    mixed, wrong, ends = [], {}, Counter[tuple[str, int]]()
    offsets: dict[tuple[str, int], list[int]] = {}
    for at, good in enumerate(trial.all):
        for kind, made in after.get(at, ()):
            each = (*made[:4], good[4]) if kind in {"ahead", "late"} else made  # what can be read has to arrive in order
            wrong[each[0], each[1], ends[each[:2]]] = kind, each[3] or b""
            ends[each[:2]] += 1
            mixed.append(each)
        offsets.setdefault(good[:2], []).append(ends[good[:2]])
        ends[good[:2]] += 1
        mixed.append(good)
    trial.all = mixed
    trial.logs = {name: _moved(name, log, offsets) for name, log in trial.logs.items()}
    return wrong


def _moved(name: str, log: pl.DataFrame, offsets: dict[tuple[str, int], list[int]]) -> pl.DataFrame:
    """Where the good ones lie now."""
    left = {place: iter(each) for place, each in offsets.items()}
    return log.with_columns(pl.Series("offset", [next(left[name, partition]) for partition in log["partition"]], pl.Int64))


def letters(cluster: KafkaSettings, side: str) -> dict[tuple[str, int, int], dict[str, Any]]:
    """What lies in the side topics, by place."""
    out = {}
    for name in LINKAGE.feeds:
        messages = lies_in(cluster, cluster.topic(name, side))
        rows = decode(f"{side}.v1", [each.value() for each in messages]).rows
        for message, row in zip(messages, rows.iter_rows(named=True), strict=True):
            _, partition, offset = re.split(r"\[|\]@", message.key().decode())
            out[name, int(partition), int(offset)] = row
    return out


def unmoved(worker: Worker) -> None:
    """Holds that a worker had no reason to start again."""
    assert "tsunagu_faults_total{" not in asked(worker, "/metrics")[1]
    assert "starts again" not in worker.said()
    worker.end()


def test_what_nobody_should_send_is_kept_apart_and_its_neighbours_pass(cluster: KafkaSettings, tmp_path: Path) -> None:
    trial, g = Trial(cluster, tmp_path, SEED, config=TAKES_ANY_TIME), random.Random(SEED)
    wrong = among(trial, g)
    kinds = Counter(kind for kind, _ in wrong.values())
    assert kinds.total() == HOSTILE
    assert kinds.keys() == REASONS.keys()
    with trial.worker() as worker:
        worker.until_it_says("takes")
        trial.flow(trial.left // 2, bits=100)
        trial.settle()
        unmoved(worker)
    trial.publish(trial.left // 3)  # what the next one begins with may be hostile, too
    with trial.worker() as worker:
        trial.flow(trial.left, bits=50)
        trial.settle()
        unmoved(worker)
    trial.script = replace(trial.script, dead=trial.script.dead + HOSTILE - kinds["late"], late=trial.script.late + kinds["late"])
    trial.check(0)
    dead, late = letters(cluster, "dead"), letters(cluster, "late")
    for place, (kind, raw) in wrong.items():
        if kind == "late":
            assert late[place]["time"] == datetime.fromtimestamp(0, UTC)
        else:
            assert re.fullmatch(REASONS[kind], dead[place]["reason"]), (kind, dead[place])
            assert dead[place]["raw"] == raw
