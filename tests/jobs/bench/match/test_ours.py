"""Our match over the events of the bench finds the true pairs, however they are cut; and what is said of its time and its past."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from jobs.bench.match.contestants import OURS
from jobs.bench.match.held import held
from jobs.bench.match.inputs import inputs
from jobs.bench.match.measure import Where, matched, stages
from jobs.bench.match.ours import PATIENCE, pairs, steps
from jobs.bench.match.report import grown, rows, spent
from jobs.bench.match.spent import STAGES, Spent
from jobs.bench.match.toy import BRAKES, REPORTS, batches, engine
from jobs.bench.match.truth import Compared, true_pairs
from jobs.bench.match.watch import watch
from jobs.bench.program import Program, ProgramError
from pipelines.linkage.side import Side
from tests.jobs.bench.match.made import a_held, a_match


@pytest.mark.parametrize("at_once", [100, 1_000, 50_000])
def test_ours_finds_the_true_pairs_however_many_records_come_at_once(at_once: int) -> None:
    given = inputs(0.002)
    found = pairs(steps(engine(PATIENCE), batches(given.left, given.right, at_once)))
    assert found.sort("left", "right").equals(true_pairs(given))


def test_batches_hold_every_event_once_in_order_of_arrival() -> None:
    given = inputs(0.001)
    cut = list(batches(given.left, given.right, 300))
    assert len(cut) == 7
    for name, side in ((BRAKES, given.left), (REPORTS, given.right)):
        assert [event for each in cut for event in each[name]["event_id"].cast(int)] == side["event"].to_list()
        assert [offset for each in cut for offset in each[name]["offset"]] == list(range(side.height))


def test_no_event_is_late() -> None:
    given, running = inputs(0.001), engine(PATIENCE)
    assert all(running.step(each).late is None for each in batches(given.left, given.right, 100))


def test_the_program_from_files_to_a_file_is_right(tmp_path: Path) -> None:
    given = inputs(0.001)
    truth = true_pairs(given)
    found = matched(Where(core=None, folder=tmp_path), OURS, given, truth)
    assert found.compared == Compared(pairs=truth.height, lost=0, extra=0)
    assert found.given == found.events == 2000
    assert found.seconds > 0
    assert list(tmp_path.iterdir()) == []


def test_stages_of_the_program_are_those_that_are_told(tmp_path: Path) -> None:
    told = stages(Where(core=None, folder=tmp_path), inputs(0.01))
    assert told.keys() <= STAGES.keys()
    assert {"cells", "index", "probe", "distance", "facts"} <= told.keys()
    assert min(told.values()) >= 0


def test_watching_ends_and_leaves_every_method_as_it_was() -> None:
    before = Side.admit, Side.partners, Side._within
    with Spent().watching():
        assert Side.partners is not before[1]
    assert (Side.admit, Side.partners, Side._within) == before


def test_a_longer_past_holds_more() -> None:
    few, more = held(50_000, 10_000), held(150_000, 10_000)
    assert 40_000 < few.held < more.held
    assert more.held == pytest.approx(150_000, rel=0.4)
    assert min(few.typical_us, few.mean_us, few.longest_ms) > 0


# --- watching a program --------------------------------------------------------------------------------------------


def program(tmp_path: Path, source: str) -> Program:
    return Program([sys.executable, "-u", "-c", source], None, tmp_path / "log")


def test_a_program_is_watched_from_its_begin_to_its_end_with_its_children(tmp_path: Path) -> None:
    busy = "import time\nuntil = time.process_time() + .3\nwhile time.process_time() < until: pass"
    lines = ["import subprocess, sys, time", "print('warm')", "print('begin')", f"subprocess.run([sys.executable, '-c', {busy!r}])"]
    source = "\n".join([*lines, "print('so far 7')", "print('done')", "time.sleep(60)"])
    seen = watch(program(tmp_path, source), 60)
    assert (seen.done, seen.so_far, seen.lines) == (True, 7, ("warm",))
    assert seen.cpu_s >= 0.25
    assert seen.peak_mb > 1


def test_a_program_that_takes_too_long_is_told_as_not_done(tmp_path: Path) -> None:
    seen = watch(program(tmp_path, "import time\nprint('begin'); print('so far 40'); time.sleep(60)"), 0.5)
    assert (seen.done, seen.so_far) == (False, 40)


def test_a_program_that_ends_by_itself_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="no luck"):
        watch(program(tmp_path, "import sys\nprint('begin'); sys.exit('no luck')"), 60)


# --- what is reported ----------------------------------------------------------------------------------------------


def test_contestants_are_told_beside_the_first() -> None:
    ours, theirs = a_match(name="tsunagu"), a_match(name="a peer", seconds=20.0, cpu_s=10.0, lost=3)
    assert rows([ours, theirs], "markdown").splitlines()[2:] == [
        "| tsunagu | 2,000 | 1,000 | 500 | 100 | 0 of 900 | 0 |  |  |",
        "| a peer | 2,000 | 100 | 5,000 | 100 | 3 of 900 | 0 | 10 | 10 |",
    ]


def test_who_did_not_come_to_its_end_is_told_by_what_it_did_and_loses_nothing() -> None:
    told = rows([a_match(name="tsunagu"), a_match(name="a peer", events=500, compared=False)], "markdown").splitlines()[3]
    assert told == "| a peer (not done in 2.00 s) | 2,000 | 250 | 2,000 | 100 | – | – | 4.0 | 4.0 |"


def test_stages_are_told_in_the_order_of_a_record_s_way_with_their_part_of_all() -> None:
    told = spent({"probe": 3.0, "cells": 1.0}, 1_000_000, "markdown").splitlines()[2:]
    assert len(told) == len(STAGES)
    assert [line for line in told if "| 0 |" not in line] == ["| admit: cells | 1.00 | 25% |", f"| {STAGES['probe']} | 3.00 | 75% |"]


def test_a_longer_past_is_told_beside_the_shortest() -> None:
    told = grown([a_held(100_000, 2.0), a_held(10_000_000, 3.0)], "markdown").splitlines()[2:]
    assert told == ["| 100,000 | 2.00 |  | 2.00 |  | 50.0 |", "| 10,000,000 | 3.00 | 1.5 | 3.00 | 1.5 | 50.0 |"]
