"""What Prometheus reads."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.access.route_access import needs
from api.http.guarded_route import GuardedRoute
from api.metrics.metric_book import MEDIA_TYPE
from zeroskew.contract.scope import Scope

__all__ = ["router"]

router = APIRouter(tags=["health"], route_class=GuardedRoute)


@router.get(
    "/metrics",
    summary="What is counted and measured",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
@needs(Scope.METRICS, is_for_tenants=False)
async def metrics(request: Request) -> Response:
    """Answer in Prometheus's text format, for all processes of this service together."""
    request.app.state.sampler.sample()
    return Response(request.app.state.metrics.book.render(), headers={"Content-Type": MEDIA_TYPE})
