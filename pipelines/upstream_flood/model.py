"""What was learned, as arrays in the order of the rows; and what a model must be to be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["HORIZONS_H", "VARIANTS", "Learned", "fault", "learned"]

Array = NDArray[Any]
Key = tuple[str, ...]
Record = Mapping[str, Any]

HORIZONS_H = (1, 2, 3, 6)
VARIANTS = ("own", "own_upstream", "full")
"""Coefficient tables, poorest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """The models in force, by row. Where there is none, ``scale_m`` is NaN and no probability is given."""

    names: tuple[str | None, ...]
    median_m: Array
    scale_m: Array
    coefficients: Array
    """rows × variants × horizons × features."""
    keeps_rising: Array
    """rows: chance that a level within the last hour's rise above the water is passed within 3 hours."""
    group: Array
    """rows: index of the error table; a group is one of one region."""
    exceedance: Array
    """groups × variants × horizons × bins of mu × error steps; filled up where a region has fewer."""
    mu_edges: Array
    """groups × edges; infinite where a region has fewer."""
    error_from: Array
    error_step: Array
    error_steps: Array
    """groups: first error step, width and number of the steps."""


def fault(model: Record, features: Sequence[str]) -> str | None:
    """What keeps a model from being used, as a sentence; None: nothing.

    Args:
        model: a record of ``river.flood-model.v1``.
        features: names of the columns that the rule computes.
    """
    axes = {"features": list(features), "variants": list(VARIANTS), "horizons_h": list(HORIZONS_H)}
    for name, wanted in axes.items():
        if list(model[name]) != wanted:
            return f"{name} of a flood model must be those of the rule (got {_short(model[name])}): fit it anew"
    edges, steps = np.array(model["mu_edges"]), np.array(model["error_steps"])
    if not len(edges) or len(steps) < 2 or (np.diff(edges) <= 0).any() or not np.allclose(np.diff(steps), steps[1] - steps[0], atol=1e-4):
        got = f"{_short(edges.tolist())} and {_short(steps.tolist())}"
        return f"axes of a flood model must grow, the error axis evenly (got {got}): fit it anew"
    tables = {(each["group"], each["variant"], each["horizon_h"]): len(each["exceedance"]) for each in model["errors"]}
    keeps = {each["group"] for each in model["keeps_rising"]}
    for each in model["gauges"]:
        wanted_tables = product([each["group"]], VARIANTS, HORIZONS_H)
        whole = all(tables.get(table) == (len(edges) + 1) * len(steps) for table in wanted_tables) and each["group"] in keeps
        whole &= len(each["coefficients"]) == len(VARIANTS) * len(HORIZONS_H) * len(features)
        if not whole or not (np.isfinite(each["median_m"]) and 0 < each["scale_m"] < np.inf):
            return f"numbers of a flood model must be complete for every gauge (got too few for {each['gauge_id']!r}): fit it anew"
    return None


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
    shape = (len(VARIANTS), len(HORIZONS_H), len(features))
    coefficients = np.zeros((len(keys), *shape))
    for row, entry in enumerate(found):
        if entry:
            coefficients[row] = np.array(entry["coefficients"]).reshape(shape)
    return Learned(
        names=tuple(usable[key[0]]["model"] if entry else None for key, entry in zip(keys, found, strict=True)),
        median_m=np.array([entry["median_m"] if entry else np.nan for entry in found]),
        scale_m=np.array([entry["scale_m"] if entry else np.nan for entry in found]),
        coefficients=coefficients,
        keeps_rising=np.array([keeps[key[0], entry["group"]] if entry else np.nan for key, entry in zip(keys, found, strict=True)]),
        group=np.array([groups[key[0], entry["group"]] if entry else 0 for key, entry in zip(keys, found, strict=True)], np.int64),
        **_tables(usable, groups),
    )


def _tables(usable: Mapping[str, Record], groups: Mapping[tuple[str, str], int]) -> dict[str, Array]:
    """The error tables of all regions, each on its own axes."""
    count = max(len(groups), 1)
    most = {axis: max((len(model[axis]) for model in usable.values()), default=2) for axis in ("mu_edges", "error_steps")}
    out = {
        "exceedance": np.zeros((count, len(VARIANTS), len(HORIZONS_H), most["mu_edges"] + 1, most["error_steps"])),
        "mu_edges": np.full((count, most["mu_edges"]), np.inf),
        "error_from": np.zeros(count),
        "error_step": np.ones(count),
        "error_steps": np.full(count, 2, np.int64),
    }
    for (region, name), at in groups.items():
        model = usable[region]
        edges, steps = np.array(model["mu_edges"], np.float64), np.array(model["error_steps"], np.float64)
        out["mu_edges"][at, : len(edges)] = edges
        out["error_from"][at], out["error_step"][at], out["error_steps"][at] = steps[0], steps[1] - steps[0], len(steps)
        for each in model["errors"]:
            if each["group"] == name:
                table = np.array(each["exceedance"]).reshape(len(edges) + 1, len(steps))
                where = VARIANTS.index(each["variant"]), HORIZONS_H.index(each["horizon_h"])
                out["exceedance"][(at, *where)][: len(edges) + 1, : len(steps)] = table
    return out
