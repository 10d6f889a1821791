"""Rivers that are not those of Fukui, from their files to what is said: no thresholds, thresholds by hand, and crisis gauges in a flood."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from jobs.cli import main

DON = "uk:data/uk-don"
KYUSHU, CRISIS = os.environ.get("TSUNAGU_KYUSHU_RIVER"), os.environ.get("TSUNAGU_RIVER_CRISIS")
OWN_STATES = {"stale", "no_reading", "no_threshold", "not_observed"}


def gauges(folder: Path, source: str, **thresholds: dict[str, str]) -> Path:
    """Gauge records as a person makes and edits them: thresholds by gauge and field."""
    path = folder / "gauges.csv"
    assert main(["gauges", "--from", source, "--to", str(path)]) == 0
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(row | thresholds.get(row["gauge_id"], {}) for row in rows)
    return path


def said(folder: Path, source: str, known: Path, *period: str) -> list[dict[str, Any]]:
    to = folder / "said.jsonl"
    between = ["--between", *period] if period else []
    assert main(["replay", "upstream_flood", "--from", source, "--gauges", str(known), *between, "--to", str(to)]) == 0
    return [json.loads(line) for line in to.read_text(encoding="utf-8").splitlines()]


def standing(facts: list[dict[str, Any]]) -> dict[str, set[str]]:
    """What stands at the end, gauge by gauge: the subjects of facts that are neither over nor withdrawn."""
    newest = {each["id"]: each for each in facts}
    out = defaultdict(set)
    for name, each in newest.items():
        if each["state"] not in {"cleared", "withdrawn"}:
            out[each["gauge_id"]].add(name.split("/")[-2])
    return out


def test_a_gauge_without_thresholds_says_so_once_and_nothing_else_through_two_floods(tmp_path: Path) -> None:
    facts = said(tmp_path, DON, gauges(tmp_path, DON))
    assert [(each["id"], each["state"]) for each in facts] == [("River Don/F0605/no_threshold/20070611T0000Z", "no_threshold")]


def test_with_a_threshold_and_without_a_model_notices_come_from_the_water_alone_and_say_no_probability(tmp_path: Path) -> None:
    facts = said(tmp_path, DON, gauges(tmp_path, DON, F0605={"l4_danger_m": "3.0"}))
    raised = [each for each in facts if each["state"] == "raised"]
    assert {each["level"] for each in facts} == {"L4"}
    # from the file, GMT: 3.0 m is reached by 2.788 + (2.788 - 2.547) on the 15th at 06:15, by 2.651 + (2.651 - 2.252) on the 25th at 11:30
    assert [each["onset"] for each in raised] == ["2007-06-15T15:20:00+09:00", "2007-06-25T20:30:00+09:00"]
    assert [each["observed_m"] for each in raised] == [2.788, 2.651]
    assert {each["p_exceed"] for each in facts} == {None}
    assert {each["model"] for each in facts} == {None}
    assert max(each["observed_m"] for each in facts) == 4.675
    assert min(each["said_at"] for each in facts) > "2007-06-11", "nothing rests on a model of elsewhere"


def test_a_model_of_elsewhere_is_refused_where_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = gauges(tmp_path, DON)
    call = ["replay", "upstream_flood", "--from", DON, "--gauges", str(known), "--to", str(tmp_path / "said.jsonl")]
    assert main([*call, "--model", "data/fukui/flood-model.avro"]) == 3
    assert "model flood-model.avro must be of a region of the gauges (got fukui): fit one over these gauges" in capsys.readouterr().err


def test_gauges_of_an_unknown_kind_are_refused_with_the_kinds_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gauges", "--from", "npa:data/npa", "--to", str(tmp_path / "gauges.csv")]) == 3
    assert capsys.readouterr().err == (
        "tsunagu: source of gauges must be KIND:DIR with KIND one of crisis, fukui, kyushu, mlit, uk and DIR a folder of tables "
        "(got 'npa:data/npa'): for example fukui:data/fukui\n"
    )


def test_files_without_levels_end_a_replay_with_their_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "upstream_flood", "--from", "mlit:data/mlit", "--to", str(tmp_path / "said.jsonl")]) == 3
    assert "discharge and daily means are no levels" in capsys.readouterr().err
    assert not (tmp_path / "said.jsonl").exists()


@pytest.mark.skipif(KYUSHU is None, reason="data that may not be committed: levels of Kyushu; TSUNAGU_KYUSHU_RIVER=FOLDER")
def test_nineteen_gauges_of_kyushu_have_no_threshold_and_those_that_fall_silent_say_so(tmp_path: Path) -> None:
    source = f"kyushu:{KYUSHU}"
    facts = said(tmp_path, source, gauges(tmp_path, source))
    stands = standing(facts)
    assert len(stands) == 19
    assert all("no_threshold" in each for each in stands.values())
    (silent,) = [name for name, each in stands.items() if each > {"no_threshold"}]
    assert stands[silent] == {"no_threshold", "no_reading", "stale"}
    (first,) = [each for each in facts if each["id"].startswith(f"遠賀川/{silent}/no_reading/")]
    assert "添田" in first["headline_ja"]
    assert first["onset"] == "2017-07-05T19:00:00+09:00", "it is lost two hours after its crest"


@pytest.mark.skipif(CRISIS is None, reason="data that may not be committed: crisis gauges; TSUNAGU_RIVER_CRISIS=FOLDER")
def test_crisis_gauges_of_mie_in_a_flood_are_never_all_clear_by_being_silent(tmp_path: Path) -> None:
    """三重県, 20 to 22 September 2025: devices come into the list as the water rises, and leave it as it falls."""
    begin, end = "2025-09-20T00:00", "2025-09-22T12:00"
    stations = pl.read_csv(Path(str(CRISIS)) / "stations.csv", infer_schema=False).filter(pl.col("prefCode") == "24000")
    rows = pl.concat(pl.read_csv(each, infer_schema=False) for each in sorted(Path(str(CRISIS)).glob("observations_*.csv.gz")))
    rows = rows.filter(pl.col("snapshot_jst_hour").is_between(pl.lit("2025/09/17/00"), pl.lit("2025/09/22/11")))
    rows = rows.filter(pl.col("code").is_in(stations["code"].to_list()))
    stations.write_csv(tmp_path / "stations.csv")
    (tmp_path / "observations_mie.csv.gz").write_bytes(gzip.compress(rows.write_csv().encode()))
    source = f"crisis:{tmp_path}"
    facts = said(tmp_path, source, gauges(tmp_path, source), begin, end)

    levels = [each for each in facts if each["level"]]
    assert {each["level"] for each in levels} == {"L4"}
    assert {each["gauge_id"] for each in levels if each["state"] == "raised"} >= set(
        rows.filter(pl.col("over").is_in(["11", "111"]), pl.col("snapshot_jst_hour") >= "2025/09/20/00")["code"]
    ), "every device that the publisher put above its danger level was told of"
    heard = defaultdict(list)
    for code, at in rows.select("code", "obsTime_jst").iter_rows():
        heard[code].append(datetime.fromisoformat(at))
    for each in levels:
        if each["state"] == "cleared":
            ended = datetime.fromisoformat(each["ended_at"])
            assert any(ended - timedelta(hours=6) < at <= ended for at in heard[each["gauge_id"]]), "a notice ends by readings"

    stands = standing(facts)
    last = rows.filter(pl.col("snapshot_jst_hour") == rows["snapshot_jst_hour"].max())["code"]
    silent = set(stations["code"]) - set(last)
    assert len(silent) > 100
    assert all(stands[code] & (OWN_STATES - {"no_threshold"}) for code in silent), "whoever is silent is said to be"
    low = {code for code, each in stands.items() if "not_observed" in each}
    warned = {code for code in silent if rows.filter(pl.col("code") == code)["over"].to_list()[-1:] not in ([], ["1"])}
    assert low == silent - warned, "whoever left the list, or never was in it, is below its start level"
    assert not any(stands[code] & {"stale", "no_reading"} for code in low)
    unset = set(stations.filter(pl.col("warnLevel").is_null() | (pl.col("warnLevel") == ""))["code"])
    assert {code for code, each in stands.items() if "no_threshold" in each} == unset
