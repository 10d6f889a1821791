"""What the readings up to a slot say about a gauge: its own rise, the rivers above it, the gauges around it.

Everything is measured in the gauge's own scale s, so that one set of numbers fits small and large rivers. A value that
is not known counts as 0, and how many inputs are fresh decides which coefficient table may be used. Sums run in a fixed
order over the inputs, so that a slot gets the same numbers to the last bit however many are computed at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.linkage.grid import EMPTY, NEVER, Grid
from pipelines.upstream_flood.model import RAIN, RAIN_TABLE, SPREAD, VARIANTS, Learned
from pipelines.upstream_flood.network import HEARTBEAT_SILENT_MIN, HEARTBEAT_STALE_MIN, SILENT_MIN, STALE_MIN, Inputs, Network
from pipelines.upstream_flood.rain import rain_around

__all__ = [
    "FEATURES",
    "GROUPS",
    "VARIANTS",
    "Evidence",
    "error_spread",
    "evidence",
    "exceedance",
    "forecast_change",
    "forecast_rise",
    "or_zero",
]

Array = NDArray[Any]

OWN = ("u", "lev", "d1", "d2", "d3", "d6", "d12")
"""Height over the lowest of 24 h, over the median; change 0–1, 1–2, 2–3, 3–6 and 6–12 hours ago."""
_SHAPE = ("rise", "rise_high", "rise_faster", "one")
_ABOVE = ("u", "d1", "d2", "d3", "d6", "ahead")
_CLASSES = ("near", "mid", "far")
_AROUND = ("u", "d1", "d2", "d3", "d6", "share", "most", "wet")
FEATURES = (*OWN, *_SHAPE, *(f"{which}_{name}" for which in _CLASSES for name in _ABOVE), *(f"around_{name}" for name in _AROUND))
"""Columns of the evidence, in order."""

USED = {"own": 11, "own_upstream": 29, "full": 37, "with_rain": 37}
"""How many of the first columns each table uses; the one with rain has those of rain, too."""
GROUPS = {"own level": (0, 1, 10), "own rise": (2, 3, 4, 5, 6, 7, 8, 9), "upstream near": tuple(range(11, 17)),
          "upstream mid": tuple(range(17, 23)), "upstream far": tuple(range(23, 29)), "around": tuple(range(29, 37))}  # fmt: skip
"""Columns that are explained together."""

LAGS_H = (1, 2, 3, 6, 12)
DAY_H = 24
HALF = 0.5
"""The richest table is used of which at least half of the inputs are fresh."""
LEAST_SPREAD = 0.015
"""No forecast is believed to be surer than this, in s: a level is read in whole centimetres."""
SPIKE_WITHIN_H = 4
"""A jump is one between readings at most so many hours apart."""
SHARE_RISING = 0.08
"""A neighbour rises when its change of the last hour is above this, in s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """For distinct slots × rows: the newest reading and what it and its surroundings say."""

    of: Array
    """For each slot that was asked for the distinct one that it equals."""
    features: Array
    """distinct slots × rows × features, dimensionless; rows without a fresh level hold zeros."""
    fresh: Array
    level_m: Array
    """Newest level, not lower than the floor under which the sign is lost; NaN: not fresh."""
    rise_m: Array
    """Its change of the last hour, metres; 0 where not known."""
    jump_m: Array
    """Its change since the reading before, metres; 0 where not known."""
    witnessed: Array
    """Whether one of the gauges around is fresh, which would have seen a rise."""
    anchor: Array
    """Slot of the newest level; ``NEVER``: none."""
    rain: Array
    """distinct slots × rows × columns of rain; zeros where the table with rain may not be used."""
    variant: Array
    """Index of the richest coefficient table that may be used."""
    stale: Array
    """The last level is older than it may be."""
    no_reading: Array
    """None came for long, or the gauge speaks without one."""
    asleep: Array
    """A crisis gauge that is below its start level by what it said last, at most a day ago."""


