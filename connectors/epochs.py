"""Which messages of a partition of facts hold, told by the epochs of who wrote them.

Every owner of a partition writes a *mark* first, with an epoch one higher than all before: a message under the key ``mark``,
without a value. Every fact carries the epoch of who said it. What a lower epoch wrote behind a higher one's mark is *void*: it came from an
owner that had lost the partition, and every reader passes over it.
"""

from __future__ import annotations

from typing import Any

from confluent_kafka import Message

__all__ = ["EPOCH", "MARK", "Epochs", "epoch_of"]

MARK = b"mark"
EPOCH = "epoch"
"""The header with the epoch, in digits."""


def epoch_of(message: Message) -> int:
    """The epoch of who wrote a message; −1: somebody who knows none."""
    headers: Any = message.headers() or ()
    for name, value in headers:
        if name == EPOCH and value is not None and value.isdigit():
            return int(value)
    return -1


class Epochs:
    """The epochs of one partition, message by message in order. ``newest``: the highest so far; −1: none yet."""

    def __init__(self) -> None:
        self.newest = -1

    def holds(self, message: Message) -> bool:
        """Whether the message was written by the owner of its time."""
        epoch = epoch_of(message)
        self.newest = max(self.newest, epoch)
        return epoch >= self.newest
