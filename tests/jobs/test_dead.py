"""Letters about what could not be read: listed, shown, tried again; on a real broker."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from connectors.kafka import KafkaSettings, partition_of
from connectors.wire import decode, encode
from jobs import letters, topics
from jobs.cli import main
from schemas import feed
from schemas.versions import id_of
from tests.connectors.lying import lies_in, made
from tests.live_page import same, shown

LEVELS, NOTICES = "river.level.v1", "river.flood-notice.v1"
PARTITIONS = 4
THEN = datetime(2024, 5, 28, 7, 10, tzinfo=UTC)
FUKUI = partition_of("fukui", PARTITIONS)


@pytest.fixture
def drill(cluster: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> KafkaSettings:
    """A namespace with its topics."""
    topics.apply(topics.Topics(cluster=cluster, partitions=PARTITIONS))
    capsys.readouterr()
    return cluster


def reading(minute: int = 0, level_m: float = 0.82) -> bytes:
    row = {
        "region": "fukui",
        "gauge_id": "12",
        "observed_at": THEN + timedelta(minutes=minute),
        "version": 1,
        "op": "stated",
        "level_m": level_m,
    }
    return encode(LEVELS, pl.DataFrame([row], schema=feed(LEVELS).columns))[0]


def letter(
    cluster: KafkaSettings, offset: int, raw: bytes, *, of: str = LEVELS, source: str = "", minute: int = 0, reason: str = "why",
    arrived: datetime = THEN,
) -> str:  # fmt: skip
    """Puts a letter into the dead-letter topic as a worker does; returns its place."""
    row = {
        "feed": of, "arrived": arrived + timedelta(minutes=minute), "source": source or f"{of}[0]",
        "place": offset, "reason": reason, "raw": raw,
    }  # fmt: skip
    place = f"{row['source']}@{offset}"
    value = encode("dead.v1", pl.DataFrame([row], schema=feed("dead.v1").columns))[0]
    said(cluster, cluster.topic(of, "dead"), value, key=place, arrived=row["arrived"])
    return place


def said(cluster: KafkaSettings, topic: str, value: bytes | None, *, key: str | None, arrived: datetime = THEN, partition: int = 0) -> None:
    producer = Producer(cluster.client(enable_idempotence=True))
    producer.produce(topic, value, key, partition, timestamp=int(arrived.timestamp() * 1000))
    assert producer.flush(60) == 0


def dead(cluster: KafkaSettings, verb: str, *more: str) -> int:
    return main(["dead", verb, *more, "--brokers", cluster.brokers, *(["--drill", cluster.drill] if cluster.drill else [])])


def test_letters_are_listed_by_arrival_and_late_records_are_counted(drill: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> None:
    letter(drill, 18, b"\0later", minute=5, reason="schema id must be one of river.level.v1 (got 7)")
    letter(drill, 17, b"\xff", reason="x\n\x1b[31m" + "y" * 200)
    said(drill, drill.topic(LEVELS, "late"), b"late", key=LEVELS)
    assert dead(drill, "list", LEVELS) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == [
        f"2024-05-28 16:10 JST  {'river.level.v1[0]@17':<28} x \ufffd[31m{'y' * 92}…",
        f"2024-05-28 16:15 JST  {'river.level.v1[0]@18':<28} schema id must be one of river.level.v1 (got 7)",
        "river.level.v1: 2 letters, 1 late record",
    ]
    assert dead(drill, "list") == 0
    assert "clock.v1: 0 letters, 0 late records\n" in capsys.readouterr().out


def test_a_letter_that_was_written_again_is_one_and_one_that_was_taken_out_is_none(
    drill: KafkaSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    for offset in (17, 17, 18):
        place = letter(drill, offset, b"\xff")
    said(drill, drill.topic(LEVELS, "dead"), None, key=place)
    assert dead(drill, "list", LEVELS) == 0
    assert capsys.readouterr().out.endswith("river.level.v1: 1 letter, 0 late records\n")


def test_what_can_be_read_now_is_published_as_a_new_arrival_and_its_letter_taken_out(
    drill: KafkaSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    said(drill, drill.topic(LEVELS), reading(30), key="fukui", arrived=THEN + timedelta(minutes=31), partition=FUKUI)
    letter(drill, 17, reading())
    torn = letter(drill, 18, reading(10)[:-3], minute=10)
    assert dead(drill, "retry", LEVELS) == 1
    told = capsys.readouterr().out
    assert f"published  {'river.level.v1[0]@17':<28} as a new arrival of river.level.v1\n" in told
    assert re.search(rf"^stays +{re.escape(torn)} +\S.*$", told, re.M)
    assert told.endswith("1 published, 1 stay\n")
    *_, published = lies_in(drill, drill.topic(LEVELS), FUKUI)
    assert (published.key(), published.value()) == (b"fukui", reading())
    assert published.timestamp()[1] == (THEN + timedelta(minutes=31)).timestamp() * 1000, "in a drill no later than the drill itself"
    assert dead(drill, "list", LEVELS) == 0
    assert "river.level.v1[0]@17" not in (listed := capsys.readouterr().out)
    assert torn in listed
    assert dead(drill, "retry", LEVELS) == 1
    assert len(lies_in(drill, drill.topic(LEVELS), FUKUI)) == 2, "what was published is not published again"


def test_killed_before_its_letter_was_taken_out_it_is_published_once_more(
    drill: KafkaSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = letter(drill, 17, reading())

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(letters.Letters, "take_out", killed)
        assert dead(drill, "retry", place) == 130
    assert dead(drill, "retry", place) == 0
    twice = lies_in(drill, drill.topic(LEVELS), FUKUI)
    assert [each.value() for each in twice] == [reading(), reading()]
    assert decode(LEVELS, [each.value() for each in twice]).rows.unique(list(feed(LEVELS).identity)).height == 1


def test_live_it_arrives_now(live: KafkaSettings) -> None:
    topics.apply(topics.Topics(cluster=live, partitions=PARTITIONS))
    begun = datetime.now(UTC)
    place = letter(live, 17, reading(), arrived=begun)  # an old one would be deleted at any time: live topics forget
    assert dead(live, "retry", place) == 0
    (published,) = lies_in(live, LEVELS, FUKUI)
    assert published.timestamp()[1] >= int(begun.timestamp() * 1000)


def test_facts_are_said_by_their_linkage_alone(drill: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> None:
    made(drill, drill.topic(NOTICES, "dead"))
    admin = AdminClient(drill.client())
    while drill.topic(NOTICES, "dead") not in admin.list_topics(timeout=60).topics:  # the broker tells of it a little later
        time.sleep(0.05)
    letter(drill, 3, b"\0\0\0\0\x07", of=NOTICES)
    assert dead(drill, "retry", NOTICES) == 1
    assert "feed must be one of events (got river.flood-notice.v1): its linkage says facts, again if need be\n" in capsys.readouterr().out


@pytest.mark.parametrize("raw", [b'{"region": "fukui"}', b"\0\0\0\0", b""])
def test_only_values_of_messages_can_be_retried(drill: KafkaSettings, raw: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    place = letter(drill, 3, raw, source="2024-05-28.csv")
    assert dead(drill, "retry", "--all") == 1
    assert capsys.readouterr().out == (
        f"stays      {place:<28} raw bytes must be a message's value (got {raw[:12]!r}): "
        "only those can be retried; send it again at the source\n0 published, 1 stay\n"
    )


def test_bytes_are_shown_with_their_framing(drill: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> None:
    ours = id_of(feed(LEVELS).schema)
    torn, foreign, text = letter(drill, 1, reading()[:-3]), letter(drill, 2, b"\0\0\0\0\x07abc"), letter(drill, 3, "水位".encode())
    whole = letter(drill, 4, reading())
    assert dead(drill, "show", torn) == 0
    told = capsys.readouterr().out
    assert f"\n  framing  byte 0, schema id {ours} (known as a version of river.level.v1), {len(reading()) - 8} bytes of Avro\n" in told
    assert f"\n  00000000  {reading()[:16].hex(' ')}" in told
    assert f"\n  letter   {drill.topic(LEVELS, 'dead')}[0]@0\n" in told
    assert dead(drill, "show", foreign) == 0
    told = capsys.readouterr().out
    assert "\n  framing  byte 0, schema id 7 (not known as a version of river.level.v1), 3 bytes of Avro\n" in told
    assert told.endswith(f"\n  00000000  {'00 00 00 00 07 61 62 63':<48} .....abc\n")
    assert dead(drill, "show", text) == 0
    told = capsys.readouterr().out
    assert "\n  framing  none: 6 bytes that do not begin with byte 0 and a schema id\n" in told
    assert "\n  as text: 水位\n" in told
    assert dead(drill, "show", whole) == 0
    told = capsys.readouterr().out
    assert "\n  now      it can be read: tsunagu dead retry publishes it\n" in told
    assert "\n  level_m        0.82\n" in told


def test_a_letter_that_cannot_be_read_itself_is_listed_all_the_same(drill: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> None:
    said(drill, drill.topic(LEVELS, "dead"), b"scribble", key="somebody")
    assert dead(drill, "list", LEVELS) == 0
    assert f"{'somebody':<28} not even the letter can be read: " in capsys.readouterr().out


def test_what_docs_show_of_letters_is_what_is_printed(
    drill: KafkaSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TSUNAGU_BROKERS", drill.brokers)
    monkeypatch.setenv("TSUNAGU_DRILL", str(drill.drill))
    letter(drill, 17, reading(), source="river.level.v1[6]", minute=4, reason="value must end with its record")
    commands = list(shown("tsunagu dead"))
    assert [each[2] for each, _ in commands] == ["list", "show", "retry"]
    for command, page in commands:
        assert main(command[1:]) == 0
        assert same(capsys.readouterr().out, page), command


def test_a_place_without_letter_is_told(drill: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("show", "retry"):
        assert dead(drill, verb, "river.level.v1[0]@99") == 3
        assert capsys.readouterr().err == ("tsunagu: place must be that of a letter (got 'river.level.v1[0]@99'): see tsunagu dead list\n")


def test_a_namespace_without_topics_is_told(cluster: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> None:
    assert dead(cluster, "list") == 3
    assert capsys.readouterr().err == (
        f"tsunagu: topics dead.* must be there (got none, drill {cluster.drill}): run tsunagu topics apply\n"
    )
