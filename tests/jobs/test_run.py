"""``tsunagu run`` as an operator meets it: it tells how it is, goes on by itself when what was missing is there, and ends when asked."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from connectors.kafka import KafkaSettings
from jobs.cli import main
from jobs.run import elsewhere
from tests.jobs.worker.trial import WITHIN_S, Worker


def asked(worker: Worker, path: str) -> tuple[int, str]:
    """What the worker answers over HTTP."""
    worker.until_it_says("/health and /metrics")
    (port,) = re.findall(r"http://127\.0\.0\.1:(\d+)/health", worker.said())
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as fault:
        with fault:
            return fault.code, fault.read().decode()


def health(worker: Worker, code: int, working: int) -> dict[str, Any]:
    """Waits for an answer of this kind."""
    until = time.monotonic() + WITHIN_S
    while True:
        told, text = asked(worker, "/health")
        found: dict[str, Any] = json.loads(text)
        if told == code and sum(found["working"].values()) == working:
            return found
        assert time.monotonic() < until, (told, text, worker.said())
        time.sleep(0.1)


def test_it_tells_that_topics_are_missing_and_goes_on_once_they_are_there(cluster: KafkaSettings, tmp_path: Path) -> None:
    with Worker(cluster, tmp_path, None) as worker:
        wrong = health(worker, 503, 0)
        assert "river.level.v1" in json.dumps(wrong)
        assert main(["topics", "apply", "--brokers", cluster.brokers, "--drill", str(cluster.drill), "--partitions", "3"]) == 0
        assert health(worker, 200, 3) == {"healthy": True, "working": {"upstream_flood": 3}}
        worker.end()


def test_it_measures_what_it_does(cluster: KafkaSettings, tmp_path: Path) -> None:
    assert main(["topics", "apply", "--brokers", cluster.brokers, "--drill", str(cluster.drill), "--partitions", "2"]) == 0
    with Worker(cluster, tmp_path, None) as worker:
        health(worker, 200, 2)
        code, text = asked(worker, "/metrics")
        assert code == 200
        for partition in (0, 1):
            assert f'tsunagu_epoch{{linkage="upstream_flood",partition="{partition}"}} 1.0' in text
        assert asked(worker, "/")[0] == 404
        worker.end()
        assert "stops after the step that it is in" in worker.said()


def test_a_route_that_must_run_elsewhere_is_named() -> None:
    route, match = "near_misses_by_place", "witnessed_near_misses"
    assert list(elsewhere(["upstream_flood", match])) == [(match, route)]
    assert list(elsewhere([route, "upstream_flood", match])) == []
    assert list(elsewhere([route])) == []
