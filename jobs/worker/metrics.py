"""What a worker tells of itself over HTTP: ``/metrics`` for Prometheus, ``/health`` for whoever restarts it.

Healthy is a worker that is asked for its membership and whose seats all work, or have begun to a few minutes ago; otherwise 503, with
what is wrong as JSON.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import polars as pl
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from pipelines.linkage import CLOCK, Engine, Spoken

if TYPE_CHECKING:
    from jobs.worker.inputs import Inputs, Taken

__all__ = ["Gauges", "Metrics", "serve"]

SEAT = ("linkage", "partition")
STARTS_WITHIN_S = 300.0
"""A seat reads again what was said and what is recent; who is not done by then does not get on."""
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60, 600, 3600)


class Metrics:
    """All that is measured in one process. ``seats``: the state of each, by linkage and partition; ``refused``: why a group gives none."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of = self.registry
        self.lag = Gauge("tsunagu_lag_records", "offsets of an input that are not read yet", (*SEAT, "feed"), registry=of)
        self.batches = Counter("tsunagu_batches", "steps of the engine", SEAT, registry=of)
        self.records = Counter("tsunagu_records", "records stepped over", (*SEAT, "feed"), registry=of)
        self.facts = Counter("tsunagu_facts", "statements said", SEAT, registry=of)
        self.late = Counter("tsunagu_late_records", "records later than patience", SEAT, registry=of)
        self.dead = Counter("tsunagu_dead_records", "records that could not be read", SEAT, registry=of)
        self.faults = Counter("tsunagu_faults", "times that a seat had to start again", SEAT, registry=of)
        self.held = Gauge("tsunagu_held", "records of an input, or facts, that are held", (*SEAT, "what"), registry=of)
        self.tick = Gauge("tsunagu_last_tick_seconds", "the last tick, seconds since 1970", SEAT, registry=of)
        self.line = Gauge("tsunagu_line_seconds", "up to where nothing can change any more, seconds since 1970", SEAT, registry=of)
        self.route_line = Gauge(
            "tsunagu_route_line_seconds",
            "the line that came with a feed that a route writes, seconds since 1970; 0: not all of the route have told it since the start",
            (*SEAT, "feed"),
            registry=of,
        )
        self.epoch = Gauge("tsunagu_epoch", "how often the partition was taken", SEAT, registry=of)
        self.latency = Histogram(
            "tsunagu_latency_seconds",
            "from the newest arrival in the basis of a statement to its commit",
            SEAT,
            buckets=SECONDS,
            registry=of,
        )
        self.seats: dict[tuple[str, int], dict[str, Any]] = {}
        self.begun: dict[tuple[str, int], float] = {}
        self.polled: dict[str, float] = {}
        self.refused: dict[str, str] = {}

    def forget(self, linkage: str, partition: str) -> None:
        """Tells no more how a partition stands that somebody else has now; what was counted stays counted."""
        for each in (self.lag, self.held, self.tick, self.line, self.route_line, self.epoch):
            each.remove_by_labels({"linkage": linkage, "partition": partition})

    def fault(self) -> dict[str, Any]:
        """What is wrong; empty: nothing."""
        late = [name for name, at in self.polled.items() if time.monotonic() - at > 30]
        ill = {f"{name}[{p}]": dict(seat) for (name, p), seat in list(self.seats.items()) if self._ill((name, p), seat)}
        refused = {"refused": dict(self.refused)} if self.refused else {}
        return ({"not polled": late} if late else {}) | refused | ({"seats": ill} if ill else {})

    def _ill(self, key: tuple[str, int], seat: Mapping[str, Any]) -> bool:
        """Whether a seat has failed, or has been starting for too long."""
        long_ago = time.monotonic() - self.begun.get(key, math.inf) > STARTS_WITHIN_S
        return seat["state"] == "failed" or (seat["state"] == "starting" and long_ago)


