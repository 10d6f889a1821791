"""The clock tells full instants as they come due, and never goes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from connectors import clock
from connectors.clock import Clock, ClockError

MINUTE = timedelta(minutes=1)


def at(minute: int, second: float = 0) -> datetime:
    return datetime(2024, 5, 28, 12, tzinfo=UTC) + timedelta(minutes=minute, seconds=second)


@dataclass
class Machine:
    """A machine's clock that moves only while somebody sleeps, and may be set."""

    time: datetime
    slept: list[float] = field(default_factory=list)
    sets: dict[datetime, datetime] = field(default_factory=dict)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)
        for when in [each for each in self.sets if self.time >= each]:
            self.time = self.sets.pop(when)

    def clock(self, every: str = "60s") -> Clock:
        return clock.open(every, now=lambda: self.time, sleep=self.sleep)


def test_the_first_instant_is_the_newest_that_has_settled() -> None:
    assert Machine(at(0, 5)).clock().read(after=None) == at(0)
    assert Machine(at(0, 4.9)).clock().read(after=None) == at(-1)


def test_the_next_instant_comes_when_it_has_settled() -> None:
    machine = Machine(at(0, 30))
    assert [machine.clock().read(after=at(minute)) for minute in (0, 1, 2)] == [at(1), at(2), at(3)]
    assert machine.time == at(3, 5)


def test_after_a_pause_only_the_newest_comes() -> None:
    assert Machine(at(90, 30)).clock().read(after=at(0)) == at(90)


def test_a_clock_that_is_set_back_waits_until_it_is_later_than_what_was_told() -> None:
    machine = Machine(at(0, 30), sets={at(0, 40): at(-10)})
    assert machine.clock().read(after=at(0)) == at(1)
    assert machine.time == at(1, 5)


def test_a_clock_that_is_set_ahead_is_noticed_within_a_nap() -> None:
    machine = Machine(at(0, 30), sets={at(0, 40): at(10, 30)})
    assert machine.clock("1h").read(after=at(-60)) == at(0)
    machine = Machine(at(0, 30), sets={at(0, 40): at(60, 30)})
    assert machine.clock("1h").read(after=at(0)) == at(60)
    assert max(machine.slept) <= 1


def test_instants_are_multiples_counted_in_utc() -> None:
    assert Machine(at(59, 59)).clock("1h").read(after=None) == at(0)
    assert Machine(at(59, 59)).clock("10m").read(after=None) == at(50)
    assert Machine(at(0, 59)).clock("7s").read(after=None).timestamp() % 7 == 0


@pytest.mark.parametrize("every", ["", "60", "0s", "-60s", "1d", "1.5s", "60s "])
def test_what_is_no_distance_is_refused(every: str) -> None:
    with pytest.raises(ClockError) as told:
        clock.open(every)
    assert str(told.value) == f"clock must tell the time every so many s, m or h (got {every!r}): for example clock:60s"
