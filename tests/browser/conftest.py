"""One browser and one served registry for all tests of pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.api.conftest import online_store, published  # noqa: F401 - fixtures
from tests.support.chromium import open_browser
from tests.support.service_process import Server

SCREENSHOTS = Path(__file__).parents[2] / "var" / "screenshots"


# Playwright's event loop runs in this thread as long as the browser is open, and tests of
# other modules run loops of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as running:
        yield running


@pytest.fixture(scope="session")
def server(published: Path, online_store: Path) -> Iterator[Server]:  # noqa: F811 - as above
    running = Server(published, online_store, ZEROSKEW_MAX_BODY_BYTES="100000")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS
