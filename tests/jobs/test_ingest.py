"""What is ingested lies in its topics as in its source: once, in order, whatever was killed or away meanwhile."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors import archive, clock, gauges, merged, model, open_source
from connectors.kafka import ClusterError, KafkaSettings, partition_of
from connectors.publish import LostError, Publisher, Record
from connectors.wire import decode, encode
from infra.kafka import Broker, BrokerSettings
from jobs import ingest
from jobs.cli import main
from jobs.ingest import Ingest, desk, live
from jobs.linkages import GAUGES, MODEL
from jobs.speed import Pace
from jobs.topics import Topics, apply
from schemas import feed
from tests.connectors.lying import Lying, lying

DATA = Path(__file__).parents[2] / "data" / "fukui"
FLOOD = f"fukui:{DATA / 'flood-2024-05'}"
LEVELS, TICKS, DEAD = "river.level.v1", "clock.v1", "dead.v1"
DAY = datetime(2024, 5, 27, 15, tzinfo=UTC), datetime(2024, 5, 28, 15, tzinfo=UTC)
PARTITIONS = 3
KILLS = 20


@pytest.fixture
def topics(cluster: KafkaSettings) -> KafkaSettings:
    """A namespace with all topics."""
    return prepared(cluster)


def prepared(cluster: KafkaSettings) -> KafkaSettings:
    apply(Topics(cluster=cluster, partitions=PARTITIONS, replication=1))
    return cluster


def rows(name: str, source: str = FLOOD, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
    frames = [chunk[name] for chunk in merged([open_source(source)], since, until) if name in chunk]
    return pl.concat([feed(name).empty(), *frames])


def expected(name: str, frame: pl.DataFrame, origin: str = "fukui:flood-2024-05") -> list[Lying]:
    """What should lie in the topic of a feed, partition after partition."""
    key = feed(name).key
    out = []
    for row, value in zip(frame.iter_rows(named=True), encode(name, frame), strict=True):
        lies = 0 if key is None else partition_of(row[key], PARTITIONS)
        told = None if key is None else row[key].encode()
        out.append(Lying(lies, told, value, ms(row["arrived"]), f"{origin}@{row['partition']}:{row['offset']}"))
    return sorted(out, key=lambda each: each.partition)


def ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def ingested(cluster: KafkaSettings, *sources: str, speed: float | None = None, **more: object) -> None:
    assert ingest.run(Ingest(cluster=cluster, sources=sources, speed=speed, **more)) == 0  # type: ignore[arg-type]


def command(cluster: KafkaSettings, *arguments: str) -> list[str]:
    namespace = ["--brokers", cluster.brokers, *(["--drill", cluster.drill] if cluster.drill else [])]
    return [
        sys.executable,
        "-W",
        "error",
        "-c",
        "import sys; from jobs.cli import main; sys.exit(main())",
        "ingest",
        *arguments,
        *namespace,
    ]


def begun(cluster: KafkaSettings, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(cluster, *arguments), cwd=DATA.parents[1], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )


def awaited(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    """Waits until a process has come so far."""
    while not reached():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


# --- recorded sources


def test_every_record_lies_in_its_topic_and_partition_in_order(topics: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> None:
    ingested(topics, FLOOD, since=DAY[0], until=DAY[1])
    levels, ticks = (rows(name, FLOOD, *DAY) for name in (LEVELS, TICKS))
    assert lying(topics, topics.topic(LEVELS)) == expected(LEVELS, levels)
    assert lying(topics, topics.topic(TICKS)) == expected(TICKS, ticks)
    assert levels.height > 2000
    assert f"{levels.height + ticks.height} records published" in capsys.readouterr().out


def test_what_lies_there_reads_back_as_it_was(topics: KafkaSettings) -> None:
    ingested(topics, FLOOD, since=DAY[0], until=DAY[1])
    decoded = decode(LEVELS, [each.value for each in lying(topics, topics.topic(LEVELS))])
    assert decoded.bad == []
    assert decoded.rows.select(*feed(LEVELS).columns).equals(rows(LEVELS, FLOOD, *DAY).select(*feed(LEVELS).columns))


def test_the_same_again_publishes_nothing_and_a_longer_period_only_what_is_new(
    topics: KafkaSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    ingested(topics, FLOOD, since=DAY[0], until=DAY[1])
    capsys.readouterr()
    ingested(topics, FLOOD, since=DAY[0], until=DAY[1])
    assert capsys.readouterr().out.startswith("0 records published; ")
    until = DAY[1] + timedelta(hours=6)
    ingested(topics, FLOOD, since=DAY[0], until=until)
    assert lying(topics, topics.topic(LEVELS)) == expected(LEVELS, rows(LEVELS, FLOOD, DAY[0], until))
    assert lying(topics, topics.topic(TICKS)) == expected(TICKS, rows(TICKS, FLOOD, DAY[0], until))


def test_a_tick_goes_out_when_all_that_arrived_before_it_lies_there(topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    sent, send = defaultdict(int), Publisher.send
    newest_ms = 0

    def watched(publisher: Publisher, record: Record, then: Callable[[], None] | None = None) -> None:
        nonlocal newest_ms
        assert record.arrived_ms >= newest_ms
        newest_ms = record.arrived_ms
        if record.topic == topics.topic(TICKS):
            assert publisher.kept[topics.topic(LEVELS)] == sent[topics.topic(LEVELS)]
        sent[record.topic] += 1
        send(publisher, record, then)

    monkeypatch.setattr(Publisher, "send", watched)
    ingested(topics, FLOOD, since=DAY[0], until=DAY[1])
    assert sent[topics.topic(TICKS)] == 144


def test_lines_that_cannot_be_read_go_to_the_dead_topic_of_their_feed(topics: KafkaSettings, tmp_path: Path) -> None:
    lines = ["日時,河川水位,id", "2024-05-28T10:00,0.12,12", "2024-05-28T10:00,high,93", "2024-05-28T10:10,0.13,12", "=====", ""]
    (tmp_path / "2024-05-28.csv").write_text("\n".join(lines), encoding="utf-8")
    ingested(topics, f"fukui:{tmp_path}", names=("town",))
    dead = rows(DEAD, f"fukui:{tmp_path}")
    found = lying(topics, topics.topic(LEVELS, "dead"))
    assert [each.key for each in found] == [b"2024-05-28.csv@3", b"2024-05-28.csv@5"]
    assert [each.value for each in found] == encode(DEAD, dead)
    assert [each.origin for each in found] == [f"town@0:{offset}" for offset in dead["offset"]]
    assert len(lying(topics, topics.topic(LEVELS))) == 2
    ingested(topics, f"fukui:{tmp_path}", names=("town",))
    assert len(lying(topics, topics.topic(LEVELS, "dead"))) == 2


def test_an_archive_with_many_partitions_is_published_as_it_lies(topics: KafkaSettings, tmp_path: Path) -> None:
    frame = rows(LEVELS, FLOOD, *DAY).head(400)
    keyed = frame.with_columns(
        pl.format("region{}", pl.int_range(pl.len()) % 7).alias("region"),
        (pl.int_range(pl.len()) % 5).cast(pl.Int32).alias("partition"),
        (pl.int_range(pl.len(), dtype=pl.Int64) // 5).alias("offset"),
    )
    to = archive.open(tmp_path)
    to.write(LEVELS, keyed)
    to.write("river.flood-notice.v1", feed("river.flood-notice.v1").empty())
    ingested(topics, f"archive:{tmp_path}", names=("a",))
    kept = keyed.sort("arrived", "partition", "offset")
    assert lying(topics, topics.topic(LEVELS)) == expected(LEVELS, kept, "a")
    ingested(topics, f"archive:{tmp_path}", names=("a",))
    assert len(lying(topics, topics.topic(LEVELS))) == 400


def test_several_sources_go_on_each_by_its_own_name(topics: KafkaSettings, tmp_path: Path) -> None:
    frame = rows(LEVELS, FLOOD, *DAY)
    halves = {"odd": frame.filter(pl.col("offset") % 2 == 1), "even": frame.filter(pl.col("offset") % 2 == 0)}
    for name, half in halves.items():
        archive.open(tmp_path / name).write(LEVELS, half.with_columns(pl.lit(4, pl.Int32).alias("partition")))
    sources = [f"archive:{tmp_path / name}" for name in halves]
    ingested(topics, sources[0], until=DAY[0] + timedelta(hours=9))
    ingested(topics, *sources, until=DAY[0] + timedelta(hours=12))
    ingested(topics, *reversed(sources))
    found = lying(topics, topics.topic(LEVELS))
    for name, half in halves.items():
        lines = expected(LEVELS, half.with_columns(pl.lit(4, pl.Int32).alias("partition")), f"archive:{name}")
        assert [each for each in found if each.origin.startswith(f"archive:{name}@")] == lines
    assert len(found) == frame.height


def test_recorded_speed_keeps_the_distances(topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    now, published = 0.0, {}
    send = Publisher.send

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def watched(publisher: Publisher, record: Record, then: Callable[[], None] | None = None) -> None:
        published.setdefault(record.arrived_ms, now)
        send(publisher, record, then)

    monkeypatch.setattr(Publisher, "send", watched)
    monkeypatch.setattr("jobs.ingest.work.Pace", lambda speed: Pace(speed=speed, clock=lambda: now, sleep=sleep))
    ingested(topics, FLOOD, speed=60.0, since=DAY[0], until=DAY[0] + timedelta(hours=2))
    first = min(published)
    assert published == pytest.approx({arrived: (arrived - first) / 60_000 for arrived in published})
    assert len(published) >= 12


# --- references


def test_references_are_published_once_and_again_only_where_they_changed(topics: KafkaSettings, tmp_path: Path) -> None:
    table = tmp_path / "gauges.csv"
    lines = GAUGES.read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text("".join(lines[:10]), encoding="utf-8")
    ingested(topics, f"gauges:{table}", f"model:{MODEL}")
    assert [each.value for each in lying(topics, topics.topic("river.gauge.v1"))] == encode("river.gauge.v1", gauges.read(table))
    assert [each.value for each in lying(topics, topics.topic("river.flood-model.v1"))] == encode("river.flood-model.v1", model.read(MODEL))
    table.write_text("".join([lines[0], lines[20], *lines[1:10]]), encoding="utf-8")
    ingested(topics, f"gauges:{table}", f"model:{MODEL}")
    found = [each.value for each in lying(topics, topics.topic("river.gauge.v1"))]
    assert len(found) == 10
    assert set(found) == set(encode("river.gauge.v1", gauges.read(table)))
    assert len(lying(topics, topics.topic("river.flood-model.v1"))) == 1


def test_references_arrived_when_they_begin_to_hold_but_never_later_than_now(topics: KafkaSettings, tmp_path: Path) -> None:
    table = tmp_path / "gauges.csv"
    header, one, two, *_ = GAUGES.read_text(encoding="utf-8").splitlines(keepends=True)
    (begins,) = re.findall(r"\d{4}-\d\d-\d\dT[^,]*", two)[:1]
    table.write_text(header + one + two.replace(begins, "2199-01-01T00:00:00+09:00"), encoding="utf-8")
    before = ms(datetime.now(UTC))
    ingested(topics, f"gauges:{table}")
    first, second = sorted(each.arrived_ms for each in lying(topics, topics.topic("river.gauge.v1")))
    assert first == ms(gauges.read(table)["arrived"][0])
    assert before <= second <= ms(datetime.now(UTC))


# --- killed, and away


def test_killed_at_any_moment_nothing_is_left_out_and_nothing_doubled(cluster: KafkaSettings) -> None:
    chance, kills = random.Random(7), 0
    levels, ticks = (rows(name) for name in (LEVELS, TICKS))
    for number in range(KILLS):
        drill = prepared(KafkaSettings(brokers=cluster.brokers, drill=f"{cluster.drill}-{number}"))
        while True:
            process = begun(drill, FLOOD, "--speed", chance.choice(["max", "500000"]))
            killed = process_killed(process, drill, chance)
            kills += killed
            check_promise(drill, levels)
            if not killed:
                break
        assert lying(drill, drill.topic(LEVELS)) == expected(LEVELS, levels)
        assert lying(drill, drill.topic(TICKS)) == expected(TICKS, ticks)
        if kills >= KILLS:
            return
    pytest.fail(f"only {kills} processes could be killed at work")


def process_killed(process: subprocess.Popen[str], cluster: KafkaSettings, chance: random.Random) -> bool:
    """Kills a process some time after it has begun to publish; whether it was still there."""
    begin, wait_s = ends(cluster), chance.choice([0.0, 0.01, 0.1, 0.3]) * chance.random()
    while process.poll() is None and ends(cluster) == begin:
        time.sleep(0.01)
    time.sleep(wait_s)
    process.send_signal(signal.SIGKILL)
    _, told = process.communicate()
    assert process.returncode in {0, -signal.SIGKILL}, told
    return process.returncode != 0


def ends(cluster: KafkaSettings) -> list[int]:
    """Where each partition of the levels ends; all at 0 as long as the broker does not tell."""
    consumer = Consumer(cluster.client(group_id="ends") | {"log_level": 0})
    try:
        places = [TopicPartition(cluster.topic(LEVELS), partition) for partition in range(PARTITIONS)]
        return [consumer.get_watermark_offsets(each, 10)[1] for each in places]
    except KafkaException:
        return [0] * PARTITIONS
    finally:
        consumer.close()


def check_promise(cluster: KafkaSettings, levels: pl.DataFrame) -> None:
    """All that arrived before the newest tick lies there."""
    time.sleep(0.5)  # what was on its way
    newest_ms = max((each.arrived_ms for each in lying(cluster, cluster.topic(TICKS))), default=0)
    before = levels.filter(pl.col("arrived").dt.epoch("ms") < newest_ms).height
    assert sum(each.arrived_ms < newest_ms for each in lying(cluster, cluster.topic(LEVELS))) == before


def test_a_producer_that_is_lost_is_replaced_without_a_gap(
    topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    send, left = Publisher.send, [100, 1500, 7, 500]

    def failing(publisher: Publisher, record: Record, then: Callable[[], None] | None = None) -> None:
        if left:
            left[0] -= 1
            if left[0] == 0:
                left.pop(0)
                raise LostError("producer must stay in order")
        send(publisher, record, then)

    monkeypatch.setattr(Publisher, "send", failing)
    ingested(topics, FLOOD, since=DAY[0], until=DAY[1])
    assert left == []
    assert lying(topics, topics.topic(LEVELS)) == expected(LEVELS, rows(LEVELS, FLOOD, *DAY))
    assert lying(topics, topics.topic(TICKS)) == expected(TICKS, rows(TICKS, FLOOD, *DAY))
    told = capsys.readouterr()
    assert told.err.count("producer must stay in order") == 4
    assert told_of(told.out) == rows(LEVELS, FLOOD, *DAY).height + rows(TICKS, FLOOD, *DAY).height


def told_of(out: str) -> int:
    """Records that were published or lay there: one whose acknowledgement was lost is told among the latter."""
    (published, lay_there), *_ = re.findall(r"^(\d+) records published.*; (\d+) lay there already$", out, flags=re.MULTILINE)
    return int(published) + int(lay_there)


def test_kafka_may_be_away_at_the_start_and_in_between(tmp_path: Path) -> None:
    broker = Broker(BrokerSettings(folder=tmp_path / "kafka"))
    cluster = KafkaSettings(brokers=broker.bootstrap, drill="away")
    with broker:
        prepared(cluster)
        broker.kill()
        process = begun(cluster, FLOOD, "--speed", "200000")
        assert "ingest: " in str(process.stderr and process.stderr.readline())
        broker.start()
        awaited(process, lambda: sum(ends(cluster)) > 0)
        broker.kill()
        broker.start()
        out, told = process.communicate()
        assert process.returncode == 0, told
        assert lying(cluster, cluster.topic(LEVELS)) == expected(LEVELS, rows(LEVELS))
        assert lying(cluster, cluster.topic(TICKS)) == expected(TICKS, rows(TICKS))
        assert told_of(out) == rows(LEVELS).height + rows(TICKS).height


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupt_ends_it_at_once_while_it_waits_for_the_next_arrival(topics: KafkaSettings, end: signal.Signals) -> None:
    process = begun(topics, FLOOD, "--speed", "recorded")
    awaited(process, lambda: sum(ends(topics)) > 0)
    process.send_signal(end)
    _, told = process.communicate(timeout=60)  # the next arrival is ten minutes away
    assert (process.returncode, told.splitlines()[-1][:20]) == (130, "tsunagu: interrupted")


# --- the clock


class Over(Exception):
    """The test has seen enough."""


class Hand:
    """A machine's clock that moves while somebody sleeps, and ends the test at an hour."""

    def __init__(self, time: datetime, until: datetime) -> None:
        self.time, self.until = time, until

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        if self.time >= self.until:
            raise Over

    def ticked(self, cluster: KafkaSettings) -> None:
        with desk.Desk(cluster) as one, pytest.raises(Over):
            live.publish_ticks(one, "clock:60s", clock.open("60s", now=lambda: self.time, sleep=self.sleep))


