"""Rain from the file to the notice and back: a replay reads it, ``why`` shows it and comes to the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors import model
from jobs.cli import main
from jobs.fit import readings
from jobs.sources import stations_before
from tests.upstream_flood.river import with_rain

LEVELS = "fukui:data/fukui/levels-2021-08_to_2024-05.tar.gz"
AMEDAS = "amedas:data/amedas"
PERIOD = "2023-12-01", "2023-12-02"


@pytest.fixture
def reads_rain(tmp_path: Path) -> Path:
    """The model of the clone with a table for rain in which 10 mm of three hours are a tenth of a scale."""
    (known,) = model.read(Path("data/fukui/flood-model.avro")).drop("arrived", "partition", "offset").to_dicts()
    model.write(with_rain(known, {"rain_3h": (0.2, 0.35, 0.5, 0.7)}), tmp_path / "model.avro")
    return tmp_path / "model.avro"


def replayed(to: Path, numbers: Path, *sources: str) -> list[dict[str, Any]]:
    given = [word for each in sources for word in ("--from", each)]
    assert main(["replay", "upstream_flood", *given, "--between", *PERIOD, "--model", str(numbers), "--to", str(to)]) == 0
    return [json.loads(line) for line in to.read_text(encoding="utf-8").splitlines()]


def test_a_replay_with_rain_rests_on_it_and_why_comes_to_the_same(
    reads_rain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = replayed(tmp_path / "said.jsonl", reads_rain, LEVELS, AMEDAS)
    rained = [each for each in said if any(weighed["what"] == "rain" for weighed in each["because"]["weighed_most"])]
    fact = next(each for each in rained if each["state"] == "raised")
    assert fact["because"]["variant"] == "with_rain"
    capsys.readouterr()
    given = ["--in", str(tmp_path / "said.jsonl"), "--revision", "1", "--from", LEVELS, "--from", AMEDAS, "--model", str(reads_rain)]
    assert main(["why", fact["id"], *given]) == 0
    told = capsys.readouterr().out
    (station,) = [each["gauge_id"] for each in fact["because"]["weighed_most"] if each["what"] == "rain"]
    assert f"({station}): told last of the hour up to" in told
    assert "hours of rain of" in told
    assert " mm in the hour up to" in told
    assert told.endswith("derived again from these readings: the same\n")


def test_without_rain_it_is_said_as_by_a_model_that_does_not_read_it(reads_rain: Path, tmp_path: Path) -> None:
    usual = replayed(tmp_path / "usual.jsonl", Path("data/fukui/flood-model.avro"), LEVELS)
    assert len(usual) > 100
    assert replayed(tmp_path / "dry.jsonl", reads_rain, LEVELS) == usual


def test_stations_are_known_whenever_a_period_begins() -> None:
    since = datetime(2023, 12, 1, tzinfo=UTC)
    (stations,) = stations_before(["jma-bulletins:data/jma-bulletins", AMEDAS], since)
    assert stations["partition"].unique().to_list() == [1]
    assert "57066" in stations["station_id"].to_list()
    levels, region, sky = readings((LEVELS, AMEDAS), since, datetime(2023, 12, 2, tzinfo=UTC))
    assert (levels["region"].unique().to_list(), region) == (["fukui"], "fukui")
    assert sky is not None
    assert sky.stations.height == stations.height
    assert sky.rain["observed_at"].min() >= since.replace(hour=0)  # type: ignore[operator]
