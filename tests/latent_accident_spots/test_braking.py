"""Hard brakes and swerves told from drives: planted ones, and those of 370 km of recorded driving."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.latent_accident_spots.braking import (
    EVENTS,
    G_MPS2,
    SAMPLES,
    BrakingError,
    gps_brakes,
    hard_brakes,
    near_misses,
    pulses,
    swerves,
)

OMAHA = Path(__file__).parents[2] / "data" / "probe" / "without-places" / "omaha-28-drives.csv.gz"
BEGIN = datetime(2026, 5, 28, tzinfo=UTC)


# --- builders ----------------------------------------------------------------------------------------------------


def drive(
    speeds_mps: Sequence[float],
    forward_g: dict[int, float] | None = None,
    right_g: dict[int, float] | None = None,
    up_g: dict[int, float] | None = None,
    *,
    name: str = "a",
    bias_g: float = 0.0,
) -> pl.DataFrame:
    """A reading a second; accelerations are given where they are not those of rest."""
    seconds = range(len(speeds_mps))
    told = {
        "drive": name,
        "at": [BEGIN + timedelta(seconds=each) for each in seconds],
        "speed_mps": list(map(float, speeds_mps)),
        "forward_g": [bias_g + (forward_g or {}).get(each, 0.0) for each in seconds],
        "right_g": [bias_g + (right_g or {}).get(each, 0.0) for each in seconds],
        "up_g": [(up_g or {}).get(each, 1.0) for each in seconds],
    }
    return pl.DataFrame(told, schema=SAMPLES)


STEADY = [20.0] * 30
BRAKING = [20.0] * 12 + [19.0, 17.0, 14.0, 12.0] + [12.0] * 14
"""From 72 to 43 km/h, told by GPS from second 12 on."""


def seconds(found: pl.DataFrame) -> list[int]:
    return [int((each - BEGIN).total_seconds()) for each in found["at"]]


# --- hard brakes -------------------------------------------------------------------------------------------------


def test_a_hard_brake_is_told_with_its_peak_and_the_speed_before() -> None:
    found = hard_brakes(drive(BRAKING, {11: -0.31, 12: -0.42, 13: -0.35}))
    assert found.rows() == [("a", BEGIN + timedelta(seconds=12), "hard_brake", pytest.approx(-0.42), 19.0)]
    assert found.schema == pl.Schema(EVENTS)


@pytest.mark.parametrize(("peak_g", "told"), [(-0.31, [11]), (-0.29, []), (0.40, [])])
def test_a_brake_is_hard_from_three_tenths_of_g(peak_g: float, told: list[int]) -> None:
    assert seconds(hard_brakes(drive(BRAKING, {11: peak_g}))) == told


@pytest.mark.parametrize("bias_g", [-0.2, -0.31, 0.15])
def test_a_device_that_is_not_mounted_level_tells_the_same(bias_g: float) -> None:
    straight = hard_brakes(drive(BRAKING, {11: -0.31, 12: -0.42}))
    tilted = hard_brakes(drive(BRAKING, {11: -0.31, 12: -0.42}, bias_g=bias_g))
    assert tilted.drop("peak_g").equals(straight.drop("peak_g"))
    assert tilted["peak_g"].to_list() == pytest.approx(straight["peak_g"].to_list())


def test_a_drive_that_was_never_steady_tells_nothing() -> None:
    speeds = [4.0 + (each % 2) * 8.0 for each in range(30)]
    assert hard_brakes(drive(speeds, {11: -0.9})).is_empty()


def test_a_spike_without_a_fall_of_speed_is_no_brake() -> None:
    assert hard_brakes(drive(STEADY, {11: -0.6})).is_empty()


@pytest.mark.parametrize(("peak", "told"), [(8, []), (9, [9]), (17, [17]), (18, [])])
def test_the_fall_of_speed_is_looked_for_from_three_seconds_before_to_six_after(peak: int, told: list[int]) -> None:
    fall = [20.0] * 15 + [17.9] + [17.9] * 14  # the whole fall lies between seconds 14 and 15
    assert seconds(hard_brakes(drive(fall, {peak: -0.4}))) == told


def test_a_fall_that_takes_longer_than_five_seconds_does_not_confirm() -> None:
    slow = [20.0] * 10 + [20.0 - 0.4 * each for each in range(20)]  # 2.0 m/s in 5 s; 7.5 km/h are 2.08
    assert hard_brakes(drive(slow, {15: -0.4})).is_empty()
    fast = [20.0] * 10 + [20.0 - 0.43 * each for each in range(20)]
    assert seconds(hard_brakes(drive(fast, {15: -0.4}))) == [15]


@pytest.mark.parametrize(("speed_mps", "told"), [(5.5, []), (5.6, [11])])
def test_who_was_slower_than_20_km_an_hour_is_parking(speed_mps: float, told: list[int]) -> None:
    speeds = [8.0] * 8 + [speed_mps] * 5 + [1.0] * 5
    assert seconds(hard_brakes(drive(speeds, {11: -0.4}))) == told


def test_a_kerb_is_no_brake() -> None:
    shaken = drive(BRAKING, {11: -0.4}, up_g={11: 1.21})
    assert hard_brakes(shaken).is_empty()
    assert seconds(hard_brakes(shaken, bumps=True)) == [11]
    assert seconds(hard_brakes(drive(BRAKING, {11: -0.4}, up_g={11: 0.81}))) == [11]


def test_what_follows_within_ten_seconds_or_fifty_metres_is_the_same_event() -> None:
    falls = [20.0 - 0.5 * each for each in range(31)]
    steady = [20.0] * 10
    assert seconds(hard_brakes(drive(steady + falls, {12: -0.35, 21: -0.5}))) == [21]
    assert seconds(hard_brakes(drive(steady + falls, {12: -0.35, 22: -0.5}))) == [22]
    assert seconds(hard_brakes(drive(steady + falls, {12: -0.35, 23: -0.5}))) == [12, 23]
    queue = steady + [18.0, 12.0, 6.0, 3.0] + [0.0] * 20 + [3.0, 6.0, 3.0, 0.0]
    assert seconds(hard_brakes(drive(queue, {11: -0.5, 35: -0.4}))) == [11]


def test_the_order_of_readings_makes_no_difference() -> None:
    drives = pl.concat([drive(BRAKING, {11: -0.4}, name="b"), drive(BRAKING, {12: -0.5}, {20: 0.4}, name="a")])
    assert near_misses(drives.reverse()).equals(near_misses(drives))


# --- swerves and GPS alone ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("peak_g", "told"), [(0.36, [11]), (-0.36, [11]), (0.34, []), (-0.34, [])])
def test_a_swerve_is_told_to_either_side(peak_g: float, told: list[int]) -> None:
    found = swerves(drive(STEADY, right_g={11: peak_g}))
    assert seconds(found) == told
    assert found["peak_g"].to_list() == pytest.approx([peak_g] * len(told))
    assert found["kind"].to_list() == ["swerve"] * len(told)


def test_a_swerve_at_walking_pace_or_over_a_kerb_is_none() -> None:
    assert swerves(drive([8.0] * 10 + [5.0] * 10, right_g={15: 0.5})).is_empty()
    assert swerves(drive(STEADY, right_g={11: 0.5}, up_g={11: 1.3})).is_empty()


def test_gps_alone_tells_a_brake_from_a_quarter_of_g_over_two_seconds() -> None:
    per_s = 0.25 * G_MPS2
    hard = [20.0] * 10 + [20.0 - (per_s + 0.01), 20.0 - 2 * (per_s + 0.01)] + [15.0] * 10
    soft = [20.0] * 10 + [20.0 - (per_s - 0.01), 20.0 - 2 * (per_s - 0.01)] + [15.11] * 10
    found = gps_brakes(drive(hard))
    assert (seconds(found), found["kind"].to_list(), found["speed_before_mps"].to_list()) == ([9], ["hard_brake_gps"], [20.0])
    assert found["peak_g"].to_list() == pytest.approx([-(per_s + 0.01) / G_MPS2])
    assert gps_brakes(drive(soft)).is_empty()


def test_a_gap_in_the_recording_is_no_brake() -> None:
    gap = drive([20.0] * 10 + [1.0] * 10).with_columns(
        pl.when(pl.col("speed_mps") < 2).then(pl.col("at") + timedelta(seconds=60)).otherwise("at").alias("at")
    )
    assert gps_brakes(gap).is_empty()


def test_each_drive_is_told_by_the_best_that_it_recorded() -> None:
    felt = drive(BRAKING, {12: -0.42}, name="felt")
    seen = drive(BRAKING, name="seen").with_columns(pl.lit(None, pl.Float64).alias(each) for each in ("forward_g", "right_g", "up_g"))
    assert near_misses(pl.concat([felt, seen])).select("drive", "kind").rows() == [("felt", "hard_brake"), ("seen", "hard_brake_gps")]
    assert near_misses(seen)["kind"].to_list() == ["hard_brake_gps"]


def test_no_readings_tell_nothing() -> None:
    assert near_misses(pl.DataFrame(schema=SAMPLES)).equals(pl.DataFrame(schema=EVENTS))


# --- what cannot be told -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (
            drive(STEADY).drop("up_g"),
            "readings must have the columns drive, at, speed_mps, forward_g, right_g, up_g (got none named up_g)",
        ),
        (
            pl.concat([drive(STEADY), drive(STEADY)]),
            "drive a must have one reading of speed at an instant (got others): leave one",
        ),
        (
            drive(STEADY).with_columns(pl.lit(None, pl.Float64).alias("speed_mps")),
            "drive a must have one reading of speed at an instant (got others): leave one",
        ),
    ],
    ids=["a column absent", "an instant twice", "no speed"],
)
def test_readings_that_cannot_be_used_are_refused(samples: pl.DataFrame, message: str) -> None:
    with pytest.raises(BrakingError, match=f"^{re.escape(message)}$"):
        near_misses(samples)


# --- 370 km of driving -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def omaha() -> pl.DataFrame:
    return pl.read_csv(OMAHA, schema_overrides={"drive": pl.String, "accel_x": pl.Float64}).select(
        "drive",
        pl.col("time_utc").str.to_datetime(time_unit="ms", time_zone="UTC").alias("at"),
        (pl.col("speed_mph") * 0.44704).alias("speed_mps"),
        pl.col("accel_x").alias("forward_g"),
        pl.col("accel_y").alias("right_g"),
        pl.col("accel_z").alias("up_g"),
    )


def test_28_drives_of_370_km_hold_22_hard_brakes_of_which_a_bump_hides_2(omaha: pl.DataFrame) -> None:
    driven_km = omaha["speed_mps"].sum() / 1000
    assert 365 < driven_km < 375
    found = hard_brakes(omaha, bumps=True)
    assert found.height == 22
    assert 5.9 <= round(100 * found.height / driven_km, 2) < 6.0
    assert hard_brakes(omaha).height == 20
    assert (swerves(omaha).height, gps_brakes(omaha).height) == (25, 8)


def test_in_these_drives_forwards_is_positive(omaha: pl.DataFrame) -> None:
    change = omaha.with_columns((pl.col("speed_mps").diff() / pl.col("at").diff().dt.total_seconds()).over("drive").alias("change"))
    assert 0.3 < change.drop_nulls().select(pl.corr("forward_g", "change")).item() < 0.4
    assert hard_brakes(omaha.with_columns(-pl.col("forward_g")), bumps=True).height == 2


# --- phones ------------------------------------------------------------------------------------------------------


def phone(*strokes: tuple[float, float, float], hz: float = 100.0, lasts_s: float = 20.0, towards: float = 0.7) -> tuple[np.ndarray, ...]:
    """Seconds and horizontal acceleration; each stroke is from, to, g."""
    at_s = np.arange(0, lasts_s, 1 / hz)
    size_g = np.zeros_like(at_s)
    for from_s, to_s, g in strokes:
        size_g[(at_s >= from_s) & (at_s < to_s)] = g
    return at_s, size_g * G_MPS2 * math.cos(towards), size_g * G_MPS2 * math.sin(towards)


@given(st.floats(50, 200), st.floats(-3.1, 3.1))
def test_a_pulse_is_found_at_any_rate_and_in_any_direction(hz: float, towards: float) -> None:
    (found,) = pulses(*phone((5.0, 6.0, 0.4), hz=hz, towards=towards))
    assert 5.0 <= found <= 5.4


@pytest.mark.parametrize("stroke", [(5.0, 6.0, 0.25), (5.0, 5.2, 0.5)], ids=["too weak", "too short"])
def test_what_is_weak_or_short_is_no_pulse(stroke: tuple[float, float, float]) -> None:
    assert pulses(*phone(stroke)).tolist() == []


def test_the_rebound_of_a_pulse_belongs_to_it() -> None:
    assert len(pulses(*phone((5.0, 6.0, 0.5), (7.5, 8.5, -0.4)))) == 1
    assert len(pulses(*phone((5.0, 6.0, 0.5), (10.0, 11.0, -0.4)))) == 2


def test_readings_of_a_phone_must_be_in_order() -> None:
    at_s, east, north = phone((5.0, 6.0, 0.5))
    with pytest.raises(
        BrakingError, match=r"^readings of a phone must be three of one length, in order of time \(got \(2000,\)\): sort them$"
    ):
        pulses(at_s[::-1], east, north)


LABELLED = os.environ.get("TSUNAGU_DRIVER_BEHAVIOR")
"""Folder of the Driver Behavior Dataset (Ferreira Jr et al., PLoS ONE 2017), which names no licence."""


@pytest.mark.skipif(LABELLED is None, reason="data that may not be committed: labelled brakes of phones; TSUNAGU_DRIVER_BEHAVIOR=FOLDER")
def test_phones_find_11_of_12_labelled_brakes() -> None:
    hits = []
    for trip in (Path(str(LABELLED)) / each for each in ("17", "20", "21")):
        read = pl.read_csv(trip / "aceleracaoLinear_terra.csv")
        at_s = (read["uptimeNanos"].to_numpy() - read["uptimeNanos"][0]) / 1e9
        found = pulses(at_s, read["x"].to_numpy(), read["y"].to_numpy())
        for line in (trip / "groundTruth.csv").read_text(encoding="utf-8").splitlines()[1:]:
            what, _, times = line.partition(",")
            if what == "freada_agressiva":
                from_s, to_s = map(float, times.split(","))
                hits.append(any(from_s - 1 <= each <= to_s + 1 for each in found))
    assert (sum(hits), len(hits)) == (11, 12)
