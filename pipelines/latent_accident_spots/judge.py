"""The rule of accident spots as the tally asks it: region by region, with the police files and the model that hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from pipelines.latent_accident_spots.rating import fault
from pipelines.latent_accident_spots.rule import spots

__all__ = ["SpotRule"]

Tables = Mapping[str, Mapping[tuple[str, ...], Mapping[str, Any]]]


class SpotRule:
    """What stands in each region of which a police file is out and for which a model was fitted."""

    def fold(self, past: Mapping[str, pl.DataFrame], tables: Tables, at: datetime) -> pl.DataFrame:
        """The facts that should stand; see ``TallyRule``."""
        regions = sorted({record["region"] for record in tables["years"].values()})
        return pl.concat([self._region(region, past, tables) for region in regions] or [spots(*_nothing(past), (), {})])

    def _region(self, region: str, past: Mapping[str, pl.DataFrame], tables: Tables) -> pl.DataFrame:
        own = {name: frame.filter(pl.col("region") == region) for name, frame in past.items()}
        years = [record["year"] for record in tables["years"].values() if record["region"] == region]
        own_models = [record for record in tables["model"].values() if record["region"] == region]
        model = next((record for record in own_models if fault(record) is None), None)
        return spots(own["accidents"], own["near_misses"], own["passes"], years if model else (), model or {})


def _nothing(past: Mapping[str, pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    return past["accidents"].clear(), past["near_misses"].clear(), past["passes"].clear()
