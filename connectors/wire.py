"""Records of a feed as values of Kafka messages: byte 0, the id of the schema's version (4 bytes, big-endian), Avro body.

Confluent's wire format, so that any Kafka tool reads it. Ids come from the repo (``schemas/versions.py``) or from a
registry (``connectors/registry.py``).

**Delivery guarantee.** Each value is judged alone: it becomes the row that it holds, or is named with the reason why it holds
none, whatever its neighbours are. What was written under another version of the feed is resolved by Avro's rules: what is
new has its default, what is gone is left out.

**What is lost when.** Nothing: values that cannot be read are handed back by index, to be kept with their bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any, Protocol

import fastavro
import numpy as np
import polars as pl
from numpy.typing import NDArray

from connectors.avro_body import UnreadableError, body_reader
from connectors.avro_columns import flat, read_columns
from schemas.feeds import feed, feed_names
from schemas.versions import id_of, versions

__all__ = ["HEAD", "REPO", "Decoded", "Ids", "WireError", "decode", "encode"]

HEAD = 5
"""Bytes before the body."""

FEW = 128
"""So many values are read as fast one by one as by columns."""


class WireError(ValueError):
    """Rows do not fit the feed for which they are meant."""


class Ids(Protocol):
    """Which id stands for which version of a feed's schema."""

    def write(self, feed_name: str) -> int:
        """The id under which records are written now."""

    def schema(self, feed_name: str, schema_id: int) -> Mapping[str, Any] | None:
        """The schema with which records of that id were written; None: it is no version of this feed."""


class RepoIds:
    """The ids of the repo itself: no server is asked."""

    def write(self, feed_name: str) -> int:
        """The id of the schema file as it is."""
        return _current(feed_name)

    def schema(self, feed_name: str, schema_id: int) -> Mapping[str, Any] | None:
        """Any version that the repo keeps."""
        return versions(feed_name).get(schema_id)


