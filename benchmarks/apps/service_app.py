"""The service as an application for any ASGI server, logging as in production."""

from __future__ import annotations

from api.log_config import configure_logging
from api.main import create_app
from zeroskew.contract.settings import Settings

settings = Settings()
configure_logging("json", settings.log_level)
app = create_app(settings)
