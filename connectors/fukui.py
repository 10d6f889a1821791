"""Reads the river gauges of Fukui as recorded: a folder of daily CSV files, or a ``.tar.gz`` of such a folder.

It gives ``river.level.v1`` (rows ``日時,河川水位,id`` of every file ``YYYY-MM-DD*.csv``, times in JST), ``clock.v1``
(a tick at every full ten minutes from the first arrival to the last, through all holes) and ``dead.v1`` (lines
that cannot be read, each with its file and line).

**Arrival.** The files record none. A row arrives at the newest time of its scrape, which are the rows until the
order of the gauges begins again; scrapes arrive in order of that time, across files. Minutes are all there is.

**Delivery guarantee.** Every good row and every dead line is given exactly once for each line that holds it; rows that a
recorder wrote twice are given twice, and the later offset is the higher version. Offsets depend on the files
alone, so that reading from any time gives the same rows at the same positions.

**What is lost when.** Nothing of what the files hold. What they do not hold cannot be told from silence: hours in
which the recorder did not run, and minus signs, which it dropped. An offset has room for 65,536 rows in a minute.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from connectors.fukui_day import BEFORE_DAYS, DAY_MIN, minutes, parse
from connectors.span import within, zoned
from connectors.table import framed, in_minutes
from schemas.feeds import UTC_MS, feed

__all__ = ["FukuiError", "FukuiFiles", "FukuiSettings", "open"]

LEVELS, TICKS, DEAD = "river.level.v1", "clock.v1", "dead.v1"

JST_MIN = 9 * 60
_TICK_MIN = 10
_EPOCH = date(1970, 1, 1)
_LONG_AGO, _FAR_AHEAD = minutes(date(1990, 1, 1)), minutes(date(2200, 1, 1))
_DATED = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T")


class FukuiError(ValueError):
    """There are no gauge files at a path, or they cannot be taken in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FukuiSettings:
    """Where the files lie, and in which region their gauges stand."""

    path: Path
    region: str = "fukui"


