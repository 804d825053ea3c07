"""The base of what the contract hands over: known fields, finite numbers, never changed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["FrozenModel"]


class FrozenModel(BaseModel):
    """A document that is read whole or refused, and not changed after."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
