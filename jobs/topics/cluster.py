"""A cluster as whoever looks after its topics sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # offered there, not declared so
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from connectors.kafka import KafkaSettings, refusal
from jobs.topics.wanted import Topic

__all__ = ["Cluster"]

ANSWER_WITHIN_S = 30.0


class Cluster:
    """Topics of a cluster: those that are there, and the wish for others. Every call may raise ``ClusterError``."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._admin = AdminClient(settings.client())  # held: without it no answer would come

    def names(self) -> set[str]:
        """Names of all topics that may be seen."""
        return {name for name, each in self._metadata().topics.items() if each.partitions}

    def brokers(self) -> int:
        """How many brokers there are."""
        return len(self._metadata().brokers)

    def there(self, names: Iterable[str]) -> dict[str, Topic]:
        """Those topics of these names that are there, with all their settings."""
        found = self._metadata().topics
        asked = [ConfigResource(ResourceType.TOPIC, name) for name in names if name in found and found[name].partitions]
        answers = self._admin.describe_configs(asked, request_timeout=ANSWER_WITHIN_S) if asked else {}
        configs = {resource.name: _result(answer, "UNKNOWN_TOPIC_OR_PART") for resource, answer in answers.items()}
        return {name: _topic(found[name], config) for name, config in configs.items() if config}

    def records(self, topic: Topic) -> int:
        """How many records lie in a topic, or did before it was compacted."""
        newest, oldest = OffsetSpec.latest(), OffsetSpec.earliest()  # type: ignore[no-untyped-call]
        return self._offsets(topic, newest) - self._offsets(topic, oldest)

    def create(self, topics: Iterable[Topic]) -> None:
        """Asks for topics. One that somebody else made in the same moment is no fault: look again."""
        new = [NewTopic(each.name, each.partitions, each.replication, config=dict(each.config)) for each in topics]
        for answer in self._admin.create_topics(new, request_timeout=ANSWER_WITHIN_S).values() if new else ():
            _result(answer, "TOPIC_ALREADY_EXISTS")

    def change(self, configs: Mapping[str, Mapping[str, str]]) -> None:
        """Asks for other settings: topic to name to value; what is not named stays."""
        asked = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=_set(config)) for name, config in configs.items()]
        for answer in self._admin.incremental_alter_configs(asked, request_timeout=ANSWER_WITHIN_S).values() if asked else ():
            _result(answer)

    def _metadata(self) -> Any:
        try:
            return self._admin.list_topics(timeout=ANSWER_WITHIN_S)
        except KafkaException as fault:
            raise refusal(fault.args[0]) from fault

    def _offsets(self, topic: Topic, spec: OffsetSpec) -> int:
        asked = {TopicPartition(topic.name, each): spec for each in range(topic.partitions)}
        answers = self._admin.list_offsets(asked, request_timeout=ANSWER_WITHIN_S)
        return sum(_result(answer).offset for answer in answers.values())


def _topic(seen: Any, config: Mapping[str, Any]) -> Topic:
    values = {name: str(each.value) for name, each in config.items()}
    values["cleanup.policy"] = ",".join(sorted(values["cleanup.policy"].split(",")))
    copies = min(len(each.replicas) for each in seen.partitions.values())
    return Topic(name=seen.topic, partitions=len(seen.partitions), replication=copies, config=values)


def _set(config: Mapping[str, str]) -> list[ConfigEntry]:
    return [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in config.items()]


def _result(answer: Any, expected: str = "") -> Any:
    """What a broker answered; None where it refused with the fault of the expected name."""
    try:
        return answer.result(2 * ANSWER_WITHIN_S)
    except KafkaException as fault:
        if fault.args[0].name() == expected:
            return None
        raise refusal(fault.args[0]) from fault
