"""Keeps feeds as Avro object container files, and reads them back as recorded arrivals.

One folder for each feed and UTC day of arrival, ``DIR/river.level.v1/2024-05-28/part-000000.avro``. A record holds
the fields of the feed and its ``arrived``, ``partition`` and ``offset``, so that any Avro tool can read it.

**Delivery guarantee.** A part is there as a whole or not at all (written beside, then renamed). Rows may be written
any number of times: readers take each (partition, offset) of a feed once. What is read is in order of arrival, ties
in order of feed, partition and offset, whatever the order in which it was written.

**What is lost when.** What was not yet passed to ``write`` when the writer died. One writer at a time may add to a
feed. A damaged file is an error that names it: an archive that leaves out what it cannot read would be silence that
looks like all-clear.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Literal

import fastavro
import polars as pl
from fastavro.schema import to_parsing_canonical_form

from connectors.span import within, zoned
from schemas.feeds import FeedError, feed

__all__ = ["Archive", "ArchiveError", "ArchiveSettings", "open"]

_INSTANT = {"type": "long", "logicalType": "timestamp-millis"}
_ENVELOPE = {"arrived": _INSTANT, "partition": "int", "offset": "long"}
_COUNT = "tsunagu.rows"
_BLOCK_BYTES = 1 << 18


class ArchiveError(ValueError):
    """A file of the archive is damaged, or rows do not fit the feed for which they are meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """Where the archive lies, and how blocks are packed (what every Avro tool reads without extras)."""

    path: Path
    codec: Literal["deflate", "null"] = "deflate"


