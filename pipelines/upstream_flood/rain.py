"""How much it rained around each gauge in the last hours that had ended, by the nearest rain stations.

A sum over some hours is the mean of all amounts that are known in them times their number: an hour that nobody recorded is
not dry. Where none is known in a span, it rained as in the next longer one. Only hours that have ended by a slot count in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.linkage.grid import VALUE, Grid
from pipelines.upstream_flood.model import RAIN_TABLE
from pipelines.upstream_flood.network import Network

__all__ = ["SPANS_H", "Wet", "heard", "rain_around", "wakes", "wettest"]

Array = NDArray[Any]

SPANS_H = (1, 3, 6, 24)
"""Rain is summed over the last so many hours that had ended."""
EVERY, REACH = timedelta(hours=1), timedelta(hours=36)
"""Width of a slot of rain, and how far back it is held: the longest span, the quiet hours, and what of an hour has passed."""
SCALE_MM = 50.0
"""Sums are measured in this, which is a wet day; and clipped at three of it."""
MOST = 3.0
FRESH_H = (6, 24)
"""Rain is fresh where at least half of the station hours of each of these spans, weighed as amounts are, are known: the recorder misses an
hour a day."""
HALF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wet:
    """Rain around each gauge, hour by hour."""

    of: Array
    """For each slot the hour (counted from the first) that had ended last."""
    columns: Array
    """hours × rows × columns, dimensionless; zeros where it is not fresh."""
    fresh: Array
    """hours × rows."""
    new: Array
    """Slots in which another hour says something else than the one before."""


def rain_around(net: Network, past: Grid, slots: range) -> Wet | None:
    """The rain that is known in each slot; None: none is, or no table for it was learned."""
    rain = past.beside.get("rain")
    if rain is None or not len(rain.slots) or not len(net.stations) or not (net.learned.richest == RAIN_TABLE).any():
        return None
    ended = np.arange(slots.start, slots.stop) * past.every_ms // rain.every_ms
    sums, share = _sums(net, rain, range(int(ended[0]), int(ended[-1]) + 1))
    fresh = np.logical_and.reduce([share[SPANS_H.index(span)] >= HALF for span in FRESH_H]) & (net.learned.richest == RAIN_TABLE)
    columns = np.where(fresh[..., None], _columns(sums), 0.0)
    of = ended - ended[0]
    turns = np.zeros(len(columns), bool)
    turns[1:] = (columns[1:] != columns[:-1]).any(axis=(1, 2)) | (fresh[1:] != fresh[:-1]).any(axis=1)
    new = np.zeros(len(of), bool)
    new[1:] = (of[1:] != of[:-1]) & turns[of[1:]]
    return Wet(of=of, columns=columns, fresh=fresh, new=new)


def _sums(net: Network, rain: Grid, hours: range) -> tuple[list[Array], list[Array]]:
    """For each span the rain of its hours, millimetres (hours × rows), and the share of its station hours that is known.

    Amounts are added station by station and hour by hour in a fixed order.
    """
    longest = SPANS_H[-1]
    at = [rain.row.get(key, -1) for key in net.stations]
    held = rain.slots.window("value", hours.start - longest + 1, hours.stop)
    values = np.full((len(held), len(at) + 1), np.nan)  # the last one is the station that is never there
    there = [nth for nth, row in enumerate(at) if row >= 0]
    values[:, there] = held[:, [at[nth] for nth in there]]
    known = np.isfinite(values)
    hourly = np.stack([np.where(known, np.maximum(values, 0.0), 0.0), known], axis=-1)
    total, means, share = np.zeros((len(hours), *hourly.shape[1:])), [], []
    rows, begin = len(net.keys), net.rain.begin
    whole = np.add.reduceat(net.rain.weight, begin)
    for lag in range(longest):
        total = total + hourly[longest - 1 - lag : longest - 1 - lag + len(hours)]
        if lag + 1 in SPANS_H:
            around = np.add.reduceat(total.take(net.rain.row, axis=1) * net.rain.weight[:, None], begin, axis=1).reshape(-1, rows, 2)
            means.append(np.where(around[..., 1] > 0, around[..., 0] / np.where(around[..., 1] > 0, around[..., 1], 1.0), np.nan))
            share.append(around[..., 1] / np.where(whole > 0, whole * (lag + 1), 1.0))
    for shorter in range(len(means) - 2, -1, -1):
        means[shorter] = np.where(np.isnan(means[shorter]), means[shorter + 1], means[shorter])
    return [mean * span for mean, span in zip(means, SPANS_H, strict=True)], share


def _columns(sums: list[Array]) -> Array:
    """Rain of an hour and of three; of three on ground that is wet; and of three once more, which evidence multiplies by the height."""
    one, three, _, day = (np.clip(each / SCALE_MM, 0, MOST) for each in sums)
    return np.stack([one, three, three * day, three], axis=-1)


def heard(net: Network, past: Grid, row: int, first_ms: int, last_ms: int) -> list[int]:
    """Stations of a gauge (indices into ``net.stations``) that told an amount for an hour that ended in [first, last]."""
    rain = past.beside.get("rain")
    if rain is None or not len(rain.slots) or net.learned.richest[row] != RAIN_TABLE:
        return []
    kinds = rain.slots.window("kind", -(-first_ms // rain.every_ms), last_ms // rain.every_ms + 1)
    rows = {each: rain.row.get(net.stations[each]) for each in net.rain.of(0, row).tolist()}
    return [each for each, at in rows.items() if at is not None and (kinds[:, at] == VALUE).any()]


def wettest(net: Network, past: Grid, row: int, slot: int) -> tuple[int, int]:
    """Of the stations of a gauge the one that told most of the last three hours (an index), and when its newest hour ended (ms)."""
    rain = past.beside["rain"]
    ended = slot * past.every_ms // rain.every_ms
    values, times = (rain.slots.window(name, ended - SPANS_H[-1] + 1, ended + 1) for name in ("value", "time"))
    told = []
    for each in net.rain.of(0, row).tolist():
        at = rain.row.get(net.stations[each])
        if at is not None and (known := np.isfinite(values[:, at])).any():
            told.append((float(np.nansum(values[-3:, at])), net.stations[each], each, int(times[known, at].max())))
    _, _, station, time_ms = max(told)
    return station, time_ms


def wakes(net: Network, past: Grid, slot: int) -> list[int]:
    """The slot in which the next hour ends, as long as rain of the longest span or of hours to come is held."""
    rain = past.beside.get("rain")
    if rain is None or not len(rain.slots) or not (net.learned.richest == RAIN_TABLE).any():
        return []
    ended = slot * past.every_ms // rain.every_ms
    held = rain.slots.window("kind", ended - SPANS_H[-1] + 1, max(rain.slots.stop, ended + 1))
    return [-(-(ended + 1) * rain.every_ms // past.every_ms)] if (held == VALUE).any() else []
