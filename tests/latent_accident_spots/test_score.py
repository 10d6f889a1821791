"""Judging ratings: by hand, and by brute force."""

from __future__ import annotations

import h3
import numpy as np
import polars as pl
import pytest

from pipelines.latent_accident_spots.score import TOPS, ScoreError, baselines, pai, ratios, scored
from tests.latent_accident_spots.streets import town


def test_pai_by_hand() -> None:
    score = np.arange(200.0)
    hits = np.zeros(200)
    hits[[199, 198, 197, 10]] = [4, 2, 1, 3]
    # 2, 4 and 10 of 200 cells are flagged: they catch 6, 7 and 7 of 10
    assert pai(score, hits) == pytest.approx([0.6 / 0.01, 0.7 / 0.02, 0.7 / 0.05])


def test_cells_that_score_alike_are_flagged_in_part() -> None:
    score = np.array([5.0] * 4 + [1.0] * 96)
    hits = np.array([0, 0, 0, 8] + [0] * 88 + [1] * 8)
    # of four alike one is flagged at 1 %, two at 2 %; at 5 % one of 96 that hold 8
    assert pai(score, hits) == pytest.approx([2 / 16 / 0.01, 4 / 16 / 0.02, (8 + 8 / 96) / 16 / 0.05])
    order = np.random.default_rng(1).permutation(100)
    assert pai(score[order], hits[order]) == pytest.approx(pai(score, hits))


def test_the_expected_share_is_the_mean_over_orders_of_ties() -> None:
    chance = np.random.default_rng(2)
    score, hits = chance.integers(0, 4, 100).astype(float), chance.poisson(0.3, 100)
    shuffled = [pai(score + chance.random(100) * 1e-6, hits) for _ in range(3000)]
    assert np.mean(shuffled, axis=0) == pytest.approx(pai(score, hits), rel=0.1)


def test_nothing_brought_gives_no_figure() -> None:
    assert np.isnan(pai(np.arange(5.0), np.zeros(5))).all()


def test_a_better_rating_is_told_from_raw_counts_and_a_like_one_is_not() -> None:
    chance = np.random.default_rng(3)
    rate = chance.gamma(0.3, 1.0, 5000)
    raw, hits, region = chance.poisson(rate).astype(float), chance.poisson(rate), np.arange(5000) % 40
    better, same = ratios(rate, raw, hits, region), ratios(raw, raw, hits, region)
    assert (better[0] > 1).all()
    assert same == pytest.approx(np.ones((2, len(TOPS))))


@pytest.mark.parametrize("resolution", [10, 11])
def test_figures_equal_those_of_counting_one_by_one(resolution: int) -> None:
    accidents = town(8, 600, span_deg=0.008)
    seen, brought = accidents[:400], accidents[400:]
    at = [h3.latlng_to_cell(*each, resolution) for each in seen.select("lat_deg", "lon_deg").iter_rows()]
    later = [h3.latlng_to_cell(*each, resolution) for each in brought.select("lat_deg", "lon_deg").iter_rows()]
    cells = sorted({near for each in at for near in h3.grid_disk(each, 1)})
    own = np.array([at.count(each) for each in cells])
    ring1, ring2 = (np.array([sum(at.count(near) for near in h3.grid_ring(each, k)) for each in cells]) for k in (1, 2))
    hits = np.array([later.count(each) for each in cells])
    score = np.random.default_rng(9).random(len(cells))
    ratings = pl.DataFrame({"cell": [h3.str_to_int(each) for each in cells], "score": score}, schema_overrides={"cell": pl.UInt64})
    found = scored(ratings.sample(fraction=1, shuffle=True, seed=1), seen, brought, resolution)
    mean = np.full(len(cells), own.mean())  # all of one municipality
    methods = {"raw": own.astype(float), "ours": score} | baselines(own, ring1, ring2, mean, resolution)
    latent = own <= 1 if resolution == 10 else own + ring1 <= 1
    for (group, method), row in found.rows_by_key(["group", "method"], named=True, unique=True).items():
        among = latent if group == "latent" else np.ones(len(cells), bool)
        expected = pai(methods[method][among], hits[among])
        assert [row["pai_1"], row["pai_2"], row["pai_5"]] == pytest.approx(expected)
        assert (row["low_1"] is None) == (method != "ours")
    assert found.height == 8


def test_ratings_of_other_cells_are_refused() -> None:
    accidents = town(8, 30)
    one = pl.DataFrame({"cell": [h3.str_to_int(h3.latlng_to_cell(36.0, 136.2, 10))], "score": [1.0]}, schema_overrides={"cell": pl.UInt64})
    with pytest.raises(
        ScoreError, match=r"^ratings must be of all cells with a training accident in them or around \(got 1, expected \d+\)"
    ):
        scored(one, accidents, accidents, 10)
