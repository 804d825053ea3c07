"""What a reader of the registry is told about keys and tenants."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, field_validator

from zeroskew.contract.scope import Scope

__all__ = ["AccessReader", "AccessSnapshot", "RegisteredAct", "RegisteredKey"]


class RegisteredKey(BaseModel):
    """A key; of its text only the ``id`` is known.

    ``tenant`` is whose models it reaches, all models where it is ``None``.
    """

    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: str
    sha256: str
    name: str
    scopes: tuple[Scope, ...]
    tenant: str | None
    requests_per_sec: float | None
    requests_per_day: int | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @field_validator("scopes", mode="before")
    @classmethod
    def _split(cls, given: Any) -> Any:
        return tuple(given.split()) if isinstance(given, str) else given

    def is_valid(self, now: datetime) -> bool:
        """Whether it opens anything at ``now``."""
        is_expired = self.expires_at is not None and self.expires_at <= now
        return not is_expired and self.revoked_at is None


class RegisteredAct(BaseModel):
    """One act about keys or tenants."""

    model_config = ConfigDict(frozen=True)

    number: int
    time: datetime
    actor: str
    reason: str
    action: str
    subject: str
    before: Any = None
    after: Any = None


class AccessSnapshot(BaseModel):
    """All keys, and the tenant of each model that has one, at one moment."""

    model_config = ConfigDict(frozen=True)

    generation: int
    keys: tuple[RegisteredKey, ...]
    tenants: dict[str, str]


class AccessReader(Protocol):
    """Reads keys and tenants. Its calls block; several threads may make them."""

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What its calls raise when the database fails."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...

    def read_generation(self) -> int:
        """Return a number that every change raises."""
        ...

    def read_access(self) -> AccessSnapshot:
        """Return keys and tenants in one consistent read."""
        ...

    def note_uses(self, uses: dict[str, datetime]) -> None:
        """Note when keys were last used, by id; an earlier time changes nothing."""
        ...
