"""Rows of any feed, made from its schema."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from schemas.feeds import feed

ARRIVED = datetime(2024, 5, 28, 12, tzinfo=UTC)


@pytest.fixture
def sample() -> Callable[[str], pl.DataFrame]:
    """Four rows of a feed in order of arrival, every column filled; the last has null wherever the schema allows it."""
    return _sample


def _sample(feed_name: str) -> pl.DataFrame:
    """Rows of any feed with every column filled, and one with null wherever the schema allows it."""
    fields = feed(feed_name).schema["fields"]
    records = [{each["name"]: _value(each["type"], number) for each in fields} for number in range(4)]
    envelope = [
        {"arrived": ARRIVED + timedelta(minutes=number, milliseconds=number % 2), "partition": 0, "offset": number} for number in range(4)
    ]
    return pl.DataFrame([record | laid for record, laid in zip(records, envelope, strict=True)], schema=feed(feed_name).frame_schema)


def _value(kind: Any, number: int) -> Any:
    if isinstance(kind, list):
        return None if number == 3 else _value(next(each for each in kind if each != "null"), number)
    match kind["type"] if isinstance(kind, dict) else kind:
        case "enum":
            return kind["symbols"][number % len(kind["symbols"])]
        case "array":
            return [_value(kind["items"], number)] * number
        case "record":
            return {each["name"]: _value(each["type"], number) for each in kind["fields"]}
        case "long" if isinstance(kind, dict):
            return ARRIVED + timedelta(hours=number, milliseconds=number)
        case "string":
            return ["朝谷", 'quote " and \\', "two\nlines", ""][number]
        case "bytes":
            return [b"text", b"\xff\x00", b"", "水位".encode()][number]
        case "float":
            return [0.5, -0.0, 3.0, 0.25][number]
        case "double":
            return [0.1, -0.0, 1e-300, 553.05][number]
        case "boolean":
            return number % 2 == 0
        case _:
            return number - 1
