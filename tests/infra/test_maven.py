"""Of two that need the same, one runs Maven."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from infra.maven import MavenError, once


@pytest.fixture
def mvn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of Maven's name that takes its time, and where it notes how often it was called."""
    calls, program = tmp_path / "calls", tmp_path / "bin" / "mvn"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n[ "$4" = fails ] && echo no such artifact && exit 1\nsleep 0.3\necho "$@" >> {calls}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return calls


def test_of_two_processes_that_need_the_same_one_runs_maven(mvn: Path, tmp_path: Path) -> None:
    both = [multiprocessing.get_context("spawn").Process(target=once, args=(tmp_path / "libs", "package")) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert [each.exitcode for each in both] == [0, 0]
    assert mvn.read_text().splitlines() == ["-q -B package"]


def test_another_state_is_brought_anew_and_nothing_of_the_old_one_stays(mvn: Path, tmp_path: Path) -> None:
    once(tmp_path / "libs", "package", state="1")
    (tmp_path / "libs" / "old.jar").touch()
    once(tmp_path / "libs", "package", state="1")
    assert (tmp_path / "libs" / "old.jar").exists()
    once(tmp_path / "libs", "package", state="2")
    assert not (tmp_path / "libs" / "old.jar").exists()
    assert len(mvn.read_text().splitlines()) == 2


def test_what_maven_says_is_told_and_the_next_run_tries_again(mvn: Path, tmp_path: Path) -> None:
    with pytest.raises(MavenError, match="no such artifact"):
        once(tmp_path / "libs", "package", "fails")
    once(tmp_path / "libs", "package")
    assert mvn.read_text().splitlines() == ["-q -B package"]
