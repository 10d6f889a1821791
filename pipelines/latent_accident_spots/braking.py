"""Where a vehicle braked or swerved hard, told from what it recorded on the way.

Three kinds, never pooled in one tally, because each sees other things:

``hard_brake``      the accelerometer says -.30 g or less, and the GPS speed falls by 7.5 km/h within 5 s around it
``swerve``          the accelerometer says .35 g or more to a side; a quick turn counts too, its heading is not asked
``hard_brake_gps``  the GPS speed alone: -.25 g on average over 2 s. For drives without an accelerometer

The accelerometer of a drive has a bias (it is never mounted level): the median while the vehicle moves and its GPS speed stands
still. The GPS speed lags 1 to 2 s behind the acceleration, so its fall is looked for from 3 s before to 6 s after, and the speed that it
shows at the peak is the speed before. A kerb or a hole shakes the vertical axis too: where that is .2 g off at the peak, nothing
is told. What follows within 10 s, or within 50 m driven, is the same event.

Not every hard brake is a danger, and a vendor's own marks are no truth to test against: in the recordings that this was tried on they are
single seconds on either axis, few of them braking. A second is coarse: a pulse between two readings is not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

__all__ = ["EVENTS", "G_MPS2", "SAMPLES", "BrakingError", "gps_brakes", "hard_brakes", "near_misses", "pulses", "swerves"]

G_MPS2 = 9.80665
"""Standard gravity."""

_INSTANT = pl.Datetime("ms", "UTC")
_G = {each: pl.Float64() for each in ("forward_g", "right_g", "up_g")}

SAMPLES: dict[str, pl.DataType] = {"drive": pl.String(), "at": _INSTANT, "speed_mps": pl.Float64(), **_G}
"""A reading a second: the drive, the instant, GPS speed, acceleration forwards, to the right, and upwards (1 at rest).
Null: no reading of the accelerometer."""

EVENTS: dict[str, pl.DataType] = {
    "drive": pl.String(), "at": _INSTANT, "kind": pl.String(), "peak_g": pl.Float64(), "speed_before_mps": pl.Float64(),
}  # fmt: skip
"""What was detected: ``at`` is the instant of the strongest reading, ``peak_g`` that reading without bias."""

_BRAKE_G, _SWERVE_G, _GPS_BRAKE_G, _BUMP_G = -0.30, 0.35, -0.25, 0.2
_STEADY_G, _STEADY_MPS = 0.02, 5.0
_FAST_MPS, _DROP_MPS = 20 / 3.6, 7.5 / 3.6
_LOOK_BACK_S, _LOOK_AHEAD_S, _DROP_WITHIN_S = 3.0, 6.0, 5.0
_SAME_S, _SAME_M = 10.0, 50.0
_GAP_S = 2.0
_PULSE_G, _PULSE_S, _REBOUND_S = 0.30, 0.3, 3.0

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


class BrakingError(ValueError):
    """Readings from which nothing can be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drive:
    """Readings of one drive in order of time; ``bias`` is null (NaN) where the drive was never steady."""

    name: str
    at: pl.Series
    at_s: Floats
    speed_mps: Floats
    forward_g: Floats
    right_g: Floats
    up_g: Floats

    def without_bias(self, reading_g: Floats) -> Floats:
        """Readings less their median while the vehicle moved at one speed; all unknown where it never did."""
        if len(self.at_s) < 2:
            return np.full_like(reading_g, np.nan)
        step_s = np.diff(self.at_s)
        change_g = np.append(np.diff(self.speed_mps) / step_s, np.nan) / G_MPS2
        steady = reading_g[(np.abs(change_g) < _STEADY_G) & (self.speed_mps > _STEADY_MPS) & ~np.isnan(reading_g)]
        return reading_g - (np.median(steady) if len(steady) else np.nan)

    def drops(self, peak: int) -> bool:
        """Whether the GPS speed falls far enough around a peak."""
        near = np.flatnonzero((self.at_s >= self.at_s[peak] - _LOOK_BACK_S) & (self.at_s <= self.at_s[peak] + _LOOK_AHEAD_S))
        later_s = self.at_s[near][None, :] - self.at_s[near][:, None]
        drop_mps = self.speed_mps[near][:, None] - self.speed_mps[near][None, :]
        return bool(np.any((drop_mps >= _DROP_MPS) & (later_s > 0) & (later_s <= _DROP_WITHIN_S)))

    def bumps(self, peak: int) -> bool:
        """Whether the vertical axis is shaken at a peak; one that was not read is not known to be."""
        return bool(np.abs(self.up_g[peak] - 1) > _BUMP_G)

    def episodes(self, strong: Rows) -> list[Rows]:
        """Strong readings that are one event each."""
        if not len(strong):
            return []
        step_m = self.speed_mps[:-1] * np.diff(self.at_s)
        driven_m = np.concatenate([[0.0], np.cumsum(step_m)])
        apart = (np.diff(self.at_s[strong]) > _SAME_S) & (np.diff(driven_m[strong]) > _SAME_M)
        return np.split(strong, np.flatnonzero(apart) + 1)


