"""How the predictions of a model are kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from zeroskew.contract.frozen_model import FrozenModel

__all__ = ["LogPolicy"]


class LogPolicy(FrozenModel):
    """How a model's predictions are kept.

    ``mode`` is ``buffered``, written soon after the answer, where a crash loses what came within
    ``log_flush_sec``; ``durable``, answered when it is on disk; or ``off``, not at all. A field
    in both ``fields`` and ``hashed_fields`` is hashed.
    """

    mode: Literal["buffered", "durable", "off"] = "buffered"
    sampling: float = Field(default=1.0, ge=0.0, le=1.0, description="The share that is kept.")
    fields: tuple[str, ...] | None = Field(
        default=None, description="The request fields that are kept; all if not set."
    )
    hashed_fields: tuple[str, ...] = Field(
        default=(), description="Text fields of which a keyed hash is kept."
    )
    inputs: bool = Field(
        default=True, description="Whether the model's matrix is kept; no replay and skew without."
    )

    @property
    def is_masking(self) -> bool:
        """Whether it leaves anything out."""
        return self.fields is not None or bool(self.hashed_fields) or not self.inputs
