"""One Avro body, read strictly: every byte accounted for, nothing guessed, and a reason where it cannot be read.

A *body* is the bytes of one record without anything before or after it. General decoders wave through what Avro does not
know (an enum's symbol number -1, an int of 40 bits, bytes left over); what was written with another schema then reads as
a record that nobody sent. This reader decides what is readable; ``avro_columns`` is the fast way to the same verdict.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

__all__ = ["INSTANTS_MS", "UnreadableError", "body_reader", "instant"]

INSTANTS_MS = tuple(int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) for year in (1900, 2201))
"""From when (inclusive) to when (exclusive) a time can be meant; what lies beyond was not written as a time."""

Read = Callable[[bytes, int], tuple[Any, int]]
"""Body and place of a value → the value and the place behind it."""


class UnreadableError(ValueError):
    """A body is no record of its schema."""


def body_reader(feed_name: str, schema: Mapping[str, Any]) -> Callable[[bytes], dict[str, Any]]:
    """What reads one body written with a schema; times stay milliseconds.

    The reader raises ``UnreadableError`` where a byte is missing, left over, or means nothing.
    """
    read = _reader(feed_name, schema)

    def whole(body: bytes) -> dict[str, Any]:
        row, at = read(body, 0)
        if at != len(body):
            raise UnreadableError(
                f"value of {feed_name} must end with its last field (got {len(body) - at} bytes more): write one record in one value"
            )
        return dict(row)

    return whole


def instant(kind: Any) -> bool:
    """Whether an Avro type is a time in milliseconds."""
    return isinstance(kind, Mapping) and kind.get("logicalType") == "timestamp-millis"


def _reader(name: str, kind: Any) -> Read:
    if isinstance(kind, list):
        return _union(name, kind)
    if instant(kind):
        return _instant(name)
    match kind["type"] if isinstance(kind, Mapping) else kind:
        case "record":
            return _record(name, kind["fields"])
        case "array":
            return _array(name, kind["items"])
        case "enum":
            return _enum(name, kind["symbols"])
        case str(plain) if plain in _PLAIN:
            return _PLAIN[plain](name)
        case other:
            raise TypeError(f"type of {name} must be one that feeds have (got {other!r}): see schemas/feeds.py")


def _record(name: str, fields: list[Mapping[str, Any]]) -> Read:
    """Fields in order. Reasons name them by their path below the feed."""
    readers = [(each["name"], _reader(f"{each['name']} of {name}", each["type"])) for each in fields]

    def read(body: bytes, at: int) -> tuple[Any, int]:
        row = {}
        for field, reader in readers:
            row[field], at = reader(body, at)
        return row, at

    return read


def _union(name: str, branches: list[Any]) -> Read:
    number, readers = _whole(f"branch of {name}", 64), [_reader(name, each) for each in branches]

    def read(body: bytes, at: int) -> tuple[Any, int]:
        branch, at = number(body, at)
        if not 0 <= branch < len(readers):
            raise UnreadableError(f"branch of {name} must be one of {len(readers)} (got {branch}): write it with the schema of its id")
        return readers[branch](body, at)

    return read


def _array(name: str, items: Any) -> Read:
    """Blocks of items up to an empty one; before a negative count stands the size of the block."""
    number, reader = _whole(f"length of {name}", 64), _reader(name, items)

    def read(body: bytes, at: int) -> tuple[Any, int]:
        out: list[Any] = []
        count, at = number(body, at)
        while count:
            size, behind = None, at
            if count < 0:
                size, behind = number(body, at)
                count, at = -count, behind
            if count > len(body) - at:
                raise UnreadableError(f"length of {name} must fit its value (got {count} items): write it with the schema of its id")
            for _ in range(count):
                item, at = reader(body, at)
                out.append(item)
            if size is not None and at - behind != size:
                raise UnreadableError(f"block of {name} must be as long as it says (got {at - behind} bytes, not {size}): write it anew")
            count, at = number(body, at)
        return out, at

    return read


def _enum(name: str, symbols: list[str]) -> Read:
    number = _whole(name, 64)

    def read(body: bytes, at: int) -> tuple[Any, int]:
        symbol, at = number(body, at)
        if not 0 <= symbol < len(symbols):
            raise UnreadableError(f"{name} must be one of {', '.join(symbols)} (got number {symbol}): write it with the schema of its id")
        return symbols[symbol], at

    return read


def _bytes(name: str) -> Read:
    length = _whole(f"length of {name}", 64)

    def read(body: bytes, at: int) -> tuple[Any, int]:
        size, at = length(body, at)
        if not 0 <= size <= len(body) - at:
            raise UnreadableError(f"length of {name} must fit its value (got {size} of {len(body) - at} bytes): send it whole")
        return body[at : at + size], at + size

    return read


def _string(name: str) -> Read:
    plain = _bytes(name)

    def read(body: bytes, at: int) -> tuple[Any, int]:
        text, at = plain(body, at)
        try:
            return text.decode(), at
        except UnicodeDecodeError as fault:
            raise UnreadableError(f"{name} must be UTF-8 (got {text[:24]!r}): write it as text") from fault

    return read


def _fixed(name: str, form: str) -> Read:
    size, unpack = struct.calcsize(form), struct.Struct(form).unpack_from

    def read(body: bytes, at: int) -> tuple[Any, int]:
        if size > len(body) - at:
            raise UnreadableError(f"{name} must be {size} bytes (got {len(body) - at}): send it whole")
        return unpack(body, at)[0], at + size

    return read


def _boolean(name: str) -> Read:
    def read(body: bytes, at: int) -> tuple[Any, int]:
        if body[at : at + 1] not in (b"\0", b"\1"):
            raise UnreadableError(f"{name} must be byte 0 or 1 (got {body[at : at + 1]!r}): write it with the schema of its id")
        return body[at] == 1, at + 1

    return read


def _instant(name: str) -> Read:
    number, (first, last) = _whole(name, 64), INSTANTS_MS

    def read(body: bytes, at: int) -> tuple[Any, int]:
        time_ms, at = number(body, at)
        if not first <= time_ms < last:
            raise UnreadableError(f"{name} must lie in the years 1900 to 2200 (got {time_ms} ms since 1970): check the sender's clock")
        return time_ms, at

    return read


def _whole(name: str, bits: int) -> Read:
    """A number in zig-zag, seven bits a byte, least first."""
    least, beyond = -1 << bits - 1, 1 << bits - 1

    def read(body: bytes, at: int) -> tuple[Any, int]:
        value = shift = 0
        for byte in body[at : at + 10]:
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        else:
            raise UnreadableError(f"{name} must end within 10 bytes (got {body[at : at + 10]!r}): send it whole")
        number = value >> 1 ^ -(value & 1)
        if not least <= number < beyond:
            raise UnreadableError(f"{name} must be a number of {bits} bits (got {number}): write it with the schema of its id")
        return number, at + shift // 7

    return read


_PLAIN: Mapping[str, Callable[[str], Read]] = {
    "string": _string,
    "bytes": _bytes,
    "boolean": _boolean,
    "float": partial(_fixed, form="<f"),
    "double": partial(_fixed, form="<d"),
    "int": partial(_whole, bits=32),
    "long": partial(_whole, bits=64),
    "null": lambda _: lambda _, at: (None, at),
}
