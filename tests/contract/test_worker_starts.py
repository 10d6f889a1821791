"""What a start must not do: take back what is settled, whatever the records say of their own arrival."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from connectors.kafka import KafkaSettings
from jobs.linkages import LINKAGES
from tests.contract.runs import standing
from tests.contract.scripts import upstream_flood
from tests.contract.worker import ends, gathered, made, merged, placed, publish, running, settled

FLOOD = LINKAGES["upstream_flood"]


def test_a_record_that_says_it_arrived_long_ago_takes_nothing_back(cluster: KafkaSettings) -> None:
    """While nobody runs, a threshold comes that is said to have held, and arrived, long ago; and a reading of long ago."""
    whole = merged({f"r{seed}": upstream_flood.make(seed, 2500) for seed in range(3)}).logs
    logs = placed(whole, 1)
    made(cluster, FLOOD, 1)
    with running(cluster, FLOOD, 1, lambda _: None):
        publish(cluster, logs, chunks=10, pause_s=0.05)
        settled(cluster, FLOOD, ends(cluster, logs, 1))
    before = gathered(cluster, FLOOD, 1)
    last: dict[str, int] = {name: int(log["offset"].max()) for name, log in logs.items()}  # type: ignore[arg-type]
    gauges, levels = logs["river.gauge.v1"], logs["river.level.v1"]
    edited = gauges.filter(pl.col("gauge_id") == "a").head(1)
    edited = edited.with_columns(
        pl.lit(0.1).alias("l1_standby_m"), (pl.col("version") + 1), pl.lit(last["river.gauge.v1"] + 1).alias("offset")
    )
    long_ago = pl.col("arrived").min() - timedelta(days=9)
    stale = levels.head(1).with_columns(
        long_ago.alias("arrived"),
        long_ago.alias("observed_at"),
        pl.lit(9.0).alias("level_m"),
        pl.lit(last["river.level.v1"] + 1).alias("offset"),
    )
    more = {"river.gauge.v1": edited.cast(gauges.schema), "river.level.v1": stale.cast(levels.schema)}  # type: ignore[arg-type]
    publish(cluster, more)
    until = ends(cluster, logs, 1)
    for name in more:
        until[name, 0] += 1
    with running(cluster, FLOOD, 1, lambda _: None):
        settled(cluster, FLOOD, until)
    after = gathered(cluster, FLOOD, 1)
    line = logs["clock.v1"]["at"].max() - timedelta(hours=3)  # type: ignore[operator]
    stood, stands = standing(FLOOD, before.facts), standing(FLOOD, after.facts)
    ended = {id_: row for id_, row in stood.items() if row["ended_at"] is not None and row["ended_at"] < line}
    assert ended, "nothing is settled: nothing is tried"
    assert {id_: stands.get(id_) for id_ in ended} == ended
    assert not [id_ for id_ in stands.keys() - stood.keys() if stands[id_]["onset"] < line - timedelta(minutes=10)]
    assert after.dead == before.dead + 1, "the reading of long ago has its letter"