def evidence(net: Network, past: Grid, slots: range) -> Evidence:
    """What the readings up to each slot say.

    Args:
        net: the reference records in force in these slots.
        past: readings, rows as in ``net``.
        slots: slots to compute; the past must reach a day, the staleness and the bridge further back.
    """
    every_min = past.every_ms // 60_000
    base = slots.start - -(-STALE_MIN // every_min)
    anchor = past.slots.window("last", slots.start, slots.stop)
    index = np.clip(anchor - base, 0, slots.stop - base - 1)
    age_min = _age_min(past, slots, anchor)
    fresh = (anchor >= base) & (age_min <= STALE_MIN) & net.valid
    stale, no_reading, asleep = _silence(past, slots, anchor, age_min, net)
    wet = rain_around(net, past, slots)
    distinct, of = _distinct(past, slots, None if wet is None else wet.new, fresh, stale, no_reading)
    anchor, index, fresh = anchor[distinct], index[distinct], fresh[distinct]
    own = np.where(fresh[..., None], _own(net, past, range(base, slots.stop), index), 0.0)
    level = np.where(fresh, _floored(net, np.take_along_axis(past.slots.window("value", base, slots.stop), index, 0)), np.nan)
    features = np.zeros((*fresh.shape, len(FEATURES)))
    features[..., :7] = own[..., :7]
    _shape(features)
    upstream, all_inputs, witnessed = _surroundings(net, own, fresh, features)
    features[~fresh] = 0.0
    variant = np.where(upstream < HALF, 0, np.where(all_inputs < HALF, 1, 2)) * np.isfinite(net.learned.scale_m)
    rain = np.zeros((*fresh.shape, len(RAIN)))
    if wet is not None:
        rained = (variant == RAIN_TABLE - 1) & wet.fresh[wet.of[distinct]] & fresh
        variant = np.where(rained, RAIN_TABLE, variant)
        rain = np.where(rained[..., None], wet.columns[wet.of[distinct]], 0.0)
        rain[..., -1] *= features[..., 0]
    return Evidence(
        of=of,
        features=features,
        fresh=fresh,
        level_m=level,
        rise_m=own[..., 7],
        jump_m=_jump(net, past, anchor) * fresh,
        witnessed=witnessed,
        anchor=anchor,
        rain=rain,
        variant=variant,
        stale=stale[distinct],
        no_reading=no_reading[distinct],
        asleep=asleep[distinct],
    )


def _age_min(past: Grid, slots: range, anchor: Array) -> Array:
    """How old the newest level of each row is at the end of each slot, minutes; very old where there is none."""
    ends = np.arange(slots.start, slots.stop)[:, None] * past.every_ms
    if not len(past.slots):
        return np.full(anchor.shape, np.inf)
    at = np.clip(anchor - past.slots.first, 0, len(past.slots) - 1)
    taken = np.where(anchor >= past.slots.first, past.slots["time"][at, np.arange(anchor.shape[1])], NEVER)
    age: Array = (ends - taken) / 60_000
    return age


def _distinct(past: Grid, slots: range, rained: Array | None, *states: Array) -> tuple[Array, Array]:
    """The slots (counted from the first) that differ from the one before, and for each slot which of them it equals.

    A slot in which nobody spoke, nobody fell silent and no hour of rain ended says what the one before said.
    """
    new = (past.slots.window("kind", slots.start, slots.stop) != EMPTY).any(axis=1)
    if rained is not None:
        new |= rained
    for state in states:
        new[1:] |= (state[1:] != state[:-1]).any(axis=1)
    new[0] = True
    return np.flatnonzero(new), np.cumsum(new) - 1


def _floored(net: Network, level_m: Array) -> Array:
    return np.maximum(level_m, net.floor_m)


def _own(net: Network, past: Grid, slots: range, index: Array) -> Array:
    """distinct slots × rows × 8: the seven own columns as they are in slot ``index`` (counted from the first), and the last hour's
    change in metres."""
    per_hour = 3_600_000 // past.every_ms
    longest = LAGS_H[-1] * per_hour
    filled = past.slots.window("filled", slots.start - longest, slots.stop)
    now, *lagged = (_floored(net, np.take_along_axis(filled, index + longest - lag * per_hour, 0)) for lag in (0, *LAGS_H))
    changes = [or_zero(newer - older) for newer, older in pairwise([now, *lagged])]
    values = past.slots.window("value", slots.start - DAY_H * per_hour + 1, slots.stop)
    lowest = _floored(net, np.take_along_axis(_lowest(values, DAY_H * per_hour), index, 0))
    scale, median = net.learned.scale_m, net.learned.median_m
    columns = [np.clip((now - lowest) / scale, 0, 4), np.clip((now - median) / scale, -1, 5)]
    columns += [np.clip(change / scale, -1.5, 1.5) for change in changes]
    return or_zero(np.stack([*columns, changes[0]], axis=-1))


def _lowest(values: Array, width: int) -> Array:
    """Smallest known value of the ``width`` slots up to each; NaN: none.

    Windows that overlap share what is common to them: half a width of windows at a time.
    """
    out = np.empty((len(values) - width + 1, *values.shape[1:]))
    for at in range(0, len(out), width // 2):
        some = out[at : at + width // 2]
        last, ahead = len(some) - 1, values[at + width :]
        some[last] = np.fmin.reduce(values[at + last : at + width], axis=0)
        for k in range(last - 1, -1, -1):
            np.fmin(some[k + 1], values[at + k], out=some[k])
        later = np.full_like(some[0], np.nan)
        for k in range(1, len(some)):
            np.fmin(later, ahead[k - 1], out=later)
            np.fmin(some[k], later, out=some[k])
    return out


def _shape(features: Array) -> None:
    u, d1, d2 = features[..., 0], features[..., 2], features[..., 3]
    features[..., 7] = np.maximum(d1, 0)
    features[..., 8] = d1 * u
    features[..., 9] = np.maximum(d1 - d2, 0)
    features[..., 10] = 1.0


def _surroundings(net: Network, own: Array, fresh: Array, features: Array) -> tuple[Array, Array, Array]:
    """Fills the columns of upstream and neighbours; returns the shares of upstream and of all inputs that are fresh, and whether one of
    those around is."""
    mean, there, rising, most = _means(net.inputs, own[..., (0, 2, 3, 4, 5)], fresh)
    for group in range(3):
        column = 11 + 6 * group
        features[..., column : column + 5] = mean[:, group]
        features[..., column + 5] = np.where(there[:, group] > 0, mean[:, group, :, 0] - features[..., 0], 0.0)
    around = mean[:, 3]
    features[..., 29:34] = around
    features[..., 34] = rising[:, 3] / np.maximum(there[:, 3], 1)
    features[..., 35] = most[:, 3]
    features[..., 36] = np.maximum(around[..., 1], 0) * np.clip(around[..., 0], 0, 1)
    wanted = net.inputs.count
    up = _share(there[:, :3].sum(axis=1), wanted[:3].sum(axis=0), where_none=1.0)
    return up, _share(there.sum(axis=1), wanted.sum(axis=0), where_none=0.0), there[:, 3] > 0


def _share(there: Array, wanted: Array, *, where_none: float) -> Array:
    share: Array = np.where(wanted > 0, there / np.maximum(wanted, 1), where_none)
    return share


def _means(inputs: Inputs, values: Array, fresh: Array) -> tuple[Array, Array, Array, Array]:
    """For slots × groups × rows: weighted means over the fresh inputs, how many there are, how many rise, the largest change."""
    slots, rows, columns = values.shape
    packed = np.zeros((slots, rows + 1, columns + 3))
    packed[:, :rows, :columns] = np.where(fresh[..., None], values, 0.0)
    packed[:, :rows, columns] = packed[:, :rows, columns + 1] = fresh
    packed[:, :rows, columns + 2] = fresh & (values[..., 1] > SHARE_RISING)
    change = np.full((slots, rows + 1), -np.inf)
    change[:, :rows] = np.where(fresh, values[..., 1], -np.inf)
    edges = packed.take(inputs.row, axis=1)
    edges[..., : columns + 1] *= inputs.weight[:, None]
    shape = (slots, len(inputs.count), rows)
    total = np.add.reduceat(edges, inputs.begin, axis=1).reshape(*shape, columns + 3)
    most = np.maximum.reduceat(change.take(inputs.row, axis=1), inputs.begin, axis=1).reshape(shape)
    weight, there = total[..., columns], total[..., columns + 1]
    mean = total[..., :columns] / np.where(weight > 0, weight, 1)[..., None]
    return mean, there, total[..., columns + 2], np.where(there > 0, most, 0.0)


def _jump(net: Network, past: Grid, anchor: Array) -> Array:
    """Change from the reading before the newest one, where both are held."""
    base, held = past.slots.first, past.slots
    if not len(held):
        return np.zeros(anchor.shape)
    at = np.clip(anchor - base, 0, len(held) - 1)
    rows = np.arange(anchor.shape[1])
    before = np.where(at > 0, held["last"][at - 1, rows], NEVER)
    known = (anchor > base) & (before >= base)
    values = held["value"]
    change = _floored(net, values[at, rows]) - _floored(net, values[np.clip(before - base, 0, len(held) - 1), rows])
    return or_zero(np.where(known & (anchor - before <= SPIKE_WITHIN_H * 3_600_000 // past.every_ms), change, 0.0))


def _silence(past: Grid, slots: range, anchor: Array, age_min: Array, net: Network) -> tuple[Array, Array, Array]:
    """Which gauges cannot be judged for want of a level: stale, without reading, below their start level.

    A crisis gauge that speaks without a level says that it is below its start level, and is as old as that word.
    """
    known = anchor >= past.slots.first
    spoke = past.slots.window("last_mute", slots.start, slots.stop)
    mute = spoke > anchor
    below = mute & (spoke >= past.slots.first) & np.isfinite(net.start_m)
    asleep = known & np.isfinite(net.start_m)
    if asleep.any():
        at = np.clip(anchor - past.slots.first, 0, len(past.slots) - 1)
        asleep &= past.slots["value"][at, np.arange(anchor.shape[1])] < net.start_m
    asleep |= below
    known |= below
    since_word = (np.arange(slots.start, slots.stop)[:, None] - spoke) * (past.every_ms // 60_000)
    age_min = np.where(below, since_word, age_min)
    stale = (age_min > np.where(asleep, HEARTBEAT_STALE_MIN, STALE_MIN)) | ~known
    no_reading = (age_min > np.where(asleep, HEARTBEAT_SILENT_MIN, SILENT_MIN)) | (mute & ~below) | ~known
    return stale, no_reading, asleep & ~stale & ~no_reading


def forecast_rise(known: Learned, features: Array, variant: Array, rain: Array | None = None) -> Array:
    """Forecast of the highest rise within each horizon: slots × rows × horizons, in s; NaN where there is no model.

    mu = beta · x with the coefficient table that ``variant`` names; ``rain`` counts where that is the one with rain.
    """
    mu = _forecast(known, known.coefficients, features, variant)
    rained = (variant == RAIN_TABLE)[..., None]
    if rain is None or not rained.any():
        return mu
    wet = np.zeros(mu.shape)
    for column in range(len(RAIN)):  # one after the other: the same sum however many slots are computed
        wet = wet + rain[..., column, None] * known.of_rain[..., column]
    return np.where(rained, mu + wet, mu)


def forecast_change(known: Learned, features: Array, variant: Array) -> Array:
    """Forecast of the change of the level until the end of each horizon: slots × rows × horizons, in s; NaN where there is none."""
    return _forecast(known, known.level_coefficients, features, variant)


def _forecast(known: Learned, coefficients: Array, features: Array, variant: Array) -> Array:
    chosen = coefficients[np.arange(features.shape[1]), variant]
    mu: Array = np.einsum("srf,srhf->srh", features, chosen)
    return np.where(np.isfinite(known.scale_m)[:, None], mu, np.nan)


def error_spread(known: Learned, features: Array, variant: Array, mu: Array) -> Array:
    """How large the error of each forecast is expected to be: slots × rows × horizons, in s; NaN where mu is."""
    chosen = known.spread[known.group, variant]
    constant, of_u, of_mu = (chosen[..., each] for each in range(len(SPREAD)))
    spread: Array = np.maximum(constant + of_u * features[..., FEATURES.index("u"), None] + of_mu * np.maximum(mu, 0), LEAST_SPREAD)
    return spread


def exceedance(known: Learned, rows: Array, variant: Array, horizon: Any, mu: Array, spread: Array, delta: Array) -> Array:
    """Probability that the rise reaches ``delta`` (in s): the share of past errors at or above delta − mu, each measured in its spread.

    All arguments but the first broadcast together; ``horizon`` is an index or an array of them. NaN where mu or delta is.
    """
    group = known.group[rows]
    x = ((delta - mu) / spread - known.error_from[group]) / known.error_step[group]
    low = np.minimum(np.maximum(np.floor(or_zero(x)), 0), known.error_steps[group] - 2).astype(np.int64)
    part = np.minimum(np.maximum(x - low, 0.0), 1.0)
    left, right = (known.exceedance[group, variant, horizon, each] for each in (low, low + 1))
    return np.where(delta <= 0, 1.0, left + part * (right - left))


def or_zero(values: Array) -> Array:
    """Numbers with 0 where none is known."""
    return np.where(np.isnan(values), 0.0, values)