NOON = datetime(2024, 5, 28, 12, tzinfo=UTC)


def ticks_of(cluster: KafkaSettings) -> list[datetime]:
    return decode(TICKS, [each.value for each in lying(cluster, cluster.topic(TICKS))]).rows["at"].to_list()


def test_a_tick_is_published_at_every_full_minute_and_arrived_then(topics: KafkaSettings) -> None:
    Hand(NOON + timedelta(seconds=10), NOON + timedelta(minutes=3, seconds=30)).ticked(topics)
    assert ticks_of(topics) == [NOON + timedelta(minutes=minute) for minute in range(4)]
    found = lying(topics, topics.topic(TICKS))
    assert [each.arrived_ms for each in found] == [ms(at) for at in ticks_of(topics)]
    assert [each.origin for each in found][:2] == ["clock:60s@20240528T120000Z", "clock:60s@20240528T120100Z"]


def test_ticks_go_on_after_the_newest_one_whoever_published_it(topics: KafkaSettings) -> None:
    Hand(NOON + timedelta(seconds=10), NOON + timedelta(minutes=1, seconds=30)).ticked(topics)
    Hand(NOON + timedelta(seconds=50), NOON + timedelta(minutes=2, seconds=30)).ticked(topics)
    Hand(NOON + timedelta(minutes=30, seconds=5), NOON + timedelta(minutes=31, seconds=30)).ticked(topics)
    assert ticks_of(topics) == [NOON + timedelta(minutes=minute) for minute in (0, 1, 2, 30, 31)]


