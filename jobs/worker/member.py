"""One linkage in one process: a member of its consumer group, with a seat for each partition that the group gives to it.

The group's consumer reads nothing: it says who owns what. Each seat reads for itself, so that a slow or dead partition holds back no
other. One call at a time may be made of a consumer, so seats are given the membership as it was after the last one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.kafka import KafkaSettings
from connectors.wire import REPO, Ids
from jobs.worker.faults import Fault
from jobs.worker.metrics import Gauges, Metrics
from jobs.worker.seat import USUAL, Seat, SeatSettings, Work, group_of, lead
from pipelines.linkage import Linkage

__all__ = ["Member"]

log = logging.getLogger("tsunagu.worker")

ENDS_WITHIN_S = 15.0
POLLED_EVERY_S = 0.05
SESSION_MS = 10_000
_LASTING = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}
"""Faults that last until somebody mends the cluster; they are told once."""


Heard = Callable[[Consumer, Sequence[TopicPartition]], None]


class Member:
    """A member of the group of a linkage.

    Args:
        linkage: what to run.
        cluster: where.
        metrics: what is measured.
        fault: is told each point of each seat's loop.
        instance: name of this member; one that comes back under its name within the session takes up its partitions at once.
    """

    def __init__(
        self, linkage: Linkage, cluster: KafkaSettings, metrics: Metrics, fault: Fault, *, instance: str | None = None,
        settings: SeatSettings = USUAL, ids: Ids = REPO,
    ) -> None:  # fmt: skip
        self._linkage, self._cluster, self._metrics = linkage, cluster, metrics
        self._membership: object = None
        self._work = Work(
            linkage=linkage, cluster=cluster, membership=lambda: self._membership, admin=AdminClient(cluster.client()), fault=fault,
            settings=settings, ids=ids,
        )  # fmt: skip
        self._instance, self._lags, self._leaves = instance, False, False
        self.seats: dict[int, Seat] = {}

    def run(self, stop: threading.Event) -> None:
        """Works until it is asked to stop; then ends each seat after its step, and leaves the group."""
        while not stop.is_set():
            group = self._joined()
            try:
                self._belong(group, stop)
            finally:
                self._leaves = True
                self._end(list(self.seats))
                with suppress(KafkaException):  # a group that has put it out takes no word from it
                    group.unsubscribe()
                with suppress(SystemError):  # it loses the error of a call that ended together with it
                    group.close()
                self._metrics.polled.pop(self._linkage.name, None)

    def _joined(self) -> Consumer:
        static = {"group_instance_id": self._instance} if self._instance else {}
        self._leaves = False
        group = Consumer(
            self._cluster.client(
                group_id=group_of(self._linkage, self._cluster),
                enable_auto_commit=False,
                isolation_level="read_committed",
                auto_offset_reset="earliest",
                partition_assignment_strategy="cooperative-sticky",
                session_timeout_ms=SESSION_MS,
                heartbeat_interval_ms=1000,
                topic_metadata_refresh_interval_ms=30_000,
                **static,
            )
        )
        topic = self._cluster.topic(lead(self._linkage))
        group.subscribe([topic], on_assign=self._kept(self._given), on_revoke=self._kept(self._taken), on_lost=self._kept(self._lost))
        return group

    def _kept(self, then: Heard) -> Heard:
        """What is raised while the client calls us would reach whoever called it last, or nobody: the group is left and joined again."""

        def heard(group: Consumer, partitions: Sequence[TopicPartition]) -> None:
            try:
                then(group, partitions)
            except Exception:
                log.exception("%s could not follow its group", self._linkage.name)
                self._lags = True

        return heard

    def _belong(self, group: Consumer, stop: threading.Event) -> None:
        """Stays in the group until it is asked to stop, or the group has put it out for good."""
        self._lags = False
        while not (stop.is_set() or self._lags):
            message = group.poll(0)
            self._membership = group.consumer_group_metadata()
            self._metrics.polled[self._linkage.name] = time.monotonic()
            fault = None if message is None else message.error()
            if fault is not None:
                log.warning("%s: %s", self._linkage.name, fault)
                if fault.code() in _LASTING:
                    self._metrics.refused[self._linkage.name] = str(fault)
                if fault.fatal() or fault.code() == KafkaError._FATAL:
                    # Somebody else has its name; or the broker takes its own second try for somebody else, as after a restart
                    # of the broker. Without a name it can put nobody out.
                    self._instance = None
                    stop.wait(POLLED_EVERY_S)
                    return
            stop.wait(POLLED_EVERY_S)

    def _given(self, group: Consumer, given: Sequence[TopicPartition]) -> None:
        self._membership = group.consumer_group_metadata()
        self._metrics.refused.pop(self._linkage.name, None)
        group.incremental_assign(list(given))
        group.pause(list(given))
        if self._leaves:  # it would be worked on by nobody who ends it
            return
        for each in given:
            gauges = Gauges(self._metrics, self._linkage.name, each.partition)
            seat = Seat(self._work, each.partition, gauges)
            self.seats[each.partition] = seat
            seat.start()
        log.info("%s takes %s", self._linkage.name, [each.partition for each in given])

    def _taken(self, group: Consumer, taken: Sequence[TopicPartition]) -> None:
        log.info("%s gives up %s", self._linkage.name, [each.partition for each in taken])
        ending = [each.partition for each in taken if each.partition in self.seats]
        if ending:  # the group has agreed on these already: what the seats still commit is new to it
            self._membership = group.consumer_group_metadata()
        self._end(ending)
        self._let_go(group, taken)

    def _lost(self, group: Consumer, lost: Sequence[TopicPartition]) -> None:
        """Somebody else may have them already: what these seats still try is refused by the broker."""
        log.warning("%s has lost %s", self._linkage.name, [each.partition for each in lost])
        self._metrics.refused[self._linkage.name] = "the group has put this worker out, or does not answer"
        for each in lost:  # not waited for: until this returns, the group is not joined again
            if each.partition in self.seats:
                self.seats.pop(each.partition).stop()
        self._let_go(group, lost)

    @staticmethod
    def _let_go(group: Consumer, partitions: Sequence[TopicPartition]) -> None:
        try:
            group.incremental_unassign(list(partitions))
        except KafkaException as fault:  # the client may have done so by itself
            log.debug("unassign: %s", fault)

    def _end(self, partitions: Sequence[int]) -> None:
        """Ends these seats, all at once; who does not end in time is fenced off by whoever comes next."""
        ending = [self.seats.pop(each) for each in partitions if each in self.seats]
        for seat in ending:
            seat.stop()
        until = time.monotonic() + ENDS_WITHIN_S
        for seat in ending:
            if not seat.join(max(until - time.monotonic(), 0.1)):
                log.warning("%s[%d] does not end; it can commit nothing any more", self._linkage.name, seat.partition)
