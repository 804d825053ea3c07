"""What the registry is asked over HTTP, and what it tells."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from zeroskew.contract.answer_model import AnswerModel
from zeroskew.contract.rollout import Rollout
from zeroskew.contract.time.utc_moment import UtcMoment
from zeroskew.model.requests.body_documents import Note, RequestDocument
from zeroskew.records.registry.registered_version import RegisteredChange

__all__ = ["DOCUMENTS", "AliasMove", "Change", "Deprecation", "History", "RolloutChange"]


class Change(RequestDocument):
    """Who changes something, and why; kept in the model's history."""

    actor: Note = ""
    reason: Note = ""


class AliasMove(Change):
    """Where an alias is to point."""

    version: int = Field(ge=1, le=999_999_999)
    allow_request_change: bool = Field(
        default=False,
        description="Move it even if the callers' requests are then refused or answered otherwise.",
    )


class RolloutChange(Change):
    """What a model's rollout is to be."""

    rollout: Rollout


class Deprecation(Change):
    """When a version is to be retired, if that is known: a moment to come, with its UTC offset."""

    sunset_at: UtcMoment | None = Field(default=None, strict=False)


class History(AnswerModel):
    """A model's changes, the newest first."""

    changes: list[RegisteredChange]


DOCUMENTS: Final = (Change, AliasMove, RolloutChange, Deprecation)
"""The bodies that the routes here take."""
