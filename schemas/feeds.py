"""A feed is its schema file: fields, identity, key, time, version, place, patience, retention.

The files lie in ``schemas/avro/<feed>.avsc``. Beside the fields each holds an object ``feed`` that says which
fields identify a record, which is its key, its event time, its version and its place (latitude before
longitude), how late a record may come (*patience*) and how long it is kept (*retention*).

    >>> level = feed("river.level.v1")
    >>> level.identity, level.patience
    (('region', 'gauge_id', 'observed_at'), datetime.timedelta(seconds=10800))
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

__all__ = ["ENVELOPE", "Feed", "FeedError", "feed", "feed_names"]

_FOLDER = Path(__file__).parent / "avro"
UTC_MS = pl.Datetime("ms", "UTC")

ENVELOPE: dict[str, pl.DataType] = {"arrived": UTC_MS, "partition": pl.Int32(), "offset": pl.Int64()}
"""Columns that every frame of a feed carries beside the fields: when the record arrived, and where it lies."""


class FeedError(ValueError):
    """A feed is unknown, or its schema file breaks a rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """What is known of a topic. ``columns`` are the Polars types of the fields, in the order of the schema."""

    name: str
    schema: dict[str, Any] = field(repr=False)
    columns: dict[str, pl.DataType] = field(repr=False)
    identity: tuple[str, ...]
    key: str | None
    time: str
    version: str | None
    place: tuple[str, str] | None
    patience: timedelta
    retention: timedelta | None
    envelope: tuple[str, ...]
    cell: tuple[str, int] | None = None
    """Field that names an H3 cell, and the cell's resolution."""
    handed_on: bool = False
    """Whether a route writes it: its records keep the arrival of those that they copy, and the route's line comes with them."""

    @property
    def frame_schema(self) -> dict[str, pl.DataType]:
        """Polars schema of a frame of this feed: fields, then ``arrived``, ``partition``, ``offset``."""
        return self.columns | ENVELOPE

    @property
    def of_facts(self) -> bool:
        """Whether its records are facts: their key, an id computed from what they are about, is all of their identity."""
        return self.identity == (self.key,)

    @property
    def said(self) -> bool:
        """Whether a linkage says it: facts, and records that are handed on."""
        return bool(self.envelope) or self.handed_on

    def empty(self) -> pl.DataFrame:
        """A frame of this feed without rows."""
        return pl.DataFrame(schema=self.frame_schema)


@cache
def feed(name: str) -> Feed:
    """The feed of that name, read from its schema file.

    Raises:
        FeedError: there is no such feed, or its schema file breaks a rule.
    """
    path = _FOLDER / f"{name}.avsc"
    if not path.is_file():
        raise FeedError(f"feed must be one of {', '.join(feed_names())} (got {name!r}): add schemas/avro/{name}.avsc")
    return parse(json.loads(path.read_text(encoding="utf-8")))


def feed_names() -> tuple[str, ...]:
    """Names of all feeds, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.avsc")))


def parse(schema: dict[str, Any]) -> Feed:
    """The feed that a parsed schema file tells of.

    Raises:
        FeedError: a needed entry is absent, or names a field that is not there.
    """
    told = schema.get("feed", {})
    name = told.get("name", schema.get("name", "?"))
    absent = {"name", "identity", "key", "time", "version", "place", "patience", "retention"} - told.keys()
    if absent:
        raise FeedError(f"feed {name} must declare {', '.join(sorted(absent))} (got {sorted(told)}): see docs/concepts.md")
    columns = {each["name"]: _dtype(each["type"]) for each in schema["fields"]}
    named = [*told["identity"], told["time"], *(told["place"] or ()), *told.get("envelope", ())]
    named += [told[each] for each in ("key", "version") if told[each] is not None]
    for each in named:
        if each not in columns:
            raise FeedError(f"feed {name} must name its own fields (got {each!r}): the fields are {', '.join(columns)}")
    for each in (told["time"], told["key"]):
        if each is not None and each not in told["identity"] and not told.get("envelope") and told["version"] is not None:
            raise FeedError(f"identity of {name} must hold its key and its time (got {told['identity']}): add {each!r}")
    return Feed(
        name=name,
        schema=schema,
        columns=columns,
        identity=tuple(told["identity"]),
        key=told["key"],
        time=told["time"],
        version=told["version"],
        place=tuple(told["place"]) if told["place"] else None,
        patience=_duration(name, told["patience"]),
        retention=None if told["retention"] == "forever" else _duration(name, told["retention"]),
        envelope=tuple(told.get("envelope", ())),
        cell=(told["cell"]["field"], told["cell"]["resolution"]) if "cell" in told else None,
        handed_on=told.get("handed_on", False),
    )


_DURATION = re.compile(r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?")
_PLAIN = {
    "string": pl.String(), "int": pl.Int32(), "long": pl.Int64(), "float": pl.Float32(),
    "double": pl.Float64(), "boolean": pl.Boolean(), "bytes": pl.Binary(),
}  # fmt: skip


def _duration(name: str, text: str) -> timedelta:
    """An ISO 8601 duration of days, hours, minutes and seconds."""
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise FeedError(f"patience and retention of {name} must be ISO 8601 durations (got {text!r}): for example PT3H")
    return timedelta(**{unit: int(value) for unit, value in match.groupdict(default="0").items()})


def _dtype(avro: Any) -> pl.DataType:
    """The Polars type of an Avro type. Enums are strings in frames: their symbols are held by the writer."""
    if isinstance(avro, list):
        (inner,) = [each for each in avro if each != "null"]
        return _dtype(inner)
    if isinstance(avro, str):
        return _PLAIN[avro]
    if avro.get("logicalType") == "timestamp-millis":
        return UTC_MS
    match avro["type"]:
        case "enum":
            return pl.String()
        case "array":
            return pl.List(_dtype(avro["items"]))
        case "record":
            return pl.Struct({each["name"]: _dtype(each["type"]) for each in avro["fields"]})
        case plain:
            return _PLAIN[plain]
