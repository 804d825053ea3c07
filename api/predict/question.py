"""What a request asks of a model, as any of its versions reads it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from api.http.context import RequestContext
from api.predict.prediction_id import make_prediction_id
from api.predict.wide_work import MOST_TOLD
from zeroskew.contract.errors.service import InvalidInstancesError
from zeroskew.model.load_gate import ActiveModel
from zeroskew.model.requests.instances import Instances
from zeroskew.model.requests.schemas import ModelSchema

__all__ = ["Content", "Question", "check_told"]


class Content(Protocol):
    """A request's body, in whichever protocol it came."""

    def to_instances(self, schema: ModelSchema) -> Instances:
        """Return the instances as a version has them.

        Raises
        ------
        InvalidRequestError
            If that version does not take them: it may have other choices or features.
        """
        ...


@dataclass
class Question:
    """One request for predictions.

    Parameters
    ----------
    content
        Its body.
    context
        Whose it is, and its id.
    tells_features
        Whether its answer is to tell of every feature.
    lead, instances
        The version that has read it first, and what that read.
    """

    content: Content
    context: RequestContext
    tells_features: bool
    lead: ActiveModel
    instances: Instances
    began: float = field(default_factory=time.perf_counter)

    @cached_property
    def id(self) -> str:
        """The id of its answer, a UUID version 7."""
        return make_prediction_id()

    def read_as(self, model: ActiveModel) -> Instances:
        """Return the instances, checked by the version that is to score them.

        Raises
        ------
        InvalidRequestError
            If that version does not take them.
        """
        if model.schema.takes_same(self.lead.schema):
            return self.instances
        instances = self.content.to_instances(model.schema)
        if self.tells_features:
            check_told(instances, model)
        return instances


def check_told(instances: Instances, model: ActiveModel) -> None:
    """Check that an answer can tell of every feature: it is made in one turn of the event loop.

    Raises
    ------
    InvalidInstancesError
        If there are too many.
    """
    n_rows, n_features = len(instances.rows), len(model.plan.features)
    if n_rows > 1 and n_rows * n_features > MOST_TOLD:
        raise InvalidInstancesError(
            f"Got with_features for {n_rows:,} instances of {n_features:,} features, but expected "
            f"at most {MOST_TOLD:,} values to tell of; ask for fewer instances at a time."
        )
