"""Reads drives that vehicles recorded second by second; tells only what may leave a fleet: near misses, and passes of cells.

A file of readings (``connectors/probe_rows.py`` says how it is written), or a folder of ``*.csv`` and ``*.csv.gz``. It gives
``road.near-miss.v1`` (kinds ``hard_brake``, ``swerve``, ``hard_brake_gps``), ``road.passes.v1`` (H3 resolution 11) and ``dead.v1``.
What a hard brake is, is not decided here: ``open`` is given a function that detects them.

**What never leaves.** Where a drive begins and ends: all before it is 300 m away from its first reading for the first time, and all
since it was 300 m away from its last one for the last time, as the crow flies and as it was driven. A drive that stays within is not
told at all. Names of vehicles and drives: a vehicle is known by a pseudonym, HMAC-SHA-256 of its name and the local day under a key.
The key is the text of ``probe.key`` beside the files, 16 characters at least; whoever has it can try names, so it stays where the
readings are. A speed or a position of any other second. The words of a line that cannot be read, and the names of files: a dead
letter has the form of the line and the number of the recording, in order of file names. What this does not do: a vehicle that is
alone on a road is alone there under any name; the gate of three vehicles is the reader's.

**Arrival.** The files record none. A near miss arrives when its drive ends; passes of a day when the local day is over, or with the
end of the last drive that began on it. A dead line arrives with the line before it that could be read, else with the first one after
it, else on 1 January 2000.

**Delivery guarantee.** Everything exactly once, at offsets and under names that the files and the key alone decide: reading from any
time gives the same rows at the same positions.

**What is lost when.** What the detector cannot see between two readings. Passes: a vehicle that comes back to a cell within 30 s is
still passing it; a cell that was crossed between two readings was not passed.
"""

from __future__ import annotations

import gzip
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import h3ronpy
import numpy as np
import polars as pl
from h3ronpy.vector import coordinates_to_cells
from numpy.typing import NDArray

from connectors.probe_rows import ProbeError, Readings, parse
from connectors.span import within, zoned
from connectors.table import framed_by_arrival
from schemas.feeds import UTC_MS

__all__ = ["Detect", "ProbeError", "ProbeFiles", "ProbeSettings", "open"]

NEAR_MISSES, PASSES, DEAD = "road.near-miss.v1", "road.passes.v1", "dead.v1"

Detect = Callable[[pl.DataFrame], pl.DataFrame]
"""From readings (``drive``, ``at``, ``speed_mps``, ``forward_g``, ``right_g``, ``up_g``) to events (``drive``, ``at``, ``kind``,
``peak_g``, ``speed_before_mps``), each at the instant of a reading: ``pipelines.latent_accident_spots.braking.near_misses``."""

_RESOLUTION = 11
_EARTH_M = 6_371_008.8
_KEY_AT_LEAST = 16
_NAME_DIGITS = 16
_EVER = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSettings:
    """Where the drives lie, and how they are told.

    Attributes:
        path: a file or a folder.
        region: what they are judged with.
        zone: of the days that passes are counted by.
        cut_m: how much is left out around the first and the last reading of a drive.
        back_within_s: who comes back to a cell so soon has not left it.
        key: keeps names apart from pseudonyms; None: the text of ``probe.key`` beside the files.
        source: what ``source`` of a near miss says.
    """

    path: Path
    region: str = "jp"
    zone: str = "Asia/Tokyo"
    cut_m: float = 300.0
    back_within_s: float = 30.0
    key: str | None = field(default=None, repr=False)
    source: str = "probe-1hz"


