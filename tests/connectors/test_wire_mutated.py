"""A million messages that were damaged, forged or stretched to their limits, each among good ones.

Whatever is done to a message: nothing breaks, its verdict is that of the reader that reads one by one, and its neighbours come
out as they went in. That reader in turn is held against fastavro, which is older than we are and forgives more.

TSUNAGU_SEED=n replays what a run printed; TSUNAGU_MUTATED=n sets how many messages are mutated.
"""

from __future__ import annotations

import io
import os
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro
import numpy as np
import polars as pl
import pytest

from connectors import wire
from connectors.avro_body import UnreadableError, body_reader
from schemas.feeds import feed, feed_names

SEED = int(os.environ.get("TSUNAGU_SEED", "20240528"))
MUTATED = int(os.environ.get("TSUNAGU_MUTATED", "1000000"))
SHARES = {"river.level.v1": 0.66, "clock.v1": 0.1, "late.v1": 0.1, "river.gauge.v1": 0.1, "dead.v1": 0.02}
"""Of the rest, feeds with records in lists, there are fewer: they are read one by one anyway."""
REST = 0.01
GOOD = 500

Value = bytes | None
Mutation = Callable[[random.Random, bytes, bytes], list[Value]]
"""Two neighbouring values → what stands in their place."""

NUMBERS = [0, 1, -1, 63, 64, -64, -65, 2**31 - 1, -(2**31), 2**31, 2**53, 2**63 - 1, -(2**63)]
TIMES_MS = [
    0,
    1,
    -1,
    -2_208_988_800_000,
    -2_208_988_800_001,
    7_289_654_399_999,
    7_289_654_400_000,
    253_402_300_800_000,
    2**63 - 1,
    -(2**63),
]
FLOATS = [0.0, -0.0, float("nan"), float("inf"), float("-inf"), 5e-324, 1.7976931348623157e308]
TEXTS = ["", "\0", "朝谷", "\U0001f30a", "\ufeff", "\ufffd", "x" * 100_000]


def some(draw: random.Random, kind: Any, *, extreme: bool) -> Any:
    """A value of an Avro type, as fastavro writes it: times are milliseconds."""
    if isinstance(kind, list):
        branch = draw.choice(kind)
        value = some(draw, branch, extreme=extreme)
        return min(max(value, -(2**31)), 2**31 - 1) if branch == "int" else value  # fastavro finds the branch by the value
    plain = kind["type"] if isinstance(kind, dict) else kind
    if isinstance(kind, dict) and "logicalType" in kind:
        return draw.choice(TIMES_MS) if extreme else 1_716_854_400_000 + draw.randrange(10**9)
    match plain:
        case "record":
            return {each["name"]: some(draw, each["type"], extreme=extreme) for each in kind["fields"]}
        case "array":
            return [some(draw, kind["items"], extreme=extreme) for _ in range(draw.randrange(4))]
        case "enum":
            return draw.choice(kind["symbols"])
        case "null":
            return None
        case "boolean":
            return draw.random() < 0.5
        case "string":
            return draw.choice(TEXTS if draw.random() < 0.2 else TEXTS[:-1]) if extreme else draw.choice(["fukui", "12", "朝谷", ""])
        case "bytes":
            return draw.choice(TEXTS).encode() if extreme else b"\xff\x00"
        case "int" | "long":
            return draw.choice(NUMBERS) if extreme else draw.randrange(-1000, 10**6)
        case "float":
            return draw.choice([0.0, 0.25, float("nan"), float("inf")]) if extreme else 0.5
        case "double":
            return draw.choice(FLOATS) if extreme else draw.random()
    raise AssertionError(f"no value for {kind!r}")


# --- what is done to a message


def flipped(draw: random.Random, one: bytes, other: bytes) -> list[Value]:
    out = bytearray(one)
    for _ in range(draw.choice([1, 1, 1, 2, 5])):
        out[draw.randrange(len(out))] ^= 1 << draw.randrange(8)
    return [bytes(out), other]


