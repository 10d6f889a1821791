"""A day at the crossings of a town: two kinds of near misses, about one true pair for each, drawn from a seed.

At each crossing vehicles brake and cyclists report, each as often as the other, evenly over the day and within some metres of its
middle. A record arrives up to two minutes after it happened, so records of one crossing overtake each other. Which of them are pairs
is found by ``truth``, which shares nothing with the match but the measure of distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["BEGIN_MS", "DAY", "DELAY", "EVENTS", "SPAN", "WITHIN", "WITHIN_M", "Inputs", "inputs"]

WITHIN, WITHIN_M = timedelta(minutes=10), 50.0
"""A pair lies at most so far apart."""

EVENTS = 1_000_000
"""Of each side in a day, at full size."""

SPAN, DELAY = timedelta(days=1), timedelta(minutes=2)
DAY = datetime(2024, 5, 28, tzinfo=UTC)
BEGIN_MS = int(DAY.timestamp() * 1000)

_CROSSINGS = 10_600
_SCATTER_M = 40.0
"""Events lie evenly in a circle so wide around a crossing. Of two of them three quarters are within 50 m of each other."""
_SOUTH_DEG, _WEST_DEG, _ACROSS_DEG = 35.8, 136.0, 0.4
_LAT_M, _LON_M = 110_950.0, 90_000.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Two sides in order of arrival, with columns ``event``, ``at_ms``, ``arrived_ms``, ``lat_deg``, ``lon_deg`` and ``crossing``.

    ``event`` counts from 0 on each side in the order in which they happened, ``crossing`` from 0 to ``crossings``.
    """

    left: pl.DataFrame
    right: pl.DataFrame
    crossings: int

    @property
    def events(self) -> int:
        """Of both sides."""
        return self.left.height + self.right.height

    def share(self, part: float) -> Inputs:
        """What happened at so large a part of the crossings: fewer events, as many pairs for each, the whole day."""
        crossings = max(round(self.crossings * part), 1)
        here = pl.col("crossing") < crossings
        return Inputs(left=self.left.filter(here), right=self.right.filter(here), crossings=crossings)


def inputs(size: float = 1.0, *, span: timedelta = SPAN, seed: int = 1) -> Inputs:
    """So large a part of the town, for so long; equal arguments give equal events.

    Example:
        >>> inputs(0.001).left.height, inputs(0.001).crossings
        (1000, 11)
    """
    crossings = max(round(_CROSSINGS * size), 1)
    events = max(round(EVENTS * size * (span / SPAN)), 1)
    where = np.random.default_rng([seed, 0]).uniform(0, _ACROSS_DEG, (2, _CROSSINGS))[:, :crossings]
    places = where[0] + _SOUTH_DEG, where[1] + _WEST_DEG
    left, right = (_side(np.random.default_rng([seed, side]), places, events, span) for side in (1, 2))
    return Inputs(left=left, right=right, crossings=crossings)


def _side(g: np.random.Generator, places: tuple[Floats, Floats], events: int, span: timedelta) -> pl.DataFrame:
    crossing = g.integers(0, len(places[0]), events)
    away_m, bearing = _SCATTER_M * np.sqrt(g.uniform(0, 1, events)), g.uniform(0, 2 * np.pi, events)
    at_ms = BEGIN_MS + np.sort(g.integers(0, span // timedelta(milliseconds=1), events))
    return pl.DataFrame(
        {
            "event": np.arange(events),
            "at_ms": at_ms,
            "arrived_ms": at_ms + g.integers(0, DELAY // timedelta(milliseconds=1), events),
            "lat_deg": places[0][crossing] + away_m * np.cos(bearing) / _LAT_M,
            "lon_deg": places[1][crossing] + away_m * np.sin(bearing) / _LON_M,
            "crossing": crossing,
        }
    ).sort("arrived_ms", maintain_order=True)
