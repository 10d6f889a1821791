"""The rule of accident spots as the tally asks it: region by region, with the police files and the model that hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from pipelines.latent_accident_spots.rating import fault
from pipelines.latent_accident_spots.rule import spots
from pipelines.latent_accident_spots.telling import empty
from pipelines.linkage.grid import instant

__all__ = ["SpotRule"]

Tables = Mapping[str, Mapping[tuple[str, ...], Mapping[str, Any]]]
Record = Mapping[str, Any]


class SpotRule:
    """What stands in each region of which a police file is out and for which a model was fitted."""

    def fold(self, past: Mapping[str, pl.DataFrame], tables: Callable[[datetime], Tables], at: datetime) -> pl.DataFrame:
        """The facts that should stand; see ``TallyRule``."""
        now = tables(at)
        out: dict[str, list[Record]] = {}
        for record in now["years"].values():
            out.setdefault(record["region"], []).append(record)
        frames = [spots(*_own(past, region), _models(region, files, now, tables)) for region, files in sorted(out.items())]
        return pl.concat(frames) if frames else empty()


def _models(region: str, files: Sequence[Record], now: Tables, tables: Callable[[datetime], Tables]) -> dict[int, Record]:
    """For each year whose file is out the model that held when it came out; the one of now where there was none."""
    newest = _model(region, now)
    held = {record["year"]: _model(region, tables(instant(record["valid_from"]))) or newest for record in files}
    return {year: model for year, model in held.items() if model is not None}


def _model(region: str, tables: Tables) -> Record | None:
    return next((record for record in tables["model"].values() if record["region"] == region and fault(record) is None), None)


def _own(past: Mapping[str, pl.DataFrame], region: str) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    accidents, near, passes = (past[name].filter(pl.col("region") == region) for name in ("accidents", "near_misses", "passes"))
    return accidents, near, passes
