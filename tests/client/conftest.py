"""A real service on a port of this machine, for both clients."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.conftest import online_store, published
from tests.support.either_client import KINDS
from tests.support.service_process import Server

__all__ = ["online_store", "published"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the two clients a test is about."""
    return str(request.param)


@pytest.fixture(scope="session")
def service_url(published: Path, online_store: Path) -> Iterator[str]:
    """The address of a service with the models of the API's own tests."""
    server = Server(
        published,
        online_store,
        ZEROSKEW_MAX_BODY_BYTES="1000000",
        ZEROSKEW_BODY_TIMEOUT_SEC="5",
    )
    assert server.process.stderr is not None
    # A log that nobody reads would stop the service once the pipe is full.
    reader = threading.Thread(target=server.process.stderr.read, daemon=True)
    reader.start()
    yield server.url
    server.process.terminate()
    server.process.wait()
    reader.join()
    server.process.stderr.close()
