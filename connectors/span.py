"""The span of arrivals [since, until) that a recording is asked for."""

from __future__ import annotations

from datetime import datetime

import polars as pl

__all__ = ["holds", "within", "zoned"]


def zoned(fault: type[ValueError], since: datetime | None, until: datetime | None) -> None:
    """Refuses times that could be any hour of a day.

    Raises:
        fault: a time has no zone.
    """
    for name, time in (("since", since), ("until", until)):
        if time is not None and time.tzinfo is None:
            raise fault(f"{name} must have a zone (got {time!r}): for example 2024-05-28T00:00+09:00")


def within(since: datetime | None, until: datetime | None) -> pl.Expr:
    """Whether a row ``arrived`` in the span; None: no limit."""
    begun = pl.lit(value=True) if since is None else pl.col("arrived") >= since
    return begun if until is None else begun & (pl.col("arrived") < until)


def holds(time: datetime, since: datetime | None, until: datetime | None) -> bool:
    """Whether a time lies in the span."""
    return (since is None or time >= since) and (until is None or time < until)
