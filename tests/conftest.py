"""With CI=true a test that is skipped has failed: what was not run was not shown to work.

Only data that may not be committed (a licence forbids it) excuses a test; it says so as the first words of its reason.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TypeVar

import pytest
from hypothesis import settings

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
