"""What a model foretells at every reading, notices aside: so that its numbers can be judged, also where nothing was raised.

The same evidence of levels and the same model as in the rule; of rain nothing is read, so a model with a table for it is judged by its
full one. Each reading is given as it came, and of what came after it nothing is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.linkage.grid import VALUE, Grid, Key
from pipelines.upstream_flood.evidence import FEATURES, evidence, forecast_change, forecast_rise
from pipelines.upstream_flood.model import HORIZONS_H
from pipelines.upstream_flood.network import Network, network
from pipelines.upstream_flood.rule import EVERY, FloodRule

if TYPE_CHECKING:
    from schemas.feeds import Feed

__all__ = ["foretold"]

_PART = 720
_SPAN = timedelta(days=30)
_BEFORE = timedelta(hours=48)


def foretold(
    levels: pl.DataFrame,
    gauges: Mapping[Key, Mapping[str, Any]],
    model: Mapping[str, Any],
    *,
    level_feed: Feed,
    of: Sequence[str],
    hours: Sequence[int],
) -> pl.DataFrame:
    """How much the model thought a gauge would rise, at each of its readings.

    Args:
        levels: ``river.level.v1`` of one region, without late readings.
        gauges: gauge records in force, by region and gauge_id.
        model: the record of ``river.flood-model.v1`` for the region.
        level_feed: the feed of the readings.
        of: gauge_ids to tell of.
        hours: horizons to tell of, among those of the model.

    Returns:
        gauge_id, at (end of the slot of the reading), level_m, d1_m (change of the last hour), and for each horizon ``highest_<h>h_m``
        and ``then_<h>h_m``: the forecasts of the highest level within it and of the level at its end; null where there is no model.
    """
    keys = sorted(gauges)
    ground = network(keys, gauges, {(model["region"],): model}, FEATURES)
    rows = np.array([at for at, key in enumerate(keys) if key[1] in of], np.int64)
    parts = [_part(past, ground, slots, rows, hours) for past, slots in _parts(levels, keys, level_feed)]
    nothing: dict[str, Any] = {"gauge_id": pl.String, "at": pl.Datetime("ms", "UTC"), "level_m": pl.Float64, "d1_m": pl.Float64}
    ahead = {f"{name}_{each}h_m": pl.Float64 for name in ("highest", "then") for each in hours}
    return pl.concat([pl.DataFrame(schema=nothing | ahead), *parts])


def _parts(levels: pl.DataFrame, keys: Sequence[Key], level_feed: Feed) -> Iterator[tuple[Grid, range]]:
    """Some days of slots at a time, with a past that reaches two days further back."""
    known = levels.filter(pl.col("gauge_id").is_in([key[1] for key in keys])).sort("observed_at")
    for begin in known["observed_at"].dt.truncate("30d").unique().sort().to_list():
        past = Grid(level_feed, value="level_m", every=EVERY, bridge=FloodRule.bridge)
        past.know(keys)
        past.add(known.filter(pl.col("observed_at").is_between(begin - _BEFORE, begin + _SPAN)))
        start, stop = (past.slot_of(_ms(each)) for each in (begin, begin + _SPAN))
        start, stop = max(start + 1, past.slots.first), min(stop + 1, past.slots.stop)
        yield from ((past, range(at, min(at + _PART, stop))) for at in range(start, stop, _PART))


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _part(past: Grid, ground: Network, slots: range, rows: NDArray[np.int64], hours: Sequence[int]) -> pl.DataFrame:
    seen = evidence(ground, past, slots)
    spoke = (past.slots.window("kind", slots.start, slots.stop) == VALUE)[:, rows] & seen.fresh[seen.of][:, rows]
    at, nth = np.nonzero(spoke)
    row, when = rows[nth], seen.of[at]
    mu = forecast_rise(ground.learned, seen.features, seen.variant)[when, row]
    level = seen.level_m[when, row]
    change = forecast_change(ground.learned, seen.features, seen.variant)[when, row]
    told = {"highest": mu, "then": change}
    ahead = {
        f"{name}_{each}h_m": level + found[:, HORIZONS_H.index(each)] * ground.learned.scale_m[row]
        for name, found in told.items()
        for each in hours
    }
    frame = pl.DataFrame(
        {
            "gauge_id": np.array([key[1] for key in ground.keys])[row],
            "at": pl.Series((slots.start + at) * past.every_ms).cast(pl.Datetime("ms", "UTC")),
        }
        | {"level_m": level, "d1_m": seen.rise_m[when, row]}
        | ahead
    )
    return frame.with_columns(pl.col("gauge_id").cast(pl.String), pl.col(pl.Float64).fill_nan(None))