def near_misses(samples: pl.DataFrame) -> pl.DataFrame:
    """Where vehicles braked or swerved hard: each drive by the best that it recorded.

    Args:
        samples: columns of ``SAMPLES``, in any order of rows.

    Returns:
        Columns of ``EVENTS``: hard brakes and swerves of drives with an accelerometer, GPS brakes of those without; in
        order of drive and time. Empty where nobody did.

    Raises:
        BrakingError: a column is absent, or a drive has two readings of one instant or none of its speed.

    Example:
        >>> from datetime import UTC, datetime, timedelta
        >>> speeds = [20.0] * 10 + [19.0, 16.0, 12.0, 9.0, 8.0] + [8.0] * 5
        >>> braking = [0.0] * 9 + [-0.2, -0.45, -0.3] + [0.0] * 8
        >>> at = [datetime(2026, 5, 28, tzinfo=UTC) + timedelta(seconds=each) for each in range(20)]
        >>> drive = {"drive": "a", "at": at, "speed_mps": speeds, "forward_g": braking, "right_g": 0.0, "up_g": 1.0}
        >>> near_misses(pl.DataFrame(drive, schema=SAMPLES)).select("kind", "peak_g", "speed_before_mps").rows()
        [('hard_brake', -0.45, 19.0)]
    """
    measured = samples["forward_g"].is_not_null().any() if samples.height else False
    felt = samples.filter(pl.col("forward_g").is_not_null().any().over("drive")) if measured else samples.clear()
    seen = samples.join(felt.select("drive").unique(), on="drive", how="anti")
    return pl.concat([hard_brakes(felt), swerves(felt), gps_brakes(seen)]).sort("drive", "at", "kind")


def hard_brakes(samples: pl.DataFrame, bumps: bool = False) -> pl.DataFrame:
    """Where the accelerometer says hard braking and the GPS speed confirms it.

    Args:
        samples: as for ``near_misses``.
        bumps: tells those too at which the vertical axis is shaken.
    """

    def found(drive: _Drive) -> Iterator[tuple[int, float]]:
        reading_g = drive.without_bias(drive.forward_g)
        for episode in drive.episodes(np.flatnonzero(reading_g <= _BRAKE_G)):
            peak = int(episode[np.argmin(reading_g[episode])])
            if drive.speed_mps[peak] >= _FAST_MPS and drive.drops(peak) and (bumps or not drive.bumps(peak)):
                yield peak, float(reading_g[peak])

    return _events(samples, "hard_brake", found)


def swerves(samples: pl.DataFrame) -> pl.DataFrame:
    """Where the accelerometer says that a vehicle at speed was thrown to a side; ``peak_g`` is positive to the right."""

    def found(drive: _Drive) -> Iterator[tuple[int, float]]:
        reading_g = drive.without_bias(drive.right_g)
        for episode in drive.episodes(np.flatnonzero(np.abs(reading_g) >= _SWERVE_G)):
            peak = int(episode[np.argmax(np.abs(reading_g[episode]))])
            if drive.speed_mps[peak] >= _FAST_MPS and not drive.bumps(peak):
                yield peak, float(reading_g[peak])

    return _events(samples, "swerve", found)


