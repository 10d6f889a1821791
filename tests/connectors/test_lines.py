"""Lines that come with a feed: the least of all who write it holds, and whatever is no line says nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from confluent_kafka import Message

from connectors.lines import LINE, Line, Lines, line_of

AT = datetime(2024, 5, 28, 12, tzinfo=UTC)


def message(key: bytes | None = LINE, value: bytes | None = None, **headers: bytes) -> Message:
    return Message(topic="t", partition=0, offset=0, key=key, value=value, headers=list(headers.items()))


def told(hours: float, partition: int, partitions: int = 2) -> Message:
    return message(**Line(at=AT + timedelta(hours=hours), partition=partition, partitions=partitions).headers())


def test_a_line_is_read_as_it_was_written() -> None:
    assert line_of(told(1.5, 1)) == Line(at=AT + timedelta(hours=1.5), partition=1, partitions=2)


STRANGE = {
    "another key": message(key=b"mark", line=b"1", partition=b"0", partitions=b"1"),
    "a value": message(value=b"", line=b"1", partition=b"0", partitions=b"1"),
    "no headers": message(),
    "a header too few": message(line=b"1", partition=b"0"),
    "a time before 1970": message(line=b"-1", partition=b"0", partitions=b"1"),
    "no number": message(line=b"soon", partition=b"0", partitions=b"1"),
    "a partition too many": message(line=b"1", partition=b"2", partitions=b"2"),
    "a far future": message(line=b"9" * 30, partition=b"0", partitions=b"1"),
    "other digits": message(line="１".encode(), partition=b"0", partitions=b"1"),
}


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE.keys())
def test_what_is_no_line_says_nothing(strange: Message) -> None:
    assert line_of(strange) is None
    lines = Lines()
    lines.hear(strange)
    assert (lines.complete, lines.at) == (False, None)


def test_the_least_of_all_who_write_holds_in_any_order_and_once_all_have_told() -> None:
    messages = [told(1, 0), told(3, 0), told(2, 1)]
    for order in permutations(messages):
        lines = Lines()
        for each in order:
            lines.hear(each)
        assert lines.at == AT + timedelta(hours=2)
    lines.hear(told(9, 6, 10**9))
    assert lines.at is None
    lines.hear(told(3, 0))
    assert lines.at == AT + timedelta(hours=2), "one who lies holds the line until the others speak again"
    alone = Lines()
    alone.hear(told(5, 1))
    assert (alone.complete, alone.at) == (False, None)