def open(path: Path, settings: ArchiveSettings | None = None) -> Archive:
    """The archive in a folder, which need not exist before the first write.

    Raises:
        ArchiveError: there is something else than a folder at the path.
    """
    if path.exists() and not path.is_dir():
        raise ArchiveError(f"path of archive must be a folder (got {path.name!r}): give the folder that holds the feeds")
    return Archive(settings=settings or ArchiveSettings(path=path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Recorded arrivals of any feeds; see the module for what is promised."""

    settings: ArchiveSettings

    def read(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[dict[str, pl.DataFrame]]:
        """What arrived in [since, until), a UTC day at a time; each chunk names only the feeds that it holds.

        Raises:
            ArchiveError: a file is damaged, holds something else, or lies in the wrong folder; a time has no zone.
        """
        zoned(ArchiveError, since, until)
        folders = self._folders()
        for day in sorted({day for days in folders.values() for day in days}):
            begin = datetime.combine(day, time(), UTC)
            if (until is not None and begin >= until) or (since is not None and begin + timedelta(days=1) <= since):
                continue
            chunk = {name: self._day(name, days[day], since, until) for name, days in folders.items() if day in days}
            chunk = {name: frame for name, frame in chunk.items() if frame.height}
            if chunk:
                yield chunk

    def write(self, feed_name: str, frame: pl.DataFrame) -> None:
        """Adds rows of a feed, one part for each UTC day of arrival. Writing rows again changes nothing for readers.

        Raises:
            FeedError: there is no such feed.
            ArchiveError: columns are absent, or a value does not fit the schema.
        """
        wanted = feed(feed_name).frame_schema
        absent = [each for each in wanted if each not in frame.columns]
        if absent:
            raise ArchiveError(
                f"frame of {feed_name} must have all its columns (got none named {', '.join(absent)}): see Feed.frame_schema"
            )
        rows = frame.select(pl.col(each).cast(dtype) for each, dtype in wanted.items()).sort("arrived", "partition", "offset")
        if rows["arrived"].null_count():
            raise ArchiveError(f"rows of {feed_name} must have arrived (got null): stamp them where they enter")
        for (day,), part in rows.group_by(pl.col("arrived").dt.date(), maintain_order=True):
            self._write_part(feed_name, self.settings.path / feed_name / str(day), part)

    def close(self) -> None:
        """Nothing stays open between reads and writes."""

    def _folders(self) -> dict[str, dict[date, Path]]:
        """The folders of each feed by day, feeds in order of name."""
        root = self.settings.path
        return {each.name: self._days(each) for each in sorted(root.iterdir()) if not _hidden(each)} if root.exists() else {}

    def _days(self, folder: Path) -> dict[date, Path]:
        try:
            feed(folder.name)
        except FeedError as fault:
            raise ArchiveError(f"folder of an archive must be named after a feed (got {folder.name!r}): move it away") from fault
        return {self._day_of(each): each for each in folder.iterdir() if not _hidden(each)}

    def _day_of(self, folder: Path) -> date:
        try:
            return date.fromisoformat(folder.name)
        except ValueError as fault:
            raise ArchiveError(f"folder of {folder.parent.name} must be named after a day (got {folder.name!r}): move it away") from fault

    def _day(self, feed_name: str, folder: Path, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        parts = [self._part(feed_name, each) for each in sorted(folder.glob("*.avro")) if not _hidden(each)]
        rows = pl.concat([feed(feed_name).empty(), *parts]).unique(["partition", "offset"], keep="first", maintain_order=True)
        return rows.sort("arrived", "partition", "offset").filter(within(since, until))

    def _part(self, feed_name: str, path: Path) -> pl.DataFrame:
        """The rows of one file, checked."""
        name, data = path.relative_to(self.settings.path).as_posix(), path.read_bytes()
        written, count = _header(name, data)
        ours = _schema(feed_name)
        same = to_parsing_canonical_form(written) == to_parsing_canonical_form(ours)
        if written.get("name") != f"{ours['namespace']}.{ours['name']}":
            raise ArchiveError(f"file {name} must hold records of {feed_name} (got {written.get('name')!r}): move it away")
        rows = _in_bulk(name, data) if same and _flat(feed_name) else _one_by_one(name, data, feed_name)
        rows = rows.select(pl.col(each).cast(dtype) for each, dtype in feed(feed_name).frame_schema.items())
        if count is not None and rows.height != count:
            raise ArchiveError(f"file {name} must hold {count} records (got {rows.height}): write it again")
        strays = rows.filter(pl.col("arrived").dt.date() != date.fromisoformat(path.parent.name))
        if strays.height:
            raise ArchiveError(f"file {name} must hold arrivals of its day (got {strays['arrived'][0].isoformat()}): move it")
        return rows

    def _write_part(self, feed_name: str, folder: Path, rows: pl.DataFrame) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        numbers = [int(each.stem.removeprefix("part-")) for each in folder.glob("part-*.avro")]
        path = folder / f"part-{max(numbers, default=-1) + 1:06}.avro"
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with beside.open("wb") as file:
                _encode(file, feed_name, rows, self.settings.codec)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")


# --- Avro


def _schema(feed_name: str) -> dict[str, Any]:
    """The feed's schema with its envelope."""
    fields = feed(feed_name).schema["fields"]
    held = {each["name"] for each in fields}
    return {
        **feed(feed_name).schema,
        "fields": fields + [{"name": name, "type": kind} for name, kind in _ENVELOPE.items() if name not in held],
    }


def _written(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema as files hold it: without defaults, which are for readers, and over which Polars stumbles."""
    return {**schema, "fields": [{key: told for key, told in each.items() if key != "default"} for each in schema["fields"]]}


def _flat(feed_name: str) -> bool:
    """Whether Polars can read the feed in bulk: it knows neither records inside lists nor enums that may be null."""
    unions = [each["type"] for each in feed(feed_name).schema["fields"] if isinstance(each["type"], list)]
    named = any(isinstance(kind, dict) and kind["type"] == "enum" for union in unions for kind in union)
    return not named and not any(each.is_nested() for each in feed(feed_name).columns.values())


def _encode(file: Any, feed_name: str, rows: pl.DataFrame, codec: str) -> None:
    plain = rows.select(pl.all().to_physical())
    records = (record for piece in plain.iter_slices(10_000) for record in piece.to_dicts())
    try:
        fastavro.writer(
            file,
            fastavro.parse_schema(_written(_schema(feed_name))),
            records,
            codec=codec,
            sync_interval=_BLOCK_BYTES,
            sync_marker=hashlib.sha256(feed_name.encode()).digest()[:16],
            metadata={_COUNT: str(rows.height)},
        )
    except (ValueError, TypeError, KeyError, OverflowError) as fault:
        raise ArchiveError(f"rows of {feed_name} must fit their schema (got {fault}): see schemas/avro/{feed_name}.avsc") from fault


def _header(name: str, data: bytes) -> tuple[dict[str, Any], int | None]:
    """The schema with which a file was written, and the count of records it should hold, if it tells."""
    try:
        reader = fastavro.reader(io.BytesIO(data))
        written, codec, count = reader.writer_schema, reader.codec, reader.metadata.get(_COUNT)
        told = None if count is None else int(count)
    except Exception as fault:  # what a decoder raises on foreign bytes is not declared
        raise ArchiveError(f"file {name} must be an Avro object container (got {data[:8]!r}): write it again") from fault
    if codec not in ("null", "deflate"):
        raise ArchiveError(f"codec of file {name} must be null or deflate (got {codec!r}): pack it again")
    return (written if isinstance(written, dict) else {}), told


def _in_bulk(name: str, data: bytes) -> pl.DataFrame:
    try:
        return pl.read_avro(io.BytesIO(data))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as fault:
        raise _broken(name, data) from fault


def _one_by_one(name: str, data: bytes, feed_name: str) -> pl.DataFrame:
    """By Avro's own rules where schemas differ: what is new has a default, what is gone is left out."""
    try:
        records = list(fastavro.reader(io.BytesIO(data), reader_schema=fastavro.parse_schema(_schema(feed_name))))
        return pl.DataFrame(records, schema=feed(feed_name).frame_schema)
    except fastavro.read.SchemaResolutionError as fault:
        raise ArchiveError(f"file {name} must hold the fields of {feed_name} (got others: {fault}): convert it") from fault
    except Exception as fault:  # as above
        raise _broken(name, data) from fault


def _broken(name: str, data: bytes) -> ArchiveError:
    return ArchiveError(f"file {name} must be a whole Avro file (got {len(data)} bytes that break off or make no sense): write it again")
