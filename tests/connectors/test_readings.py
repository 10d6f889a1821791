"""What the connectors of gauge files share: order, positions, ticks and the arrival of dead lines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from connectors.readings import FAULTS, ROWS, ReadingsError, readings
from schemas import feed

START = datetime(2024, 5, 28, 0, 5, tzinfo=UTC)


def row(minute: float, gauge_id: str = "1", *, line: int = 1, late_min: float = 0, level_m: float | None = 1.0) -> dict[str, object]:
    arrived = START + timedelta(minutes=minute)
    return {
        "source": "a.csv", "line": line, "region": "r", "gauge_id": gauge_id, "level_m": level_m,
        "observed_at": arrived - timedelta(minutes=late_min), "arrived": arrived,
    }  # fmt: skip


def fault(line: int, source: str = "a.csv", minute: float | None = None) -> dict[str, object]:
    arrived = None if minute is None else START + timedelta(minutes=minute)
    return {"source": source, "line": line, "reason": "line must be good", "raw": b"bad", "arrived": arrived}


def read(rows: list[dict[str, object]], faults: list[dict[str, object]] | None = None, **span: datetime) -> dict[str, pl.DataFrame]:
    source = readings(pl.DataFrame(rows, schema=ROWS), pl.DataFrame(faults or [], schema=FAULTS))
    chunks = list(source.read(**span))
    source.close()
    names = ("river.level.v1", "clock.v1", "dead.v1")
    return {name: pl.concat([each[name] for each in chunks if name in each] or [feed(name).empty()]) for name in names}


def minutes(frame: pl.DataFrame) -> list[float]:
    return [(each - START) / timedelta(minutes=1) for each in frame["arrived"].to_list()]


def test_rows_come_in_order_of_arrival_whatever_their_order_in_the_files() -> None:
    levels = read([row(20, line=1), row(0, "2", line=2), row(0, "3", line=3)])["river.level.v1"]
    assert levels["gauge_id"].to_list() == ["2", "3", "1"]
    assert levels["offset"].is_sorted()
    assert levels["version"].to_list() == levels["offset"].to_list()


def test_of_two_rows_for_one_time_the_later_line_is_the_higher_version() -> None:
    levels = read([row(0, line=1, level_m=1.0), row(0, line=2, level_m=2.0)])["river.level.v1"]
    assert levels.sort("version")["level_m"].to_list() == [1.0, 2.0]


def test_ticks_stand_at_every_full_ten_minutes_through_holes() -> None:
    assert minutes(read([row(0), row(47)])["clock.v1"]) == [5, 15, 25, 35, 45]
    assert minutes(read([row(5), row(15)])["clock.v1"]) == [5, 15]


@pytest.mark.parametrize("cut", [-10, 0, 5, 7, 30, 47, 1500, 2000, 4000])
def test_read_in_two_pieces_it_gives_the_same(cut: float) -> None:
    rows, faults = [row(minute, line=nth) for nth, minute in enumerate((0, 30, 30, 47, 1500, 2000))], [fault(2), fault(9)]
    at = START + timedelta(minutes=cut)
    before, after, whole = read(rows, faults, until=at), read(rows, faults, since=at), read(rows, faults)
    for name, frame in whole.items():
        assert_frame_equal(pl.concat([before[name], after[name]]), frame)
        assert (before[name]["arrived"] < at).all()


def test_a_dead_line_arrives_with_the_row_before_it_else_the_one_after_it_else_the_first_of_all() -> None:
    dead = read(
        [row(10, line=5), row(20, line=7)], [fault(3), fault(6), fault(9), fault(1, "b.csv"), fault(2, minute=15), fault(8, minute=-1e9)]
    )["dead.v1"]
    arrived = {(source, place): at for source, place, at in zip(dead["source"], dead["place"], minutes(dead), strict=True)}
    assert arrived == {("a.csv", 2): 15, ("a.csv", 3): 15, ("a.csv", 6): 10, ("a.csv", 8): 20, ("a.csv", 9): 20, ("b.csv", 1): 10}


def test_days_without_anything_are_left_out_and_days_with_ticks_are_not() -> None:
    source = readings(pl.DataFrame([row(0), row(2 * 24 * 60)], schema=ROWS), pl.DataFrame(schema=FAULTS))
    assert [sorted(chunk) for chunk in source.read()] == [["clock.v1", "river.level.v1"], ["clock.v1"], ["clock.v1", "river.level.v1"]]


def test_nothing_gives_nothing() -> None:
    assert list(readings(pl.DataFrame(schema=ROWS), pl.DataFrame(schema=FAULTS)).read()) == []


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ReadingsError, match=r"^since must have a zone \(got datetime\.datetime\(2024, 5, 28, 0, 0\)\): for example"):
        read([row(0)], since=datetime(2024, 5, 28))


def test_more_rows_in_a_minute_than_offsets_have_room_for_are_refused() -> None:
    crowd = pl.DataFrame([row(0)], schema=ROWS).select(pl.all().repeat_by(65_537)).explode(pl.all())
    with pytest.raises(ReadingsError, match=r"^rows in one minute must be at most 65536 \(got more at 2024-05-28T00:05:00\+00:00\)"):
        readings(crowd, pl.DataFrame(schema=FAULTS))
