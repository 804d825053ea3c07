"""Makes, rotates and revokes keys, and says which tenant a model belongs to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import or_, update
from sqlmodel import Session, col, select

from zeroskew.contract.database_url import BUSY_TIMEOUT_SEC
from zeroskew.contract.errors.access import UnknownKeyError
from zeroskew.contract.errors.service import RegistryConflictError
from zeroskew.contract.scope import Scope, make_key
from zeroskew.records.access.access_tables import AccessChange, ApiKey
from zeroskew.records.access.registered_access import AccessSnapshot, RegisteredAct, RegisteredKey
from zeroskew.records.database.open_database import open_database
from zeroskew.records.registry.registry_database import DATABASE_FAILURES, RegistryDatabase
from zeroskew.records.registry.stored_registry import get_model
from zeroskew.records.registry.tables import Model, RegistryGeneration

__all__ = ["AccessStore", "IssuedKey"]


class IssuedKey(NamedTuple):
    """A new key; ``text`` is told this once, and stored nowhere."""

    text: str
    key: RegisteredKey


class AccessStore:
    """Keys and tenants in the registry's database.

    Every act raises the registry's generation, by which services follow, and is kept with who
    did it, when and why, and what was there before. Hashes stay out of that history.

    Parameters
    ----------
    database
        Where they are.
    """

    failures = DATABASE_FAILURES

    def __init__(self, database: RegistryDatabase) -> None:
        self._database = database
        self.close = database.close
        self.read_generation = database.read_generation

    @classmethod
    def open(cls, url: str, *, busy_timeout_sec: float = BUSY_TIMEOUT_SEC) -> AccessStore:
        """Open the keys and tenants at `url`; see `ModelRegistry.open`."""
        return cls(RegistryDatabase(open_database(url, busy_timeout_sec=busy_timeout_sec)))

    def create_key(
        self,
        name: str,
        scopes: Sequence[Scope],
        *,
        tenant: str | None = None,
        expires_at: datetime | None = None,
        requests_per_sec: float | None = None,
        requests_per_day: int | None = None,
        actor: str = "",
        reason: str = "",
    ) -> IssuedKey:
        """Make a key.

        Parameters
        ----------
        name
            Whose it is, for people and for the log.
        tenant
            Whose models alone it reaches.
        requests_per_sec, requests_per_day
            Its limits, the service's own where they are ``None``.
        """
        made = make_key()
        row = ApiKey(
            id=made.id,
            sha256=made.sha256,
            name=name,
            scopes=" ".join(sorted(set(scopes))),
            tenant=tenant,
            requests_per_sec=requests_per_sec,
            requests_per_day=requests_per_day,
            created_at=datetime.now(UTC),
            created_by=actor,
            expires_at=expires_at,
        )
        with self._database.change() as (session, _):
            session.add(row)
            _note(session, "create_key", made.id, actor, reason, None, row)
            session.commit()
            return IssuedKey(made.text, RegisteredKey.model_validate(row))

    def rotate_key(
        self, key_id: str, *, overlap: timedelta, actor: str = "", reason: str = ""
    ) -> IssuedKey:
        """Make a key with the same rights, and let the old one end after `overlap`.

        Raises
        ------
        UnknownKeyError
            If there is no such key.
        RegistryConflictError
            If it is revoked, has expired, or was rotated already: its end is no longer its own.
        """
        now = datetime.now(UTC)
        made = make_key()
        with self._database.change() as (session, _):
            old = _get_key(session, key_id)
            rotated = select(AccessChange.number).where(
                AccessChange.action == "rotate_key", AccessChange.subject == key_id
            )
            if session.exec(rotated).first() is not None:
                raise RegistryConflictError(
                    f"Got key {key_id}, which was rotated already, but expected the one that took "
                    "its place; `zeroskew keys history` names it."
                )
            if not RegisteredKey.model_validate(old).is_valid(now):
                raise RegistryConflictError(
                    f"Got key {key_id}, which has ended, but expected a valid one; create another."
                )
            before = _describe(old)
            given = old.model_dump() | {"id": made.id, "sha256": made.sha256, "last_used_at": None}
            row = ApiKey(**given | {"created_at": now, "created_by": actor})
            ends_at = now + overlap
            old.expires_at = ends_at if old.expires_at is None else min(old.expires_at, ends_at)
            session.add(row)
            _note(session, "rotate_key", key_id, actor, reason, before, old)
            _note(session, "create_key", made.id, actor, reason, None, row)
            session.commit()
            return IssuedKey(made.text, RegisteredKey.model_validate(row))

    def revoke_key(self, key_id: str, *, actor: str = "", reason: str = "") -> RegisteredKey:
        """End a key at once; again changes nothing.

        Raises
        ------
        UnknownKeyError
            If there is no such key.
        """
        with self._database.change() as (session, _):
            row = _get_key(session, key_id)
            if row.revoked_at is None:
                before = _describe(row)
                row.revoked_at = datetime.now(UTC)
                _note(session, "revoke_key", key_id, actor, reason, before, row)
                session.commit()
            return RegisteredKey.model_validate(row)

    def set_tenant(
        self, model: str, tenant: str | None, *, actor: str = "", reason: str = ""
    ) -> None:
        """Say whose a model is; ``None`` lets every key reach it.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        """
        with self._database.change() as (session, _):
            row = get_model(session, model)
            if row.tenant != tenant:
                before, row.tenant = {"tenant": row.tenant}, tenant
                _note(session, "set_tenant", model, actor, reason, before, {"tenant": tenant})
                session.commit()

    def list_keys(self) -> list[RegisteredKey]:
        """Return all keys, also those that have ended, in the order in which they were made."""
        with self._database.read() as session:
            rows = session.exec(select(ApiKey).order_by(col(ApiKey.created_at), ApiKey.id))
            return [RegisteredKey.model_validate(row) for row in rows]

    def list_acts(self, *, limit: int = 100) -> list[RegisteredAct]:
        """Return what was done about keys and tenants, the newest first."""
        with self._database.read() as session:
            rows = session.exec(
                select(AccessChange).order_by(col(AccessChange.number).desc()).limit(limit)
            )
            return [
                RegisteredAct.model_validate(
                    row.model_dump() | {"before": _read(row.before), "after": _read(row.after)}
                )
                for row in rows
            ]

    def read_access(self) -> AccessSnapshot:
        """Return keys and tenants in one consistent read."""
        with self._database.read_at_once() as session:
            owned = session.exec(select(Model).where(col(Model.tenant).is_not(None)))
            return AccessSnapshot(
                generation=session.exec(select(RegistryGeneration.value)).one(),
                keys=tuple(
                    RegisteredKey.model_validate(row) for row in session.exec(select(ApiKey))
                ),
                tenants={row.name: row.tenant for row in owned if row.tenant is not None},
            )

    def note_uses(self, uses: dict[str, datetime]) -> None:
        """Note when keys were last used, by id; an earlier time changes nothing."""
        last = col(ApiKey.last_used_at)
        with self._database.write() as session:
            for key_id, used_at in sorted(uses.items()):
                session.execute(
                    update(ApiKey)
                    .where(col(ApiKey.id) == key_id, or_(last.is_(None), last < used_at))
                    .values(last_used_at=used_at)
                )
            session.commit()


def _get_key(session: Session, key_id: str) -> ApiKey:
    found = session.get(ApiKey, key_id)
    if found is None:
        raise UnknownKeyError("Got an id that no key has, but expected one of `zeroskew keys`.")
    return found


def _describe(row: ApiKey) -> dict[str, Any]:
    return row.model_dump(mode="json", exclude={"sha256", "last_used_at"})


def _note(
    session: Session,
    action: str,
    subject: str,
    actor: str,
    reason: str,
    before: dict[str, Any] | None,
    after: ApiKey | dict[str, Any],
) -> None:
    described = _describe(after) if isinstance(after, ApiKey) else after
    session.add(
        AccessChange(
            time=datetime.now(UTC),
            actor=actor,
            reason=reason,
            action=action,
            subject=subject,
            before=None if before is None else json.dumps(before, sort_keys=True),
            after=json.dumps(described, sort_keys=True),
        )
    )


def _read(text: str | None) -> Any:
    return None if text is None else json.loads(text)
