"""``tsunagu run``: works on linkages live, as one of the workers of each, until it is asked to stop.

Any number may run at once: Kafka gives each partition to one of them. SIGTERM ends it after the step that it is in. What it does
is told on standard error and, as metrics and health, over HTTP.
"""

from __future__ import annotations

import faulthandler
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from connectors.kafka import KafkaSettings
from jobs.linkages import LINKAGES, routes_to

__all__ = ["Run", "elsewhere", "run"]

log = logging.getLogger("tsunagu.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Settings of a worker.

    Attributes:
        linkages: what it works on.
        cluster: where.
        instance: its name in the groups; one that comes back under its name within the session takes up its partitions at once.
        http: port of 127.0.0.1 for metrics and health; 0: any free one; None: none.
        most: how many messages are fetched at once.
    """

    linkages: tuple[str, ...]
    cluster: KafkaSettings
    instance: str | None = None
    http: int | None = 9400
    most: int = 5000


def run(settings: Run) -> int:
    """Works until interrupted; returns the exit code: 1, where a linkage ended by itself."""
    from connectors.registry import ids_of
    from jobs.worker import Member, Metrics, SeatSettings, serve
    from jobs.worker.faults import from_environment

    faulthandler.enable()  # a client that crashes ends the process: let its log tell where
    logging.basicConfig(level=logging.INFO, format="%(asctime)sZ %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    logging.Formatter.converter = time.gmtime
    logging.getLogger("librdkafka").setLevel(logging.ERROR)  # it warns of what it tries again by itself
    log.info("%s", settings)
    for name, route in elsewhere(settings.linkages):
        log.info("%s reads what %s hands on, and settles nothing without it: run that too, here or elsewhere", name, route)
    metrics, stop, fell = Metrics(), threading.Event(), threading.Event()
    port, close = serve(metrics, "127.0.0.1", settings.http) if settings.http is not None else (None, lambda: None)
    if port is not None:
        log.info("http://127.0.0.1:%d/health and /metrics", port)
    seats, fault, ids = SeatSettings(most=settings.most), from_environment(), ids_of(settings.cluster)
    members = [
        Member(LINKAGES[name], settings.cluster, metrics, fault, instance=settings.instance, settings=seats, ids=ids)
        for name in settings.linkages
    ]

    def work(member: Member) -> None:
        try:
            member.run(stop)
        except Exception:
            log.exception("a linkage ends")
        finally:
            if not stop.is_set():
                fell.set()
                stop.set()

    threads = [threading.Thread(target=work, args=[each], name=name) for each, name in zip(members, settings.linkages, strict=True)]
    for each in threads:
        each.start()
    try:
        while not stop.wait(1.0):
            pass
    except KeyboardInterrupt:
        log.info("stops after the step that it is in")
    finally:
        stop.set()
        for each in threads:
            each.join()
        close()
    return 1 if fell.is_set() else 0


def elsewhere(linkages: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Linkages with the routes that they need and that are not among them."""
    for name in linkages:
        yield from ((name, route.name) for route in routes_to(LINKAGES[name]) if route.name not in linkages)
