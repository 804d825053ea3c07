"""What a key may let its bearer do, and what keys look like."""

from __future__ import annotations

import hashlib
import re
import secrets
from enum import StrEnum
from typing import Final, NamedTuple

__all__ = ["KEY_ID", "TENANT_PATTERN", "NewKey", "Scope", "hash_secret", "make_key", "split_key"]

_PREFIX: Final = "zsk"
KEY_ID: Final = "zsk_[0-9a-f]{12}"
"""The part of a key that is shown, as a regular expression."""

TENANT_PATTERN: Final = "[a-z][a-z0-9_-]{0,62}"
"""The name of a tenant, as a regular expression."""

_KEY: Final = re.compile(rf"({KEY_ID})_([A-Za-z0-9_-]{{43}})")


class Scope(StrEnum):
    """A right; ``admin`` is all of them."""

    PREDICT = "predict"
    FEEDBACK = "feedback"
    FEATURES_WRITE = "features:write"
    PREDICTIONS_READ = "predictions:read"
    MODELS_MANAGE = "models:manage"
    METRICS = "metrics"
    ADMIN = "admin"


class NewKey(NamedTuple):
    """A key as it is told once: its whole text, the part that is shown, and what is stored."""

    text: str
    id: str
    sha256: str


def make_key() -> NewKey:
    """Make a key with 256 random bits.

    >>> made = make_key()
    >>> split_key(made.text) == (made.id, made.sha256)
    True
    """
    key_id = f"{_PREFIX}_{secrets.token_hex(6)}"
    text = f"{key_id}_{secrets.token_urlsafe(32)}"
    return NewKey(text, key_id, hash_secret(text))


def split_key(text: str) -> tuple[str, str] | None:
    """Return the id and the sha256 of what may be a key, or ``None`` where it cannot be one.

    >>> split_key("password") is None
    True
    """
    found = _KEY.fullmatch(text)
    return None if found is None else (found[1], hash_secret(text))


def hash_secret(text: str) -> str:
    """Return what is stored of a key; random bits need no slow hash."""
    return hashlib.sha256(text.encode()).hexdigest()