def test_a_tick_ahead_of_the_machine_is_told(topics: KafkaSettings) -> None:
    Hand(NOON + timedelta(hours=2), NOON + timedelta(hours=2, seconds=5)).ticked(topics)
    with pytest.raises(ClusterError) as told:
        Hand(NOON, NOON + timedelta(hours=9)).ticked(topics)
    assert str(told.value) == (
        f"topic {topics.topic(TICKS)} must hold no tick ahead of now (got 2024-05-28T13:59:00+00:00): set the clock of this machine"
    )


def test_a_live_clock_is_ended_by_a_signal_and_goes_on(topics: KafkaSettings) -> None:
    for count in (2, 4):
        process = begun(topics, "clock:1s")
        awaited(process, lambda count=count: len(ticks_of(topics)) >= count)
        process.terminate()
        _, told = process.communicate(timeout=60)
        assert process.returncode == 130, told
    found = ticks_of(topics)
    assert found == sorted(set(found))


# --- what must not be


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["levels:x"],
            "spot-model, clock, mqtt (got 'levels:x'): for example clock:60s",
        ),
        (["clock:60s", FLOOD], "live source must be the only one (got clock:60s, fukui:"),
        ([FLOOD, FLOOD], "names of sources must differ (got fukui:flood-2024-05, fukui:flood-2024-05): name them with --as"),
        ([FLOOD, f"gauges:{GAUGES}", "--as", "a"], "--as must name every source or none (got 1 names)"),
        (["mqtt:nowhere"], "source mqtt must be mqtt:HOST:PORT (got 'mqtt:nowhere')"),
        (["clock:soon"], "clock must tell the time every so many s, m or h (got 'soon')"),
        (["gauges:nowhere.csv"], "gauges must be a file that can be read (got 'nowhere.csv')"),
    ],
)
def test_what_cannot_be_ingested_is_told_with_exit_code_3(
    cluster: KafkaSettings, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    assert main(["ingest", *arguments, "--brokers", cluster.brokers, "--drill", "nothing"]) == 3
    assert text in capsys.readouterr().err


def test_a_topic_that_is_not_there_is_told(cluster: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ingest", FLOOD, "--speed", "max", "--brokers", cluster.brokers, "--drill", "nothing"]) == 3
    assert "topic drill.nothing.river.level.v1 must be there" in capsys.readouterr().err


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "inf", "nan"])
def test_a_speed_that_is_none_is_a_call_that_is_not_understood(speed: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["ingest", FLOOD, "--speed", speed])
    assert ended.value.code == 2