def overwritten(draw: random.Random, one: bytes, other: bytes) -> list[Value]:
    at = draw.randrange(wire.HEAD, len(one))
    return [one[:at] + draw.choice([b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff", b"\xff" * 9 + b"\x01", b"\x03"]) + one[at + 1 :], other]


def inserted(draw: random.Random, one: bytes, other: bytes) -> list[Value]:
    at = draw.randrange(len(one) + 1)
    return [one[:at] + draw.randbytes(draw.choice([1, 2, 8, 40])) + one[at:], other]


def torn_out(draw: random.Random, one: bytes, other: bytes) -> list[Value]:
    at = draw.randrange(len(one))
    return [one[:at] + one[at + draw.choice([1, 2, 8]) :], other]


def broken_off(draw: random.Random, one: bytes, other: bytes) -> list[Value]:
    return [one[: draw.randrange(len(one))], other]


def continued(draw: random.Random, one: bytes, other: bytes) -> list[Value]:
    return [one + draw.choice([b"\0", bytes(8), other, one[wire.HEAD :]]), other]


def border_moved(draw: random.Random, one: bytes, other: bytes) -> list[Value]:
    """Together they hold what they held; a reader that sees no border finds two good records."""
    by = draw.choice([-8, -2, -1, 1, 2, 8])
    whole = one[wire.HEAD :] + other[wire.HEAD :]
    at = min(max(len(one) - wire.HEAD + by, 0), len(whole))
    return [one[: wire.HEAD] + whole[:at], one[: wire.HEAD] + whole[at:]]


def overlong(draw: random.Random, one: bytes, other: bytes) -> list[Value]:
    """A number may take more bytes than it needs, up to ten."""
    at = draw.randrange(wire.HEAD, len(one))
    return [
        one[:at] + bytes([one[at] | 0x80]) + b"\x80" * draw.choice([0, 1, 7, 8, 9]) + draw.choice([b"\0", b"\1", b"\2"]) + one[at + 1 :],
        other,
    ]


def misframed(draw: random.Random, one: bytes, other: bytes) -> list[Value]:
    forged = draw.choice(feed_names())
    heads = [b"\1" + one[1:5], b"\0" + draw.randbytes(4), b"\0" + wire.REPO.write(forged).to_bytes(4, "big"), b"", b"\0\0\0\0\0"]
    return [draw.choice([None, b"", draw.choice(heads) + one[wire.HEAD :]]), other]


MUTATIONS: list[Mutation] = [flipped, overwritten, inserted, torn_out, broken_off, continued, border_moved, overlong, misframed]


def stretched(name: str) -> Mutation:
    """Another record in its place, of values at their limits."""
    bare = without_times(feed(name).schema)
    parsed = fastavro.parse_schema(bare)

    def mutation(draw: random.Random, one: bytes, other: bytes) -> list[Value]:
        body = io.BytesIO()
        fastavro.schemaless_writer(body, parsed, some(draw, feed(name).schema, extreme=True))
        return [one[: wire.HEAD] + body.getvalue(), other]

    return mutation


# --- the judges


def without_times(kind: Any) -> Any:
    """A schema whose times are mere numbers: fastavro knows none after the year 9999."""
    if isinstance(kind, list):
        return [without_times(each) for each in kind]
    if isinstance(kind, dict):
        return {name: value if name == "default" else without_times(value) for name, value in kind.items() if name != "logicalType"}
    return kind


def beyond(kind: Any, value: Any) -> bool:
    """Whether a value holds a time or an int beyond what it may be, which fastavro does not mind."""
    if isinstance(kind, list):
        return value is not None and beyond(next(each for each in kind if each != "null"), value)
    if isinstance(kind, dict) and "logicalType" in kind:
        return not -2_208_988_800_000 <= value < 7_289_654_400_000
    match kind["type"] if isinstance(kind, dict) else kind:
        case "record":
            return any(beyond(each["type"], value[each["name"]]) for each in kind["fields"])
        case "array":
            return any(beyond(kind["items"], each) for each in value)
        case "int":
            return not -(2**31) <= value < 2**31
    return False


class Judge:
    """Reads one by one, and holds each verdict against fastavro's."""

    def __init__(self, name: str) -> None:
        self._schema = feed(name).schema
        self._read = body_reader(name, self._schema)
        self._parsed = fastavro.parse_schema(without_times(self._schema))
        self._head = b"\0" + wire.REPO.write(name).to_bytes(4, "big")

    def verdict(self, value: Value) -> dict[str, Any] | str | None:
        """The row, or why there is none; None: it does not even begin as a value of this feed."""
        if value is None or value[: wire.HEAD] != self._head:
            return None
        body = value[wire.HEAD :]
        try:
            row = self._read(body)
        except UnreadableError as fault:
            assert self._nothing(body), body
            return str(fault)
        buffer = io.BytesIO(body)
        assert repr(fastavro.schemaless_reader(buffer, self._parsed, None)) == repr(row), body
        assert buffer.tell() == len(body), body
        return row

    def _nothing(self, body: bytes) -> bool:
        """Whether fastavro too finds no record here, or one that it would write otherwise, or one with values that cannot be."""
        buffer, again = io.BytesIO(body), io.BytesIO()
        try:
            row: Any = fastavro.schemaless_reader(buffer, self._parsed, None)
            fastavro.schemaless_writer(again, self._parsed, row)
        except (ValueError, TypeError, EOFError, IndexError, OverflowError):
            return True
        return again.getvalue() != body or beyond(self._schema, row)


# --- the test


@dataclass
class Batch:
    """Values to read; which good one each untouched one is, and which were touched."""

    values: list[Value]
    good: list[int]
    good_at: list[int]
    touched: list[int]


def batch_of(draw: random.Random, good: list[bytes], mutations: Sequence[Mutation], size: int) -> Batch:
    """Good values in any order, about half of them put through a mutation, which touches two neighbours at most."""
    batch = Batch([], [], [], [])
    while len(batch.values) < size:
        one, other = draw.randrange(len(good)), draw.randrange(len(good))
        if draw.random() < 0.5:
            batch.good_at.append(len(batch.values))
            batch.good.append(one)
            batch.values.append(good[one])
        else:
            first, second = draw.choice(mutations)(draw, good[one], good[other])
            batch.touched.append(len(batch.values))
            batch.values.append(first)
            if second is not good[other]:
                batch.touched.append(len(batch.values))
                batch.values.append(second)
    return batch


@pytest.mark.parametrize("name", feed_names())
def test_whatever_is_done_to_a_message_its_verdict_is_its_own_and_its_neighbours_pass(name: str) -> None:
    draw = random.Random(f"{SEED}/{name}")
    print(f"TSUNAGU_SEED={SEED} TSUNAGU_MUTATED={MUTATED}")
    schema, columns = feed(name).schema, feed(name).columns
    frame = pl.DataFrame([some(draw, schema, extreme=False) for _ in range(GOOD)], schema=columns)
    good, judge, mutations = wire.encode(name, frame), Judge(name), [*MUTATIONS, stretched(name)]
    left = MUTATED * SHARES.get(name, REST)
    while left > 0:
        batch = batch_of(draw, good, mutations, draw.choice([1, 2, 20, 300, 2000]))
        left -= len(batch.touched)
        compare(wire.decode(name, batch.values), batch, frame, judge)


def compare(decoded: wire.Decoded, batch: Batch, frame: pl.DataFrame, judge: Judge) -> None:
    verdicts = {index: judge.verdict(batch.values[index]) for index in batch.touched}
    rows = {index: verdict for index, verdict in verdicts.items() if isinstance(verdict, dict)}
    bad = dict(decoded.bad)
    assert sorted([*decoded.at.tolist(), *bad]) == list(range(len(batch.values)))
    assert decoded.at.tolist() == sorted([*batch.good_at, *rows])
    assert list(bad) == sorted(verdicts.keys() - rows.keys())
    assert all(verdict == bad[index] for index, verdict in verdicts.items() if isinstance(verdict, str))
    assert all(re.fullmatch(r"(?s)(value|schema|length|branch|block|\w+ of) .*must .* \(got .*\): .+", reason) for reason in bad.values())
    untouched = np.isin(decoded.at, batch.good_at)
    assert decoded.rows.filter(pl.Series(untouched)).equals(frame[batch.good])
    assert decoded.rows.filter(pl.Series(~untouched)).equals(pl.DataFrame(list(rows.values()), schema=frame.schema))
