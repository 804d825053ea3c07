"""Changes what points to versions: aliases and rollouts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session

from zeroskew.contract.rollout import Rollout
from zeroskew.records.registry.change_rules import (
    check_match,
    require_not_retired,
    require_rollout_targets,
    require_unused,
)
from zeroskew.records.registry.registered_version import (
    RegisteredAlias,
    RegisteredRollout,
    unknown_alias,
    unknown_rollout,
)
from zeroskew.records.registry.stored_registry import StoredRegistry, get_model, get_version
from zeroskew.records.registry.tables import ModelAlias, ModelRollout, RegistryChange

__all__ = ["MovingRegistry", "note_change"]


class MovingRegistry(StoredRegistry):
    """The registry with what moves in it.

    Each change is one transaction that first raises the registry's generation, so changes
    queue however many processes make them, and the generation is the revision of what changed.
    Each is kept with who made it, when and why, and what was there before.

    Every method takes ``actor`` and ``reason``, and what moves something ``if_match``: the revision
    that the caller saw, 0 where there was to be nothing, ``None`` to move whatever is there.
    """

    def set_alias(
        self,
        model: str,
        alias: str,
        version: int,
        *,
        actor: str = "",
        reason: str = "",
        if_match: int | None = None,
    ) -> RegisteredAlias:
        """Point `alias` of `model` to `version`; where it points there already nothing changes.

        Raises
        ------
        UnknownModelError, UnknownVersionError
            If there is no such model, or no such version of it.
        RegistryConflictError
            If the version is retired.
        RevisionConflictError
            If the alias is not at the revision `if_match`.
        """
        with self._database.change() as (session, revision):
            target = get_version(session, model, version)
            require_not_retired(target)
            found = session.get(ModelAlias, (model, alias))
            check_match(f"alias {alias!r}", if_match, found)
            if found is not None and found.version == version:
                session.rollback()
                return self.get_alias(model, alias)
            before = None if found is None else {"version": found.version}
            now = datetime.now(UTC)
            moved = session.merge(
                ModelAlias(
                    model=model, alias=alias, version=version, revision=revision, updated_at=now
                )
            )
            target.state = "live"
            after = {"version": version}
            note_change(session, model, "set_alias", alias, actor, reason, before, after)
            session.commit()
            return RegisteredAlias.model_validate(moved)

    def delete_alias(
        self,
        model: str,
        alias: str,
        *,
        actor: str = "",
        reason: str = "",
        if_match: int | None = None,
    ) -> None:
        """Take `alias` away from `model`.

        Raises
        ------
        UnknownModelError, UnknownAliasError
            If there is no such model, or no such alias of it.
        RegistryConflictError
            If the model's rollout goes by the alias.
        RevisionConflictError
            If the alias is not at the revision `if_match`.
        """
        with self._database.change() as (session, _):
            get_model(session, model)
            found = session.get(ModelAlias, (model, alias))
            if found is None:
                raise unknown_alias(model, alias)
            check_match(f"alias {alias!r}", if_match, found)
            require_unused(session, model, alias=alias)
            session.delete(found)
            before = {"version": found.version}
            note_change(session, model, "delete_alias", alias, actor, reason, before, None)
            session.commit()

    def set_rollout(
        self,
        model: str,
        rollout: Rollout,
        *,
        actor: str = "",
        reason: str = "",
        if_match: int | None = None,
    ) -> RegisteredRollout:
        """Give `model` a rollout in place of the one it has; the same again changes nothing.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        RegistryConflictError
            If the rollout names a version or an alias that is not there, or a retired version.
        RevisionConflictError
            If the rollout is not at the revision `if_match`.
        """
        with self._database.change() as (session, revision):
            get_model(session, model)
            targets = require_rollout_targets(session, model, rollout)
            found = session.get(ModelRollout, model)
            check_match("the rollout", if_match, found)
            document = rollout.model_dump_json(exclude_defaults=True)
            if found is not None and found.document == document:
                session.rollback()
                return self.get_rollout(model)
            before = None if found is None else json.loads(found.document)
            now = datetime.now(UTC)
            session.merge(
                ModelRollout(model=model, document=document, revision=revision, updated_at=now)
            )
            for target in targets:
                target.state = "live"
            after = json.loads(document)
            note_change(session, model, "set_rollout", "rollout", actor, reason, before, after)
            session.commit()
            return RegisteredRollout(
                model=model, rollout=rollout, revision=revision, updated_at=now
            )

    def delete_rollout(
        self, model: str, *, actor: str = "", reason: str = "", if_match: int | None = None
    ) -> None:
        """End the rollout of `model`: its champion answers everybody.

        Raises
        ------
        UnknownModelError, UnknownRolloutError
            If there is no such model, or it has no rollout.
        RevisionConflictError
            If the rollout is not at the revision `if_match`.
        """
        with self._database.change() as (session, _):
            get_model(session, model)
            found = session.get(ModelRollout, model)
            if found is None:
                raise unknown_rollout(model)
            check_match("the rollout", if_match, found)
            session.delete(found)
            before = json.loads(found.document)
            note_change(session, model, "delete_rollout", "rollout", actor, reason, before, None)
            session.commit()

    def record_judgement(
        self, model: str, subject: str, judgement: dict[str, Any], *, actor: str, reason: str
    ) -> None:
        """Keep in the history how an arm of the rollout was judged; nothing is changed by it.

        Raises
        ------
        UnknownModelError
            If there is no such model.
        """
        with self._database.write() as session:
            get_model(session, model)
            note_change(session, model, "judge", subject, actor, reason, None, judgement)
            session.commit()


def note_change(
    session: Session,
    model: str,
    action: str,
    subject: str,
    actor: str,
    reason: str,
    before: Any,
    after: Any,
) -> None:
    """Keep a change: what it was about, who made it and why, and the states around it."""
    session.add(
        RegistryChange(
            time=datetime.now(UTC),
            actor=actor,
            reason=reason,
            model=model,
            action=action,
            subject=subject,
            before=None if before is None else json.dumps(before, sort_keys=True),
            after=None if after is None else json.dumps(after, sort_keys=True),
        )
    )
