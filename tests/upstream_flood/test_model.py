"""A model is used whole or not at all, and no region's model changes what is said in another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from pipelines.upstream_flood.evidence import FEATURES, exceedance
from pipelines.upstream_flood.model import fault, learned
from tests.upstream_flood.river import model

KEYS = [("r", "93"), ("s", "93")]


def other_axes(**fields: Any) -> dict[str, Any]:
    """A model with three error steps: half of the errors are at or above 0, all at or above −1; an error has the size of s."""
    made = model(["93"])
    tables = [{**each, "exceedance": [1.0, 0.5, 0.0]} for each in made["errors"]]
    return made | {"errors": tables, "error_steps": [-1.0, 0.0, 1.0], **fields}


def probability(models: Mapping[tuple[str, ...], Mapping[str, Any]], row: int, delta: float) -> float:
    known = learned(KEYS, models, FEATURES)
    one = np.array([row])
    return float(exceedance(known, one, np.array([0]), 2, np.array([0.0]), np.array([1.0]), np.array([delta]))[0])


def test_a_whole_model_has_no_fault() -> None:
    assert fault(model(["93"]), FEATURES) is None
    assert fault(other_axes(), FEATURES) is None


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"features": ["u"]}, "features of a flood model must be those of the rule (got ['u']): fit it anew"),
        ({"horizons_h": [1, 2, 6]}, "horizons_h of a flood model must be those of the rule (got [1, 2, 6]): fit it anew"),
        ({"errors": []}, "numbers of a flood model must be complete for every gauge (got too few for '93'): fit it anew"),
        ({"keeps_rising": []}, "numbers of a flood model must be complete for every gauge (got too few for '93'): fit it anew"),
        ({"mu_edges": [0.2]}, "mu_edges of a flood model must be empty (got [0.2]): fit it anew"),
        ({"error_steps": [-1.0, 0.0, 2.0]}, "error_steps of a flood model must grow evenly (got [-1.0, 0.0, 2.0]): fit it anew"),
        ({"error_steps": [0.0]}, "error_steps of a flood model must grow evenly (got [0.0]): fit it anew"),
        (
            {"errors": [each | {"spread": []} for each in other_axes()["errors"]]},
            "numbers of a flood model must be complete for every gauge (got too few for '93'): fit it anew",
        ),
    ],
)
def test_a_model_with_a_fault_is_told_so_and_not_used(changed: dict[str, Any], text: str) -> None:
    bad = other_axes(**changed)
    assert fault(bad, FEATURES) == text
    assert learned([("r", "93")], {("r",): bad}, FEATURES).names == (None,)


def test_each_region_keeps_its_own_axes() -> None:
    alone = {("r",): model(["93"])}
    both = {**alone, ("s",): other_axes(region="s", model="s-made")}
    for delta in (0.1, 0.35, 0.9):
        assert probability(both, 0, delta) == probability(alone, 0, delta)
    assert probability(both, 1, 0.5) == pytest.approx(0.25)


def test_a_region_with_a_bad_model_leaves_the_others_alone() -> None:
    models = {("a",): other_axes(region="a", errors=[]), ("r",): model(["93"])}
    assert learned([("a", "93"), ("r", "93")], models, FEATURES).names == (None, "r-made")
