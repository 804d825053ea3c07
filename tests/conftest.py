"""What holds for every test."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from tests.support.canaries import ENVIRONMENT, find_canaries
from tests.support.service_log import json_log

# A test never asserts a time: a busy machine would turn a right answer red.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")

os.environ |= ENVIRONMENT


@pytest.fixture(autouse=True, scope="session")
def _log() -> Iterator[None]:
    with json_log("info"):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that printed one of the suite's secrets, or whose service did."""
    report = yield
    told = find_canaries(" ".join(text for _, text in report.sections))
    if report.passed and told:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} prints the secrets {told}"
    return report
