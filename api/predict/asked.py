"""What a request asks of a model, as any of its versions reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from zeroskew.model.load_gate import ActiveModel
from zeroskew.model.requests.instances import Instances

__all__ = ["Asked", "Parse"]

Parse = Callable[[ActiveModel], Instances]
"""Reads the instances of a request as a version has them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Instances as ``lead`` has read them, and how another version reads them."""

    lead: ActiveModel
    instances: Instances
    parse: Parse

    def read_as(self, model: ActiveModel) -> Instances:
        """Return the instances, checked by the version that is to score them.

        Raises
        ------
        InvalidRequestError
            If that version does not take them: it may have other choices or features.
        """
        if model.schema.takes_same(self.lead.schema):
            return self.instances
        return self.parse(model)
