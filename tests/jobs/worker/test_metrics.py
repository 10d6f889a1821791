"""What a worker tells of its health."""

from __future__ import annotations

import pytest

from jobs.worker.metrics import STARTS_WITHIN_S, Gauges, Metrics


def test_a_seat_that_does_not_get_done_with_its_start_is_ill(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr("jobs.worker.metrics.time.monotonic", lambda: now_s)
    metrics = Metrics()
    slow, quick = Gauges(metrics, "flood", 0), Gauges(metrics, "flood", 1)
    quick.started(epoch=3, facts=7)
    now_s += STARTS_WITHIN_S
    assert metrics.fault() == {}
    now_s += 1
    assert metrics.fault() == {"seats": {"flood[0]": {"state": "starting"}}}
    slow.started(epoch=1, facts=0)
    assert metrics.fault() == {}


def test_a_seat_that_failed_is_ill_until_it_works_again_or_is_given_up() -> None:
    metrics = Metrics()
    seat = Gauges(metrics, "flood", 0)
    seat.failed(ValueError("no topic"))
    seat.state("starting")
    assert metrics.fault() == {"seats": {"flood[0]": {"state": "failed", "fault": "no topic"}}}
    seat.started(epoch=1, facts=0)
    assert metrics.fault() == {}
    seat.failed(ValueError("again"))
    seat.ended()
    assert metrics.fault() == {}
