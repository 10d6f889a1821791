"""Reads injury accidents as the police publish them: ``honhyo_YYYY.csv`` (本票), one file a year, or a folder of them.

It gives ``road.accident.v1`` (a row of a file), ``road.accident-year.v1`` (word that the file of a year is out) and ``dead.v1`` (lines that
cannot be read, each with its file and line). The files are CP932; columns are found by name; positions are degrees, minutes and seconds
written as one number; prefectures have the police's own numbers. What that means is in ``connectors/honhyo_rows.py``.

**Arrival.** The files record none. All of a year's file arrives at once, on 1 September of the year after at 00:00 JST, by which
time it has been published in every year so far.

**Delivery guarantee.** Every good row and every dead line exactly once, in order of year and line, at an offset that year and line
decide: reading from any time gives the same rows at the same positions. A file whose header lacks a column is refused as a whole.

**What is lost when.** Columns of which nothing is said in ``road.accident.v1`` (persons, vehicles, damage). A row without a position is
dead: it cannot be placed. 2 to 3 % of a file happened in the year before; an accident that is published again in a later file is
another record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars as pl

from connectors.honhyo_rows import HonhyoError, parse
from schemas.feeds import feed

__all__ = ["HonhyoError", "HonhyoFiles", "HonhyoSettings", "open"]

ACCIDENTS, YEARS, DEAD = "road.accident.v1", "road.accident-year.v1", "dead.v1"

_JST = timezone(timedelta(hours=9))
_NAMED = re.compile(r"honhyo_([0-9]{4})\.csv", re.IGNORECASE)
_LINES = 1 << 32
"""Offsets of a year: no file comes near so many lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HonhyoSettings:
    """Where the files lie, and what their accidents are judged with."""

    path: Path
    region: str = "jp"


def open(path: Path, settings: HonhyoSettings | None = None) -> HonhyoFiles:
    """One file ``honhyo_YYYY.csv``, or all of a folder.

    Args:
        path: the file or the folder.
        settings: other settings than the default ones.

    Raises:
        HonhyoError: there is no such file, or two are of one year.
    """
    files = [each for each in (sorted(path.iterdir()) if path.is_dir() else [path]) if _NAMED.fullmatch(each.name) and each.is_file()]
    if not files:
        raise HonhyoError(
            f"path of honhyo must be a file honhyo_YYYY.csv or a folder of them (got {path.name!r}): see data/honhyo/README.md"
        )
    years = {_year(each): each for each in files}
    if len(years) < len(files):
        raise HonhyoError(f"files of honhyo must be one a year (got {', '.join(each.name for each in files)}): take the others away")
    return HonhyoFiles(settings=settings or HonhyoSettings(path=path), files=tuple(years[year] for year in sorted(years)))


@dataclass(frozen=True, slots=True, kw_only=True)
class HonhyoFiles:
    """The accidents of some years; see the module for what is given and promised."""

    settings: HonhyoSettings
    files: tuple[Path, ...]

    def read(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[dict[str, pl.DataFrame]]:
        """Accidents, word of years and dead lines that arrived in [since, until), a year at a time.

        Raises:
            HonhyoError: a time has no zone, or a file is not written as 本票 files are.
        """
        for name, time in (("since", since), ("until", until)):
            if time is not None and time.tzinfo is None:
                raise HonhyoError(f"{name} must have a zone (got {time!r}): for example 2022-09-01T00:00+09:00")
        for path in self.files:
            arrived = datetime(_year(path) + 1, 9, 1, tzinfo=_JST).astimezone(UTC)
            if (since is None or arrived >= since) and (until is None or arrived < until):
                yield self._chunk(path, _year(path), arrived)

    def close(self) -> None:
        """Nothing is held open."""

    def _chunk(self, path: Path, year: int, arrived: datetime) -> dict[str, pl.DataFrame]:
        held = parse(path.read_bytes(), path.name, year)
        told = {"region": pl.lit(self.settings.region), "op": pl.lit("stated"), "arrived": pl.lit(arrived), "partition": pl.lit(0)}
        at = pl.lit(year * _LINES) + pl.col("line")
        said = pl.DataFrame({"year": [year], "line": [0], "records": [held.good.height]}).filter(pl.col("records") > 0)
        return {
            ACCIDENTS: _framed(ACCIDENTS, held.good, told | {"version": at, "offset": at}),
            YEARS: _framed(
                YEARS,
                said,
                told | {"year_key": pl.col("year").cast(pl.String), "valid_from": pl.lit(arrived), "version": pl.lit(1), "offset": at},
            ),
            DEAD: _framed(
                DEAD,
                held.dead,
                told | {"feed": pl.lit(ACCIDENTS), "source": pl.lit(path.name), "place": pl.col("line"), "offset": at},
            ),
        }


def _framed(name: str, rows: pl.DataFrame, told: dict[str, pl.Expr]) -> pl.DataFrame:
    """Rows as a frame of a feed: what is told, else columns by their name."""
    return rows.select(told.get(each, pl.col(each)).cast(dtype).alias(each) for each, dtype in feed(name).frame_schema.items())


def _year(path: Path) -> int:
    named = _NAMED.fullmatch(path.name)
    if named is None:
        raise HonhyoError(f"name of a 本票 file must be honhyo_YYYY.csv (got {path.name!r}): rename it")
    return int(named[1])
