"""``tsunagu score upstream_flood`` on the flood of May 2024, through the command line."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from connectors import gauges, jsonl, merged
from jobs.cli import main
from jobs.embedded import replay
from jobs.score.beside import notices_of
from jobs.score.figures import Judged
from jobs.score.lines import lines
from jobs.sources import open_source
from pipelines.upstream_flood.reference import reference
from pipelines.upstream_flood.score import spells
from schemas import feed

DATA = Path(__file__).parents[2] / "data" / "fukui"
TRUTH = f"fukui:{DATA / 'flood-2024-05'}"
NOTICE = "river.flood-notice.v1"
SINCE = datetime(2024, 5, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the linkage says of the flood, on official levels and on pseudo-thresholds."""
    folder = tmp_path_factory.mktemp("said")
    to_pseudo = ["gauges", "--from", f"fukui:{DATA}", "--pseudo", str(DATA / "pseudo-thresholds.csv"), "--to", str(folder / "pseudo.csv")]
    assert main(to_pseudo) == 0
    replayed = ["replay", "upstream_flood", "--from", TRUTH, "--model", str(DATA / "flood-model-without-2024-05-28.avro")]
    assert main([*replayed, "--to", str(folder / "official.jsonl")]) == 0
    assert main([*replayed, "--gauges", str(folder / "pseudo.csv"), "--to", str(folder / "pseudo.jsonl")]) == 0
    return folder


def scored(said: Path, *more: str) -> int:
    return main(["score", "upstream_flood", "--facts", str(said / "official.jsonl"), "--truth", TRUTH, *more])


