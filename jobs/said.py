"""Reads again what was said: from a file of JSON lines, or from an archive."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from connectors import SourceError, archive, jsonl
from schemas import feed

__all__ = ["place_of", "said_in"]

_ARCHIVE = "archive:"


def place_of(where: str) -> Path:
    """The file or the folder that ``FILE.jsonl`` or ``archive:DIR`` names."""
    return Path(where.removeprefix(_ARCHIVE))


def said_in(where: str, says: str) -> pl.DataFrame:
    """All facts of a feed in ``FILE.jsonl`` or ``archive:DIR``.

    Raises:
        SourceError: there is no such file or archive.
    """
    path = place_of(where)
    if where.startswith(_ARCHIVE) and path.is_dir():
        return pl.concat([feed(says).empty(), *(chunk[says] for chunk in archive.open(path).read() if says in chunk)])
    if not Path(where).is_file():
        raise SourceError(f"what was said must be FILE.jsonl or archive:DIR (got {where!r}): make one with tsunagu replay")
    return jsonl.read(Path(where), says)
