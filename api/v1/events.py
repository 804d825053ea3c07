"""Raw events for windowed views, a JSON object each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from api.access.route_access import needs
from api.feast.feast_interface import FeastInterface
from api.feast.pushes.feature_pushes import PushResult
from api.feast.pushes.write_route import read_rows_document, tell_result
from api.http.application import part_of
from api.http.guarded_route import DirectRoute
from api.http.problem import problems
from zeroskew.contract.errors.service import FieldError, InvalidRequestError
from zeroskew.contract.scope import Scope
from zeroskew.model.requests.body_documents import RequestDocument, describe_body

__all__ = ["EVENT_DOCUMENTS", "router"]

_CELL: Final = re.compile(r"/df/([^/]*)(?:/(\d+))?(.*)")


class EventsRequest(RequestDocument):
    """Events of one source: the join keys, the columns that windows read, and the times.

    A name that an event leaves out is null there.
    """

    events: list[dict[str, Any]] = Field(min_length=1)


EVENT_DOCUMENTS: Final = (EventsRequest,)
"""The bodies that the routes here take."""

router = APIRouter(
    prefix="/v1/events",
    tags=["events"],
    route_class=DirectRoute,
    responses=problems(HTTPStatus.SERVICE_UNAVAILABLE),
)


@router.post(
    "/{source}",
    summary="Take events",
    response_model=PushResult,
    responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.NOT_IMPLEMENTED),
    openapi_extra=describe_body(EventsRequest),
)
@needs(Scope.FEATURES_WRITE, is_for_tenants=False)
async def take_events(request: Request, source: str) -> Response:
    """Add events to the windows of every view over a source, and to its table.

    The source is a push source, or the table itself. When this answers they are on disk on their
    way to the lake, and count in predictions. With an event id of the view's, to send them again
    changes nothing.
    """
    given = await read_rows_document(EventsRequest, request)
    try:
        columns = _as_columns(given.events)
        done = await part_of(request, FeastInterface).pushes.add_events(source, columns)
    except InvalidRequestError as error:
        raise _by_event(error) from error
    return tell_result(done)


def _as_columns(events: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for event in events for name in event)
    return {name: [event.get(name) for event in events] for name in names}


def _by_event(error: InvalidRequestError) -> InvalidRequestError:
    """Return an error about columns as one about events."""
    if not error.fields:
        return error
    fields = tuple(
        FieldError(
            "/events" if field.pointer == "/df" else _CELL.sub(_move, field.pointer),
            field.got,
            field.expected,
        )
        for field in error.fields
    )
    return InvalidRequestError(fields[0].message, fields)


def _move(found: re.Match[str]) -> str:
    return f"/events/{found[2] or 0}/{found[1]}{found[3]}"
