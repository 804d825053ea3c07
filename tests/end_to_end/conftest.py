"""One flights project for the whole session, shared by the workers of pytest-xdist."""

import os

import pytest

from tests.support.flights_project import FlightsProject, bring_up


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory) -> FlightsProject:
    base = tmp_path_factory.getbasetemp()
    return bring_up((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "flights")
