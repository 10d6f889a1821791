"""Progress of long work, on standard error: a line that is drawn again on a terminal, one a month otherwise."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from types import TracebackType

from connectors import Arrivals
from jobs.words import JST
from pipelines.linkage import CLOCK

__all__ = ["Progress"]


class Progress:
    """Says how far reading has come. Use it in a ``with`` block. ``records``: how many were read so far, ticks aside."""

    def __init__(self) -> None:
        self.records = 0
        self._said: int | None = None
        self._month = ""
        self._drawn = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        if self._drawn:
            print(file=sys.stderr)

    def watched(self, chunks: Iterable[Arrivals]) -> Iterator[Arrivals]:
        """The same chunks, each counted as it passes."""
        for chunk in chunks:
            self._read(chunk)
            yield chunk

    def _read(self, chunk: Arrivals) -> None:
        newest: datetime | None = max((frame["arrived"][-1] for frame in chunk.values() if frame.height), default=None)
        self.records += sum(frame.height for name, frame in chunk.items() if name != CLOCK)
        if newest is None:
            return
        day = f"{newest.astimezone(JST):%Y-%m-%d}"
        if sys.stderr.isatty():
            print(f"\r{day}  {self._line()}", end="", file=sys.stderr, flush=True)
            self._drawn = True
        elif day[:7] != self._month:
            self._month = day[:7]
            print(f"{day}  {self._line()}", file=sys.stderr, flush=True)

    def said(self, rows: int) -> None:
        """So many facts were said."""
        self._said = (self._said or 0) + rows

    def _line(self) -> str:
        said = "" if self._said is None else f", {self._said:,} statements"
        return f"{self.records:,} records read{said}"
