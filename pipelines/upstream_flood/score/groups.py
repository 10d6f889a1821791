"""Gauges that are reported together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from pipelines.upstream_flood.score.river import LEVELS, PAIR

__all__ = ["BOTH", "NET", "NETP", "OTHC", "ROUTINE", "Group", "groups", "pairs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Gauges that are reported together: ``these`` ids, or all ``others``; and the levels looked at."""

    name: str
    gauges: tuple[str, ...]
    are: Literal["these", "others"] = "these"
    levels: tuple[str, ...] = tuple(LEVELS)
    about: str = ""


def _ids(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ROUTINE = Group(name="routine", gauges=_ids("14 16 17 48 134"), about="gauges where L1 is passed in ordinary weather")
"""Gauges in Fukui that are reported apart."""

NET = Group(
    name="NET",
    gauges=_ids("1 12 24 25 26 27 31 32 43 62 63 75 76 77 80 88 91 92 107 206 207 208 209 211 212 213"),
    about="gauges with usable upstream gauges",
)
"""Gauges in Fukui with usable upstream gauges."""

OTHC = Group(name="OTHC", gauges=(*NET.gauges, "205", *ROUTINE.gauges), are="others", about="the other gauges")
"""The rest: without 205 (always wrong) and without five where L1 is routine, which are reported apart."""

BOTH = Group(
    name="NET + OTHC", gauges=("205", *ROUTINE.gauges), are="others", levels=("L1", "L2"), about="all of these gauges, levels L1 and L2"
)
"""Both together, at the levels that are passed often enough."""

NETP = Group(
    name="NETp",
    gauges=_ids("4 6 8 12 24 25 26 27 31 32 62 63 75 76 77 80 82 88 91 92 107 206 207 209 211 212"),
    levels=("L1", "L2"),
    about="gauges with usable upstream gauges, on pseudo-thresholds",
)
"""Gauges with pseudo-thresholds (see ``pseudo``): many more events, so methods are chosen on these."""

_OF_REGION: Mapping[str, tuple[Group, ...]] = {"fukui": (NET, OTHC, BOTH, ROUTINE)}


def groups(region: str, gauges: pl.DataFrame) -> Sequence[Group]:
    """The groups of a region, for official levels. Where none are set down: gauges with routine L1, and all others."""
    routine = tuple(gauges.filter(pl.col("l1_is") == "routine")["gauge_id"].unique().sort().to_list())
    apart = Group(name="routine", gauges=routine, about=ROUTINE.about)
    rest = Group(name="all", gauges=routine, are="others", about="gauges with official levels")
    return _OF_REGION.get(region, (rest, apart) if routine else (rest,))


def pairs(thresholds: pl.DataFrame, group: Group) -> pl.DataFrame:
    """The (gauge_id, level) of a group that have a threshold."""
    listed = pl.col("gauge_id").is_in(group.gauges)
    return thresholds.filter(listed if group.are == "these" else ~listed, pl.col("level").is_in(group.levels)).select(PAIR)
