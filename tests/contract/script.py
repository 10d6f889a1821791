"""An arrival script: what arrives on each feed, in order, made from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from schemas import feed

__all__ = ["EPOCH", "Arrival", "Script", "log"]

EPOCH = datetime(2024, 5, 28, tzinfo=UTC)
"""Minute 0 of every script."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One record and when it arrived, minutes after ``EPOCH``."""

    minute: float
    record: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The same records in two orders of arrival, both within patience.

    ``logs`` and ``other``: feed → frame in order of arrival. ``silent``: what must stand said about keys that gave nothing,
    as (subject, state), computed record by record without the engine; ``own`` the states that are
    said of silence; ``states`` all that scripts together must bring about, or they test too little;
    ``passing`` those of them that are not said where much arrives at once.
    """

    seed: int
    logs: dict[str, pl.DataFrame]
    other: dict[str, pl.DataFrame]
    silent: frozenset[tuple[str, str]]
    own: frozenset[str]
    states: frozenset[str]
    passing: frozenset[str] = frozenset()
    dead: int
    late: int


def log(feed_name: str, arrivals: list[Arrival], tie: Callable[[], float]) -> pl.DataFrame:
    """A feed in order of arrival, ties in any order, offsets counted from 0."""
    ordered = sorted(arrivals, key=lambda each: (each.minute, tie()))
    rows = [
        each.record | {"arrived": EPOCH + timedelta(minutes=each.minute), "partition": 0, "offset": at} for at, each in enumerate(ordered)
    ]
    return pl.DataFrame(rows, schema=feed(feed_name).frame_schema)
