"""The fit finds numbers again that made the accidents, and is the same for any order of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from pipelines.latent_accident_spots.fit import Examples, FitError, examples, fit, fit_cells, log_likelihood, windows
from pipelines.latent_accident_spots.rating import OWN, TERMS, CellModel, rating
from tests.latent_accident_spots.streets import frame, model, town

VALID = datetime(2019, 1, 1, tzinfo=UTC)


def test_each_year_is_foretold_from_at_most_three_before_it() -> None:
    assert windows([2022, 2019, 2021, 2020, 2023])[-2:] == [((2019, 2020, 2021), 2022), ((2020, 2021, 2022), 2023)]
    assert windows([2019]) == []


def made(true: CellModel, rows: int, seed: int) -> Examples:
    """Rows drawn from the model itself."""
    chance = np.random.default_rng(seed)
    terms = np.concatenate([np.ones((rows, 1)), chance.normal(0, 1, (rows, len(TERMS) - 1))], axis=1)
    own = chance.poisson(0.5, rows)
    kinds = chance.binomial(own[:, None], 0.4, (rows, len(OWN)))
    years = chance.integers(1, 4, rows)
    rated = rating(terms @ true.weights, own + kinds @ true.own_weights, years, true.shape, true.shape_power)  # type: ignore[arg-type]
    brought = chance.poisson(chance.gamma(rated.shape) / rated.exposure)
    return Examples(terms=terms, own=own, kinds=kinds, years=years, brought=brought, cells=np.arange(rows, dtype=np.uint64))


def test_numbers_that_made_the_accidents_are_found_again() -> None:
    told = {"one": -0.5, "ring1": 0.3, "around8": 0.2, "one_sided": -0.4, "signal": 0.4, "major": -0.3, "near1": 0.3}
    true = CellModel.of(model(**told)["cells"][0])
    found = made(true, 60_000, seed=2)
    fitted = fit_cells(found, 10)
    assert fitted.weights[1:] == pytest.approx(true.weights[1:], abs=0.06)
    assert fitted.weights[0] == pytest.approx(true.weights[0], abs=0.3)  # where shape and level are hard to tell apart
    assert fitted.own_weights == pytest.approx(true.own_weights, abs=0.12)
    assert log_likelihood(fitted, found) > log_likelihood(replace(true, own_weights=np.zeros(len(OWN))), found)
    assert log_likelihood(fitted, found) == pytest.approx(log_likelihood(true, found), rel=1e-3)


def test_a_fit_is_the_same_for_any_order_of_accidents() -> None:
    accidents = town(4, 900)
    told = {"region": "jp", "years": (2019, 2020, 2021), "valid_from": VALID, "fitted_on": "a town"}
    one, other = (fit(each, **told) for each in (accidents, accidents.sample(fraction=1, shuffle=True, seed=7)))  # type: ignore[arg-type]
    assert one == other
    assert one["model"].startswith("jp-")
    assert one["near_misses"]["weight"] == 0.0
    assert [each["resolution"] for each in one["cells"]] == [10, 11]


def test_examples_set_the_years_before_against_the_year_after() -> None:
    accidents = town(5, 300)
    found = examples(accidents, 10, (2019, 2020, 2021))
    assert sorted(set(found.years.tolist())) == [1, 2]
    newest = examples(accidents, 10, (2019, 2020, 2021), last=1)
    assert set(newest.years.tolist()) == {2}
    assert newest.own.sum() == accidents.filter(accidents["published_year"] < 2021).height


def test_too_little_to_fit_on_is_refused() -> None:
    with pytest.raises(
        FitError, match=r"^accidents of jp must be of two years and at least 500 \(got 300 of 2019, 2020\): give more files$"
    ):
        fit(town(5, 300, (2019, 2020)), region="jp", years=(2020, 2019), valid_from=VALID, fitted_on="")
    with pytest.raises(FitError, match=r"\(got 0 of no year\)"):
        fit(frame([]), region="jp", years=(), valid_from=VALID, fitted_on="")