class Gauges:
    """What one seat measures."""

    def __init__(self, metrics: Metrics, linkage: str, partition: int) -> None:
        self._metrics, self._at = metrics, (linkage, str(partition))
        self._key = linkage, partition
        self._seat: dict[str, Any] = {"state": "starting"}
        metrics.seats[self._key] = self._seat
        metrics.begun[self._key] = time.monotonic()

    def state(self, state: str) -> None:
        """Starting, working or failed; who failed is so until it works again."""
        if "fault" not in self._seat:
            self._seat["state"] = state

    def started(self, epoch: int, facts: int) -> None:
        """The seat was taken; so many statements were read."""
        self._seat |= {"state": "working", "epoch": epoch, "read": facts}
        self._seat.pop("fault", None)
        self._metrics.epoch.labels(*self._at).set(epoch)

    def failed(self, fault: BaseException) -> None:
        """It starts again because of this."""
        self._seat |= {"state": "failed", "fault": str(fault)}
        self._metrics.faults.labels(*self._at).inc()

    def ended(self) -> None:
        """Somebody else has the partition now, or nobody."""
        if self._metrics.seats.get(self._key) is self._seat:
            del self._metrics.seats[self._key], self._metrics.begun[self._key]
            self._metrics.forget(*self._at)

    def stepped(self, running: Engine, inputs: Inputs, spoken: Spoken, taken: Taken) -> None:
        """A batch was stepped over."""
        metrics, at = self._metrics, self._at
        if taken.batch:
            metrics.batches.labels(*at).inc()
            for name, frame in taken.batch.items():
                metrics.records.labels(*at, name).inc(frame.height)
        if taken.batch or taken.lines:  # a line that comes settles, too
            for what, count in running.held().items():
                metrics.held.labels(*at, what).set(count)
        for name, came in taken.lines.items():
            metrics.route_line.labels(*at, name).set(0 if came.line is None else came.line.timestamp())
        if CLOCK in taken.batch:
            newest: Any = taken.batch[CLOCK]["at"].max()
            metrics.tick.labels(*at).set(newest.timestamp())
        if running.line is not None:
            metrics.line.labels(*at).set(running.line.timestamp())
        for (name, _), lag in inputs.lag().items():
            metrics.lag.labels(*at, name).set(lag)
        metrics.late.labels(*at).inc(0 if spoken.late is None else spoken.late.height)
        metrics.dead.labels(*at).inc(sum(each.height for each in (spoken.dead, taken.dead) if each is not None))

    def said(self, facts: pl.DataFrame | None) -> None:
        """Facts are committed."""
        if facts is None:
            return
        self._metrics.facts.labels(*self._at).inc(facts.height)
        newest: Any = facts["said_at" if "said_at" in facts.columns else "arrived"].max()
        self._metrics.latency.labels(*self._at).observe(max(time.time() - newest.timestamp(), 0))


def serve(metrics: Metrics, host: str, port: int) -> tuple[int, Callable[[], None]]:
    """Serves metrics and health; returns the port (0: any free one was asked for) and what ends it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(metrics.registry))
            elif self.path == "/health":
                wrong = metrics.fault()
                told = {"healthy": not wrong, **wrong, "working": _working(metrics.seats)}
                self._answer(503 if wrong else 200, "application/json", json.dumps(told, ensure_ascii=False).encode())
            else:
                self._answer(404, "text/plain", b"/metrics or /health\n")

        def _answer(self, code: int, kind: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: who asks every few seconds would fill the log."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as fault:
        raise OSError(f"port of --http must be free (got {port}: {fault.strerror}): give another, or 0 for any") from fault
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()

    def close() -> None:
        server.shutdown()
        server.server_close()

    return server.server_port, close


def _working(seats: Mapping[tuple[str, int], Mapping[str, Any]]) -> dict[str, int]:
    """Of each linkage how many partitions are worked on."""
    out: dict[str, int] = {}
    for (name, _), seat in list(seats.items()):
        out[name] = out.get(name, 0) + (seat["state"] == "working")
    return out
