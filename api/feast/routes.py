"""Feast's HTTP interface: what a client with ``online_store: {type: remote}`` calls."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import Field
from pydantic_core import to_json
from starlette.responses import Response

from api.access.route_access import anyone, needs
from api.feast.feast_interface import FeastInterface
from api.feast.pushes.feature_pushes import PushResult
from api.feast.pushes.write_route import read_rows_document, tell_result
from api.feast.request_bodies import OnlineFeaturesRequest, PushRequest, WriteRequest
from api.http.application import part_of
from api.http.guarded_route import DirectRoute
from api.http.problem import problems
from api.http.request_body import JsonBody
from zeroskew.contract.answer_model import AnswerModel
from zeroskew.contract.errors.not_found import NotFoundError
from zeroskew.contract.errors.service import UnavailableError
from zeroskew.contract.scope import Scope
from zeroskew.model.requests.body_documents import describe_body, parse_document

__all__ = ["FEAST_DOCUMENTS", "router"]

FEAST_DOCUMENTS: Final = (OnlineFeaturesRequest, PushRequest, WriteRequest)
"""The bodies that the routes here take."""

_OF_WRITES: Final = problems(HTTPStatus.NOT_FOUND, HTTPStatus.NOT_IMPLEMENTED)

router = APIRouter(
    prefix="/feast",
    tags=["feast"],
    route_class=DirectRoute,
    responses=problems(HTTPStatus.SERVICE_UNAVAILABLE),
)


class FeatureViewVersion(AnswerModel):
    """A view and Feast's number of its version, if it has one."""

    name: str
    version: int | None = None


class OnlineFeaturesMetadata(AnswerModel):
    """What the results are, in their order: the join keys, then the features."""

    feature_names: list[str]
    feature_view_metadata: list[FeatureViewVersion] | None = Field(
        None, description="There when asked for."
    )


class FeatureVector(AnswerModel):
    """One join key or feature: a value, a status and an event time for each row."""

    values: list[Any]
    statuses: list[str] = Field(
        description="`PRESENT`, `NULL_VALUE`, `NOT_FOUND`, or `OUTSIDE_MAX_AGE` for a value that "
        "is not live by its view's ttl: it is null then."
    )
    event_timestamps: list[str]


class OnlineFeatures(AnswerModel):
    """The features of all rows, a result a column."""

    metadata: OnlineFeaturesMetadata
    results: list[FeatureVector]


@router.post(
    "/get-online-features",
    summary="Look features up",
    response_model=OnlineFeatures,
    responses=problems(HTTPStatus.NOT_FOUND),
    openapi_extra=describe_body(OnlineFeaturesRequest),
)
@needs(Scope.PREDICT, is_for_tenants=False)
async def get_online_features(request: Request) -> Response:
    """Look features up by entity, for a feature service or a list of `view:feature`."""
    asked = parse_document(OnlineFeaturesRequest, await JsonBody(request).read())
    answer = await part_of(request, FeastInterface).lookups.look_up(asked)
    # As Feast's server, and protobuf, write numbers that JSON has not.
    return Response(to_json(answer, inf_nan_mode="strings"), media_type="application/json")


@router.post(
    "/push",
    summary="Push rows to a push source",
    response_model=PushResult,
    responses=_OF_WRITES,
    openapi_extra=describe_body(PushRequest),
)
@needs(Scope.FEATURES_WRITE, is_for_tenants=False)
async def push(request: Request) -> Response:
    """Write rows online to every view that the push source feeds, and to their tables.

    Rows that are older than what is online change nothing there. Of the lake they are on disk
    when this answers, and the next command that reads the table finds them in it.
    """
    pushed = await read_rows_document(PushRequest, request)
    return tell_result(await part_of(request, FeastInterface).pushes.push(pushed))


@router.post(
    "/write-to-online-store",
    summary="Write rows of a view",
    response_model=PushResult,
    responses=_OF_WRITES,
    openapi_extra=describe_body(WriteRequest),
)
@needs(Scope.FEATURES_WRITE, is_for_tenants=False)
async def write_to_online_store(request: Request) -> Response:
    """Write rows of one view online, and to its table; as a push does."""
    given = await read_rows_document(WriteRequest, request)
    return tell_result(await part_of(request, FeastInterface).pushes.write(given))


@router.get("/health", summary="Is a feature catalog in force?", response_class=Response)
@anyone
async def health(request: Request) -> Response:
    """Answer 200 without a body when the other addresses under `/feast` can be used."""
    try:
        await part_of(request, FeastInterface).catalogs.current()
    except NotFoundError as error:
        # To what watches over the service, a catalog that is missing is no mistake in the address.
        raise UnavailableError(str(error)) from error
    return Response()
