"""Reads and writes a fitted model: an Avro object container file with one record of its feed.

**Delivery guarantee.** A file is there as a whole or not at all (written beside, then renamed).

**What is lost when.** Nothing: numbers are kept to the precision of the schema.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fastavro
import polars as pl

from schemas import feed

__all__ = ["ModelError", "read", "write"]

FLOOD = "river.flood-model.v1"


class ModelError(ValueError):
    """A file is not a fitted model."""


def read(path: Path, of: str = FLOOD) -> pl.DataFrame:
    """The models in a file, as a frame of their feed ``of``, known since each model's ``valid_from``.

    Raises:
        ModelError: the file is absent, damaged, or holds something else.
    """
    try:
        with path.open("rb") as file:
            rows: list[Any] = list(fastavro.reader(file, feed(of).schema))
    except OSError as fault:
        raise ModelError(f"model must be a file that can be read (got {str(path)!r}): make one with tsunagu fit") from fault
    except (ValueError, EOFError, IndexError, KeyError, TypeError, fastavro.read.SchemaResolutionError) as fault:
        raise ModelError(f"model file {path.name} must be an Avro file of {of} (got {_short(fault)}): make one with tsunagu fit") from fault
    known = [row | {"arrived": row["valid_from"], "partition": 0, "offset": at} for at, row in enumerate(rows)]
    return pl.DataFrame(known, schema=feed(of).frame_schema)


def _short(fault: Exception) -> str:
    """A fault without the schemas that it may quote."""
    return f"{type(fault).__name__}: {str(fault)[:80]}"


def write(record: dict[str, Any], path: Path, of: str = FLOOD) -> None:
    """Writes one model of a feed."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            fastavro.writer(file, feed(of).schema, [record], codec="deflate", sync_marker=bytes(16))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
