"""A service over a real registry, real files and an online store that Feast wrote."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.settings import make_settings
from tests.support.whole_service import publish_every_kind, write_views


@pytest.fixture(scope="session")
def online_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An online store with one carrier and one route, known at `EVENT_TIME`."""
    folder = tmp_path_factory.mktemp("online")
    write_views(folder, folder / "online.db")
    return folder / "online.db"


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with two versions of ``arrival_delay`` and one model of each other kind."""
    folder = tmp_path_factory.mktemp("registry")
    publish_every_kind(folder)
    return folder


@pytest.fixture(scope="session")
def client(published: Path, online_store: Path) -> Iterator[AppClient]:
    """A client of the running application."""
    app = create_app(make_settings(published, online_store))
    with AppClient(app) as running:
        yield running
