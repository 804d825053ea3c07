"""What holds for every test."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

from tests.support.canaries import ENVIRONMENT, find_canaries
from tests.support.service_log import service_log
from tests.support.waiting import PATIENT_SERVICE

IMAGES: Final = Path(__file__).parent / "image"

# A test never asserts a time: a busy machine would turn a right answer red.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")

os.environ |= ENVIRONMENT | PATIENT_SERVICE


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the images: they take minutes, and at the end one process would wait for them."""
    items.sort(key=lambda item: not item.path.is_relative_to(IMAGES))


@pytest.fixture(autouse=True, scope="session")
def _log() -> Iterator[None]:
    with service_log("info"):
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
