"""``tsunagu bench replay``: replays a recorded month on one core and says how fast, and where the time goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import TypeVar

from connectors import jsonl, open_source
from jobs.embedded import WARM_UP, replay
from jobs.linkages import DATA, LINKAGES
from jobs.replay import placed, references
from jobs.words import JST

__all__ = ["run"]

SOURCE = DATA / "fukui" / "levels-2021-08_to_2024-05.tar.gz"
SINCE, UNTIL = datetime(2024, 3, 1, tzinfo=JST), datetime(2024, 4, 1, tzinfo=JST)
Item = TypeVar("Item")


class _Watch:
    """Processor time spent inside an iterator."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def over(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items, their making timed."""
        running = iter(items)
        while True:
            begin = process_time()
            item = next(running, None)
            self.seconds += process_time() - begin
            if item is None:
                return
            yield item


def run() -> int:
    """Measures, and prints what was measured; returns the exit code."""
    linkage = LINKAGES["upstream_flood"]
    known = references(linkage)
    decode, whole = _Watch(), _Watch()
    marks, rows = [0.0], 0
    with ExitStack() as stack:
        source = stack.enter_context(closing(open_source(f"fukui:{SOURCE}")))
        folder = stack.enter_context(TemporaryDirectory())
        lines = stack.enter_context(jsonl.open(Path(folder) / "facts.jsonl", linkage.says))
        readings = _Counted()
        chunks = decode.over(readings.over(source.read(SINCE - WARM_UP * linkage.reach, UNTIL)))
        for said in whole.over(replay(linkage, chunks, known, SINCE)):
            begin = process_time()
            facts = said.facts
            if facts is not None:
                lines.write(placed(facts, rows))
                rows += facts.height
            marks.append(marks[-1] + process_time() - begin)
    write = sum(b - a for a, b in pairwise(marks))
    total = whole.seconds + write
    print(f"replay of {SINCE:%Y-%m}, Fukui: {readings.count} readings, {rows} statements, {total:.1f} s of processor time")
    print(f"  {readings.count / total:,.0f} readings/s")
    for name, seconds in (("decode", decode.seconds), ("past and rule", whole.seconds - decode.seconds), ("write", write)):
        print(f"  {name:<14} {seconds / total:4.0%}")
    return 0


class _Counted:
    """How many readings passed."""

    def __init__(self) -> None:
        self.count = 0

    def over(self, chunks: Iterable[Item]) -> Iterator[Item]:
        """The same chunks, counted."""
        for chunk in chunks:
            self.count += chunk["river.level.v1"].height  # type: ignore[index]
            yield chunk
