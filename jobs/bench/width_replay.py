"""The replay that the bench of width measures: as a program it prints what was read and said, and the time of each stage, as JSON."""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from connectors import Arrivals, Source, archive, jsonl
from jobs.bench.match.spent import Spent, Watched
from jobs.bench.recording import FLOOD, LEVELS
from jobs.bench.width_inputs import FROM, GAUGES, SPEAKS_FROM, Width
from jobs.embedded import replay
from jobs.replay import placed
from pipelines.linkage import Engine
from pipelines.linkage.derive import DeriveFold
from pipelines.upstream_flood.rule import FloodRule

__all__ = ["STAGES"]

_WATCHED: tuple[Watched, ...] = (
    (Engine, "step", "else"),
    (Engine, "_judged", "judge"),
    (DeriveFold, "hear", "past"),
    (DeriveFold, "settle", "past"),
    (DeriveFold, "speak", "fold"),
    (DeriveFold, "_weigh", "weigh"),
    (FloodRule, "judge", "transitions"),
    (FloodRule, "wake", "transitions"),
    (FloodRule, "content", "words"),
    (FloodRule, "tell", "words"),
)

STAGES = {
    "decode": "decode: read the archive",
    "judge": "past: judge at the edge",
    "past": "past: take in, fill, forget",
    "weigh": "rule: evidence and forecast",
    "transitions": "rule: table of transitions",
    "fold": "rule: episodes and difference",
    "words": "rule: words and reasons",
    "write": "write: JSON lines",
    "else": "all else",
}
"""Each stage in the order of a reading's way."""


def main() -> None:
    """Replays, and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--regions", required=True, type=int)
    given = parser.parse_args()
    known = Width(regions=given.regions).references()
    told = _Told(spent=Spent())
    with (
        closing(archive.open(given.folder / "archive")) as source,
        jsonl.open(given.folder / "facts.jsonl", FLOOD.says) as lines,
        told.spent.watching(_WATCHED),
    ):
        for said in told.spent.over("else", replay(FLOOD, told.chunks(source), known, SPEAKS_FROM)):
            if said.facts is not None:
                with told.spent.stage("write"):
                    lines.write(placed(said.facts, told.said))
                told.said += said.facts.height
    print(
        json.dumps({
            "gauges": known[GAUGES].height, "readings": told.readings, "said": told.said,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "spent_s": told.spent.seconds,
        })
    )  # fmt: skip


@dataclass(slots=True)
class _Told:
    """What is told of a replay; all of it begins anew where the warm-up ends."""

    spent: Spent
    readings: int = 0
    said: int = 0

    def chunks(self, source: Source) -> Iterator[Arrivals]:
        """What arrived; what came to be measured is counted, its decoding timed."""
        yield from source.read(until=FROM)
        self.spent.seconds.clear()
        self.said = 0
        for chunk in self.spent.over("decode", source.read(since=FROM)):
            self.readings += chunk[LEVELS].height
            yield chunk


if __name__ == "__main__":
    main()
