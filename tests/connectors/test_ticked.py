"""Recordings without ticks get one at each midnight that follows something."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from connectors.ticked import ticked
from schemas import feed

FEED = "road.passes.v1"
START = datetime(2024, 5, 27, 15, tzinfo=UTC)  # midnight in Japan


class Recorded:
    """A source of one record at each of these hours, so many in a chunk."""

    def __init__(self, *hours: float) -> None:
        self.hours, self.closed = hours, False

    def read(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[dict[str, pl.DataFrame]]:
        for at in range(0, len(self.hours), 2):
            times = [START + timedelta(hours=hour) for hour in self.hours[at : at + 2]]
            times = [time for time in times if (since is None or time >= since) and (until is None or time < until)]
            if not times:
                continue
            rows = [{"day": START, "arrived": time, "version": 1, "partition": 0, "offset": at} for time in times]
            yield {FEED: pl.DataFrame(rows, schema=feed(FEED).frame_schema)}

    def close(self) -> None:
        self.closed = True


def heard(*hours: float, since: float | None = None, until: float | None = None) -> list[tuple[str, float]]:
    """What comes, in order: feed and hour of arrival."""
    source = ticked(lambda _: Recorded(*hours))(Path())
    out = []
    for chunk in source.read(*(None if hour is None else START + timedelta(hours=hour) for hour in (since, until))):
        rows = [(time, name) for name, frame in chunk.items() for time in frame["arrived"].to_list()]
        out += [(name, (time - START) / timedelta(hours=1)) for time, name in sorted(rows)]
    return out


def test_a_tick_follows_each_day_on_which_something_arrived() -> None:
    assert heard(1, 5, 23, 30, 100) == [
        (FEED, 1), (FEED, 5), (FEED, 23), ("clock.v1", 24), (FEED, 30), ("clock.v1", 48), (FEED, 100), ("clock.v1", 120),
    ]  # fmt: skip


def test_what_arrived_at_midnight_belongs_to_the_day_that_begins() -> None:
    assert heard(0) == [(FEED, 0), ("clock.v1", 24)]


@pytest.mark.parametrize("cut", [0, 1, 5.5, 12, 23.5, 24, 24.5, 30, 48, 60, 100, 119, 120, 121])
def test_read_in_two_pieces_it_gives_the_same(cut: float) -> None:
    hours = (1, 5, 23, 30, 100)
    assert heard(*hours, until=cut) + heard(*hours, since=cut) == heard(*hours)


def test_ticks_end_where_the_reading_ends() -> None:
    assert heard(1, until=20) == [(FEED, 1)]


def test_ticks_stand_at_places_that_the_day_decides() -> None:
    (tick,) = [chunk["clock.v1"] for chunk in ticked(lambda _: Recorded(1))(Path()).read() if FEED not in chunk]
    assert tick.row(0) == (START + timedelta(days=1), START + timedelta(days=1), 0, 19871)


def test_where_nothing_arrived_no_time_goes_by() -> None:
    assert heard() == []


def test_the_source_within_is_closed() -> None:
    within = Recorded(1)
    ticked(lambda _: within)(Path()).close()
    assert within.closed
