"""Tables of text that others publish: lines, cells, the rules that lines must keep, and frames of feeds.

A line that breaks a rule harms no other: it goes its way with a ``reason`` and its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from schemas.feeds import feed

__all__ = ["Rule", "cells", "first_broken", "framed", "framed_by_arrival", "lines", "rule"]

Rule = tuple[pl.Expr, pl.Expr]
"""Whether a line breaks it, and what is said then."""

_PLACES = 1 << 16
_SHOWN = 60
"""Characters of a cell that a reason shows."""


def lines(data: bytes, encoding: str = "utf-8") -> tuple[bytes, pl.DataFrame]:
    """The header of a file and the lines under it that are not blank.

    Returns:
        The header's bytes without byte order mark and line end; columns ``line`` (the first one under the header is 2), ``raw``
        (bytes without line end) and ``text``, null where the bytes are not in the encoding.
    """
    header, *rest = (each.removesuffix(b"\r") for each in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"))
    told = [(line, raw) for line, raw in enumerate(rest, 2) if raw.strip()]
    columns = {"line": [line for line, _ in told], "raw": [raw for _, raw in told], "text": [_decoded(raw, encoding) for _, raw in told]}
    return header, pl.DataFrame(columns, schema={"line": pl.Int64, "raw": pl.Binary, "text": pl.String})


def _decoded(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return None


def cells(table: pl.DataFrame, places: Mapping[str, int | None]) -> pl.DataFrame:
    """Cells between commas beside their lines, without blanks around them, and how many there are (``count``).

    Args:
        table: what ``lines`` gives.
        places: name of a column to its place in the header, -1 for the last one; None: the file has no such column. Cells that
            are not there are empty.
    """
    every = table.with_columns(pl.col("text").str.split(",").alias("cells"))
    told = [
        pl.lit("").alias(name) if at is None else pl.col("cells").list.get(at, null_on_oob=True).fill_null("").str.strip_chars().alias(name)
        for name, at in places.items()
    ]
    return every.with_columns(pl.col("cells").list.len().alias("count"), *told).drop("cells")


def rule(says: str, broken: pl.Expr, *columns: str) -> Rule:
    """A rule about some cells, which the reason shows."""
    shown = pl.concat_str(*(pl.col(each).str.slice(0, _SHOWN) for each in columns), separator=" ")
    return broken, pl.format(f"{says} (got '{{}}')", shown)


def first_broken(rules: Iterable[Rule]) -> pl.Expr:
    """What the first broken rule says; null where all are kept."""
    return pl.coalesce(pl.when(broken).then(says) for broken, says in rules)


def framed(name: str, rows: pl.DataFrame, told: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """Rows as a frame of a feed: what is told, else columns by their name."""
    return rows.select(told.get(each, pl.col(each)).cast(dtype).alias(each) for each, dtype in feed(name).frame_schema.items())


def framed_by_arrival(name: str, rows: pl.DataFrame, told: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """The same in order of ``arrived``, offsets in that order; what arrived at one instant keeps its order."""
    placed = {"partition": pl.lit(0), "offset": pl.int_range(pl.len(), dtype=pl.Int64)}
    return framed(name, rows.sort("arrived", maintain_order=True), {**placed, **told})


def in_minutes(rows: pl.DataFrame, fault: type[ValueError], what: str) -> pl.DataFrame:
    """Rows in order of ``arrived`` with an ``offset``: minute of arrival since 1970 << 16 | place in that minute.

    Raises:
        ValueError: as ``fault``, more of ``what`` arrive in one minute than there are places.
    """
    minute = pl.col("arrived").dt.epoch("ms") // 60_000
    placed = rows.sort("arrived", maintain_order=True).with_columns(pl.int_range(pl.len(), dtype=pl.Int64).over(minute).alias("place"))
    crowded = placed.filter(pl.col("place") >= _PLACES)["arrived"]
    if len(crowded):
        raise fault(f"{what} in one minute must be at most {_PLACES} (got more at {crowded[0].isoformat()}): split the files")
    return placed.with_columns((minute * _PLACES + pl.col("place")).alias("offset")).drop("place")
