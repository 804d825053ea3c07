"""The log of an application in this process, as a service writes it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import structlog

from api.log_config import configure_logging

__all__ = ["service_log"]


@contextmanager
def service_log(
    level: Literal["debug", "info"], log_format: Literal["console", "json"] = "json"
) -> Iterator[None]:
    """Log as a service does, to what is standard error now, and afterwards as before."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, root_level = root.handlers[:], root.level
    clients = [
        client for name in ("httpx", "httpcore") if not (client := logging.getLogger(name)).disabled
    ]
    configure_logging(log_format, level)
    # A logger that is kept would write to this standard error for ever.
    structlog.configure(cache_logger_on_first_use=False)
    for client in clients:
        # The tests' own client tells what it sends, in this same process.
        client.disabled = True
    yield
    for client in clients:
        client.disabled = False
    root.handlers[:] = handlers
    root.setLevel(root_level)
    structlog.configure(**before)
