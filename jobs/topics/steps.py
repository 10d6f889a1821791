"""What differs between the topics there are and those there should be, and what is not done about it without consent."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from connectors.kafka import ClusterError, KafkaSettings
from jobs.topics.wanted import Topic, safe, wanted
from schemas import feed, feed_names

if TYPE_CHECKING:
    from jobs.topics.cluster import Cluster

__all__ = ["Step", "Topics", "apply", "plan"]

PARTITIONS = 8
"""Of feeds with a key in a namespace that is new, where nothing else is said: at most so many workers share the work."""

OBEYED_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Which topics there should be.

    Attributes:
        cluster: where, and in which namespace.
        partitions: of every feed with a key. None: as many as there are, else 8.
        replication: copies of each topic. None: as many as there are, else one on each broker and at most three.
        forget: topics that may lose records to a shorter retention or to compaction.
    """

    cluster: KafkaSettings
    partitions: int | None = None
    replication: int | None = None
    forget: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is to be done for one topic. ``refused``: why it will not be done, each a whole sentence."""

    does: Literal["create", "change", "same"]
    topic: Topic
    config: Mapping[str, str]
    told: str
    refused: tuple[str, ...] = ()


def plan(settings: Topics) -> int:
    """Prints a line for each topic; returns 0 where nothing differs, 1 where something does.

    Raises:
        ClusterError: the plan is refused, or the cluster does not answer.
    """
    steps = _shown(_opened(settings.cluster), settings)
    counts = {does: sum(each.does == does for each in steps) for does in ("create", "change", "same")}
    print(f"{counts['create']} to create, {counts['change']} to change, {counts['same']} the same")
    return 1 if counts["create"] + counts["change"] else 0


def apply(settings: Topics) -> int:
    """Prints a line for each topic, makes what differs so, and waits until the cluster tells it so too; returns 0.

    Raises:
        ClusterError: the plan is refused, or the cluster does not answer or does not obey.
    """
    cluster = _opened(settings.cluster)
    steps, until = _shown(cluster, settings), time.monotonic() + OBEYED_WITHIN_S
    while differ := [each for each in steps if each.does != "same"]:
        if time.monotonic() > until:
            names = ", ".join(each.topic.name for each in differ)
            raise ClusterError(f"topics must be as planned within {OBEYED_WITHIN_S:.0f} s (got others: {names}): read the brokers' logs")
        cluster.create(each.topic for each in differ if each.does == "create")
        cluster.change({each.topic.name: each.config for each in differ if each.does == "change"})
        time.sleep(0.05)  # brokers learn of it one after the other
        steps = _agreed(_steps(cluster, settings))
    print(f"{len(steps)} topics are as the feeds want them")
    return 0


def _opened(settings: KafkaSettings) -> Cluster:
    from jobs.topics.cluster import Cluster  # it needs the broker's clients

    return Cluster(settings)


def _shown(on: Cluster, settings: Topics) -> list[Step]:
    """The steps, printed; what is refused ends it."""
    steps = _steps(on, settings)
    for each in steps:
        print(f"{'refuse' if each.refused else each.does:<7} {each.topic.name:<34} {each.told}")
    for name in sorted(_strangers(on.names(), settings.cluster) - {each.topic.name for each in steps}):
        print(f"{'leave':<7} {name:<34} no feed and no linkage asks for it")
    return _agreed(steps)


def _agreed(steps: list[Step]) -> list[Step]:
    refused = [why for each in steps for why in each.refused]
    if refused:
        raise ClusterError("\ntsunagu: ".join(refused))
    return steps


def _strangers(names: Iterable[str], cluster: KafkaSettings) -> set[str]:
    """Names that begin as ours do: a typing error, or a feed that was given up."""
    if cluster.drill:
        return {name for name in names if name.startswith(f"drill.{cluster.drill}.")}
    return {name for name in names if name.partition(".")[0] in {each.partition(".")[0] for each in feed_names()}}


def _steps(on: Cluster, settings: Topics) -> list[Step]:
    there = on.there({each.name for each in wanted(settings.cluster, partitions=1, replication=1)})
    partitions = settings.partitions or _partitions(settings.cluster, there)
    replication = settings.replication or min(3, on.brokers())
    should = wanted(settings.cluster, partitions=partitions, replication=replication)
    unknown = set(settings.forget) - {each.name for each in should}
    if unknown:
        raise ClusterError(f"--forget must name a topic of the plan (got {min(unknown)!r}): see tsunagu topics plan")
    return [_change(on, each, there[each.name], settings) if each.name in there else _creation(each) for each in should]


def _partitions(cluster: KafkaSettings, there: Mapping[str, Topic]) -> int:
    """As many partitions as the feeds with a key have in this namespace."""
    keyed = [cluster.topic(name) for name in feed_names() if feed(name).key]
    counts = {there[name].partitions: name for name in keyed if name in there}
    if len(counts) > 1:
        got = ", ".join(f"{count} of {name}" for count, name in sorted(counts.items()))
        raise ClusterError(f"partitions of feeds with a key must be equally many (got {got}): make the topic that differs anew")
    return next(iter(counts), PARTITIONS)


def _creation(topic: Topic) -> Step:
    copies = "one copy" if topic.replication == 1 else f"{topic.replication} copies"
    told = f"{_layout(topic)}, {copies}, {'compacted, ' if topic.compacted else ''}kept {_kept(topic)}"
    return Step(does="create", topic=topic, config=topic.config, told=told)


def _change(on: Cluster, should: Topic, there: Topic, settings: Topics) -> Step:
    wants = {name: value for name, value in should.config.items() if name not in safe(3)}
    wants |= safe(there.replication)  # copies are judged as they are: nothing here moves them
    differs = {name: value for name, value in wants.items() if there.config[name] != value}
    told = ", ".join(f"{name} {there.config[name]} -> {value}" for name, value in differs.items())
    refused = [*_refused(should, there, settings), *_lost(on, should, there, settings)]
    does: Literal["change", "same"] = "change" if differs else "same"
    return Step(does=does, topic=should, config=differs, told=told or _layout(there), refused=tuple(refused))


def _refused(should: Topic, there: Topic, settings: Topics) -> Iterator[str]:
    """What is never changed: where keys lie, and how many copies there are."""
    if should.partitions != there.partitions:
        yield (
            f"partitions of {should.name} must stay as many (got {should.partitions}, there are {there.partitions}): "
            f"keys would lie elsewhere; plan with those that are there, or make the topic anew"
        )
    if settings.replication not in {None, there.replication}:
        yield (
            f"copies of {should.name} must stay as many (got {settings.replication}, there are {there.replication}): "
            f"leave --replication out, or move them with kafka-reassign-partitions"
        )


def _lost(on: Cluster, should: Topic, there: Topic, settings: Topics) -> Iterator[str]:
    """What would be deleted without consent."""
    if should.name in settings.forget:
        return
    if should.kept is not None and (there.kept is None or should.kept < there.kept):
        yield (
            f"retention of {should.name} must not become shorter (got {_kept(should)}, now {_kept(there)}): "
            f"older records would be deleted; consent with --forget {should.name}"
        )
    if should.compacted and not there.compacted and (records := on.records(there)):
        yield (
            f"cleanup of {should.name} must not become compact over what lies there (got {records} records): "
            f"all but the newest of each key would be deleted; consent with --forget {should.name}"
        )


def _layout(topic: Topic) -> str:
    return f"{topic.partitions} partition{'' if topic.partitions == 1 else 's'}"


def _kept(topic: Topic) -> str:
    return "forever" if topic.kept is None else f"{topic.kept / timedelta(days=1):g} days"
