"""What the bench is given, and what it holds to be right."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from connectors.wire import decode, encode
from jobs.bench.pace import flood
from jobs.bench.peers.port import Message, Port
from jobs.bench.recording import FLOOD, LEVELS, Recording, known, recorded, standing
from jobs.bench.stages import Stages
from jobs.start import engine
from jobs.words import JST
from pipelines.linkage import CLOCK

MORNING = datetime(2024, 5, 28, 6, tzinfo=JST)


@pytest.fixture(scope="module")
def recording() -> Recording:
    return recorded(2, MORNING, MORNING + timedelta(hours=6))


def messages(name: str, log: pl.DataFrame) -> list[Message]:
    rows = zip(encode(name, log), log["arrived"].to_physical().to_list(), strict=True)
    return [Message(value=value, arrived_ms=arrived, offset=at) for at, (value, arrived) in enumerate(rows)]


def test_every_region_is_given_every_reading_in_order_of_arrival(recording: Recording) -> None:
    levels = dict(recording.logs())[LEVELS]
    assert levels.height == recording.readings == 2 * recording.one[LEVELS].height
    assert levels["arrived"].is_sorted()
    assert levels["region"].value_counts()["count"].to_list() == [recording.one[LEVELS].height] * 2


def test_the_last_record_is_a_reading(recording: Recording) -> None:
    logs = dict(recording.logs())
    assert logs[CLOCK]["arrived"].max() < logs[LEVELS]["arrived"].max()  # type: ignore[operator]


def test_what_should_stand_is_the_function_over_all_regions_at_once(recording: Recording) -> None:
    running = engine(FLOOD)
    running.recall(dict(recording.logs()))
    assert recording.should_stand() == standing(running.step({}).rows)


def test_a_withdrawn_revision_leaves_nothing_standing(recording: Recording) -> None:
    running = engine(FLOOD)
    running.recall(recording.one)
    (row, *_) = running.step({}).rows
    assert standing([row]).keys() == {row["id"]}
    assert standing([row, row | {"revision": 2, "state": "withdrawn"}]) == {}


@pytest.mark.parametrize("at_once", [1, 7])
def test_a_port_that_is_given_ticks_too_early_says_the_same(recording: Recording, at_once: int) -> None:
    port, logs, said = Port(), dict(recording.logs()), list[bytes]()
    for message in messages(CLOCK, logs[CLOCK]):
        port.tick(message)
    levels = messages(LEVELS, logs[LEVELS][:600])
    for begin in range(0, len(levels), at_once):
        said += [value for _, value in port.readings(levels[begin : begin + at_once])]
    heard = logs | {LEVELS: logs[LEVELS][:600]}
    heard[CLOCK] = heard[CLOCK].filter(pl.col("arrived") < heard[LEVELS]["arrived"].max())
    running = engine(FLOOD)
    running.recall(heard)
    assert standing(decode(FLOOD.says, said).rows.to_dicts()) == standing(running.step({}).rows)


def test_a_flood_goes_by_and_begins_again(recording: Recording) -> None:
    levels = recording.one[LEVELS].drop_nulls("level_m")
    of = flood(levels, MORNING, timedelta(hours=2))
    gauge_id: Any = levels["gauge_id"][0]
    assert of.level(gauge_id, 0.25, 0.0) == of.level(gauge_id, 0.0, 12.5) == of.level(gauge_id, 0.25, 50.0)


def test_known_records_are_those_of_the_region_asked_for() -> None:
    assert {str(name) for frame in known("fukui-7").values() for name in frame["region"].unique()} == {"fukui-7"}


def test_stages_add_up_from_point_to_point_and_leave_out_the_start() -> None:
    clock = iter([0.0, 5.0, 6.0, 8.0, 8.5])
    stages = Stages(lambda: 0.0, lambda: next(clock))
    for point in ("told", "marked", "read", "stepped", "read"):
        stages(point)
    assert dict(stages.spent) == {"read": (0.0, 1.5), "stepped": (0.0, 2.0)}
