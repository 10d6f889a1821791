"""Where a process is to die or stand still is told by its environment, and told wrong it does not start."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

from jobs.worker.faults import POINTS, FaultError, from_environment

PASSES = (
    "from jobs.worker.faults import from_environment; fault = from_environment(); [(fault('read'), print(i, flush=True)) for i in range(3)]"
)


def test_without_a_word_nothing_ever_happens() -> None:
    fault = from_environment({})
    for point in POINTS:
        fault(point)


def test_it_dies_at_its_point_the_time_that_was_told() -> None:
    done = subprocess.run([sys.executable, "-c", PASSES], env={"TSUNAGU_FAULT": "read:3"}, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == b"0\n1\n"


def test_it_stands_still_and_goes_on_when_it_is_woken() -> None:
    with subprocess.Popen([sys.executable, "-c", PASSES], env={"TSUNAGU_FAULT": "stop@read:2"}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"0\n"
        process.send_signal(signal.SIGCONT)
        while process.poll() is None:
            process.send_signal(signal.SIGCONT)
        assert process.stdout.read() == b"1\n2\n"
    assert process.returncode == 0


@pytest.mark.parametrize("named", ["nowhere", "read:-1", "pause@read:1", "@read:x", ":1"])
def test_a_point_that_is_none_is_refused(named: str) -> None:
    rule = f"TSUNAGU_FAULT must be POINT:COUNT or stop@POINT:COUNT (got {named!r}): POINT is one of {', '.join(POINTS)}"
    with pytest.raises(FaultError, match=f"^{re.escape(rule)}$"):
        from_environment({"TSUNAGU_FAULT": named})
