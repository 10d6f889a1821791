"""Several sources as one: in order of arrival, each with positions of its own, nothing torn apart or lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from connectors import Arrivals, SourceError, merged, open_source
from schemas import feed

START = datetime(2024, 5, 28, tzinfo=UTC)


class Recorded:
    """A source of ticks at these minutes, so many in a chunk."""

    def __init__(self, *minutes: int, chunk: int = 2) -> None:
        self.minutes, self.chunk = minutes, chunk

    def read(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[Arrivals]:
        for begin in range(0, len(self.minutes), self.chunk):
            yield {"clock.v1": self.frame(self.minutes[begin : begin + self.chunk], begin)}

    def frame(self, minutes: tuple[int, ...], begin: int) -> pl.DataFrame:
        times = [START + timedelta(minutes=minute) for minute in minutes]
        rows = [{"at": time, "arrived": time, "partition": 0, "offset": begin + nth} for nth, time in enumerate(times)]
        return pl.DataFrame(rows, schema=feed("clock.v1").frame_schema)

    def close(self) -> None: ...


def minutes_of(chunk: Arrivals) -> list[int]:
    return [(each - START) // timedelta(minutes=1) for each in chunk["clock.v1"]["arrived"].to_list()]


def test_two_sources_come_in_order_of_arrival() -> None:
    chunks = list(merged([Recorded(0, 10, 20, 30, 40), Recorded(5, 10, 15, 90)]))
    assert [minute for chunk in chunks if chunk for minute in minutes_of(chunk)] == [0, 5, 10, 10, 15, 20, 30, 40, 90]


def test_what_arrived_at_one_instant_is_in_one_chunk() -> None:
    chunks = [set(minutes_of(chunk)) for chunk in merged([Recorded(0, 10, 20, chunk=1), Recorded(10, 20, 30, chunk=3)]) if chunk]
    assert sum(len(each) for each in chunks) == len(set().union(*chunks))


def test_each_source_has_positions_of_its_own() -> None:
    ticks = pl.concat([chunk["clock.v1"] for chunk in merged([Recorded(0, 10), Recorded(5, 15)]) if chunk])
    assert ticks.select("partition", "offset").rows() == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_one_source_stays_as_it_is() -> None:
    assert [chunk["clock.v1"]["partition"].to_list() for chunk in merged([Recorded(0, 10)])] == [[0, 0]]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "ftp:x",
            "source must be KIND:PATH with KIND one of amedas, archive, crisis, fukui, honhyo, jma-bulletins, jma-drills, "
            "kyushu, mlit, npa, simra, uk, kafka (got 'ftp:x'): for example fukui:data/fukui/flood-2024-05",
        ),
        ("fukui:/no/such", "path of source fukui must exist (got '/no/such'): give a folder or an archive file"),
    ],
)
def test_a_source_that_cannot_be_opened_is_told_so(name: str, text: str) -> None:
    with pytest.raises(SourceError) as told:
        open_source(name)
    assert str(told.value) == text
