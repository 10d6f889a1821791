"""What was learned, as arrays in the order of the rows; and what a model must be to be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["HORIZONS_H", "RAIN", "RAIN_TABLE", "SPREAD", "TABLES", "VARIANTS", "WITH_RAIN", "Learned", "fault", "learned"]

Array = NDArray[Any]
Key = tuple[str, ...]
Record = Mapping[str, Any]

HORIZONS_H = (1, 2, 3, 6)
VARIANTS = ("own", "own_upstream", "full")
"""Coefficient tables that every model has, poorest first."""
WITH_RAIN = "with_rain"
TABLES = (*VARIANTS, WITH_RAIN)
"""Coefficient tables that a model may have."""
RAIN_TABLE = TABLES.index(WITH_RAIN)
RAIN = ("rain_1h", "rain_3h", "rain_on_wet", "rain_on_high")
"""Columns that a table with rain has beyond the others."""
SPREAD = ("one", "u", "mu")
"""What the size of an error depends on: nothing, the height over the lowest of 24 h, and the forecast rise where it is positive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """The models in force, by row. Where there is none, ``scale_m`` is NaN and no probability is given."""

    names: tuple[str | None, ...]
    median_m: Array
    scale_m: Array
    coefficients: Array
    """rows × tables × horizons × features: of the highest rise within each horizon."""
    level_coefficients: Array
    """The same of the change until its end; NaN where it was not fitted."""
    of_rain: Array
    """rows × horizons × columns of rain: what the table with rain has beyond the features."""
    richest: Array
    """rows: index of the richest table that was learned."""
    keeps_rising: Array
    """rows: chance that a level within the last hour's rise above the water is passed within 3 hours."""
    group: Array
    """rows: index of the error table; a group is one of one region."""
    exceedance: Array
    """groups × tables × horizons × error steps; filled up where a region has fewer."""
    spread: Array
    """groups × tables × horizons × what it depends on: coefficients of the size that an error is expected to have, in s."""
    error_from: Array
    error_step: Array
    error_steps: Array
    """groups: first error step, width and number of the steps."""


def fault(model: Record, features: Sequence[str]) -> str | None:
    """What keeps a model from being used, as a sentence; None: nothing.

    Args:
        model: a record of ``river.flood-model.v1``.
        features: names of the columns that the rule computes from levels; a model with a table for rain has those of rain, too.
    """
    tables_of = _tables_of(model)
    columns = [*features, *(RAIN if WITH_RAIN in tables_of else ())]
    axes = {"features": columns, "variants": list(tables_of), "horizons_h": list(HORIZONS_H)}
    for name, wanted in axes.items():
        if list(model[name]) != wanted:
            return f"{name} of a flood model must be those of the rule (got {_short(model[name])}): fit it anew"
    edges, steps = list(model["mu_edges"]), np.array(model["error_steps"])
    if edges:
        return f"mu_edges of a flood model must be empty (got {_short(edges)}): fit it anew"
    if len(steps) < 2 or not steps[1] > steps[0] or not np.allclose(np.diff(steps), steps[1] - steps[0], atol=1e-4):
        return f"error_steps of a flood model must grow evenly (got {_short(steps.tolist())}): fit it anew"
    tables = {
        (each["group"], each["variant"], each["horizon_h"]): (len(each["exceedance"]), len(each["spread"])) for each in model["errors"]
    }
    keeps = {each["group"] for each in model["keeps_rising"]}
    for each in model["gauges"]:
        wanted_tables = product([each["group"]], tables_of, HORIZONS_H)
        whole = all(tables.get(table) == (len(steps), len(SPREAD)) for table in wanted_tables) and each["group"] in keeps
        count = len(tables_of) * len(HORIZONS_H) * len(columns)
        whole &= len(each["coefficients"]) == count and len(each["level_coefficients"]) in (0, count)
        if not whole or not (np.isfinite(each["median_m"]) and 0 < each["scale_m"] < np.inf):
            return f"numbers of a flood model must be complete for every gauge (got too few for {each['gauge_id']!r}): fit it anew"
    return None


def _tables_of(model: Record) -> tuple[str, ...]:
    return TABLES if WITH_RAIN in model["variants"] else VARIANTS


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def learned(keys: Sequence[Key], models: Mapping[Key, Record], features: Sequence[str]) -> Learned:
    """The models in force by row; a region whose model cannot be used has none."""
    usable = {region: model for (region,), model in sorted(models.items()) if fault(model, features) is None}
    groups = {name: at for at, name in enumerate(sorted({(region, each["group"]) for region, m in usable.items() for each in m["errors"]}))}
    entries = {(region, each["gauge_id"]): each for region, model in usable.items() for each in model["gauges"]}
    keeps = {(region, each["group"]): each["share"] for region, model in usable.items() for each in model["keeps_rising"]}
    found = [entries.get((key[0], key[-1])) for key in keys]
    count = [len(_tables_of(usable[key[0]])) if entry else len(VARIANTS) for key, entry in zip(keys, found, strict=True)]
    shape = (len(keys), len(TABLES), len(HORIZONS_H), len(features) + len(RAIN))
    coefficients, level_coefficients = np.zeros(shape), np.full(shape, np.nan)
    for row, entry in enumerate(found):
        width = shape[-1] if count[row] == len(TABLES) else len(features)
        for name, into in (("coefficients", coefficients), ("level_coefficients", level_coefficients)):
            if entry and entry[name]:
                into[row, : count[row], :, :width] = np.array(entry[name]).reshape(count[row], len(HORIZONS_H), width)
    return Learned(
        names=tuple(usable[key[0]]["model"] if entry else None for key, entry in zip(keys, found, strict=True)),
        median_m=np.array([entry["median_m"] if entry else np.nan for entry in found]),
        scale_m=np.array([entry["scale_m"] if entry else np.nan for entry in found]),
        coefficients=coefficients[..., : len(features)].copy(),
        level_coefficients=level_coefficients[..., : len(features)].copy(),
        of_rain=coefficients[:, RAIN_TABLE, :, len(features) :].copy(),
        richest=np.array(count, np.int64) - 1,
        keeps_rising=np.array([keeps[key[0], entry["group"]] if entry else np.nan for key, entry in zip(keys, found, strict=True)]),
        group=np.array([groups[key[0], entry["group"]] if entry else 0 for key, entry in zip(keys, found, strict=True)], np.int64),
        **_tables(usable, groups),
    )


def _tables(usable: Mapping[str, Record], groups: Mapping[tuple[str, str], int]) -> dict[str, Array]:
    """The error tables of all regions, each on its own axis."""
    count, shape = max(len(groups), 1), (len(TABLES), len(HORIZONS_H))
    most = max((len(model["error_steps"]) for model in usable.values()), default=2)
    out = {
        "exceedance": np.zeros((count, *shape, most)),
        "spread": np.zeros((count, *shape, len(SPREAD))),
        "error_from": np.zeros(count),
        "error_step": np.ones(count),
        "error_steps": np.full(count, 2, np.int64),
    }
    for (region, name), at in groups.items():
        model = usable[region]
        steps = np.array(model["error_steps"], np.float64)
        out["error_from"][at], out["error_step"][at], out["error_steps"][at] = steps[0], steps[1] - steps[0], len(steps)
        for each in model["errors"]:
            if each["group"] == name:
                where = at, TABLES.index(each["variant"]), HORIZONS_H.index(each["horizon_h"])
                out["exceedance"][where][: len(steps)] = each["exceedance"]
                out["spread"][where] = each["spread"]
    return out
