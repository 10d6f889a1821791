"""The flood rule as a function of single records, for frameworks that call one.

Readings and ticks lie in two topics, which a framework reads in any order. A tick that ran ahead would make readings late. So a tick
waits until a reading has come that arrived after it.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import polars as pl

from connectors.avro_body import body_reader
from connectors.kafka import KafkaSettings
from connectors.wire import HEAD, encode
from jobs.bench.recording import FLOOD, LEVELS, known
from jobs.start import engine
from pipelines.linkage import CLOCK, Engine
from schemas import feed

__all__ = ["Given", "Message", "Port", "arguments"]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a framework gives of one message."""

    value: bytes
    arrived_ms: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a peer was started with: where, as which group, with which guarantee, and how many records it may take at once."""

    cluster: KafkaSettings
    group: str
    guarantee: str
    commit_s: float
    at_once: int
    folder: str


def arguments() -> Given:
    """Reads the command line of a peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--drill", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--guarantee", default="at-least-once")
    parser.add_argument("--commit-s", type=float, default=0.2)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--folder", required=True)
    given = vars(parser.parse_args())
    cluster = KafkaSettings(brokers=given.pop("brokers"), drill=given.pop("drill"))
    return Given(cluster=cluster, **given)


class Port:
    """Holds an engine for each region, and ticks until they may be told."""

    def __init__(self) -> None:
        self._read: dict[str, Callable[[bytes], Row]] = {name: body_reader(name, feed(name).schema) for name in (LEVELS, CLOCK)}
        self._engines: dict[str, Engine] = {}
        self._ticks: deque[Row] = deque()
        known()  # read from their files before the first record comes: nobody is to be timed at that

    def tick(self, message: Message) -> None:
        """Keeps a tick."""
        self._ticks.append(self._row(CLOCK, message))

    def readings(self, messages: Sequence[Message]) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of each statement that follows from readings, and from ticks before them."""
        rows: list[Row] = []
        for message in messages:
            row = self._row(LEVELS, message)
            if self._ticks and self._ticks[0]["arrived"] < row["arrived"]:
                yield from self._stepped(rows)
                rows = []
                yield from self._told(row["arrived"])
            rows.append(row)
        yield from self._stepped(rows)

    def _told(self, arrived: datetime) -> Iterator[tuple[bytes, bytes]]:
        """What follows from ticks that arrived before a reading."""
        ticks = []
        while self._ticks and self._ticks[0]["arrived"] < arrived:
            ticks.append(self._ticks.popleft())
        for running in self._engines.values():
            yield from _said(running, CLOCK, ticks)

    def _stepped(self, rows: list[Row]) -> Iterator[tuple[bytes, bytes]]:
        for region, each in groupby(sorted(rows, key=_region) if len(rows) > 1 else rows, key=_region):
            yield from _said(self._engine(region), LEVELS, list(each))

    def _engine(self, region: str) -> Engine:
        if region not in self._engines:
            self._engines[region] = engine(FLOOD, owns=region.__eq__)
            self._engines[region].recall(known(region))
        return self._engines[region]

    def _row(self, name: str, message: Message) -> Row:
        arrived = datetime.fromtimestamp(message.arrived_ms / 1000, UTC)
        return self._read[name](message.value[HEAD:]) | {"arrived": arrived, "partition": 0, "offset": message.offset}


def _region(row: Row) -> str:
    region: str = row["region"]
    return region


def _said(running: Engine, name: str, rows: list[Row]) -> Iterator[tuple[bytes, bytes]]:
    facts = running.step({name: pl.DataFrame(rows, schema=feed(name).frame_schema)}).facts
    if facts is not None:
        yield from zip([each.encode() for each in facts["id"].to_list()], encode(FLOOD.says, facts), strict=True)
