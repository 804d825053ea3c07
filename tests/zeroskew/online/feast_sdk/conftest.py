"""The store that the service's tests read."""

from tests.api.conftest import online_store  # noqa: F401 - a fixture