def open(path: Path, settings: FukuiSettings | None = None) -> FukuiFiles:
    """The daily files below a folder, or inside a ``.tar.gz`` (unpacked beside the system's temporary files).

    Args:
        path: the folder or the archive.
        settings: other settings than the default ones.

    Raises:
        FukuiError: the path is neither, the archive is damaged or reaches outside itself, or a file is not named after a day.
    """
    settings = settings or FukuiSettings(path=path)
    if path.is_dir():
        return FukuiFiles(settings=settings, files=_listed(path))
    if not path.is_file():
        raise FukuiError(f"path of fukui must be a folder or a .tar.gz of daily files (got {str(path)!r}): see data/fukui/README.md")
    unpacked = TemporaryDirectory(prefix="tsunagu-fukui-")
    try:
        _unpack(path, Path(unpacked.name))
        return FukuiFiles(settings=settings, files=_listed(Path(unpacked.name)), unpacked=unpacked)
    except FukuiError:
        unpacked.cleanup()
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class FukuiFiles:
    """Recorded arrivals from the gauges of Fukui; see the module for what is given and promised."""

    settings: FukuiSettings
    files: tuple[_File, ...] = field(repr=False)
    unpacked: TemporaryDirectory[str] | None = field(default=None, repr=False)

    def read(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[dict[str, pl.DataFrame]]:
        """Levels, ticks and dead lines that arrived in [since, until), a day (JST) at a time.

        Each chunk holds a frame for each of the three feeds, some of them empty. Days without anything are left out.

        Raises:
            FukuiError: a time has no zone, or more rows arrived in one minute than offsets have room for.
        """
        zoned(FukuiError, since, until)
        low, high = _first_minute(since, _LONG_AGO), _first_minute(until, _FAR_AHEAD)
        files = tuple(each for each in self.files if not _ends_before(each, low))
        begin = None if len(files) == len(self.files) else low  # what was left out has set the clock going before
        for number, day, ticks in _clocked(_days(files), begin):
            if number * DAY_MIN >= high:
                return
            if (number + 1) * DAY_MIN <= low:
                continue
            chunk = self._chunk(day, ticks)
            if number * DAY_MIN < low or (number + 1) * DAY_MIN > high:
                chunk = {name: frame.filter(within(_utc(low), _utc(high))) for name, frame in chunk.items()}
            if any(frame.height for frame in chunk.values()):
                yield chunk

    def close(self) -> None:
        """Removes what was unpacked."""
        if self.unpacked is not None:
            self.unpacked.cleanup()

    def _chunk(self, day: _Day, ticks: range) -> dict[str, pl.DataFrame]:
        clock = pl.DataFrame({"arrived_min": pl.Series(ticks, dtype=pl.Int64)})
        return {
            LEVELS: _placed(
                LEVELS,
                day.rows,
                region=pl.lit(self.settings.region),
                observed_at=_time("observed_min"),
                version=pl.col("offset"),
                op=pl.lit("stated"),
            ),
            TICKS: _placed(TICKS, clock, at=_time("arrived_min")),
            DEAD: _placed(DEAD, day.dead, feed=pl.lit(LEVELS), place=pl.col("line")),
        }


# --- files


def _unpack(path: Path, folder: Path) -> None:
    try:
        # Read through once for its checksum: tarfile takes damage in the middle for the end, and says nothing.
        with gzip.open(path) as whole:
            while whole.read(1 << 20):
                pass
        with tarfile.open(path, "r:gz") as packed:
            packed.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, EOFError, zlib.error) as fault:
        raise FukuiError(
            f"archive {path.name} must be a whole .tar.gz that stays within its folder (got: {fault}): fetch it again"
        ) from fault


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A daily file: its name below the folder, and the day (JST) in that name."""

    path: Path
    name: str
    day: date


def _listed(folder: Path) -> tuple[_File, ...]:
    """The daily files below a folder, in order of day and name."""
    paths = [each for each in folder.rglob("[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*.csv") if each.is_file()]
    if not paths:
        raise FukuiError(f"folder of fukui must hold daily files YYYY-MM-DD.csv (got none in {folder.name!r}): see data/fukui/README.md")
    files = (_File(path=each, name=each.relative_to(folder).as_posix(), day=_day_of(each)) for each in paths)
    return tuple(sorted(files, key=lambda file: (file.day, file.name)))


def _day_of(path: Path) -> date:
    try:
        return date.fromisoformat(path.name[:10])
    except ValueError as fault:
        raise FukuiError(f"name of a daily file must begin with its day (got {path.name!r}): rename it, or move it away") from fault


def _ends_before(file: _File, low: int) -> bool:
    """Whether nothing of a file can have arrived at minute ``low`` or later.

    Its name does not tell: a file goes on for as long as the first gauge of the page stands still, and those at the
    turn of a year hold rows of the next. So the newest day anywhere in its text decides, with a day for 24:00.
    """
    if minutes(file.day) + 2 * DAY_MIN > low or (file.day.month, file.day.day) in ((1, 1), (12, 31)):
        return False
    newest = max(_DATED.findall(file.path.read_bytes()), default=b"9")
    return newest < str(_EPOCH + timedelta(days=low // DAY_MIN - 1)).encode()


# --- days


@dataclass(frozen=True, slots=True, kw_only=True)
class _Day:
    """What arrived on one day (JST), counted from 1970, in order of arrival."""

    number: int
    rows: pl.DataFrame
    dead: pl.DataFrame

    @property
    def span(self) -> tuple[int, int]:
        """Minutes of the first and the last arrival."""
        arrived = pl.concat([self.rows["arrived_min"], self.dead["arrived_min"]]).to_numpy()
        return int(arrived.min()), int(arrived.max())

    @property
    def nothing(self) -> _Day:
        """The same without rows: a day in a hole."""
        return replace(self, rows=self.rows.clear(), dead=self.dead.clear())


def _days(files: tuple[_File, ...]) -> Iterator[_Day]:
    """Every day on which something arrived. Held are only days that a file still to be read may add to."""
    waiting: dict[int, list[_Day]] = defaultdict(list)
    for place, file in enumerate(files):
        for part in _parts(file):
            waiting[part.number].append(part)
        last = place + 1 == len(files)
        complete = _FAR_AHEAD if last else minutes(files[place + 1].day) // DAY_MIN - BEFORE_DAYS
        for number in sorted(each for each in waiting if each < complete):
            yield _merged(waiting.pop(number))


def _parts(file: _File) -> Iterator[_Day]:
    """What one file holds, by day of arrival."""
    held = parse(file.path.read_bytes(), file.day)
    dead = held.dead.with_columns(pl.lit(file.name).alias("source"))
    numbers = pl.concat([held.rows["arrived_min"], dead["arrived_min"]]) // DAY_MIN
    for number in numbers.unique():
        that_day = pl.col("arrived_min") // DAY_MIN == number
        yield _Day(number=number, rows=held.rows.filter(that_day), dead=dead.filter(that_day))


def _merged(parts: list[_Day]) -> _Day:
    """Scrapes in order of arrival; those of one minute in order of file and line."""
    rows, dead = (
        pl.concat(frames).sort("arrived_min", maintain_order=True) for frames in ([p.rows for p in parts], [p.dead for p in parts])
    )
    return _Day(number=parts[0].number, rows=rows, dead=dead)


# --- clock


def _clocked(days: Iterator[_Day], begin: int | None) -> Iterator[tuple[int, _Day, range]]:
    """Days with their ticks; days on which only the clock went on are put between them.

    The clock goes from the first arrival (or from ``begin``, where what came before is not read) to the last.
    """
    for day, following in _with_next(days):
        first, last = day.span
        begin = first // _TICK_MIN * _TICK_MIN if begin is None else begin
        end = last + 1 if following is None else following.number * DAY_MIN
        for number in range(min(begin // DAY_MIN, day.number), -(-end // DAY_MIN)):
            from_min, to_min = max(begin, number * DAY_MIN), min(end, (number + 1) * DAY_MIN)
            ticks = range(-(-from_min // _TICK_MIN) * _TICK_MIN, to_min, _TICK_MIN)
            yield number, day if number == day.number else day.nothing, ticks
        begin = max(begin, end)


def _with_next(days: Iterator[_Day]) -> Iterator[tuple[_Day, _Day | None]]:
    """Each day together with the one after it."""
    day = next(days, None)
    while day is not None:
        following = next(days, None)
        yield day, following
        day = following


# --- frames


def _placed(name: str, rows: pl.DataFrame, **columns: pl.Expr) -> pl.DataFrame:
    """Rows as a frame of a feed: the columns given, others by their name, and offsets that the files alone decide."""
    if rows.is_empty():
        return feed(name).empty()
    placed = in_minutes(rows.with_columns(_time("arrived_min").alias("arrived")), FukuiError, f"rows of {name}")
    return framed(name, placed, {"partition": pl.lit(0), **columns})


def _time(column: str) -> pl.Expr:
    """Minutes from 1970 in JST as an instant."""
    return ((pl.col(column) - JST_MIN) * 60_000).cast(UTC_MS)


def _utc(minute: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute - JST_MIN)


def _first_minute(time: datetime | None, otherwise: int) -> int:
    """The first full minute (JST) at or after a time."""
    if time is None:
        return otherwise
    return -((datetime(1970, 1, 1, tzinfo=UTC) - time) // timedelta(minutes=1)) + JST_MIN