def open(path: Path, detect: Detect, settings: ProbeSettings | None = None) -> ProbeFiles:
    """One recording, or all of a folder.

    Args:
        path: a ``.csv`` or ``.csv.gz``, or the folder of some.
        detect: tells near misses from readings.
        settings: other settings than the default ones.

    Raises:
        ProbeError: there is no such file, a header lacks a column, or there is no key.
    """
    settings = settings or ProbeSettings(path=path)
    files = sorted(each for each in path.iterdir() if each.name.endswith((".csv", ".csv.gz"))) if path.is_dir() else [path]
    if not files or not all(each.is_file() for each in files):
        raise ProbeError(f"path of probe must be a recording of drives or a folder of them (got {path.name!r}): see data/probe/README.md")
    key = _key(settings)
    held = [_readings(each, f"recording {number}") for number, each in enumerate(files, 1)]
    drives = _drives(pl.concat([each.good for _, each in held]), settings, key)
    return ProbeFiles(
        settings=settings,
        near_misses=_near_misses(drives, detect, settings),
        passes=_passes(drives, settings),
        dead=_dead([(name, each, drives.filter(pl.col("file") == name)) for name, each in held]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFiles:
    """What recorded drives tell, in order of arrival; see the module for what is given and promised."""

    settings: ProbeSettings
    near_misses: pl.DataFrame = field(repr=False)
    passes: pl.DataFrame = field(repr=False)
    dead: pl.DataFrame = field(repr=False)

    def read(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[dict[str, pl.DataFrame]]:
        """Near misses, passes and dead lines that arrived in [since, until), in one chunk; none where nothing did.

        Raises:
            ProbeError: a time has no zone.
        """
        zoned(ProbeError, since, until)
        held = {NEAR_MISSES: self.near_misses, PASSES: self.passes, DEAD: self.dead}
        chunk = {name: frame.filter(within(since, until)) for name, frame in held.items()}
        if any(frame.height for frame in chunk.values()):
            yield chunk

    def close(self) -> None:
        """Nothing is held open."""


# --- files and names


def _readings(path: Path, called: str) -> tuple[str, Readings]:
    """A file under its number: its own name may be that of a vehicle."""
    data = path.read_bytes()
    try:
        held = parse(gzip.decompress(data) if path.suffix == ".gz" else data, path.name, path.name.partition(".")[0])
    except (OSError, EOFError) as fault:
        raise ProbeError(f"recording {path.name} must be a whole .gz (got: {fault}): fetch it again") from fault
    return called, Readings(good=held.good.with_columns(pl.lit(called).alias("file")), dead=held.dead)


def _key(settings: ProbeSettings) -> bytes:
    """What pseudonyms are made with."""
    beside = (settings.path if settings.path.is_dir() else settings.path.parent) / "probe.key"
    if settings.key is None and not beside.is_file():
        raise ProbeError(f"drives must have a key that hides their vehicles (got no file {beside.name}): write some random text into it")
    key = (beside.read_text(encoding="utf-8") if settings.key is None else settings.key).strip()
    if len(key) < _KEY_AT_LEAST:
        raise ProbeError(f"key of drives must have {_KEY_AT_LEAST} characters or more (got {len(key)}): write random text into it")
    return key.encode()


def _pseudonym(key: bytes, vehicle: str, day: date) -> str:
    """What a vehicle is called on a day."""
    return hmac.digest(key, f"{day.isoformat()} {vehicle}".encode(), "sha256").hex()[:_NAME_DIGITS]


# --- drives


def _drives(readings: pl.DataFrame, settings: ProbeSettings, key: bytes) -> pl.DataFrame:
    """Readings with a drive's own number, its pseudonym and day, when it ended, and whether they may be told (``told``)."""
    whole = ["file", "vehicle", "drive"]
    numbered = readings.sort(*whole, "at").with_columns(pl.struct(whole).rle_id().cast(pl.String).alias("drive"))
    local = pl.col("at").dt.convert_time_zone(settings.zone)
    timed = numbered.with_columns(
        pl.col("at").max().over("drive").alias("ended"),
        local.dt.date().alias("local_day"),
        local.dt.truncate("1d").dt.convert_time_zone("UTC").cast(UTC_MS).alias("day"),
        local.dt.truncate("1d").dt.offset_by("1d").dt.convert_time_zone("UTC").cast(UTC_MS).alias("day_over"),
        _may_be_told(settings.cut_m).alias("told"),
    )
    names = timed.select("vehicle", "local_day").unique(maintain_order=True)
    called = [_pseudonym(key, vehicle, day) for vehicle, day in names.iter_rows()]
    names = names.with_columns(pl.Series("name", called, pl.String))
    return timed.join(names, on=["vehicle", "local_day"], how="left", maintain_order="left")


def _may_be_told(cut_m: float) -> pl.Expr:
    """Whether a reading lies between the first one that is far from the beginning and the last one that is far from the end.

    Far both as the crow flies and as it was driven: who drives around the block is still at home, and so is who only seems to be
    elsewhere because the first position was wrong.
    """
    driven_m = (pl.col("speed_mps").shift(1) * pl.col("at").diff().dt.total_milliseconds() / 1000).fill_null(0).cum_sum().over("drive")
    left_m = driven_m.max().over("drive") - driven_m
    at = pl.int_range(pl.len()).over("drive")
    away = pl.when((_metres_from("first") > cut_m) & (driven_m > cut_m)).then(at).min().over("drive")
    still_away = pl.when((_metres_from("last") > cut_m) & (left_m > cut_m)).then(at).max().over("drive")
    return ((at >= away) & (at <= still_away)).fill_null(value=False)


def _metres_from(which: str) -> pl.Expr:
    """Great-circle distance of each reading from the first or the last one of its drive."""
    lat, lon = pl.col("lat_deg").radians(), pl.col("lon_deg").radians()
    there = {"first": (lat.first(), lon.first()), "last": (lat.last(), lon.last())}[which]
    other_lat, other_lon = (each.over("drive") for each in there)
    chord = ((other_lat - lat) / 2).sin() ** 2 + lat.cos() * other_lat.cos() * ((other_lon - lon) / 2).sin() ** 2
    return 2 * _EARTH_M * chord.sqrt().arcsin()


# --- feeds


def _near_misses(drives: pl.DataFrame, detect: Detect, settings: ProbeSettings) -> pl.DataFrame:
    """What is detected in whole drives, where it may be told."""
    found = detect(drives.select("drive", "at", "speed_mps", "forward_g", "right_g", "up_g"))
    placed = found.join(drives.filter("told"), on=["drive", "at"], how="inner")
    return framed_by_arrival(
        NEAR_MISSES,
        placed.with_columns(pl.col("ended").alias("arrived")),
        {
            "region": pl.lit(settings.region),
            "event_id": pl.format("{}/{}/{}", "name", pl.col("at").dt.epoch("ms"), "kind"),
            "occurred_at": pl.col("at"),
            "version": pl.lit(1),
            "op": pl.lit("stated"),
            "vehicle": pl.col("name"),
            "source": pl.lit(settings.source),
            "what": pl.lit(None),
            "scary": pl.lit(None),
        },
    )


def _passes(drives: pl.DataFrame, settings: ProbeSettings) -> pl.DataFrame:
    """How often each vehicle passed each cell on each day, where it may be told."""
    told = drives.filter("told")
    told = told.with_columns(pl.Series("cell", _cells(told["lat_deg"].to_numpy(), told["lon_deg"].to_numpy()), pl.String))
    since_s = (pl.col("at") - pl.col("at").shift(1)).dt.total_milliseconds().over("drive", "cell", "day") / 1000
    counted = (
        told.with_columns((since_s.is_null() | (since_s > settings.back_within_s)).alias("came"))
        .group_by("cell", "name", "day", "day_over")
        .agg(pl.col("came").sum().alias("passes"), pl.col("ended").max())
        .with_columns(pl.max_horizontal("day_over", "ended").alias("arrived"))
        .sort("day", "name", "cell")
    )
    said = {"region": pl.lit(settings.region), "vehicle": pl.col("name"), "version": pl.lit(1), "op": pl.lit("stated")}
    return framed_by_arrival(PASSES, counted, said)


def _cells(lat_deg: NDArray[np.float64], lon_deg: NDArray[np.float64]) -> list[str]:
    """H3 cells of places, as H3 writes them."""
    written: list[str] = pl.Series(h3ronpy.cells_to_string(coordinates_to_cells(lat_deg, lon_deg, _RESOLUTION))).to_list()
    return written


def _dead(files: list[tuple[str, Readings, pl.DataFrame]]) -> pl.DataFrame:
    """Lines that cannot be read, each with the arrival of the line before it."""
    parts = []
    for name, held, drives in files:
        arrivals = drives.select("line", pl.col("ended").alias("arrived")).sort("line")
        first = arrivals["arrived"].first() if arrivals.height else _EVER
        dead = held.dead.sort("line").join_asof(arrivals, on="line").with_columns(pl.col("arrived").fill_null(pl.lit(first, UTC_MS)))
        parts.append(dead.with_columns(pl.lit(name).alias("source")))
    return framed_by_arrival(DEAD, pl.concat(parts), {"feed": pl.lit(NEAR_MISSES), "place": pl.col("line")})
