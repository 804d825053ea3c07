"""Secrets that go through the whole suite, and the look for them in what it prints and answers.

Every request of an `AppClient` carries `HEADERS`, every database has `DATABASE_PASSWORD`, and
every process of the suite inherits `ENVIRONMENT`. A test that prints one of them, a service's
log included, or is answered one, fails (``tests/conftest.py``).
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["DATABASE_PASSWORD", "ENVIRONMENT", "HEADERS", "find_canaries", "secret"]


def secret(name: str) -> str:
    """Make a text that is told apart from all else."""
    return f"CANARY{name}CANARY"


HEADERS: Final = {
    "Cookie": f"session={secret('cookie')}",
    "X-Secret": secret("header"),
    "Proxy-Authorization": secret("proxy"),
    "Referer": f"https://example.org/?token={secret('referer')}",
    "User-Agent": secret("agent"),
    "X-Forwarded-For": secret("forwarded"),
    "tracestate": f"vendor={secret('state')}",
}
ENVIRONMENT: Final = {
    name: secret(name.replace("_", ""))
    for name in ("SECRET_KEY", "API_TOKEN", "SMTP_PASSWORD", "OAUTH_CLIENT_SECRET")
}
DATABASE_PASSWORD: Final = secret("database")


def find_canaries(text: str) -> set[str]:
    """Find the secrets that stand in a text."""
    return set(re.findall(r"CANARY\w+?CANARY", text))
