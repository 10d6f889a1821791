"""Reads injury accidents as the police publish them: ``honhyo_YYYY.csv`` (本票), one file a year, or a folder of them.

It gives ``road.accident.v1`` (a row of a file), ``road.accident-year.v1`` (word that the file of a year is out) and ``dead.v1`` (lines that
cannot be read, each with its file and line). The files are CP932; columns are found by name; positions are degrees, minutes and seconds
written as one number; prefectures have the police's own numbers. What that means is in ``connectors/honhyo_rows.py``.

**Arrival.** The files record none. All of a year's file arrives at once, on 1 September of the year after at 00:00 JST, by which
time it has been published in every year so far.

**Delivery guarantee.** Every good row and every dead line exactly once, in order of year and line, at an offset that year and line
decide: reading from any time gives the same rows at the same positions. A file whose header lacks a column is refused as a whole.

**What is lost when.** Columns of which nothing is said in ``road.accident.v1`` (persons, vehicles, damage). A row without a position is
dead: it cannot be placed. So is one with a code that the police's tables do not hold. 2 to 3 % of a file happened in the year before;
an accident that is published again in a later file is another record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from connectors import police_files
from connectors.honhyo_rows import HonhyoError, parse
from connectors.span import holds, zoned

__all__ = ["HonhyoError", "HonhyoFiles", "HonhyoSettings", "open"]

_NAMED = re.compile(r"honhyo_([0-9]{4})\.csv", re.IGNORECASE)


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
        zoned(HonhyoError, since, until)
        for path in self.files:
            if holds(police_files.arrival(_year(path)), since, until):
                yield self._chunk(path, _year(path))

    def close(self) -> None:
        """Nothing is held open."""

    def _chunk(self, path: Path, year: int) -> dict[str, pl.DataFrame]:
        held = parse(path.read_bytes(), path.name, year)
        at = pl.lit(police_files.first_offset(year)) + pl.col("line")
        good = held.good.with_columns(at.alias("version"), at.alias("offset"))
        dead = held.dead.with_columns(pl.lit(path.name).alias("source"), at.alias("offset"))
        return police_files.year(year, self.settings.region, good, dead)


def _year(path: Path) -> int:
    named = _NAMED.fullmatch(path.name)
    if named is None:
        raise HonhyoError(f"name of a 本票 file must be honhyo_YYYY.csv (got {path.name!r}): rename it")
    return int(named[1])
