"""What the bench is given: the recorded readings of Fukui with their ticks, in as many regions as volume asks for.

Every region is the whole prefecture once more under a name of its own, with its gauges and its model. The last record is a reading,
so that whoever has read all readings has heard every tick.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import polars as pl

from connectors import open_source
from jobs.linkages import DATA, LINKAGES
from jobs.replay import references
from jobs.start import engine
from pipelines.linkage import CLOCK
from schemas import feed

__all__ = ["FLOOD", "LEVELS", "SOURCE", "Recording", "known", "recorded", "standing"]

FLOOD = LINKAGES["upstream_flood"]
LEVELS = "river.level.v1"
SOURCE = DATA / "fukui" / "levels-2021-08_to_2024-05.tar.gz"
HOME = "fukui"

Facts = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Feeds as they are to lie in topics of one partition each. ``regions``: their names; ``one``: the feeds of one region."""

    regions: tuple[str, ...]
    one: Mapping[str, pl.DataFrame]

    @property
    def readings(self) -> int:
        """How many readings there are, of all regions."""
        return self.one[LEVELS].height * len(self.regions)

    def logs(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Feed by feed, those of reference first, each in order of arrival."""
        for name in sorted(self.one, key=lambda each: (each in (LEVELS, CLOCK), each)):
            log = self.one[name]
            if "region" in log.columns:
                log = pl.concat([log.with_columns(pl.lit(region).alias("region")) for region in self.regions])
                log = log.sort("arrived", maintain_order=True)
            yield name, log

    def should_stand(self) -> Facts:
        """What follows from all of it at once, id → value."""
        running = engine(FLOOD)
        running.recall(self.one)
        facts = standing(running.step({}).rows)
        return {
            _moved(each, region): {k: _moved(v, region) for k, v in fact.items()} for region in self.regions for each, fact in facts.items()
        }


def _moved(value: Any, region: str) -> Any:
    """Of a region and of ids in it the same in another region."""
    if not isinstance(value, str):
        return value
    return region if value == HOME else f"{region}{value.removeprefix(HOME)}" if value.startswith(f"{HOME}/") else value


def recorded(regions: int, since: datetime, until: datetime) -> Recording:
    """What arrived in [since, until), in so many regions."""
    with closing(open_source(f"fukui:{SOURCE}")) as source:
        chunks = list(source.read(since, until))
    levels, ticks = (pl.concat([chunk[name] for chunk in chunks]) for name in (LEVELS, CLOCK))
    ticks = ticks.filter(pl.col("arrived") < levels["arrived"].max())
    return Recording(regions=tuple(f"{HOME}-{at}" for at in range(1, regions + 1)), one={LEVELS: levels, CLOCK: ticks, **known()})


def known(region: str = HOME) -> dict[str, pl.DataFrame]:
    """Gauges and model of a region."""
    return {name: frame.with_columns(pl.lit(region).alias("region")) for name, frame in _references().items()}


@cache
def _references() -> Mapping[str, pl.DataFrame]:
    return references(FLOOD)


def standing(rows: Any) -> Facts:
    """What stands of all that was said: the newest revisions that are not withdrawn, without their envelope."""
    newest: Facts = {}
    for row in rows:
        if row["id"] not in newest or row["revision"] > newest[row["id"]]["revision"]:
            newest[row["id"]] = row
    aside = feed(FLOOD.says).envelope
    return {
        id_: {name: value for name, value in row.items() if name not in aside} | {"state": FLOOD.later(row["state"])}
        for id_, row in newest.items()
        if row["state"] != "withdrawn"
    }
