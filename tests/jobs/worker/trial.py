"""A linkage on trial: its workers are processes as in a city, its arrivals are published bit by bit while things go wrong.

``TSUNAGU_SEED=17`` plays another script with other faults; each trial prints its seed.
"""

from __future__ import annotations

import importlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from confluent_kafka import Producer

from connectors.kafka import KafkaSettings
from connectors.kafka_reader import Place
from jobs.linkages import LINKAGES
from tests.contract import checks
from tests.contract.runs import Outcome, at_once
from tests.contract.worker import Message, ends, gathered, made, merged, messages, placed, produce, settled

NAME = "upstream_flood"
LINKAGE = LINKAGES[NAME]
SEED = int(os.environ.get("TSUNAGU_SEED", "0"))
MINUTES = 1300
WITHIN_S = 180.0
"""Nothing takes so long, however busy the machine is."""


class Worker:
    """One process of ``tsunagu run``.

    Args:
        cluster: where it works.
        folder: for its log.
        instance: its name in the group; None: a new member each time.
        fault: what ``TSUNAGU_FAULT`` says to it.
    """

    def __init__(self, cluster: KafkaSettings, folder: Path, instance: str | None, fault: str | None = None) -> None:
        command = [str(Path(sys.executable).with_name("tsunagu")), "run", NAME, "--brokers", cluster.brokers, "--http", "0"]
        command += ["--drill", cluster.drill] if cluster.drill else []
        command += ["--instance", instance] if instance else []
        environment = {name: value for name, value in os.environ.items() if name != "TSUNAGU_FAULT"}
        self.log = folder / f"{instance or 'worker'}-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=environment | ({"TSUNAGU_FAULT": fault} if fault else {}), stdout=log, stderr=log
            )  # fmt: skip

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    @property
    def code(self) -> int | None:
        """How it ended; None: it lives."""
        return self._process.poll()

    def kill(self) -> None:
        """Kills it, as a power cut would, stopped or not."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Asks it to end, as an operator would; it must, and well."""
        self._process.terminate()
        try:
            self._process.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGABRT)  # it tells what each of its threads does
            self._process.wait()
        assert self.code == 0, f"ended with {self.code}:\n{self.said()}"

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    @property
    def stopped(self) -> bool:
        """Whether SIGSTOP holds it."""
        return Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    @property
    def works(self) -> bool:
        """Whether it has had a partition to work on."""
        return f"{NAME} takes [" in self.said()

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def until_it_says(self, text: str, times: int = 1) -> None:
        """Waits for words in its log."""
        until = time.monotonic() + WITHIN_S
        while self.said().count(text) < times:
            assert self.code is None, f"ended with {self.code}:\n{self.said()}"
            assert time.monotonic() < until, f"must say {text!r}:\n{self.said()}"
            time.sleep(0.05)


class Trial:
    """Scripts in topics of their own, of which more and more is published.

    Args:
        cluster: where.
        folder: for logs of workers.
        seed: of the first script; each region has its own.
        regions: how many scripts run together.
        partitions: of the feeds with a key.
        config: further settings of each topic.

    Attributes:
        all: what is to be published, in this order; ``logs`` say where it will lie.
    """

    def __init__(
        self, cluster: KafkaSettings, folder: Path, seed: int, *, regions: int = 8, partitions: int = 3,
        config: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        print(f"TSUNAGU_SEED={SEED} (scripts {seed} to {seed + regions - 1}), drill {cluster.drill}, logs in {folder.name}")
        scripts = importlib.import_module(f"tests.contract.scripts.{NAME}")
        self.cluster, self.folder, self.seed, self.partitions = cluster, folder, seed, partitions
        self.script = merged({f"r{each}": scripts.make(each, MINUTES) for each in range(seed, seed + regions)})
        self.logs = placed(self.script.logs, partitions)
        self.all, self._published = messages(self.logs), 0
        self._producer = Producer(cluster.client(enable_idempotence=True, linger_ms=2))
        made(cluster, LINKAGE, partitions, config)

    def worker(self, instance: str | None = "a", fault: str | None = None) -> Worker:
        """Starts a worker."""
        return Worker(self.cluster, self.folder, instance, fault)

    @property
    def left(self) -> int:
        """How many messages are not published yet."""
        return len(self.all) - self._published

    @property
    def whole(self) -> int:
        """How many messages there are."""
        return len(self.all)

    def publish(self, count: int | None = None) -> list[Message]:
        """Publishes the next so many messages, and tells which; None: all that are left."""
        until = len(self.all) if count is None else min(self._published + count, len(self.all))
        some = self.all[self._published : until]
        produce(self._producer, self.cluster, some)
        self._published = until
        return some

    def flow(self, count: int, bits: int = 40) -> None:
        """Publishes the next so many messages in bits, so that workers step often."""
        for at in range(bits):
            self.publish(count * (at + 1) // bits - count * at // bits)
            time.sleep(0.1)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Publishes more and more, always a part of what is left, until the block ends."""
        enough = threading.Event()

        def flow() -> None:
            while not enough.wait(0.1):
                self.publish(max(self.left // 400, 1))

        with ThreadPoolExecutor(1) as pool:
            flowing = pool.submit(flow)
            try:
                yield
            finally:
                enough.set()
            flowing.result()

    def ends(self) -> Mapping[Place, int]:
        """Where each place ends as far as it is published."""
        there = Counter((name, partition) for name, partition, *_ in self.all[: self._published])
        return {place: there[place] for place in ends(self.cluster, self.logs, self.partitions)}

    def settle(self) -> None:
        """Waits until all that is published is committed as read."""
        settled(self.cluster, LINKAGE, self.ends(), WITHIN_S)

    def outcome(self, faults: int) -> Outcome:
        """All that stands committed; late and unreadable records may be there twice, where there were faults."""
        out = gathered(self.cluster, LINKAGE, self.partitions)
        out.kills = faults
        return out

    def check(self, faults: int) -> Outcome:
        """Holds what was said against the contract, when everything was published and read."""
        assert not self.left
        out = self.outcome(faults)
        assert self.script.states - self.script.passing <= checks.states(out).keys(), "scripts say too little"
        try:
            checks.check(LINKAGE, self.script, out, self.logs, at_once(LINKAGE, self.logs), random.Random(self.seed))
        except checks.Broken as broken:
            raise checks.Broken(f"TSUNAGU_SEED={SEED}, scripts from {self.seed}, {self.folder.name}: {broken}") from broken
        return out

    def finish(self, faults: int) -> Outcome:
        """Publishes what is left to one worker that nothing disturbs, and checks."""
        with self.worker("last") as last:
            self.publish()
            self.settle()
            last.end()
        return self.check(faults)
