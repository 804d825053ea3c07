"""Whether the process lives, and whether it can answer."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from api.access.route_access import anyone
from api.health.readiness import Readiness
from api.http.application import part
from api.http.guarded_route import GuardedRoute
from api.http.problem import problems

__all__ = ["router"]

router = APIRouter(tags=["health"], route_class=GuardedRoute)


class Health(BaseModel):
    """The service can do what was asked about."""

    status: Literal["ok"] = "ok"


@router.get("/livez", summary="Is the process alive?")
@anyone
async def livez() -> Health:
    """Answer as long as the process can answer at all. A failure means: restart it."""
    return Health()


@router.get(
    "/readyz",
    summary="Can it answer predictions?",
    responses=problems(HTTPStatus.SERVICE_UNAVAILABLE),
)
@anyone
async def readyz(readiness: Annotated[Readiness, part(Readiness)]) -> Health:
    """Answer `ok` when a model is loaded and the online store has every view it reads.

    And when the work that goes on beside the requests does: log, labels, registry, keys.

    A failure means: send no traffic here yet. The answer says what is missing.
    """
    await readiness.require()
    return Health()