REPO = RepoIds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Values in two parts: those that could be read, and those that could not.

    Attributes:
        rows: the fields of the feed, a row for each value that could be read, in order.
        at: for each row the index of its value.
        bad: index of each other value, and why it could not be read.
    """

    rows: pl.DataFrame
    at: NDArray[np.int64]
    bad: list[tuple[int, str]]


def encode(feed_name: str, frame: pl.DataFrame, ids: Ids = REPO) -> list[bytes]:
    """The values of rows, in order.

    Raises:
        WireError: a column is absent, or a value does not fit the schema.
    """
    columns = feed(feed_name).columns
    absent = [each for each in columns if each not in frame.columns]
    if absent:
        raise WireError(f"frame of {feed_name} must have all its columns (got none named {', '.join(absent)}): see Feed.columns")
    head, schema = b"\0" + ids.write(feed_name).to_bytes(4, "big"), _parsed(feed_name)
    try:
        plain = frame.select(pl.col(name).cast(dtype) for name, dtype in columns.items()).select(pl.all().to_physical())
        return [_value(head, schema, record) for record in plain.iter_rows(named=True)]
    except (ValueError, TypeError, KeyError, OverflowError, pl.exceptions.PolarsError) as fault:
        raise WireError(f"rows of {feed_name} must fit their schema (got {fault}): see schemas/avro/{feed_name}.avsc") from fault


def decode(feed_name: str, values: Sequence[bytes | None], ids: Ids = REPO) -> Decoded:
    """The rows of values, in order, and what could not be read.

    Values of one version are read by columns; what those do not vouch for is read alone. Records inside records, and
    versions other than the current one, are always read alone.
    """
    told = _Told(feed_name)
    for head, indices in _by_head(values).items():
        version = _version(feed_name, head, ids)
        if isinstance(version, str):
            told.bad += [(index, version) for index in indices]
        else:
            told.read(version, values, indices)
    return told.decoded()


class _Told:
    """Collects what is read of some values, group by group."""

    def __init__(self, feed_name: str) -> None:
        self._columns = feed(feed_name).columns
        self._rows: list[pl.DataFrame] = []
        self._at: list[NDArray[np.int64]] = []
        self.bad: list[tuple[int, str]] = []

    def read(self, version: _Version, values: Sequence[bytes | None], indices: Sequence[int]) -> None:
        """Reads values of one version."""
        if version.columns and len(indices) > FEW:
            group = values if len(indices) == len(values) else itemgetter(*indices)(values)
            rows, good = read_columns(version.schema, group, HEAD)  # type: ignore[arg-type]  # none of a version is null
            at = np.asarray(indices, np.int64)
            self._keep(rows if good.all() else rows.filter(pl.Series(good)), at[good])
            indices = at[~good].tolist()
        self._alone(version, values, indices)

    def _alone(self, version: _Version, values: Sequence[bytes | None], indices: Iterable[int]) -> None:
        rows, at = [], []
        for index in indices:
            try:
                rows.append(version.read((values[index] or b"")[HEAD:]))
                at.append(index)
            except UnreadableError as fault:
                self.bad.append((index, str(fault)))
        if rows:
            self._keep(pl.DataFrame(rows, schema=self._columns), np.array(at, np.int64))

    def _keep(self, rows: pl.DataFrame, at: NDArray[np.int64]) -> None:
        self._rows.append(rows.cast(pl.Schema(self._columns)))
        self._at.append(at)

    def decoded(self) -> Decoded:
        """All of it, in order."""
        rows = pl.concat(self._rows) if self._rows else pl.DataFrame(schema=self._columns)
        at = np.concatenate([np.zeros(0, np.int64), *self._at])
        if len(self._rows) > 1:
            order = np.argsort(at)
            rows, at = rows[order], at[order]
        return Decoded(rows=rows, at=at, bad=sorted(self.bad))


# --- versions


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    """How values of one version are read: one by one, and whether columns can."""

    schema: Mapping[str, Any]
    read: Callable[[bytes], dict[str, Any]]
    columns: bool


_FIRST: Callable[[Any], bytes] = itemgetter(slice(HEAD))


def _by_head(values: Sequence[bytes | None]) -> dict[bytes | None, Sequence[int]]:
    """Indices of values by their first bytes; most often all are the same."""
    if None not in values:
        (head, *others) = set(map(_FIRST, values)) or {b""}
        if not others:
            return {head: range(len(values))}
    groups: dict[bytes | None, list[int]] = {}
    for index, value in enumerate(values):
        groups.setdefault(value and value[:HEAD], []).append(index)
    return dict(groups)


def _version(feed_name: str, head: bytes | None, ids: Ids) -> _Version | str:
    """How values with these first bytes are read, or why they cannot be."""
    if head is None:
        return f"value of {feed_name} must be a record (got null): to withdraw one, send it with op withdrawn"
    if len(head) < HEAD or head[0]:
        return f"value of {feed_name} must begin with byte 0 and a schema id of 4 bytes (got {head!r}): write Confluent's wire format"
    schema_id = int.from_bytes(head[1:], "big")
    schema = ids.schema(feed_name, schema_id)
    if schema is None:
        other = next((each for each in feed_names() if REPO.schema(each, schema_id)), None)
        what = f"one of {other}" if other else "which nobody knows"
        return f"schema id must be one of {feed_name} (got {schema_id}, {what}): see schemas/kept/{feed_name}.jsonl"
    known = feed_name, id_of(schema)
    if known not in _VERSIONS:
        _VERSIONS[known] = _new_version(feed_name, schema)
    return _VERSIONS[known]


_VERSIONS: dict[tuple[str, int], _Version | str] = {}


def _new_version(feed_name: str, schema: Mapping[str, Any]) -> _Version | str:
    try:
        strictly, written = body_reader(feed_name, schema), fastavro.parse_schema(dict(schema))
    except (TypeError, KeyError, fastavro.schema.SchemaParseException) as fault:
        return f"schema of {feed_name} must be one that feeds have (got {fault}): write a version of the feed"
    if id_of(schema) == _current(feed_name):
        return _Version(schema=schema, read=strictly, columns=flat(schema))

    def resolved(body: bytes) -> dict[str, Any]:
        strictly(body)
        try:
            row: dict[str, Any] = fastavro.schemaless_reader(io.BytesIO(body), written, _parsed(feed_name))  # type: ignore[assignment]
            return row
        except Exception as fault:  # what a decoder raises where schemas do not meet is not declared
            raise UnreadableError(
                f"value of {feed_name} must resolve to its current version (got {fault}): write a version of it"
            ) from fault

    return _Version(schema=schema, read=resolved, columns=False)


def _value(head: bytes, schema: Any, record: Mapping[str, Any]) -> bytes:
    value = io.BytesIO()
    value.write(head)
    fastavro.schemaless_writer(value, schema, record)
    return value.getvalue()


@cache
def _current(feed_name: str) -> int:
    return id_of(feed(feed_name).schema)


@cache
def _parsed(feed_name: str) -> Any:
    return fastavro.parse_schema(feed(feed_name).schema)
