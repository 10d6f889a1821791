"""Thresholds to judge methods on: read, and put in the place of official ones."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from connectors import gauges, pseudo_thresholds
from connectors.gauges import GaugesError
from jobs.cli import main
from pipelines.upstream_flood.score import NETP, official, pairs, pseudo

DATA = Path(__file__).parents[2] / "data" / "fukui"
TABLE = DATA / "pseudo-thresholds.csv"


def table(folder: Path, *rows: str, header: str = "id,P1,P2") -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


def test_gauge_records_carry_pseudo_thresholds_and_no_others() -> None:
    known = gauges.read(DATA / "gauges.csv")
    told = pseudo_thresholds.read(TABLE)
    put = pseudo_thresholds.put(known, told)
    assert official(put).rows() == pseudo(told).rows()
    assert set(official(put)["gauge_id"]) == set(NETP.gauges)
    assert pairs(official(put), NETP).height == 2 * len(NETP.gauges)
    same = [name for name in known.columns if not name.endswith("_m") and name not in ("l1_is", "thresholds_differ")]
    assert put.select(same).equals(known.select(same))
    assert put.schema == known.schema


def test_the_command_writes_them_as_a_table_that_reads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = tmp_path / "gauges.csv"
    assert main(["gauges", "--from", f"fukui:{DATA}", "--pseudo", str(TABLE), "--to", str(to)]) == 0
    assert gauges.read(to).equals(pseudo_thresholds.put(gauges.read(DATA / "gauges.csv"), pseudo_thresholds.read(TABLE)))
    assert capsys.readouterr().out.startswith("103 gauges in ")


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (["12,1.15,"], r"^P1 and P2 of '12' in table.csv must be numbers, P2 above P1 \(got '1.15' and None\)$"),
        (["12,high,1.7"], r"^P1 and P2 of '12' in table.csv must be numbers, P2 above P1 \(got 'high' and '1.7'\)$"),
        (["12,1.7,1.15"], r"^P1 and P2 of '12' in table.csv must be numbers, P2 above P1 \(got '1.7' and '1.15'\)$"),
        (["12,nan,1.7"], r"^P1 and P2 of '12' in table.csv must be numbers, P2 above P1 \(got 'nan' and '1.7'\)$"),
        (["12,1,2", "12,2,3"], r"^gauges of table.csv must stand once \(got '12' twice\)$"),
    ],
)
def test_a_row_that_breaks_a_rule_is_refused(tmp_path: Path, rows: list[str], fault: str) -> None:
    with pytest.raises(GaugesError, match=fault):
        pseudo_thresholds.read(table(tmp_path, *rows))


def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GaugesError, match=r"^header of table.csv must be id,P1,P2 \(got 'id,P1'\)$"):
        pseudo_thresholds.read(table(tmp_path, "12,1", header="id,P1"))
    with pytest.raises(
        GaugesError, match=r"^pseudo-thresholds must be a CSV in UTF-8 \(got '.*none.csv', FileNotFoundError\): for example data/"
    ):
        pseudo_thresholds.read(tmp_path / "none.csv")


def test_a_gauge_that_nobody_knows_is_refused() -> None:
    with pytest.raises(GaugesError, match=r"^pseudo-thresholds must be of gauges that have a record \(got '999'\): see gauges.csv$"):
        pseudo_thresholds.put(gauges.read(DATA / "gauges.csv"), pl.DataFrame({"id": ["999"], "P1": [1.0], "P2": [2.0]}))
