"""Whether the process lives, and whether it can answer."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from api.access.route_access import anyone
from api.dependencies import Resources, ServiceResources
from api.http.guarded_route import GuardedRoute
from zeroskew.contract.errors.service import StaleFeatureError, UnavailableError
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.model.load_gate import ActiveModel

__all__ = ["require_ready", "router"]

router = APIRouter(tags=["health"], route_class=GuardedRoute)


class Health(BaseModel):
    """The service can do what was asked about."""

    status: Literal["ok"] = "ok"


@router.get("/livez", summary="Is the process alive?")
@anyone
async def livez() -> Health:
    """Answer as long as the process can answer at all. A failure means: restart it."""
    return Health()


@router.get("/readyz", summary="Can it answer predictions?")
@anyone
async def readyz(resources: ServiceResources) -> Health:
    """Answer `ok` when a model is loaded and the online store has every view it reads.

    And when the work that goes on beside the requests does: log, labels, registry, keys.

    A failure means: send no traffic here yet. The answer says what is missing.
    """
    await require_ready(resources)
    return Health()


async def require_ready(resources: Resources) -> None:
    """Check that a model is loaded and the online store has what models read, as they read it.

    What is stored for each model's example is read and decoded: a feature whose type was changed
    since the model was published would fail every request for an entity that is stored.

    Raises
    ------
    UnavailableError
        If not, or if work beside the requests does not go on; it says what is missing.
    """
    for name, trouble in resources.work.list_troubles().items():
        raise UnavailableError(f"The background work {name!r} does not go on: {trouble}.")
    serving = resources.models.serving()
    if not serving:
        raise UnavailableError("No model is loaded; publish one and give it an alias.")
    for model in serving:
        await resources.reader.check(model.plan.layout)
        await _read_example(resources, model)


async def _read_example(resources: Resources, model: ActiveModel) -> None:
    plan = model.plan
    if not plan.features:
        return
    rows = model.schema.parse(json.dumps(model.schema.example).encode()).rows
    stored = await resources.reader.read(plan.layout, plan.serialize_keys(rows))
    # How old it is, is a matter of each answer.
    with suppress(StaleFeatureError):
        plan.assemble(rows, stored, to_epoch_us(resources.predictor.now()))