def test_notices_are_judged_by_group_and_level_beside_forecasts_that_cost_nothing(
    said: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scored(said, "--pseudo-facts", str(said / "pseudo.jsonl"), "--to", str(tmp_path / "score.json")) == 0
    told = capsys.readouterr().out
    whole = json.loads((tmp_path / "score.json").read_text(encoding="utf-8"))
    assert [each["name"] for each in whole["groups"]] == ["NET", "OTHC", "NET + OTHC", "routine", "NETp"]
    assert re.findall(r"^([\w +]+): .* \d+ gauges, \d+ levels, 1 flood$", told, flags=re.M) == [each["name"] for each in whole["groups"]]
    for group in whole["groups"]:
        rows = {(row["level"], row["forecast"]): row for row in group["rows"]}
        levels = [level for level, forecast in rows if forecast == "notices"]
        assert levels == ["all", *(each for each in ("L1", "L2", "L3", "L4") if each in levels)]
        assert len(rows) == 4 * len(levels)
        # The same events for every forecast, and the levels add up to all of them.
        for level in levels:
            assert len({rows[level, each]["events"] for each in ("notices", *whole_names(group))}) == 1
        for count in ("events", "hits", "misses", "false", "near"):
            assert rows["all", "notices"][count] == sum(rows[level, "notices"][count] for level in levels[1:])
    (pseudo,) = [each for each in whole["groups"] if each["name"] == "NETp"]
    ours, persistence = (next(row for row in pseudo["rows"] if row["forecast"] == each) for each in ("notices", "level now"))
    assert ours["events"] > 20
    assert ours["pod"] > 0.8
    assert persistence["pod"] < 0.1
    assert {gain["over"]: gain["csi"] > 0 for gain in pseudo["gains"]}["level now"]
    ((name, count),) = whole["unjudged"].items()
    assert name.startswith("205 ")
    assert count == 0
    assert f"{name}, of which no level can be judged" in told


def whole_names(group: dict[str, Any]) -> list[str]:
    return [gain["over"] for gain in group["gains"]]


def test_the_same_notices_get_the_same_figures_and_intervals(said: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scored(said) == 0
    first = capsys.readouterr().out
    assert scored(said) == 0
    assert capsys.readouterr().out == first
    assert "intervals, floods drawn again 1000 times (seed 1)" in first
    assert "NETp is told of facts on pseudo-thresholds only" in first


def test_a_period_is_one_of_arrival(said: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = ["--between", "2024-05-20", "2024-05-27", "--to", str(tmp_path / "score.json")]
    assert scored(said, *before) == 0
    assert ": 16,552 readings that arrived from 2024-05-20 00:00 JST to 2024-05-27 00:00 JST" in capsys.readouterr().out
    whole = json.loads((tmp_path / "score.json").read_text(encoding="utf-8"))
    assert (whole["groups"][0]["rows"], whole["groups"][0]["quiet"]) == ([], ["L1", "L2", "L3", "L4"])


def test_what_a_reference_forecast_says_is_what_a_replay_of_it_says() -> None:
    """Read a day at a time and told by the gauge's own readings, or arrival by arrival: the same spells."""
    linkage, known = reference(1), {"river.gauge.v1": gauges.read(DATA / "gauges.csv")}
    chunks = list(merged([open_source(TRUTH)]))
    levels = pl.concat([chunk["river.level.v1"] for chunk in chunks if "river.level.v1" in chunk])
    one_by_one = pl.concat([each.facts for each in replay(linkage, iter(chunks), known) if each.facts is not None])
    quick = spells(notices_of(linkage, chunks, known, levels))
    slow = spells(one_by_one)
    both = quick.join(slow, on=["notice_id", "gauge_id", "level"], suffix="_slow")
    assert both.height == quick.height > 30
    assert (both["said_at"] == both["said_at_slow"]).mean() > 0.99
    off = (both["over_at"] - both["over_at_slow"]).drop_nulls().dt.total_minutes().abs()
    assert off.quantile(0.9) <= 10


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--facts", "none.jsonl"], r"what was said must be FILE.jsonl or archive:DIR \(got 'none.jsonl'\): make one with tsunagu replay"),
        (["--to", "score.csv"], r"--to must be FILE.json \(got 'score.csv'\): for example build/score.json"),
        (
            ["--between", "2030-01-01", "2031-01-01"],
            r"truth must hold readings that arrived in the period \(got none from 2030-01-01 00:00 JST",
        ),
        (["--pseudo", "none.csv", "--pseudo-facts", "{said}/pseudo.jsonl"], r"pseudo-thresholds must be a CSV in UTF-8 \(got 'none.csv', "),
        (
            ["--facts", "{said}/pseudo.jsonl"],
            r"threshold of a notice must be that of the judge \(got [\d.]+ m in fukui/\d+/L\d/\w+, [\w.]+ in gauges.csv\): give what ",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(said: Path, options: list[str], fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert scored(said, *(each.format(said=said) for each in options)) == 3
    assert re.match(f"tsunagu: {fault}", capsys.readouterr().err.splitlines()[-1])


def test_facts_without_a_statement_are_refused(tmp_path: Path) -> None:
    with jsonl.open(tmp_path / "facts.jsonl", NOTICE) as file:
        file.write(feed(NOTICE).empty())
    with pytest.raises(SystemExit):
        main(["score", "upstream_flood", "--facts", str(tmp_path / "facts.jsonl")])
    assert main(["score", "upstream_flood", "--facts", str(tmp_path / "facts.jsonl"), "--truth", TRUTH]) == 3


def test_where_no_gauge_has_a_level_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known, truth = tmp_path / "don.csv", f"uk:{DATA.parent / 'uk-don'}"
    assert main(["gauges", "--from", truth, "--to", str(known)]) == 0
    assert main(["replay", "upstream_flood", "--from", truth, "--gauges", str(known), "--to", str(tmp_path / "don.jsonl")]) == 0
    scored = ["score", "upstream_flood", "--facts", str(tmp_path / "don.jsonl"), "--truth", truth, "--gauges", str(known)]
    assert main(scored) == 0
    assert "no level can be judged: no gauge has an official level above the one under which its sign is lost" in capsys.readouterr().out
    assert main(scored[:-2]) == 3
    assert re.match(
        r"tsunagu: gauges of River Don must have a record \(got none in gauges.csv\): see --gauges",
        capsys.readouterr().err.splitlines()[-1],
    )


def test_a_figure_that_cannot_be_had_is_a_dash() -> None:
    row = {
        "level": "all", "forecast": "notices", "events": 0, "false_h_per_gauge_year": None,
        **dict.fromkeys(("pod", "far", "far_with_near", "csi", "lead_median_min", "lead_q25_min")),
        **dict.fromkeys(("pod_90", "far_90", "far_with_near_90", "csi_90", "lead_median_min_90", "lead_q25_min_90")),
    }  # fmt: skip
    none = Judged(name="g", about="gauges", gauges=1, thresholds=1, floods=0, sudden=0, rows=[row], quiet=[], gains=[], told=[])
    some = replace(none, rows=[row | {"pod": 1.0, "csi": 0.456, "pod_90": (0.5, 1.0), "lead_median_min": 95.4, "lead_q25_min": 0.0}])
    about = {"facts": "f", "truth": "t", "readings": 0, "since": SINCE, "until": SINCE, "unjudged": {}}
    for each, shown in (
        (none, ["all", "notices", "0", "–", "–", "–", "–", "–/–", "–"]),
        (some, ["all", "notices", "0", "1.00", "(.50–1.00)"]),
    ):
        (line,) = [told for told in lines(about, [each], [], []) if told.startswith("all")]
        assert line.split()[: len(shown)] == shown
