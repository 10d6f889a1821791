"""A linkage behind a route reads what the route makes of a recording, and not a second time what it once made of it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from connectors import archive
from connectors.source import Arrivals
from jobs.chain import Chain
from jobs.embedded import replay
from jobs.linkages import LINKAGES
from jobs.rebuild import again
from schemas import feed
from tests.contract.runs import standing
from tests.contract.scripts.witnessed_near_misses import FEED, RAW, raw
from tests.contract.test_route import handed_on

MATCH = LINKAGES["witnessed_near_misses"]


def recorded(path: Path) -> tuple[dict[str, pl.DataFrame], list[Arrivals]]:
    """What was observed, and an archive of that and of what a route made of it, started twice and so handed on twice."""
    logs = {name: log.sort("arrived", maintain_order=True) for name, log in raw(5).logs.items()}
    once = handed_on(logs)
    twice = pl.concat([once, once.with_columns(pl.col("offset") + once.height)])
    to = archive.open(path)
    for name, log in {**logs, FEED: twice}.items():
        to.write(name, log)
    return logs, list(to.read())


def test_a_replay_of_what_a_cluster_holds_says_what_one_of_the_observations_says(tmp_path: Path) -> None:
    logs, chunks = recorded(tmp_path)
    assert any(FEED in chunk for chunk in chunks)
    live, alone = ([row for each in replay(MATCH, some, {}) for row in each.rows] for some in (chunks, [logs]))
    assert len(alone) > 10
    assert live == alone


def test_who_is_erased_among_the_observations_does_not_live_on_in_copies(tmp_path: Path) -> None:
    logs, chunks = recorded(tmp_path)
    rows = [row for each in replay(MATCH, [logs], {}) for row in each.rows]
    first = next(row for row in rows if row["id"] in standing(MATCH, rows))
    name = first["because"]["left"]["name"].split("@")[1]
    erased = [{**chunk, **({RAW: chunk[RAW].filter(pl.col("event_id") != name)} if RAW in chunk else {})} for chunk in chunks]
    differs = again(MATCH, erased, pl.DataFrame(rows, schema=feed(MATCH.says).columns)).rows
    assert [row["state"] for row in differs if row["id"] == first["id"]] == ["withdrawn"]


@pytest.mark.parametrize("read", [(RAW, FEED), (FEED,)])
def test_what_was_handed_on_counts_where_nothing_else_is_there(read: tuple[str, ...]) -> None:
    logs = raw(5).logs
    logs[FEED] = handed_on(logs)
    running = Chain(MATCH)
    running.recall({name: logs[name] for name in read})
    rows = running.step({"clock.v1": logs["clock.v1"]}).rows
    assert {row["state"] for row in rows} == {"paired", "alone"}
