"""What a linkage has said into one partition of its feed, and what its owner must say over (``connectors/epochs.py``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl
from confluent_kafka import Message

from connectors.epochs import MARK, Epochs
from connectors.kafka_reader import Place, Reader, ReaderError
from connectors.wire import REPO, Ids, decode
from schemas import Feed

__all__ = ["Told", "nothing", "read", "tell_apart"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was said: ``facts`` in order (fields of the feed), ``over`` to be said again, and up to which offset was read."""

    facts: pl.DataFrame
    over: pl.DataFrame
    epoch: int
    until: int


def nothing(says: Feed) -> Told:
    """Nothing was said."""
    empty = pl.DataFrame(schema=says.columns)
    return Told(facts=empty, over=empty, epoch=0, until=0)


def read(reader: Reader, says: Feed, partition: int, at_least: int, ids: Ids = REPO) -> Told:
    """All that was said into a partition, as far as it is committed, and at least up to an offset.

    Raises:
        ReaderError: the partition does not answer, or ends before ``at_least``.
    """
    place: Place = (says.name, partition)
    reader.partitions(says.name)
    begin, end = reader.starts([place]), reader.committed_ends([place])
    if end[place] < at_least:
        raise ReaderError(
            f"topic {says.name}[{partition}] must reach what was committed, {at_least} (got {end[place]}): is a broker behind?"
        )
    messages = [each for chunk in reader.between(begin, end) for each in chunk]
    facts, over, epoch = tell_apart(says, messages, ids)
    return Told(facts=facts, over=over, epoch=epoch, until=end[place])


def tell_apart(says: Feed, messages: Iterable[Message], ids: Ids = REPO) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """What holds, what must be said over, and the highest epoch, from messages of one partition in order."""
    epochs, right, void = Epochs(), [], []
    for message in messages:
        if not epochs.holds(message):
            void.append(message)
        elif message.key() != MARK:
            right.append(message)
    decoded = decode(says.name, [each.value() for each in right], ids)
    if decoded.bad:  # passed over, they would be said again from the first revision
        at, reason = decoded.bad[0]
        place = f"{says.name}[{right[at].partition()}]@{right[at].offset()}"
        raise ReaderError(f"facts must be known to who goes on (got {place}: {reason}): run the version that said them")
    facts = decoded.rows
    return facts, _over(says, facts, right, void, ids), max(epochs.newest, 0)


def _over(says: Feed, facts: pl.DataFrame, right: list[Message], void: list[Message], ids: Ids) -> pl.DataFrame:
    """For each id whose newest message is void: what held of it, or that nothing did, in a revision above both."""
    newest = {bytes(each.key() or b""): int(each.offset() or 0) for each in right}
    wrong = [each for each in void if newest.get(bytes(each.key() or b""), -1) < int(each.offset() or 0)]
    rows = decode(says.name, [each.value() for each in wrong], ids).rows
    held = {row["id"]: row for row in facts.filter(pl.col("id").is_in(rows["id"].to_list())).iter_rows(named=True)}
    out: dict[str, dict[str, Any]] = {}
    for row in rows.iter_rows(named=True):
        known = held.get(row["id"]) or row | {"state": "withdrawn"}
        revision = max(row["revision"], known["revision"], out.get(row["id"], known)["revision"])
        out[row["id"]] = known | {"revision": revision}
    return pl.DataFrame([row | {"revision": row["revision"] + 1} for row in out.values()], schema=says.columns)
