"""A cluster read as recorded arrivals: all that is there, in order, a day at a time; and a replay of it is the live answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest

from connectors import SourceError, open_source
from connectors.kafka import KafkaSettings
from jobs.embedded import replay
from jobs.linkages import LINKAGES
from tests.contract.runs import standing
from tests.contract.script import Script
from tests.contract.scripts import upstream_flood as scripts
from tests.contract.scripts.witnessed_near_misses import raw
from tests.contract.worker import ends, gathered, made, merged, placed, publish, running, settled

FLOOD = LINKAGES["upstream_flood"]


def source(cluster: KafkaSettings) -> str:
    return f"kafka:{cluster.brokers}/{cluster.drill}"


def test_all_that_was_published_is_read_again_with_its_place_and_arrival(cluster: KafkaSettings) -> None:
    logs = placed(scripts.make(3, 3000).logs, 8)
    made(cluster, FLOOD, 8)
    publish(cluster, logs)
    opened = open_source(source(cluster))
    chunks = list(opened.read())
    opened.close()
    assert len(chunks) > 1, "a day at a time"
    for name, log in logs.items():
        read = pl.concat([chunk[name] for chunk in chunks if name in chunk]).sort("partition", "offset")
        assert read.equals(log.select(read.columns).sort("partition", "offset")), name
    for before, after in pairwise(chunks):
        assert max(frame["arrived"].max() for frame in before.values()) <= min(frame["arrived"].min() for frame in after.values())


def test_a_period_is_cut_by_arrival(cluster: KafkaSettings) -> None:
    logs = placed(scripts.make(4, 3000).logs, 1)
    made(cluster, FLOOD, 1)
    publish(cluster, logs)
    since = datetime(2024, 5, 28, 5, tzinfo=UTC)
    opened = open_source(source(cluster))
    ticks = pl.concat([chunk["clock.v1"] for chunk in opened.read(since, since + timedelta(hours=20))])
    opened.close()
    assert ticks["at"].to_list() == [since + timedelta(minutes=10 * n) for n in range(120)]


def test_a_replay_of_what_lies_on_the_cluster_comes_to_what_was_said_live(cluster: KafkaSettings) -> None:
    logs = placed(merged({"one": scripts.make(5, 1300), "two": scripts.make(6, 1300)}).logs, 1)
    made(cluster, FLOOD, 1)
    with running(cluster, FLOOD, 1, lambda _: None):
        publish(cluster, logs, chunks=10, pause_s=0.05)
        settled(cluster, FLOOD, ends(cluster, logs, 1))
    opened = open_source(source(cluster))
    rows = [row for said in replay(FLOOD, opened.read(), {}) for row in said.rows]
    opened.close()
    assert standing(FLOOD, rows) == standing(FLOOD, gathered(cluster, FLOOD, 1).facts)


@pytest.mark.parametrize(
    ("name", "script"), [("upstream_flood", scripts.make(5, 1300)), ("near_misses_by_place", raw(5))], ids=["facts", "handed on"]
)
def test_a_period_of_what_is_said_is_cut_by_arrival_too(name: str, script: Script, cluster: KafkaSettings) -> None:
    """Marks and lines are of now, far behind the arrivals that a drill tells of, and lie before and between them."""
    linkage, logs = LINKAGES[name], placed(script.logs, 1)
    made(cluster, linkage, 1)
    half = logs[linkage.observes[0]]["arrived"].quantile(0.5)
    begun, rest = ({name: log.filter((pl.col("arrived") < half) == early) for name, log in logs.items()} for early in (True, False))
    with running(cluster, linkage, 1, lambda _: None):
        publish(cluster, begun)
        settled(cluster, linkage, ends(cluster, begun, 1))
        publish(cluster, rest)
        settled(cluster, linkage, ends(cluster, logs, 1))
    opened = open_source(source(cluster))
    whole = pl.concat([chunk[linkage.says] for chunk in opened.read() if linkage.says in chunk]).sort("offset")
    since, until = whole["arrived"].quantile(0.3), whole["arrived"].quantile(0.8)
    assert isinstance(since, datetime)
    assert isinstance(until, datetime)
    part = pl.concat([chunk[linkage.says] for chunk in opened.read(since, until) if linkage.says in chunk]).sort("offset")
    opened.close()
    assert 0 < part.height < whole.height
    assert part.equals(whole.filter(pl.col("arrived") >= since, pl.col("arrived") < until))


@pytest.mark.parametrize("name", ["kafka:", "kafka:127.0.0.1", "kafka:127.0.0.1:9092/live.river"])
def test_a_name_that_is_no_cluster_is_told_so(name: str) -> None:
    with pytest.raises(SourceError) as told:
        open_source(name)
    path = name.removeprefix("kafka:")
    assert str(told.value) == (
        f"source kafka must be kafka:HOST:PORT or kafka:HOST:PORT/DRILL (got {path!r}): for example kafka:127.0.0.1:9092"
    )
