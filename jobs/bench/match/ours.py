"""Our match as a program: from two files to one, through the engine, a few thousand records at once.

It reads both files, makes frames of them as a reader of topics would, steps, and writes the pairs. Prints ``begin`` before it reads and
``done`` when the last pair is written, then waits to be ended. With ``--stages`` it prints before that where its time went, as JSON.
"""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import polars as pl

from jobs.bench.match.files import events
from jobs.bench.match.spent import Spent
from jobs.bench.match.toy import batches, engine
from pipelines.linkage import Engine

__all__ = ["AT_ONCE", "PATIENCE", "pairs", "steps"]

AT_ONCE = 20_000
"""Records of both sides in one step."""
PATIENCE = timedelta(hours=1)


def steps(running: Engine, given: Iterable[dict[str, pl.DataFrame]]) -> Iterator[pl.Series]:
    """Steps through batches; gives the ids of the facts that are said."""
    for batch in given:
        facts = running.step(batch).facts
        if facts is not None:
            yield facts["id"]


def pairs(ids: Iterable[pl.Series]) -> pl.DataFrame:
    """Numbers of the left and the right event of each fact."""
    told = pl.concat([pl.Series("id", [], pl.String), *ids])
    groups = told.str.extract_groups(r"^[^/]*/(?<left>\d+)@\d+/(?<right>\d+)@\d+$")
    return groups.struct.unnest().select(pl.col("left", "right").cast(pl.Int64))


def main() -> None:
    """Matches two files, then waits to be ended."""
    parser = argparse.ArgumentParser()
    for name in ("left", "right", "to"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--stages", action="store_true")
    given = parser.parse_args()
    spent = Spent()
    print("begin", flush=True)
    with spent.watching() if given.stages else nullcontext():
        with spent.stage("files"):
            left, right = events(given.left), events(given.right)
        ids = list(steps(engine(PATIENCE), spent.over("frames", batches(left, right, AT_ONCE))))
        with spent.stage("files"):
            pairs(ids).write_csv(given.to, include_header=False)
    if given.stages:
        print(json.dumps(spent.seconds), flush=True)
    print("done", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
