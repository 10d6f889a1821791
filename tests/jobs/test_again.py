"""What a tally or a match said follows again from what had arrived by then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.cli import main

FUKUI = "npa:data/npa/npa_2019-2021_52_points.csv.gz"


def replayed(linkage: str, to: Path, *sources: str) -> list[dict[str, object]]:
    where = [part for source in sources for part in ("--from", source)]
    assert main(["replay", linkage, *where, "--to", str(to)]) == 0
    return [json.loads(line) for line in to.read_text(encoding="utf-8").splitlines()]


def test_a_place_is_judged_again_as_each_police_file_let_it_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = tmp_path / "said.jsonl"
    told = [row for row in replayed("latent_accident_spots", facts, FUKUI) if row["id"] == "jp/10/8a2e63580c47fff/2019"]
    assert [row["revision"] for row in told] == [1, 2, 3]
    for revision in ("1", "3"):
        capsys.readouterr()
        call = ["why", "jp/10/8a2e63580c47fff/2019", "--linkage", "latent_accident_spots", "--revision", revision]
        assert main([*call, "--in", str(facts), "--from", FUKUI]) == 0
        shown = capsys.readouterr().out
        assert shown.endswith("derived again from these readings: the same\n")
        assert "accident_id 20" in shown


def test_who_is_told_of_by_other_records_is_not_derived_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = tmp_path / "said.jsonl"
    pair = replayed("witnessed_near_misses", facts, "probe:data/probe", "simra:data/simra")[0]
    call = ["why", str(pair["id"]), "--linkage", "witnessed_near_misses", "--in", str(facts)]
    assert main([*call, "--from", "probe:data/probe", "--from", "simra:data/simra"]) == 0
    capsys.readouterr()
    assert main([*call, "--from", "simra:data/simra"]) == 1
    assert "the rule does NOT say it over these readings" in capsys.readouterr().out
