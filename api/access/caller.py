"""Who asks: a key's bearer, or whoever comes to a service without keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from zeroskew.contract.scope import Scope
from zeroskew.records.registry.registered_version import unknown_model

__all__ = ["ANYBODY", "Caller"]


@dataclass(frozen=True, slots=True)
class Caller:
    """A request's caller.

    Parameters
    ----------
    id
        What the log and the audit call it; empty where there are no keys.
    name
        Whose it is, for people.
    scopes
        What it may do: every right where ``admin`` is among them.
    tenant
        Whose it is: it does not reach models of other tenants; ``None`` reaches all.
    tenants
        The tenant of each model that has one, as the service knows it at this moment.
    sees_models
        Whether it sees any model at all.
    requests_per_sec, requests_per_day
        Its own limits.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    tenant: str | None = None
    tenants: Mapping[str, str] = field(default_factory=dict)
    sees_models: bool = True
    requests_per_sec: float | None = None
    requests_per_day: int | None = None
    is_limited: bool = field(init=False)
    """Whether it has limits of its own."""

    def __post_init__(self) -> None:
        if Scope.ADMIN in self.scopes:
            object.__setattr__(self, "scopes", frozenset(Scope))
        is_limited = self.requests_per_sec is not None or self.requests_per_day is not None
        object.__setattr__(self, "is_limited", is_limited)

    @property
    def actor(self) -> str:
        """How the history of changes names it."""
        return f"{self.name} ({self.id})" if self.id else ""

    def sees(self, model: str) -> bool:
        """Whether it reaches a model: not another tenant's."""
        return self.sees_models and (
            self.tenant is None or self.tenants.get(model, self.tenant) == self.tenant
        )

    def owns(self, model: str) -> bool:
        """Whether a model is its tenant's; to a caller without a tenant all are."""
        return self.tenant is None or self.tenants.get(model) == self.tenant

    def check(self, model: str) -> None:
        """Answer for another tenant's model as for one that is not there.

        Raises
        ------
        UnknownModelError
            If the caller does not see the model.
        """
        if not self.sees(model):
            raise unknown_model(model)


ANYBODY: Final = Caller("", "", frozenset(Scope))
"""Whoever comes to a service that asks for no keys."""
