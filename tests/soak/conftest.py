"""The trials use the API tests' stores."""

from __future__ import annotations

from tests.api.conftest import online_store

__all__ = ["online_store"]
