"""Reference forecasts: what would be raised and cleared without a model, by the rule's own table of transitions.

A forecast is worth what it adds to one that costs nothing. Here the water is said to pass a level when the newest level, carried
on for some hours at the pace of the last one, reaches it; with no hours at all that is *persistence*: what is, goes on. When a
notice then goes on and ends is judged by ``FloodRule`` itself, so that what differs is the forecast alone. Such notices are
there to be scored and never published: they hold no probability, no time of arrival and no reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.linkage import Derive
from pipelines.linkage.derive import Episode, Verdict
from pipelines.linkage.grid import Grid, Key, instant
from pipelines.linkage.sliding import Sliding
from pipelines.upstream_flood.evidence import FEATURES, evidence
from pipelines.upstream_flood.linkage import upstream_flood
from pipelines.upstream_flood.network import LEVELS, Network, network
from pipelines.upstream_flood.rule import CLEAR_BELOW_M, FloodRule

__all__ = ["REFERENCES", "CarriedOn", "reference"]

Array = NDArray[Any]

REFERENCES: Mapping[str, float] = {"level + 2 h of rise": 2.0, "level + 1 h of rise": 1.0, "level now": 0.0}
"""Name of each reference forecast, and for how many hours it carries the rise of the last hour on."""


class CarriedOn(FloodRule):
    """Raises where the level reaches a threshold if the rise of the last hour goes on for so many hours."""

    renewal = timedelta(hours=24)

    def __init__(self, hours: float) -> None:
        self.hours = hours

    def ground(self, keys: Sequence[Key], tables: Mapping[str, Mapping[Key, Mapping[str, Any]]], every_ms: int) -> Network:
        """Gauges and thresholds alone: without a model nobody is anyone's input."""
        return network(keys, tables["gauges"], {}, FEATURES)

    def weigh(self, ground: Network, past: Grid, slots: range) -> Mapping[str, Array]:
        """What the level carried on would raise or end, slot by slot."""
        seen = evidence(ground, past, slots)
        level, limit = seen.level_m[..., None], ground.thresholds_m
        reached = (level + self.hours * np.maximum(seen.rise_m, 0)[..., None] >= limit) & seen.fresh[..., None]
        weights = {
            "level_m": seen.level_m,
            "raises": reached,
            "calm": ~reached & (level < limit - CLEAR_BELOW_M),
            "quiet": ~reached & (level < limit),
            "stale": seen.stale,
            "no_reading": seen.no_reading,
            "anchor": seen.anchor,
            "asleep": seen.asleep,
        }
        return {name: each[seen.of] for name, each in weights.items()}

    def judge(self, ground: Network, past: Grid, weighed: Sliding, slots: range) -> Verdict:
        """The rule's verdict on the official levels; of the gauge itself nothing is said."""
        verdict = super().judge(ground, past, weighed, slots)
        verdict.opens[..., len(LEVELS) :] = False
        return verdict

    def content(self, ground: Network, weighed: Sliding, slot: int, row: Array, subject: Array) -> Array:
        """Nothing is told anew."""
        return np.zeros(len(row), np.int64)

    def tell(self, grounds: Callable[[int], Network], past: Grid, weighed: Sliding, episodes: Sequence[Episode]) -> list[dict[str, Any]]:
        """That a notice was raised or cleared, and no more."""
        return [self._told(grounds(each.slot), past, each) for each in episodes]

    def _told(self, ground: Network, past: Grid, each: Episode) -> dict[str, Any]:
        nothing = dict.fromkeys(("p_exceed", "eta_p10", "eta_p50", "eta_p90", "observed_m", "confirmed", "official", "model"))
        region, gauge_id = ground.keys[each.row]
        end_ms = each.slot * past.every_ms
        return nothing | {
            "id": each.id, "region": region, "gauge_id": gauge_id, "level": LEVELS[each.subject],
            "state": "updated" if each.ended_ms is None else "cleared",
            "onset": instant(each.onset_ms), "ended_at": None if each.ended_ms is None else instant(each.ended_ms),
            "time": instant(end_ms), "threshold_m": float(ground.thresholds_m[each.row, each.subject]),
            "headline_ja": "", "headline_en": "", "rule": f"level carried on for {self.hours:g} h",
            "because": {"ranges": [], "weighed_most": [], "variant": ""},
        }  # fmt: skip


def reference(hours: float) -> Derive:
    """The linkage with the level carried on for so many hours in place of its forecast."""
    return replace(upstream_flood, rule=CarriedOn(hours))
