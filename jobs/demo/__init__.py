"""``tsunagu demo``: the flood of 28 May 2024 in Fukui, told in the terminal as it unfolded and shown on a page.

The readings lie in ``data/``; the model was fitted without that flood.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TypedDict

import polars as pl

from connectors import fukui
from jobs.demo import page, story
from jobs.linkages import DATA, GAUGES, LINKAGES
from jobs.progress import Progress
from jobs.replay import references, spoken
from jobs.words import JST
from pipelines.upstream_flood.score import clean, official, score

__all__ = ["run"]

READINGS = DATA / "fukui" / "flood-2024-05"
MODEL = DATA / "fukui" / "flood-model-without-2024-05-28.avro"
SINCE, UNTIL = datetime(2024, 5, 27, 12, tzinfo=JST), datetime(2024, 5, 30, tzinfo=JST)


class Shown(TypedDict):
    """What story and page are made from."""

    notices: pl.DataFrame
    levels: pl.DataFrame
    gauges: pl.DataFrame
    events: pl.DataFrame
    judged: pl.DataFrame


def run(to: Path) -> int:
    """Replays the flood, tells it, and writes ``flood.html``; returns the exit code."""
    to.mkdir(parents=True, exist_ok=True)
    linkage = LINKAGES["upstream_flood"]
    known = references(linkage, GAUGES, MODEL)
    with Progress() as progress:
        said = [frame for name, frame in spoken(linkage, [f"fukui:{READINGS}"], known, SINCE, UNTIL, progress) if name == linkage.says]
    notices, gauges = pl.concat(said), known["river.gauge.v1"]
    levels = pl.concat([chunk["river.level.v1"] for chunk in fukui.open(READINGS).read(until=UNTIL)])
    truth = clean(levels, gauges)
    scored = score(truth, official(gauges), notices, (SINCE, UNTIL))
    shown = Shown(
        notices=notices, levels=levels.filter(pl.col("arrived") >= SINCE), gauges=gauges, events=scored.events, judged=scored.notices
    )
    for line in story.tell(**shown, colour=sys.stdout.isatty()):
        print(line)
    written = to / "flood.html"
    written.write_text(page.render(**shown), encoding="utf-8")
    print(f"\nThe same as a page, with map and hydrographs: {written} (opens without network)")
    return 0
