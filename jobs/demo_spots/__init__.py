"""``tsunagu demo spots``: places in Fukui that may be more dangerous than their record, in the terminal and as a page, without any server.

The accidents lie in ``data/``; the model was fitted on all of Japan. Ranks are those among the places of this prefecture.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl

from jobs.embedded import replay
from jobs.linkages import DATA, LINKAGES
from jobs.progress import Progress
from jobs.replay import references
from jobs.sources import open_source
from pipelines.linkage.said import WITHDRAWN

__all__ = ["run"]

ACCIDENTS = DATA / "npa" / "npa_2019-2021_52_points.csv.gz"
SHOWN = 5
STATES = ("candidate", "known", "confirmed", "cleared")


def run(to: Path) -> int:
    """Judges the places, tells the foremost, and writes ``spots.html``; returns the exit code."""
    from jobs.demo_spots.page import render  # it draws with shapely, which other commands do not wait for

    to.mkdir(parents=True, exist_ok=True)
    linkage = LINKAGES["latent_accident_spots"]
    known = references(linkage)
    with closing(open_source(f"npa:{ACCIDENTS}")) as source:
        chunks = list(source.read())
    with Progress() as progress:
        said = [each.facts for each in replay(linkage, progress.watched(chunks), known) if each.facts is not None]
    spots = pl.concat(said).unique("id", keep="last", maintain_order=True).filter(pl.col("state") != WITHDRAWN)
    accidents = pl.concat([chunk["road.accident.v1"] for chunk in chunks if "road.accident.v1" in chunk])
    (model,) = known["road.spot-model.v1"].to_dicts()
    print(_table(spots))
    print("\nforemost candidates, 130 m across:")
    foremost = spots.filter(pl.col("state") == "candidate", pl.col("resolution") == 10).sort("rank_share", "id").head(SHOWN)
    for row in foremost.iter_rows(named=True):
        print(f"  {row['cell']}  {row['headline_ja']}\n  {' ' * len(row['cell'])}  {row['headline_en']}")
    print(f"\n{_term(model)}")
    written = to / "spots.html"
    page = render(spots=spots, accidents=accidents, place_en="Fukui Prefecture", place_ja="福井県", model=model)
    written.write_text(page, encoding="utf-8")
    print(f"\nThe same as a page, with map and reasons: {written} (opens without network)")
    return 0


def _table(spots: pl.DataFrame) -> str:
    """How many places stand in each state."""
    counts = {(state, resolution): count for state, resolution, count in spots.group_by("state", "resolution").len().iter_rows()}
    lines = [f"{'':<12}{'130 m':>8}{'50 m':>8}"]
    return "\n".join(lines + [f"{state:<12}{counts.get((state, 10), 0):>8}{counts.get((state, 11), 0):>8}" for state in STATES])


def _term(model: dict[str, Any]) -> str:
    """What the model says of near misses."""
    return f"near misses weigh {model['near_misses']['weight']:g} in this model: {model['near_misses']['reason']}"
