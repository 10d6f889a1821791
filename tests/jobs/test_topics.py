"""Topics as code: what the schema files want, what a real broker has, and what is not done without consent."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from connectors.kafka import ClusterError, KafkaSettings, read_client
from infra.kafka.broker import free_port
from jobs import topics
from jobs.cli import main
from jobs.topics import Topics, wanted
from tests.live_page import same, shown

LEVELS, GAUGES, NOTICES, CLOCK = "river.level.v1", "river.gauge.v1", "river.flood-notice.v1", "clock.v1"
LIVE = KafkaSettings(brokers="127.0.0.1:1")
DAY_MS = 86_400_000


def made(cluster: KafkaSettings, name: str, partitions: int = 1, **config: str) -> str:
    """A topic that somebody made by hand."""
    admin = AdminClient(cluster.client())
    settings = {name.replace("_", "."): value for name, value in config.items()}
    for done in admin.create_topics([NewTopic(name, partitions, 1, config=settings)]).values():
        done.result(60)
    while name not in admin.list_topics(timeout=60).topics:  # the broker learns of it a little later
        time.sleep(0.05)
    return name


def written(cluster: KafkaSettings, topic: str, *keys: str) -> None:
    producer = Producer(cluster.client(enable_idempotence=True))
    for key in keys:
        producer.produce(topic, b"value", key)
    assert producer.flush(60) == 0


def found(cluster: KafkaSettings, topic: str) -> tuple[int, Mapping[str, str]]:
    """Partitions and settings of a topic, as the broker tells them."""
    admin = AdminClient(cluster.client())
    resource = ConfigResource(ResourceType.TOPIC, topic)
    config = admin.describe_configs([resource])[resource].result(60)
    return len(admin.list_topics(topic, 60).topics[topic].partitions), {name: each.value for name, each in config.items()}


def call(cluster: KafkaSettings, verb: str, *more: str) -> int:
    return main(["topics", verb, "--brokers", cluster.brokers, "--drill", str(cluster.drill), *more])


# --- what should be


def test_feeds_with_a_key_have_as_many_partitions_and_the_others_one() -> None:
    counts = {each.name: each.partitions for each in wanted(LIVE, partitions=6, replication=1)}
    rivers = {name: count for name, count in counts.items() if "road." not in name}
    assert rivers == {
        CLOCK: 1, GAUGES: 6, LEVELS: 6, NOTICES: 6, "river.flood-model.v1": 6, "river.flood-bulletin.v1": 6,
        "weather.rain.v1": 6, "weather.station.v1": 6,
        f"late.{LEVELS}": 1, "late.weather.rain.v1": 1,
        f"dead.{LEVELS}": 1, f"dead.{GAUGES}": 1, f"dead.{CLOCK}": 1, "dead.river.flood-model.v1": 1,
        "dead.river.flood-bulletin.v1": 1, "dead.weather.rain.v1": 1, "dead.weather.station.v1": 1,
    }  # fmt: skip
    assert {name: count for name, count in counts.items() if name.startswith("road.")} == {
        f"road.{each}.v1": 6
        for each in ("accident", "accident-year", "near-miss", "passes", "spot", "spot-model", "witnessed-near-miss", "near-miss-by-place")
    }


def test_only_what_was_observed_can_be_late() -> None:
    late = [each.name for each in wanted(LIVE, partitions=1, replication=1) if each.name.startswith("late.")]
    roads = [f"late.road.{each}.v1" for each in ("accident", "near-miss-by-place", "near-miss", "passes")]
    assert late == [f"late.{LEVELS}", *roads, "late.weather.rain.v1"]


@pytest.mark.parametrize(
    ("topic", "policy", "retention_ms"),
    [
        (LEVELS, "delete", 400 * DAY_MS),
        (GAUGES, "delete", -1),
        (NOTICES, "compact", -1),
        (CLOCK, "delete", 400 * DAY_MS),
        (f"late.{LEVELS}", "delete", 400 * DAY_MS),
        (f"dead.{LEVELS}", "compact,delete", 400 * DAY_MS),
    ],
)
def test_how_long_a_feed_is_kept_is_told_by_its_schema_file(topic: str, policy: str, retention_ms: int) -> None:
    (found,) = [each for each in wanted(LIVE, partitions=1, replication=1) if each.name == topic]
    assert (found.config["cleanup.policy"], int(found.config["retention.ms"])) == (policy, retention_ms)


def test_in_a_drill_nothing_grows_old_and_facts_stay_compacted() -> None:
    drill = KafkaSettings(brokers="127.0.0.1:1", drill="spring")
    found = {each.name: each for each in wanted(drill, partitions=1, replication=1)}
    assert {each.config["retention.ms"] for each in found.values()} == {"-1"}
    assert {each.kept for each in found.values()} == {None}
    assert found[f"drill.spring.{NOTICES}"].config["cleanup.policy"] == "compact"
    assert found[f"drill.spring.dead.{LEVELS}"].config["cleanup.policy"] == "compact,delete"


@pytest.mark.parametrize(("replication", "copies"), [(1, None), (2, None), (3, "2"), (5, "2")])
def test_with_three_copies_two_must_have_it(replication: int, copies: str | None) -> None:
    assert {each.config.get("min.insync.replicas") for each in wanted(LIVE, partitions=1, replication=replication)} == {copies}


# --- on a broker


def test_a_new_namespace_is_planned_then_made_then_the_same(cluster: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(cluster, "plan", "--partitions", "3") == 1
    told = capsys.readouterr().out
    line = f"drill.{cluster.drill}.{LEVELS}"
    assert f"create  {line:<34} 3 partitions, one copy, kept forever\n" in told
    assert f"create  {f'drill.{cluster.drill}.{NOTICES}':<34} 3 partitions, one copy, compacted, kept forever\n" in told
    count = told.count("create  ")
    assert told.endswith(f"{count} to create, 0 to change, 0 the same\n")
    assert call(cluster, "apply", "--partitions", "3") == 0
    assert capsys.readouterr().out.endswith(f"{count} topics are as the feeds want them\n")
    for verb in ("plan", "apply", "plan"):
        assert call(cluster, verb) == 0
    assert f"same    {line:<34} 3 partitions\n" in capsys.readouterr().out
    partitions, config = found(cluster, cluster.topic(LEVELS))
    assert (partitions, config["retention.ms"], config["message.timestamp.type"]) == (3, "-1", "CreateTime")


def test_a_setting_that_was_changed_by_hand_is_set_right_and_others_are_left(
    cluster: KafkaSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    levels = made(cluster, cluster.topic(LEVELS), 2, retention_ms="1000", max_message_bytes="2097152")
    assert call(cluster, "plan") == 1
    differs = "retention.ms 1000 -> -1, message.timestamp.after.max.ms 3600000 -> 9223372036854775807"
    assert f"change  {levels:<34} {differs}\n" in capsys.readouterr().out
    assert call(cluster, "apply") == 0
    partitions, config = found(cluster, levels)
    assert (partitions, config["retention.ms"], config["max.message.bytes"]) == (2, "-1", "2097152")
    assert found(cluster, cluster.topic(GAUGES))[0] == 2, "as many as there were"


def test_two_may_apply_at_once(cluster: KafkaSettings) -> None:
    tsunagu = Path(sys.executable).with_name("tsunagu")
    command = [tsunagu, "topics", "apply", "--brokers", cluster.brokers, "--drill", str(cluster.drill)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    told = [each.communicate()[0].decode() for each in both]
    assert [each.returncode for each in both] == [0, 0], told
    assert call(cluster, "plan") == 0


def test_a_refused_plan_changes_nothing_at_all(cluster: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> None:
    levels = made(cluster, cluster.topic(LEVELS), 2)
    gauges = made(cluster, cluster.topic(GAUGES), 2)
    before = AdminClient(cluster.client()).list_topics(timeout=60).topics.keys()
    assert call(cluster, "apply", "--partitions", "4") == 3
    told = capsys.readouterr()
    assert f"refuse  {levels:<34} " in told.out
    for name in (gauges, levels):
        assert (
            f"tsunagu: partitions of {name} must stay as many (got 4, there are 2): "
            "keys would lie elsewhere; plan with those that are there, or make the topic anew\n"
        ) in told.err
    assert AdminClient(cluster.client()).list_topics(timeout=60).topics.keys() == before


@pytest.mark.parametrize("asked", [(), ("--partitions", "2")])
def test_feeds_that_lie_together_may_not_differ_in_partitions(cluster: KafkaSettings, asked: tuple[str, ...]) -> None:
    made(cluster, cluster.topic(LEVELS), 2)
    made(cluster, cluster.topic(GAUGES), 4)
    assert call(cluster, "apply", *asked) == 3


def test_feeds_that_lie_together_and_differ_are_both_named(cluster: KafkaSettings) -> None:
    made(cluster, cluster.topic(LEVELS), 2)
    made(cluster, cluster.topic(GAUGES), 4)
    with pytest.raises(ClusterError) as told:
        topics.plan(Topics(cluster=cluster))
    assert str(told.value) == (
        f"partitions of feeds with a key must be equally many (got 2 of {cluster.topic(LEVELS)}, 4 of {cluster.topic(GAUGES)}): "
        "make the topic that differs anew"
    )


def test_facts_are_compacted_over_records_only_with_consent(cluster: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> None:
    notices = made(cluster, cluster.topic(NOTICES), 2, retention_ms="-1")
    written(cluster, notices, "one", "one", "two")
    assert call(cluster, "apply") == 3
    assert capsys.readouterr().err == (
        f"tsunagu: cleanup of {notices} must not become compact over what lies there (got 3 records): "
        f"all but the newest of each key would be deleted; consent with --forget {notices}\n"
    )
    assert found(cluster, notices)[1]["cleanup.policy"] == "delete"
    assert call(cluster, "apply", "--forget", notices) == 0
    assert found(cluster, notices)[1]["cleanup.policy"] == "compact"


def test_an_empty_topic_of_facts_is_compacted_without_asking(cluster: KafkaSettings) -> None:
    notices = made(cluster, cluster.topic(NOTICES), 2)
    assert call(cluster, "apply") == 0
    assert found(cluster, notices)[1]["cleanup.policy"] == "compact"


def test_retention_becomes_shorter_only_with_consent(live: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> None:
    made(live, LEVELS, 2, retention_ms="-1")
    arguments = ["topics", "apply", "--brokers", live.brokers]
    assert main(arguments) == 3
    assert capsys.readouterr().err == (
        f"tsunagu: retention of {LEVELS} must not become shorter (got 400 days, now forever): "
        f"older records would be deleted; consent with --forget {LEVELS}\n"
    )
    assert main([*arguments, "--forget", LEVELS]) == 0
    assert found(live, LEVELS)[1]["retention.ms"] == str(400 * DAY_MS)


def test_topics_that_nobody_asks_for_are_left_and_named_where_they_begin_as_ours(
    live: KafkaSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("river.levle.v1", "drill.somebody.river.level.v1", "accounts"):
        made(live, name)
    assert main(["topics", "apply", "--brokers", live.brokers]) == 0
    left = [line for line in capsys.readouterr().out.splitlines() if line.startswith("leave")]
    assert left == [f"leave   {'river.levle.v1':<34} no feed and no linkage asks for it"]
    assert {"river.levle.v1", "accounts"} <= AdminClient(live.client()).list_topics(timeout=60).topics.keys()


def test_copies_are_not_moved(cluster: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> None:
    levels = made(cluster, cluster.topic(LEVELS))
    assert call(cluster, "plan", "--replication", "3") == 3
    assert capsys.readouterr().err == (
        f"tsunagu: copies of {levels} must stay as many (got 3, there are 1): "
        "leave --replication out, or move them with kafka-reassign-partitions\n"
    )


def test_more_copies_than_brokers_are_refused_by_the_cluster(cluster: KafkaSettings, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(cluster, "apply", "--replication", "3") == 3
    assert "tsunagu: cluster must answer and allow it (got '" in capsys.readouterr().err


def test_consent_for_a_topic_that_is_not_planned_is_a_typing_error(cluster: KafkaSettings) -> None:
    with pytest.raises(ClusterError) as told:
        topics.plan(Topics(cluster=cluster, forget=("river.levle.v1",)))
    assert str(told.value) == "--forget must name a topic of the plan (got 'river.levle.v1'): see tsunagu topics plan"


def test_a_cluster_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("jobs.topics.cluster.ANSWER_WITHIN_S", 0.5)
    assert main(["topics", "plan", "--brokers", f"127.0.0.1:{free_port()}"]) == 3
    assert "tsunagu: cluster must answer and allow it (got '" in capfd.readouterr().err


def test_what_docs_show_of_topics_is_what_is_printed(
    live: KafkaSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TSUNAGU_BROKERS", live.brokers)
    commands = [(command, page) for command, page in shown("tsunagu topics") if page]
    assert len(commands) == 2
    for command, page in commands:
        assert main(command[1:]) == 0
        assert same(capsys.readouterr().out, page), command


# --- where the cluster is


def test_where_the_cluster_is_may_stand_in_the_environment(cluster: KafkaSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    client = tmp_path / "client.properties"
    client.write_text(f"# of the city\nbootstrap.servers = {cluster.brokers}\nclient.id=tsunagu\n", encoding="utf-8")
    monkeypatch.setenv("TSUNAGU_CLIENT", str(client))
    monkeypatch.setenv("TSUNAGU_DRILL", str(cluster.drill))
    assert main(["topics", "apply"]) == 0
    assert cluster.topic(LEVELS) in AdminClient(cluster.client()).list_topics(timeout=60).topics


def test_a_client_file_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "client.properties"
    path.write_text("\n# TLS\nsecurity.protocol=ssl\nssl.key.password = a=b \n", encoding="utf-8")
    assert read_client(path) == {"security.protocol": "ssl", "ssl.key.password": "a=b"}


def test_a_client_file_that_cannot_be_read_is_told_without_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "client.properties"
    path.write_text("security.protocol=ssl\nsecret\n", encoding="utf-8")
    with pytest.raises(ClusterError) as told:
        read_client(path)
    assert str(told.value) == "lines of client client.properties must be name=value (got another at line 2): see docs/live.md"
    with pytest.raises(ClusterError, match="client must be a file that can be read"):
        read_client(tmp_path / "absent")


def test_secrets_are_not_shown() -> None:
    assert "hidden" not in repr(KafkaSettings(brokers="127.0.0.1:1", more={"ssl.key.password": "hidden"}))


def test_the_name_of_a_drill_is_one_part_of_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics", "plan", "--drill", "spring.2026"]) == 3
    assert capsys.readouterr().err == (
        "tsunagu: name of a drill must be lower-case letters, digits and hyphens (got 'spring.2026'): for example spring-2026\n"
    )


def test_without_the_brokers_clients_the_command_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    monkeypatch.delitem(sys.modules, "jobs.topics.cluster", raising=False)
    assert main(["topics", "plan"]) == 3
    assert capsys.readouterr().err == (
        "tsunagu: confluent_kafka must be installed for this command (got none): "
        "make kafka brings it, or pip install -r requirements/live.txt\n"
    )
