"""Readings at a steady pace, as they would come from very many gauges, while water rises and falls.

Each reading is stamped when it is sent. Its level is what the gauge had recorded at a moment of a flood that goes by many times faster
than time, and of which each region lives through another part. So there is something to say while we look.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from connectors.kafka import KafkaSettings
from jobs.bench.recording import LEVELS, known
from jobs.bench.topics import producer, send
from pipelines.linkage import CLOCK
from schemas import feed

__all__ = ["TICK_S", "Flood", "flood"]

TICK_S = 10
FASTER = 144
"""So many times faster than it was a flood goes by: an hour in 25 seconds."""

_STEP_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """What one region has recorded: times (s since 1970) and levels (m) of each gauge; when the flood began, and how long it went on."""

    gauges: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    begins_s: float
    lasts_s: float

    def level(self, gauge_id: str, part: float, gone_s: float) -> float:
        """The level (m, to the centimetre) for a region that began at a part (0 to 1) of the flood, real seconds ago."""
        times, levels = self.gauges[gauge_id]
        return round(float(np.interp(self.begins_s + (part * self.lasts_s + gone_s * FASTER) % self.lasts_s, times, levels)), 2)


def flood(levels: pl.DataFrame, begins: datetime, lasts: timedelta) -> Flood:
    """The flood that readings of one region tell of."""
    there = levels.drop_nulls("level_m").sort("observed_at")
    gauges = {
        str(gauge_id): ((frame["observed_at"].to_physical() / 1000).to_numpy(), frame["level_m"].cast(pl.Float64).to_numpy())
        for (gauge_id,), frame in there.group_by("gauge_id", maintain_order=True)
    }
    return Flood(gauges=gauges, begins_s=begins.timestamp(), lasts_s=lasts.total_seconds())


class Live:
    """Sends readings and ticks to the topics of a namespace."""

    def __init__(self, cluster: KafkaSettings, of: Flood, regions: Sequence[str]) -> None:
        self._cluster, self._flood, self._regions = cluster, of, regions
        self._to = producer(cluster)
        pairs = [(region, gauge_id) for gauge_id in of.gauges for region in regions]
        self._order = [pairs[at] for at in np.random.default_rng(1).permutation(len(pairs)).tolist()]

    def begin(self, hours: int) -> int:
        """Lays gauges, models, a tick and so many hours of hourly readings there; returns how many readings."""
        for region in self._regions:
            for name, frame in known(region).items():
                send(self._to, self._cluster, name, frame)
        now = datetime.now(UTC)
        times = [now - timedelta(hours=back) for back in range(hours, 0, -1)]
        rows = [self._reading(at, pair, 0.0) for at in times for pair in self._order]
        send(self._to, self._cluster, LEVELS, _frame(LEVELS, rows))
        self._tick(now)
        return len(rows)

    def run(self, per_s: int, seconds: float) -> None:
        """Sends so many readings a second for so long, and a tick every ten seconds."""
        begun = time.time()
        sent, ticked = 0, int(begun) // TICK_S
        while (gone := time.time() - begun) < seconds:
            rows = [self._reading(datetime.now(UTC), self._order[at % len(self._order)], gone) for at in range(sent, int(gone * per_s))]
            if rows:
                send(self._to, self._cluster, LEVELS, _frame(LEVELS, rows))
                sent += len(rows)
            if int(time.time()) // TICK_S > ticked:
                ticked = int(time.time()) // TICK_S
                self._to.flush()  # all that arrived before a tick lies there before it
                self._tick(datetime.fromtimestamp(ticked * TICK_S, UTC))
            time.sleep(_STEP_S)
        self._to.flush()

    def _reading(self, now: datetime, pair: tuple[str, str], gone_s: float) -> dict[str, Any]:
        region, gauge_id = pair
        at = now.replace(microsecond=now.microsecond // 1000 * 1000)
        level_m = self._flood.level(gauge_id, self._regions.index(region) / len(self._regions), gone_s)
        record = {"region": region, "gauge_id": gauge_id, "observed_at": at, "version": 1, "op": "stated", "level_m": level_m}
        return record | {"arrived": at, "partition": 0, "offset": 0}

    def _tick(self, at: datetime) -> None:
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        send(self._to, self._cluster, CLOCK, _frame(CLOCK, [{"at": at, "arrived": at, "partition": 0, "offset": 0}]))
        self._to.flush()


def _frame(name: str, rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=feed(name).frame_schema)
