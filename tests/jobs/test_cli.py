"""The command line: what it prints, what it leaves behind, and exit codes that mean something."""

from __future__ import annotations

from pathlib import Path

import fastavro
import polars as pl
import pytest

from connectors import gauges, model
from jobs.cli import main
from jobs.linkages import DATA, GAUGES, MODEL
from schemas import feed

FLOOD = f"fukui:{DATA / 'fukui' / 'flood-2024-05'}"
DAY = ("--between", "2024-05-28", "2024-05-29")
ID = "fukui/12/L1/20240528T0710Z"


def replayed(to: str, *more: str, source: str = FLOOD) -> int:
    return main(["replay", "upstream_flood", "--from", source, *(more or DAY), "--to", to])


def test_a_replay_from_the_archive_says_the_same_bytes(tmp_path: Path) -> None:
    assert main(["record", "--from", FLOOD, "--to", f"archive:{tmp_path / 'archive'}"]) == 0
    assert replayed(str(tmp_path / "files.jsonl")) == 0
    assert replayed(str(tmp_path / "archive.jsonl"), source=f"archive:{tmp_path / 'archive'}") == 0
    assert (tmp_path / "files.jsonl").read_bytes() == (tmp_path / "archive.jsonl").read_bytes()
    assert (tmp_path / "files.late.jsonl").exists()
    assert (tmp_path / "files.dead.jsonl").exists()


def test_a_replay_begins_with_what_stands_and_not_with_what_had_ended(tmp_path: Path) -> None:
    assert replayed(str(tmp_path / "notices.jsonl")) == 0
    first = (tmp_path / "notices.jsonl").read_text(encoding="utf-8").splitlines()[:29]
    assert all('"ended_at": null' in line for line in first)


def test_facts_in_an_archive_can_be_asked_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = f"archive:{tmp_path / 'facts'}"
    assert replayed(facts) == 0
    assert main(["why", ID, "--in", facts, "--from", FLOOD]) == 0
    told = capsys.readouterr().out
    assert "derived again from these readings: the same" in told
    assert "朝谷 (12)" in told


def test_a_notice_shows_the_official_bulletin_of_its_area_and_tells_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sample of 六角川, published on 28 May 2024 at 15:00 JST, taken for one of the 足羽川."""
    sample = (DATA / "jma-bulletins" / "16_02_02_220728_VXKOii.xml").read_text(encoding="utf-8")
    moved = sample.replace("2021-08-13T15:10:00+09:00", "2024-05-28T15:00:00+09:00").replace("2021-08-13T06:21:31Z", "2024-05-28T06:11:00Z")
    (tmp_path / "1.xml").write_text(moved, encoding="utf-8")
    known = gauges.read(GAUGES).with_columns(forecast_area=pl.when(pl.col("river") == "足羽川").then(pl.lit("890904000100")))
    gauges.write(known, tmp_path / "gauges.csv")
    facts, table, bulletins = f"archive:{tmp_path / 'facts'}", str(tmp_path / "gauges.csv"), f"jma-bulletins:{tmp_path}"
    assert replayed(facts, *DAY, "--from", bulletins, "--gauges", table) == 0
    assert main(["why", ID, "--in", facts, "--from", FLOOD, "--from", bulletins, "--gauges", table]) == 0
    told = capsys.readouterr().out
    assert "derived again from these readings: the same" in told
    assert "  Official, 六角川: level 3, 氾濫警戒情報 (2024-05-28 15:00 JST)\n" in told
    assert "氾濫警戒情報 code 30: issued, stated, stands, level 3, arrived 2024-05-28 15:11 JST\n" in told
    assert main(["why", ID, "--in", facts, "--from", FLOOD, "--gauges", table]) == 1
    assert "NOT the same in headline_ja, headline_en, official" in capsys.readouterr().out


def test_what_two_replays_said_is_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = f"archive:{tmp_path / 'facts'}"
    assert (replayed(facts), replayed(facts)) == (0, 3)
    assert "archive of --to must not hold river.flood-notice.v1 yet" in capsys.readouterr().err


def test_why_over_other_readings_says_that_it_is_not_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts, folder = tmp_path / "notices.jsonl", tmp_path / "files"
    assert replayed(str(facts)) == 0
    folder.mkdir()
    for each in (DATA / "fukui" / "flood-2024-05").glob("*.csv"):
        (folder / each.name).write_bytes(each.read_bytes().replace(b",0.8", b",0.7"))
    assert main(["why", ID, "--in", str(facts), "--from", f"fukui:{folder}", "--revision", "1"]) == 1
    assert "NOT" in capsys.readouterr().out


def odd_model(path: Path) -> Path:
    """A model for a rule that has only one feature."""
    (record,) = model.read(MODEL).rows(named=True)
    with path.open("wb") as file:
        fastavro.writer(file, feed("river.flood-model.v1").schema, [record | {"features": ["u"]}])
    return path


def test_what_cannot_be_used_is_told_with_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = str(tmp_path / "x.jsonl")
    calls = {
        "sources must hold arrivals in the period": ("--between", "2025-05-28", "2025-05-29"),
        "--between must begin before it ends": ("--between", "2024-05-29", "2024-05-28"),
        "features of a flood model must be those of the rule (got ['u'])": ("--model", str(odd_model(tmp_path / "odd.avro"))),
        "model must be a file that can be read": ("--model", str(tmp_path / "absent.avro")),
        "gauges must be a file that can be read": ("--gauges", str(tmp_path)),
    }
    for text, options in calls.items():
        assert replayed(to, *options) == 3
        assert text in capsys.readouterr().err
    assert not Path(to).exists()


def test_gauges_without_a_gauge_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = GAUGES.read_text(encoding="utf-8").splitlines()[0]
    (tmp_path / "none.csv").write_text(header + "\n", encoding="utf-8")
    assert replayed(str(tmp_path / "x.jsonl"), *DAY, "--gauges", str(tmp_path / "none.csv")) == 3
    assert "none.csv must hold a gauge at least (got only a header)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("without", "text"),
    [
        (("2024-05-29", "2024-05-28"), "--without must begin before it ends"),
        (("2023-05-28", "2023-05-29"), "--without must leave readings out"),
    ],
)
def test_a_fit_that_would_leave_nothing_out_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], without: tuple[str, str], text: str
) -> None:
    to = tmp_path / "model.avro"
    assert main(["fit", "upstream_flood", "--from", FLOOD, "--without", *without, "--to", str(to)]) == 3
    assert text in capsys.readouterr().err
    assert not to.exists()


@pytest.mark.parametrize("time", ["yesterday", "0001-01-01", "2024-13-01"])
def test_a_time_that_is_none_is_a_call_that_is_not_understood(tmp_path: Path, time: str) -> None:
    with pytest.raises(SystemExit) as ended:
        replayed(str(tmp_path / "x.jsonl"), "--between", time, "2024-05-29")
    assert ended.value.code == 2


def test_gauge_records_are_made_again_as_they_lie_in_data(tmp_path: Path) -> None:
    assert main(["gauges", "--from", f"fukui:{DATA / 'fukui'}", "--to", str(tmp_path / "gauges.csv")]) == 0
    assert (tmp_path / "gauges.csv").read_bytes() == GAUGES.read_bytes()
