"""``tsunagu fit upstream_flood --choose`` over a few weeks of recorded readings with three floods."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs.cli import main
from pipelines.upstream_flood.choice import OPEN_TO_CHOICE, RAINED, WAYS

LEVELS = "fukui:data/fukui/levels-2021-08_to_2024-05.tar.gz"
RAIN = "amedas:data/amedas"
FLOOD = "fukui:data/fukui/flood-2024-05"
LINE = re.compile(r"^(→ |  )(?P<name>.+?) +(?P<pod>1\.00|\.\d\d|–) +(?P<far>1\.00|\.\d\d|–) +(?P<csi>1\.00|\.\d\d|–) ")


def test_every_way_is_judged_on_floods_that_it_has_not_seen_and_one_is_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "upstream_flood", "--from", LEVELS, "--from", RAIN, "--between", "2023-11-01", "2023-12-05", "--choose"]) == 0
    told = capsys.readouterr().out.splitlines()
    at = next(nth for nth, line in enumerate(told) if line.endswith("floods with rain:"))
    rows = {found["name"]: found for line in told[:at] if (found := LINE.match(line))}
    assert list(rows) == [way.name for way in (*WAYS, RAINED)]
    marked = [name for name, found in rows.items() if found[1] == "→ "]
    assert len(marked) == 1
    assert f"→ {marked[0]}: of the ways with a safety net" in "\n".join(told)
    assert float(rows["raised from 0.25"]["pod"]) > float(rows["safety net alone"]["pod"]), "a model sees more coming"
    assert float(rows["raised from 0.15"]["pod"]) >= float(rows["raised from 0.30"]["pod"])
    assert marked[0] in [way.name for way in WAYS[:OPEN_TO_CHOICE]]
    assert [line.split("NETp")[0].strip() for line in told[at + 1 :] if "NETp" in line] == ["raised from 0.25", RAINED.name]
    assert any(line.startswith("30 % of the gauges not heard: CSI on NETp's gauges that are heard") for line in told)


def test_one_flood_is_too_few_to_choose_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "upstream_flood", "--from", FLOOD, "--choose"]) == 3
    assert "readings to choose on must hold 2 floods (got 1): give a longer period" in capsys.readouterr().err


def test_only_the_flood_rule_is_chosen_like_this(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "latent_accident_spots", "--from", "npa:data/npa", "--choose"]) == 3
    text = "--choose must be of upstream_flood (got 'latent_accident_spots'): see tsunagu score latent_accident_spots"
    assert text in capsys.readouterr().err


def test_a_choice_leaves_floods_out_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "upstream_flood", "--from", FLOOD, "--choose", "--without", "2024-05-28", "2024-05-30"]) == 3
    assert "--without must not go with --choose (got both): it leaves out one flood after the other" in capsys.readouterr().err


def test_a_fit_is_written_or_chosen_not_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["fit", "upstream_flood", "--from", FLOOD, "--choose", "--to", str(tmp_path / "model.avro")])
    assert refused.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err
