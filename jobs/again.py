"""Derives a fact again from everything that had arrived when it was said: what a match or a tally says rests on more than it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from connectors import Arrivals
from jobs.chain import Chain
from jobs.sources import arrivals
from jobs.start import tick
from jobs.words import jst
from pipelines.linkage import CLOCK, Linkage
from pipelines.linkage.said import WITHDRAWN
from schemas import ENVELOPE, feed

__all__ = ["said_again", "shown"]

_ASIDE = {"id", "revision", "state", "headline_ja", "headline_en", "because", "basis", "said_at", "instead_of", *ENVELOPE}
"""Fields that are told in words of their own, or tell nothing of the city."""


def said_again(linkage: Linkage, row: Mapping[str, Any], sources: tuple[str, ...], known: Arrivals) -> dict[str, Any] | None:
    """The value that the rule gives to a fact's id over all that had arrived by then, less the envelope; None: it gives none.

    Args:
        linkage: the linkage that said it.
        row: the fact.
        sources: all that it read.
        known: references that are not among the sources.
    """
    at: datetime = row["said_at"]
    running = Chain(linkage)
    running.recall(known)
    for chunk in arrivals(sources, until=at + timedelta(milliseconds=1)):
        running.recall({name: frame for name, frame in chunk.items() if name != CLOCK})
    facts = running.step({CLOCK: tick(at)}).facts
    found = [] if facts is None else facts.filter(pl.col("id") == row["id"]).drop(*feed(linkage.says).envelope).to_dicts()
    return found[0] if found and found[0]["state"] != WITHDRAWN else None


def shown(row: Mapping[str, Any]) -> Iterator[str]:
    """A fact as people read it: what is said, the numbers, and the records that it names."""
    yield f"{row['id']}, revision {row['revision']}: {row['state']}, said {jst(row['said_at'])}"
    yield from (f"  {row[name]}" for name in ("headline_ja", "headline_en") if row.get(name))
    yield from (f"  {name}: {_text(value)}" for name, value in row.items() if name not in _ASIDE and value not in (None, []))
    yield "because of:"
    for name, value in row["because"].items():
        for each in value if isinstance(value, list) else [value]:
            yield f"  {name}: {_text(each)}"


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return jst(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items() if each is not None)
    if isinstance(value, list):
        return "; ".join(map(_text, value))
    return str(value)
