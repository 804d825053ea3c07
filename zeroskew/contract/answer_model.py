"""The base of documents that the service answers with."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["AnswerModel"]


class AnswerModel(BaseModel):
    """A document of an answer.

    Its schema is made when it is first needed: most processes never show most of them, and all of
    them together would be a twentieth of the work of a start.
    """

    model_config = ConfigDict(defer_build=True)
