"""Reference records as of a time: thresholds, networks, models. Few, and kept for good."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from pipelines.linkage.grid import NEVER, Key, milliseconds

if TYPE_CHECKING:
    from schemas.feeds import Feed

__all__ = ["Reference"]


class Reference:
    """Reference records as of a time: of each key the one that holds then.

    A record counts from its own time, but from no earlier than its arrival less the patience of its feed: what
    is settled stays, and who reads later finds the same. It ends at its ``valid_until`` where the feed has one. One whose
    fields have other values than ``where`` names holds at no time, and the one before it goes on to hold; where these tell its identity it
    is not kept at all.
    """

    def __init__(self, feed: Feed, where: Mapping[str, tuple[str | bool, ...]] | None = None) -> None:
        self._feed = feed
        self._patience_ms = milliseconds(feed.patience)
        self._key_fields = [name for name in feed.identity if name != feed.time]
        self._where = dict(where or {})
        self._of_identity = {name: values for name, values in self._where.items() if name in feed.identity}
        self._records: dict[Key, dict[tuple[int, int], tuple[int, dict[str, Any]]]] = {}
        self._instants: list[int] = []

    def add(self, frame: pl.DataFrame) -> int | None:
        """Takes records in; returns the earliest instant (ms) from which something changed, None where nothing did."""
        changed: int | None = None
        for record in frame.with_columns(pl.col(frame.columns).to_physical()).iter_rows(named=True):
            if not _asked(record, self._of_identity):
                continue
            time, version = record[self._feed.time], record[self._feed.version] if self._feed.version else 0
            counts = max(time, record["arrived"] - self._patience_ms)
            known = self._records.setdefault(tuple(record[name] for name in self._key_fields), {})
            held = known.get((time, version))
            if held is None or counts < held[0]:
                known[time, version] = (counts, record)
                changed = counts if changed is None else min(changed, counts)
        if changed is not None:
            self._instants = self._all_instants()
        return changed

    def keys(self) -> list[Key]:
        """Every key that was ever heard of, sorted."""
        return sorted(self._records)

    def changes(self, after_ms: int, until_ms: int) -> list[int]:
        """Instants in (after, until] at which the table becomes another, sorted."""
        return self._instants[bisect_right(self._instants, after_ms) : bisect_right(self._instants, until_ms)]

    def changed_by(self, at_ms: int) -> int:
        """The newest instant at or before ``at_ms`` at which the table became another; ``NEVER``: none."""
        at = bisect_right(self._instants, at_ms)
        return self._instants[at - 1] if at else NEVER

    def table(self, at_ms: int) -> Mapping[Key, dict[str, Any]]:
        """Of each key the record that holds at an instant; a key without one is absent."""
        found = ((key, self._holding(known, at_ms)) for key, known in sorted(self._records.items()))
        return {key: record for key, record in found if record is not None}

    def held(self) -> int:
        """How many records are held."""
        return sum(len(known) for known in self._records.values())

    def _all_instants(self) -> list[int]:
        records = (each for known in self._records.values() for each in known.values())
        return sorted({instant for counts, record in records for instant in (counts, record.get("valid_until")) if instant is not None})

    def _holding(self, known: Mapping[tuple[int, int], tuple[int, dict[str, Any]]], at_ms: int) -> dict[str, Any] | None:
        stated: dict[int, tuple[int, dict[str, Any]]] = {}
        for (time, version), (counts, record) in known.items():
            if counts <= at_ms and (time not in stated or version > stated[time][0]):
                stated[time] = (version, record)
        standing = [time for time, (_, record) in stated.items() if record.get("op") != "withdrawn" and _asked(record, self._where)]
        if not standing:
            return None
        record = stated[max(standing)][1]
        until = record.get("valid_until")
        return None if until is not None and until <= at_ms else record


def _asked(record: Mapping[str, Any], where: Mapping[str, tuple[str | bool, ...]]) -> bool:
    """Whether its fields have values that are asked for."""
    return all(record[name] in values for name, values in where.items())
