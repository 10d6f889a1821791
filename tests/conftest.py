"""With CI=true a test that is skipped has failed: what was not run was not shown to work.

Only data that may not be committed (a licence forbids it) excuses a test; it says so as the first words of its reason.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from itertools import count
from typing import TypeVar

import pytest
from hypothesis import settings

from connectors.kafka import KafkaSettings
from infra.kafka import Broker, BrokerSettings

# Machines are shared and noisy: no test may depend on speed. Examples are drawn from the test itself, so that a failure is there again.
settings.register_profile("calm", deadline=None, derandomize=True)
settings.load_profile("calm")

EXCUSE = "data that may not be committed"
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


class NoSkips:
    """Turns skips of tests, of whole modules and of docstring examples into failures."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        # An expected failure is reported as skipped too, but it was run.
        return report if hasattr(report, "wasxfail") else _judge(report)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        return _judge((yield))


def _judge(report: Report) -> Report:
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        if not reason.removeprefix("Skipped: ").startswith(EXCUSE):
            report.outcome = "failed"
            report.longrepr = f"{path}:{line}: must not be skipped when CI is set (got {reason!r}): bring here what it needs"
    return report


def pytest_configure(config: pytest.Config) -> None:
    # A plugin, not plain hooks: those of a conftest see only the tests beside it, not the examples in the packages.
    if os.environ.get("CI", "").lower() not in {"", "0", "false"}:
        config.pluginmanager.register(NoSkips())


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real broker for the whole run. Tests that share it keep apart by drills of their own names."""
    if not shutil.which("java") or not shutil.which("mvn"):
        pytest.skip("java or mvn is not here: the broker runs on them")
    with Broker(BrokerSettings(folder=tmp_path_factory.mktemp("kafka"))) as running:
        yield running


@pytest.fixture
def cluster(kafka: Broker) -> KafkaSettings:
    """A namespace of its own on the broker."""
    return KafkaSettings(brokers=kafka.bootstrap, drill=f"t{next(_DRILLS)}")


_DRILLS = count(1)
