"""Fitting and judging from recorded files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from connectors import model
from jobs import spots
from pipelines.latent_accident_spots.fit import FitError
from pipelines.latent_accident_spots.score import ScoreError

DATA = Path(__file__).parents[2] / "data" / "npa"
FUKUI = (f"npa:{DATA / 'npa_2019-2021_52_points.csv.gz'}",)


def test_a_fit_of_one_prefecture_is_written_and_judges_a_year(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert spots.fit(spots.Fit(sources=FUKUI, to=tmp_path / "model.avro")) == 0
    told = capsys.readouterr().out
    (written,) = model.read(tmp_path / "model.avro", spots.MODEL).to_dicts()
    assert f"{written['model']} in {tmp_path / 'model.avro'}: fitted on 2948 accidents in the files of 2019, 2020, 2021" in told
    assert "near misses weigh 0: no near misses were given" in told
    assert spots.score(spots.Score(sources=FUKUI, model=tmp_path / "model.avro")) == 0
    figures = capsys.readouterr().out
    assert "figures of a year it has seen are in sample" in figures
    assert re.findall(r"^res (\d+), (\w+)$", figures, flags=re.M) == [("10", "all"), ("10", "latent"), ("11", "all"), ("11", "latent")]
    assert len(re.findall(r"^  (?:raw|empirical_bayes|neighbours|ours) .*\(\d", figures, flags=re.M)) == 16


def test_without_a_model_one_is_fitted_on_the_years_before(capsys: pytest.CaptureFixture[str]) -> None:
    assert spots.score(spots.Score(sources=FUKUI)) == 0
    assert "fitted on 2019, 2020: it has not seen the year that it is judged by" in capsys.readouterr().out


def test_the_committed_model_foretells_fukui_better_than_counting(capsys: pytest.CaptureFixture[str]) -> None:
    assert spots.score(spots.Score(sources=FUKUI, model=DATA / "spot-model.avro")) == 0
    latent = capsys.readouterr().out.split("res 10, latent")[1].split("res 11")[0]
    raw, ours = (float(re.findall(rf"{each} +([\d.]+)", latent)[0]) for each in ("raw", "ours"))
    assert ours > 1.5 * raw


def test_a_year_that_cannot_be_foretold_is_refused() -> None:
    with pytest.raises(
        ScoreError, match=r"^year must have a file and one before it \(got 2019, files of 2019, 2020, 2021\): give another$"
    ):
        spots.score(spots.Score(sources=FUKUI, year=2019))
    with pytest.raises(FitError, match=r"^years before the one to foretell must be two or more \(got 2019\): give a model$"):
        spots.score(spots.Score(sources=FUKUI, year=2020))
