"""The true pairs, found another way than the match finds them: squares of latitude and longitude, one sorted array, every neighbour.

It shares with the match only the measure of distance. Each left event asks its own square and the eight around it for what
happened within the span of time, and measures every one of those.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from jobs.bench.match.inputs import BEGIN_MS, WITHIN, WITHIN_M, Inputs
from pipelines.linkage.space import geodesic_m

__all__ = ["Compared", "compare", "true_pairs"]

_TALL_DEG, _WIDE_DEG = 0.0005, 0.0006
"""A square is more than 50 m tall and wide up to 37° north, where a degree of longitude is more than 88 km."""
_TIME_BITS, _COLUMNS = 34, 1 << 14
_AT_ONCE = 200_000
_WITHIN_MS = WITHIN // timedelta(milliseconds=1)

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Pairs that were said beside the true ones."""

    pairs: int
    lost: int
    extra: int


def true_pairs(given: Inputs) -> pl.DataFrame:
    """All pairs, as columns ``left`` and ``right``, in order."""
    order = (_squares(given.right) << _TIME_BITS) + _since(given.right)
    right, order = given.right[np.argsort(order)], np.sort(order)
    found = [pl.DataFrame(schema={"left": pl.Int64, "right": pl.Int64})]
    found += [_pairs(part, right, order) for part in given.left.iter_slices(_AT_ONCE)]
    return pl.concat(found).sort("left", "right")


def _pairs(left: pl.DataFrame, right: pl.DataFrame, order: Ints) -> pl.DataFrame:
    squares, at_ms = _squares(left), _since(left)
    asked, found = [], []
    for step in (north * _COLUMNS + east for north in (-1, 0, 1) for east in (-1, 0, 1)):
        base = (squares + step) << _TIME_BITS
        first = np.searchsorted(order, base + at_ms - _WITHIN_MS)
        count = np.searchsorted(order, base + at_ms + _WITHIN_MS, side="right") - first
        begin = np.cumsum(count) - count
        asked.append(np.repeat(np.arange(len(count)), count))
        found.append(np.repeat(first - begin, count) + np.arange(count.sum()))
    theirs, own = left[np.concatenate(asked)], right[np.concatenate(found)]
    metres = geodesic_m(theirs["lat_deg"], theirs["lon_deg"], own["lat_deg"], own["lon_deg"])
    return pl.DataFrame({"left": theirs["event"], "right": own["event"]}).filter(pl.Series(metres <= WITHIN_M))


def _squares(side: pl.DataFrame) -> Ints:
    row, column = np.floor(side["lat_deg"].to_numpy() / _TALL_DEG), np.floor((side["lon_deg"].to_numpy() - 130.0) / _WIDE_DEG)
    squares: Ints = (row * _COLUMNS + column).astype(np.int64)
    # Small numbers, so that square and time fit into one of 64 bits.
    return squares - int(35.0 / _TALL_DEG) * _COLUMNS


def _since(side: pl.DataFrame) -> Ints:
    """Milliseconds since a little before the first event: never negative, also a span of time earlier."""
    since: Ints = side["at_ms"].to_numpy() - BEGIN_MS + _WITHIN_MS
    return since


def compare(said: pl.DataFrame, given: Inputs, truth: pl.DataFrame) -> Compared:
    """How many of the pairs among some events were not said, and how many were said that are none (or twice).

    Args:
        said: columns ``left`` and ``right``.
        given: the events that were given; of the true pairs those count of which both are among them.
        truth: all true pairs.
    """
    should = truth.join(given.left, left_on="left", right_on="event", how="semi").join(
        given.right, left_on="right", right_on="event", how="semi"
    )
    right = said.unique().join(should, on=["left", "right"], how="semi").height
    return Compared(pairs=should.height, lost=should.height - right, extra=said.height - right)
