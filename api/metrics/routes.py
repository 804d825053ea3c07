"""What Prometheus reads."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from starlette.responses import Response

from api.access.route_access import needs
from api.http.application import part
from api.http.guarded_route import GuardedRoute
from api.metrics.metric_book import MEDIA_TYPE
from api.metrics.sampler import MetricsSampler
from api.metrics.service_metrics import ServiceMetrics
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
async def metrics(
    measured: Annotated[ServiceMetrics, part(ServiceMetrics)],
    sampler: Annotated[MetricsSampler, part(MetricsSampler)],
) -> Response:
    """Answer in Prometheus's text format, for all processes of this service together."""
    sampler.sample()
    return Response(measured.book.render(), headers={"Content-Type": MEDIA_TYPE})
