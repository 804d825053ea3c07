"""The trials use the API tests' stores and the example's project."""

from __future__ import annotations

from tests.api.conftest import online_store
from tests.end_to_end.conftest import flights

__all__ = ["flights", "online_store"]
