"""What routes are given: the service's open resources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.feast.feast_interface import FeastInterface
from api.feedback.feedback import Feedback
from api.models.active_models import ActiveModels
from api.models.model_catalog import ModelCatalog
from api.predict.answering import Answering
from api.predict.predictor import Predictor
from api.predictions.prediction_log import PredictionLog
from api.registry.registry_changes import RegistryChanges
from zeroskew.contract.settings import Settings
from zeroskew.online.reader import OnlineFeatureReader
from zeroskew.records.background_work import BackgroundWork
from zeroskew.records.registry.registry_executor import RegistryExecutor

__all__ = ["Resources", "ServiceResources", "resources_of"]


@dataclass(frozen=True, slots=True)
class Resources:
    """Everything that the lifespan opened."""

    settings: Settings
    catalog: ModelCatalog
    registry_executor: RegistryExecutor
    registry_changes: RegistryChanges
    models: ActiveModels
    predictor: Predictor
    prediction_log: PredictionLog
    answering: Answering
    feedback: Feedback
    reader: OnlineFeatureReader
    feast: FeastInterface
    work: BackgroundWork


def resources_of(request: Request) -> Resources:
    """Return the resources of the service that `request` came to."""
    resources: Resources = request.app.state.resources
    return resources


# A coroutine although it awaits nothing: FastAPI hands plain functions to a thread.
async def _get_resources(request: Request) -> Resources:
    return resources_of(request)


ServiceResources = Annotated[Resources, Depends(_get_resources)]
