"""Where what is said goes: a file of JSON lines with late and dead records beside it, or an archive."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol

import polars as pl

from connectors import archive, jsonl
from schemas import feed

__all__ = ["Sink", "SinkError", "in_folder", "sink"]


class SinkError(ValueError):
    """The place for what is said cannot be used."""


class Sink(Protocol):
    """Takes what is said."""

    def write(self, feed_name: str, frame: pl.DataFrame) -> None:
        """Takes a frame of a feed."""
        ...


class _Lines:
    """Facts to one file of JSON lines, late and dead records beside it."""

    def __init__(self, path: Path, says: str, stack: ExitStack) -> None:
        beside = {says: path, "late.v1": path.with_suffix(".late.jsonl"), "dead.v1": path.with_suffix(".dead.jsonl")}
        self._files = {name: stack.enter_context(jsonl.open(each, name)) for name, each in beside.items()}

    def write(self, feed_name: str, frame: pl.DataFrame) -> None:
        self._files[feed_name].write(frame)


@dataclass(slots=True)
class _Parts:
    """Facts to an archive, some thousand at a time; the rest when the replay ends well."""

    to: archive.Archive
    held: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    rows: int = 0

    def __enter__(self) -> _Parts:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.flush()

    def write(self, feed_name: str, frame: pl.DataFrame) -> None:
        self.held.setdefault(feed_name, []).append(frame.select(feed(feed_name).frame_schema.keys()))
        self.rows += frame.height
        if self.rows > _PART_ROWS:
            self.flush()

    def flush(self) -> None:
        for name, frames in self.held.items():
            self.to.write(name, pl.concat(frames))
        self.held.clear()
        self.rows = 0


_PART_ROWS = 20_000


def sink(to: str, says: str, stack: ExitStack) -> Sink:
    """The place that ``FILE.jsonl`` or ``archive:DIR`` names.

    Raises:
        SinkError: it names neither, or its folder does not exist.
    """
    kind, colon, path = to.partition(":")
    if colon and kind == "archive":
        if (Path(path) / says).exists():
            raise SinkError(
                f"archive of --to must not hold {says} yet (got {to!r}): what two replays said may not be mixed; give another folder"
            )
        return stack.enter_context(_Parts(archive.open(Path(path))))
    if not to.endswith(".jsonl"):
        raise SinkError(f"--to must be FILE.jsonl or archive:DIR (got {to!r}): for example build/notices.jsonl")
    return _Lines(in_folder(Path(to)), says, stack)


def in_folder(path: Path) -> Path:
    """The path of a file to be written.

    Raises:
        SinkError: its folder does not exist.
    """
    if not path.parent.is_dir():
        raise SinkError(f"folder of --to must exist (got {str(path)!r}): make it first")
    return path
