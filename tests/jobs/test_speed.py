"""Recorded arrivals keep their distances at any speed, measured by a clock that a test holds in its hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from jobs.speed import Pace

MINUTE_MS = 60_000


@dataclass
class Watch:
    time: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def pace(self, speed: float | None) -> Pace:
        return Pace(speed=speed, clock=lambda: self.time, sleep=self.sleep)


@pytest.mark.parametrize(("speed", "slept"), [(1.0, [600.0, 1200.0]), (600.0, [1.0, 2.0]), (0.5, [1200.0, 2400.0])])
def test_distances_are_kept_from_the_first_arrival_on(speed: float, slept: list[float]) -> None:
    watch = Watch()
    pace = watch.pace(speed)
    for minute in (7, 17, 37):
        pace.wait(minute * MINUTE_MS)
    assert watch.slept == slept


def test_what_arrived_together_is_told_together() -> None:
    watch = Watch()
    pace = watch.pace(1.0)
    for _ in range(3):
        pace.wait(MINUTE_MS)
    assert watch.slept == []


def test_time_lost_in_publishing_is_made_up() -> None:
    watch = Watch()
    pace = watch.pace(60.0)
    pace.wait(0)
    watch.time += 2.5
    for minute in (1, 2, 3, 4):
        pace.wait(minute * MINUTE_MS)
    assert watch.slept == [0.5, 1.0]


def test_without_a_speed_nobody_waits() -> None:
    watch = Watch()
    pace = watch.pace(None)
    for minute in (0, 10, 20):
        assert pace.left_s(minute * MINUTE_MS) == 0
        pace.wait(minute * MINUTE_MS)
    assert watch.slept == []


def test_an_interrupt_ends_the_wait() -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    pace = Pace(speed=1.0, clock=lambda: 0.0, sleep=interrupted)
    pace.wait(0)
    with pytest.raises(KeyboardInterrupt):
        pace.wait(3_600_000)
