"""The span of arrivals that a recording is asked for: it holds its beginning, not its end, and no time without a zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from connectors import SourceError
from connectors.span import holds, within, zoned

NOON = datetime(2024, 5, 28, 12, tzinfo=UTC)
TIMES = [NOON + timedelta(milliseconds=each) for each in (-1, 0, 1)]


@pytest.mark.parametrize(
    ("since", "until", "held"),
    [(None, None, TIMES), (NOON, None, TIMES[1:]), (None, NOON, TIMES[:1]), (NOON, TIMES[2], TIMES[1:2]), (NOON, NOON, [])],
)
def test_a_span_holds_its_beginning_and_not_its_end(since: datetime | None, until: datetime | None, held: list[datetime]) -> None:
    assert [each for each in TIMES if holds(each, since, until)] == held
    assert pl.DataFrame({"arrived": TIMES}).filter(within(since, until))["arrived"].to_list() == held


@pytest.mark.parametrize(("name", "since", "until"), [("since", NOON.replace(tzinfo=None), NOON), ("until", None, datetime(2024, 5, 29))])
def test_a_time_without_a_zone_is_refused_in_the_words_of_its_source(name: str, since: datetime | None, until: datetime) -> None:
    with pytest.raises(SourceError) as told:
        zoned(SourceError, since, until)
    got = since if name == "since" else until
    assert str(told.value) == f"{name} must have a zone (got {got!r}): for example 2024-05-28T00:00+09:00"
    zoned(SourceError, NOON, None)