def gps_brakes(samples: pl.DataFrame) -> pl.DataFrame:
    """Where the GPS speed alone says hard braking; ``at`` is the first of the three readings whose mean is lowest."""

    def found(drive: _Drive) -> Iterator[tuple[int, float]]:
        over_s = drive.at_s[2:] - drive.at_s[:-2]
        whole = (over_s > 0) & (over_s <= _GAP_S)
        mean_g = np.full(len(over_s), np.inf)
        np.divide(drive.speed_mps[2:] - drive.speed_mps[:-2], over_s * G_MPS2, out=mean_g, where=whole)
        strong = np.flatnonzero((mean_g <= _GPS_BRAKE_G) & (drive.speed_mps[:-2] >= _FAST_MPS))
        for episode in drive.episodes(strong):
            peak = int(episode[np.argmin(mean_g[episode])])
            yield peak, float(mean_g[peak])

    return _events(samples, "hard_brake_gps", found)


def pulses(at_s: ArrayLike, east_mps2: ArrayLike, north_mps2: ArrayLike) -> Floats:
    """When a phone was thrown forwards or to a side: 50 to 200 readings a second, without gravity.

    The mean of the horizontal acceleration over .3 s is .30 g or more for .3 s. Braking, speeding up and turning look alike: who
    wants brakes must ask speed or heading. The phone swings back after 1 to 2 s, so what begins within 3 s of a pulse belongs to it.

    Args:
        at_s: seconds from any beginning, growing.
        east_mps2: linear acceleration on one horizontal axis.
        north_mps2: on the other.

    Returns:
        When each pulse begins, in seconds as given; empty where there is none.
    """
    at, east, north = (np.asarray(each, np.float64) for each in (at_s, east_mps2, north_mps2))
    if not at.shape == east.shape == north.shape or np.any(np.diff(at) < 0):
        raise BrakingError(f"readings of a phone must be three of one length, in order of time (got {at.shape}): sort them")
    strong = np.hypot(_mean(at, east), _mean(at, north)) >= _PULSE_G * G_MPS2
    edges = np.flatnonzero(np.diff(np.concatenate([[0], strong.astype(np.int8), [0]])))
    begins, ends = edges[::2], edges[1::2] - 1
    long = at[ends] - at[begins] >= _PULSE_S
    first = np.concatenate([[True], at[begins[long]][1:] - at[ends[long]][:-1] > _REBOUND_S]) if np.any(long) else long[long]
    told: Floats = at[begins[long]][first]
    return told


def _mean(at_s: Floats, values: Floats) -> Floats:
    """Mean of the readings of the last .3 s at each instant."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    first = np.searchsorted(at_s, at_s - _PULSE_S, side="right")
    upto = np.arange(1, len(at_s) + 1)
    mean: Floats = (total[upto] - total[first]) / (upto - first)
    return mean


def _events(samples: pl.DataFrame, kind: str, found: Callable[[_Drive], Iterator[tuple[int, float]]]) -> pl.DataFrame:
    """What is found in each drive, in order of drive and time."""
    rows = [
        (drive.name, drive.at[peak], kind, peak_g, float(drive.speed_mps[peak]))
        for drive in _drives(samples)
        for peak, peak_g in found(drive)
    ]
    return pl.DataFrame(rows, schema=EVENTS, orient="row")


def _drives(samples: pl.DataFrame) -> Iterator[_Drive]:
    """Drives in order of their names, each with its readings in order of time."""
    absent = [each for each in SAMPLES if each not in samples.columns]
    if absent:
        raise BrakingError(f"readings must have the columns {', '.join(SAMPLES)} (got none named {', '.join(absent)})")
    for (name,), held in samples.sort("drive", "at").group_by("drive", maintain_order=True):
        at_s = held["at"].dt.epoch("ms").to_numpy() / 1000
        columns = {each: held[each].cast(pl.Float64).fill_null(np.nan).to_numpy() for each in ("speed_mps", *_G)}
        if np.any(np.diff(at_s) <= 0) or np.any(np.isnan(columns["speed_mps"])):
            raise BrakingError(f"drive {name} must have one reading of speed at an instant (got others): leave one")
        yield _Drive(name=str(name), at=held["at"], at_s=at_s, **columns)
