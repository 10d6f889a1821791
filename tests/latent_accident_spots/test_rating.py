"""The rating equals its formula, cell by cell."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest

from pipelines.latent_accident_spots.kinds import KINDS
from pipelines.latent_accident_spots.rating import OWN, TERMS, CellModel, gamma_quantile, rank_share, rate
from pipelines.latent_accident_spots.tallies import tallies
from tests.latent_accident_spots.streets import model, town


@pytest.mark.parametrize("resolution", [10, 11])
def test_the_rating_equals_its_formula_cell_by_cell(resolution: int) -> None:
    chance = np.random.default_rng(5)
    record = model(**{name: float(chance.normal() * 0.2) for name in (*TERMS, *OWN)})
    numbers = CellModel.of(record["cells"][resolution - 10])
    told = dict(zip((*TERMS, *OWN), [*numbers.weights, *numbers.own_weights], strict=True))
    counted = tallies(town(6, 200), resolution, (2019, 2020, 2021))
    rated = rate(counted, numbers)
    for at in range(len(counted.cells)):
        q = [log(each / 3 + 0.25) for each in [*counted.ring[at, 1:].tolist(), *counted.around[at].tolist()]]
        terms = [
            1.0,
            *q,
            float(counted.one_sided[at]),
            *(float(counted.share(each)[at]) for each in ("intersection", "signal", "wide", "major")),
        ]
        own = [*counted.kinds[at], counted.central[at], counted.at_edge[at], *counted.near[at]]
        m = exp(sum(told[name] * value for name, value in zip(TERMS, terms, strict=True)))
        y = counted.own[at] + sum(told[name] * value for name, value in zip(OWN, own, strict=True))
        phi = numbers.shape * m**numbers.shape_power
        assert rated.expected[at] == pytest.approx(m)
        assert rated.score[at] == pytest.approx(max(phi + y, 1e-3) / (phi / m + 3))


def test_the_interval_is_that_of_a_gamma_distribution() -> None:
    # chi-squared tables: half the quantiles of 1 and of 20 degrees of freedom
    assert gamma_quantile(np.array([0.5, 10.0]), 0.95) == pytest.approx([1.92073, 15.70522], rel=1e-3)
    assert gamma_quantile(np.array([0.5, 10.0]), 0.05) == pytest.approx([0.001966, 5.425406], rel=1e-3)
    counted = tallies(town(6, 50), 10, (2019, 2020, 2021))
    rated = rate(counted, CellModel.of(model()["cells"][0]))
    low, high = rated.interval()
    assert (low < rated.score).all()
    assert (rated.score[counted.own > 0] < high[counted.own > 0]).all()


def test_the_rank_is_the_share_that_scores_at_least_as_high() -> None:
    assert rank_share(np.array([3.0, 2.0, 9.0]), np.array([1.0, 2.0, 2.0, 3.0])).tolist() == [0.25, 0.75, 0.0]
    assert rank_share(np.array([3.0]), np.zeros(0)).tolist() == [1.0]


def test_a_term_that_a_model_does_not_name_weighs_nothing() -> None:
    entry = model()["cells"][0] | {"own_kinds": ["signal"], "own_weights": [0.5]}
    assert CellModel.of(entry).own_weights.tolist() == [0.5 if each == "signal" else 0.0 for each in OWN]
    assert set(KINDS) < set(OWN)
