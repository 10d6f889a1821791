"""The flood rule: when an early notice is raised, goes on and ends, and when a gauge cannot be judged.

| from | to | when |
|---|---|---|
| no notice | notice | P(level passed within 3 h) ≥ .25, **or** P ≥ .125 and level + change of the last hour ≥ threshold (the safety net) |
| notice | none | P < .125, level < threshold − .1 m, at two readings running |
| notice | none | level < threshold, and nothing of the first row for 6 h of known readings |

Where no probability can be given the net counts alone. A notice lasts at least 120 minutes. One whose threshold ceases to
be is withdrawn. The gauge itself is `stale` when its last level is older than 100 minutes, has `no_reading` after 3 hours
or when it speaks without a level, has `no_threshold` when none is set above the level under which its sign is lost, and is
`not_observed` when it is a crisis gauge below its start level. None of these ends a notice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.linkage.derive import Verdict
from pipelines.linkage.grid import Grid, Key
from pipelines.linkage.sliding import Sliding
from pipelines.upstream_flood.evidence import FEATURES, Evidence, error_spread, exceedance, forecast_rise
from pipelines.upstream_flood.model import HORIZONS_H
from pipelines.upstream_flood.network import (
    HEARTBEAT_SILENT_MIN,
    HEARTBEAT_STALE_MIN,
    LEVELS,
    SILENT_MIN,
    STALE_MIN,
    Network,
    beside,
    network,
)
from pipelines.upstream_flood.rain import wakes
from pipelines.upstream_flood.telling import Telling
from pipelines.upstream_flood.words import OWN_STATES

__all__ = ["FloodRule"]

Array = NDArray[Any]
Record = Mapping[str, Any]

CLEAR_SHARE = 0.5
"""A notice may end below this share of the probability at which one is raised, and the safety net counts from it on."""
CLEAR_BELOW_M = 0.1
LIMITS_MIN = (STALE_MIN, SILENT_MIN, HEARTBEAT_STALE_MIN, HEARTBEAT_SILENT_MIN)
MOST_P = 0.95
"""No level that is not yet passed is called certain."""
QUIET_H = 6
EVERY = timedelta(minutes=10)
"""Width of a slot of the linkage."""
SPIKE_M = 0.8
MOST_MADE = 32
"""So many compiled networks are kept at most."""


class FloodRule(Telling):
    """Notices for every gauge from its own past, from upstream and from around it."""

    least: tuple[timedelta, ...] = (*(timedelta(minutes=120),) * len(LEVELS), *(timedelta(0),) * len(OWN_STATES))
    lookback = timedelta(hours=QUIET_H)
    bridge = timedelta(minutes=400)
    net_from = CLEAR_SHARE
    """Share of the probability at which a notice is raised from which on the safety net counts."""
    _made: tuple[tuple[tuple[Any, ...], Network], ...] = ()
    weights: Mapping[str, tuple[Any, Any, tuple[int, ...]]] = {
        "mu": (np.float64, np.nan, (4,)),
        "spread": (np.float64, np.nan, (4,)),
        "p": (np.float64, np.nan, (4,)),
        "level_m": (np.float64, np.nan, ()),
        "variant": (np.int8, 0, ()),
        "raises": (bool, False, (4,)),
        "calm": (bool, False, (4,)),
        "quiet": (bool, False, (4,)),
        "unconfirmed": (bool, False, ()),
        "stale": (bool, True, ()),
        "no_reading": (bool, True, ()),
        "anchor": (np.int64, -1, ()),
        "asleep": (bool, False, ()),
    }

    def ground(self, keys: Sequence[Key], tables: Mapping[str, Mapping[Key, Mapping[str, Any]]], every_ms: int) -> Network:
        """The network, thresholds, models and rain stations in force, and the official bulletins beside them."""
        compiled = self._compiled(keys, tables["gauges"], tables["model"], tables.get("stations", {}))
        return replace(compiled, beside=beside(compiled.records, tables["bulletins"], tables["understood"]))

    def _compiled(
        self, keys: Sequence[Key], gauges: Mapping[Key, Record], models: Mapping[Key, Record], stations: Mapping[Key, Record]
    ) -> Network:
        """The network without the bulletins, compiled once for the same records: bulletins are many and change none of it."""
        of = (*keys, *gauges.values(), *models.values(), *stations.values())
        for known, made in self._made:
            if len(known) == len(of) and all(a is b for a, b in zip(known, of, strict=True)):
                return made
        made = network(keys, gauges, models, FEATURES, stations=stations)
        self._made = (*self._made[1 - MOST_MADE :], (of, made))
        return made

    def weigh(self, ground: Network, past: Grid, slots: range) -> Mapping[str, Array]:
        """Forecast, probabilities and what they would raise or end, slot by slot."""
        seen = self.evidence(ground, past, slots)
        return {name: each[seen.of] for name, each in self.weighed(ground, seen).items()}

    def weighed(self, ground: Network, seen: Evidence) -> Mapping[str, Array]:
        """The same for the distinct slots of some evidence."""
        known = ground.learned
        mu = np.where(seen.fresh[..., None], forecast_rise(known, seen.features, seen.variant, seen.rain), np.nan)
        spread = error_spread(known, seen.features, seen.variant, mu)
        three = HORIZONS_H.index(3)
        limit = ground.thresholds_m
        level = seen.level_m[..., None]
        rows = np.arange(len(ground.keys))[:, None]
        delta = (limit - level) / known.scale_m[:, None]
        p = exceedance(known, rows, seen.variant[..., None], three, mu[..., three, None], spread[..., three, None], delta)
        raise_at = ground.raise_at[:, None]
        net = (level + np.maximum(seen.rise_m, 0)[..., None] >= limit) & ~(p < self.net_from * raise_at)
        raises = (p >= raise_at) | net
        passive = ~(p >= CLEAR_SHARE * raise_at) & ~net
        below = level < limit
        spike = np.fmax(SPIKE_M, known.scale_m)
        return {
            "mu": mu,
            "spread": spread,
            "p": np.where(level >= limit, p, np.minimum(np.where(net, np.fmax(p, known.keeps_rising[:, None]), p), MOST_P)),
            "level_m": seen.level_m,
            "variant": seen.variant,
            "raises": raises & seen.fresh[..., None],
            "calm": passive & (level < limit - CLEAR_BELOW_M),
            "quiet": below & ~raises,
            "unconfirmed": (np.abs(seen.jump_m) > spike) & seen.witnessed & (seen.features[..., FEATURES.index("around_share")] == 0),
            "stale": seen.stale,
            "no_reading": seen.no_reading,
            "anchor": seen.anchor,
            "asleep": seen.asleep,
        }

    def judge(self, ground: Network, past: Grid, weighed: Sliding, slots: range) -> Verdict:
        """The table of transitions, for all slots at once."""
        calm = weighed.window("calm", slots.start, slots.stop) & self._calm_before(past, weighed, slots)
        quiet = self._quiet_long(past, weighed, slots)
        stale, no_reading = (weighed.window(name, slots.start, slots.stop) for name in ("stale", "no_reading"))
        bare = np.broadcast_to(np.isnan(ground.thresholds_m).all(axis=1), stale.shape)
        asleep = weighed.window("asleep", slots.start, slots.stop)
        own = np.stack([stale, no_reading, bare, asleep], axis=-1)
        void = np.concatenate([np.isnan(ground.thresholds_m), np.broadcast_to(~ground.valid[:, None], own.shape[1:])], axis=-1)
        return Verdict(
            opens=np.concatenate([weighed.window("raises", slots.start, slots.stop), own], axis=-1),
            closes=np.concatenate([calm | quiet, ~own], axis=-1),
            void=np.broadcast_to(void, (len(slots), *void.shape)),
        )

    def _calm_before(self, past: Grid, weighed: Sliding, slots: range) -> Array:
        """Whether it was calm at the reading before the newest one, too, which is no older than the rule looks back."""
        width = self.lookback // EVERY
        start = slots.start - width
        anchor = weighed.window("anchor", slots.start, slots.stop)
        last = past.slots.window("last", start, slots.stop)
        before = np.take_along_axis(last, np.clip(anchor - 1 - start, 0, len(last) - 1), 0)
        calm = weighed.window("calm", start, slots.stop)
        there = (anchor > start) & (before >= np.arange(slots.start, slots.stop)[:, None] - width)
        return np.take_along_axis(calm, np.clip(before - start, 0, len(calm) - 1)[..., None], 0) & there[..., None]

    def _quiet_long(self, past: Grid, weighed: Sliding, slots: range) -> Array:
        """Whether the last six hours were known and quiet throughout."""
        width = self.lookback // EVERY
        long: Array = weighed.window("quiet", slots.start - width + 1, slots.stop)
        have = 1
        while have < width:  # quiet for so many slots, and for as many before
            more = min(have, width - have)
            long, have = long[more:] & long[:-more], have + more
        return long

    def wake(self, ground: Network, past: Grid, slot: int) -> int:
        """The next slot in which a gauge falls silent or stops being an input, or an hour of rain ends."""
        if not len(past.slots):
            return slot + 1
        last = past.slots.window("last", slot, slot + 1)[0]
        heard = last >= past.slots.first
        taken = past.slots["time"][np.where(heard, last - past.slots.first, 0), np.arange(len(last))][heard]
        mute = past.slots.window("last_mute", slot, slot + 1)[0]
        words = mute[(mute >= past.slots.first) & np.isfinite(ground.start_m)]  # of crisis gauges: that they are below their start level
        falls = np.concatenate(
            [(taken + minutes * 60_000) // past.every_ms + 1 for minutes in LIMITS_MIN]
            + [words + minutes * 60_000 // past.every_ms + 1 for minutes in (HEARTBEAT_STALE_MIN, HEARTBEAT_SILENT_MIN)]
        )
        ahead = falls[falls > slot]
        return min([int(ahead.min(initial=slot + 2**20)), *wakes(ground, past, slot)])

    def ends(self, weighed: Sliding, slot: int, row: Array, subject: Array) -> Array:
        """When six quiet hours will have passed: a notice ends by time alone only then."""
        width = self.lookback // EVERY
        level = subject < len(LEVELS)  # what is said of the gauge itself ends when it speaks, never by time
        quiet = weighed.window("quiet", slot - width + 1, slot + 1)[:, row[level], subject[level]]
        since_loud = np.where((~quiet).any(axis=0), (~quiet)[::-1].argmax(axis=0), width)
        return slot + width - since_loud
