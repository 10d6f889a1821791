"""A route and the match behind it, each on workers of its own that fail now and then, come to what follows from all that was observed."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from datetime import datetime

import polars as pl
import pytest
from confluent_kafka.admin import AdminClient

from connectors.kafka import KafkaSettings
from connectors.kafka_reader import Place, Reader
from connectors.lines import line_of
from jobs.embedded import Recorded
from jobs.linkages import LINKAGES
from jobs.start import begin, engine
from jobs.worker import Member
from schemas import feed
from tests.contract.runs import Logs, at_once, drawn, standing, unread
from tests.contract.scripts.witnessed_near_misses import FEED, RAW, raw
from tests.contract.worker import DONE_WITHIN_S, Crashes, ends, gathered, made, merged, placed, publish, running, settled

ROUTE, MATCH = LINKAGES["near_misses_by_place"], LINKAGES["witnessed_near_misses"]
SEEDS = 6
HERE = {"linkage": MATCH.name, "partition": "0"}


def handed_on(logs: Logs) -> pl.DataFrame:
    """All that the route makes of everything, in one step."""
    records = engine(ROUTE).step(logs).facts
    assert records is not None
    return records.with_columns(pl.lit(0, pl.Int32).alias("partition"), pl.int_range(pl.len(), dtype=pl.Int64).alias("offset"))


def stated(records: pl.DataFrame) -> list[tuple[object, ...]]:
    """What stands of records: of each identity the highest version, less those that are withdrawn."""
    of = feed(FEED)
    newest = records.sort("version", maintain_order=True).unique(of.identity, keep="last", maintain_order=True)
    return sorted(newest.filter(pl.col("op") == "stated").select(*of.columns).rows(), key=repr)


@pytest.mark.parametrize("kill", [0.0, 0.2])
def test_what_a_route_hands_on_follows_from_all_that_was_observed(kill: float) -> None:
    """Any batches, killed before a commit and started again: what stands under each key is the same."""
    killed = 0
    for seed in range(40):
        logs, g = raw(seed).logs, random.Random(seed)
        running_, line, out = engine(ROUTE), None, []
        committed, read = dict.fromkeys(logs, 0), dict.fromkeys(logs, 0)
        while any(committed[name] < log.height for name, log in logs.items()):
            take = drawn(g, logs, read)
            batch = {name: logs[name][read[name] : read[name] + count] for name, count in take.items()}
            read |= {name: read[name] + count for name, count in take.items()}
            spoken = running_.step(batch, unread(logs, read))
            if g.random() < kill:
                killed += 1
                places = {(name, 0): count for name, count in committed.items()}
                running_, positions = begin(ROUTE, Recorded(logs=logs), places, pl.DataFrame(schema=feed(FEED).columns), line=line)
                read = {name: count for (name, _), count in positions.items()}
                spoken = running_.step({}, unread(logs, read))
            else:
                committed, line = dict(read), running_.line
            out += [] if spoken.facts is None else [spoken.facts]
        assert stated(pl.concat(out)) == stated(handed_on(logs)), f"seed {seed}"
    assert killed or not kill


@pytest.mark.parametrize(("workers", "partitions"), [(1, 1), (3, 8)])
def test_what_a_chain_says_follows_from_all_that_was_observed(workers: int, partitions: int, cluster: KafkaSettings) -> None:
    logs = placed(merged({f"r{seed}": raw(seed) for seed in range(SEEDS)}).logs, partitions)
    crashes = Crashes(1, 0.02)
    for each in (ROUTE, MATCH):
        made(cluster, each, partitions)
    with running(cluster, ROUTE, workers, crashes), running(cluster, MATCH, workers, crashes):
        publish(cluster, logs, chunks=40, pause_s=0.1)
        crashes.share /= 4
        settled(cluster, ROUTE, ends(cluster, logs, partitions))
        reader = Reader(cluster, AdminClient(cluster.client()))
        try:
            until = reader.ends([(FEED, each) for each in range(reader.partitions(FEED))])
            settled(cluster, MATCH, until | {("clock.v1", 0): logs["clock.v1"].height})
            records, lines = read(reader, until)
        finally:
            reader.close()
    assert crashes.count, "nothing failed: nothing was tried"
    expected = handed_on(logs)
    assert expected["shard"].n_unique() > 4
    assert stated(records) == stated(expected)
    assert lines == {(place, each) for place in until for each in range(partitions)}
    whole = at_once(MATCH, {FEED: expected, "clock.v1": logs["clock.v1"]})
    towns = [{row["because"][side]["name"].partition("-")[0] for side in ("left", "right")} for row in whole.values() if row["distance_m"]]
    assert any(len(each) == 2 for each in towns), "no pair lies across a border: nothing is tried"
    assert {row["state"] for row in whole.values()} == {"paired", "alone"}
    assert standing(MATCH, gathered(cluster, MATCH, partitions).facts) == whole


def read(reader: Reader, until: Mapping[Place, int]) -> tuple[pl.DataFrame, set[tuple[Place, int]]]:
    """All records of the feed between, and which partition of the route told its line in which place."""
    frames, lines = [], set()
    for messages in reader.between(dict.fromkeys(until, 0), until):
        heard = reader.hear(messages)
        assert heard.dead is None
        frames += heard.frames.values()
        lines |= {(reader.place(each), told.partition) for each in messages if (told := line_of(each)) is not None}
    return pl.concat(frames), lines


def test_a_feed_is_said_by_one_linkage() -> None:
    """Lines are told apart by the partition of the route that writes them, and by nothing else."""
    said = [each.says for each in LINKAGES.values()]
    assert sorted(set(said)) == sorted(said)


def test_a_match_without_its_route_tells_so_and_settles_once_the_route_runs(cluster: KafkaSettings) -> None:
    logs = placed(raw(3).logs, 1)
    last: datetime = logs["clock.v1"]["at"].max()  # type: ignore[assignment]
    for each in (ROUTE, MATCH):
        made(cluster, each, 1)
    with running(cluster, MATCH, 1, lambda _: None) as (match,):
        publish(cluster, logs)
        assert measured(match, "tsunagu_last_tick_seconds", at_least=last.timestamp())
        assert measured(match, "tsunagu_route_line_seconds", feed=FEED) == 0
        assert match._metrics.registry.get_sample_value("tsunagu_line_seconds", HERE) is None
        with running(cluster, ROUTE, 1, lambda _: None):
            line = (last - feed(FEED).patience).timestamp()
            assert measured(match, "tsunagu_route_line_seconds", feed=FEED, at_least=line) == line
            assert measured(match, "tsunagu_line_seconds", at_least=line) == line
            assert measured(match, "tsunagu_held", what="left") == 0, "all has long been settled"


def measured(member: Member, name: str, *, at_least: float = 0.0, **more: str) -> float:
    """What the one seat of a linkage measures, once it is there and so high."""
    until = time.monotonic() + DONE_WITHIN_S
    while True:
        value = member._metrics.registry.get_sample_value(name, HERE | more)
        if value is not None and value >= at_least:
            return value
        assert time.monotonic() < until, f"{name} of {HERE | more} is {value}, not {at_least}"
        time.sleep(0.05)


def test_late_and_unreadable_records_are_told_by_the_route_alone(cluster: KafkaSettings) -> None:
    logs = placed(merged({f"r{seed}": raw(seed) for seed in range(SEEDS)}).logs, 1)
    for each in (ROUTE, MATCH):
        made(cluster, each, 1)
    with running(cluster, ROUTE, 1, lambda _: None):
        publish(cluster, logs)
        settled(cluster, ROUTE, ends(cluster, logs, 1))
    near = logs[RAW]
    unreadable = near.filter(~(pl.col("lat_deg").abs() <= 90).fill_null(True)).height
    late = near.filter(pl.col("arrived") - pl.col("occurred_at") > feed(RAW).patience, (pl.col("lat_deg").abs() <= 90)).height
    out = gathered(cluster, ROUTE, 0)
    assert (out.late, out.dead) == (late, unreadable)
    assert late > 0 < unreadable
