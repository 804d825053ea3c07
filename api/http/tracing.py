"""The caller's trace, after W3C Trace Context, and spans of requests and of their stages.

Spans are sent to a collector over OTLP where one is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from starlette.types import Scope

from api.log_config import TRACE_ID
from zeroskew.contract.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

__all__ = [
    "TRACEPARENT",
    "RequestSpan",
    "bind_trace",
    "open_tracer",
    "parse_traceparent",
    "request_span",
]

TRACEPARENT: Final = b"traceparent"
_TRACEPARENT: Final = re.compile(
    rb"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-[0-9a-f]{2}"
    rb"(?P<rest>-.*)?"
)


def parse_traceparent(value: bytes) -> str | None:
    """Return the trace id of a ``traceparent`` header, or ``None`` where the header is invalid.

    Later versions may add fields behind the four of version 00; version ff and ids of nothing
    but zeros are invalid (https://www.w3.org/TR/trace-context/#traceparent-header).

    >>> parse_traceparent(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    '4bf92f3577b34da6a3ce929d0e0e4736'
    """
    found = _TRACEPARENT.fullmatch(value)
    if found is None or found["version"] == b"ff" or (found["version"] == b"00" and found["rest"]):
        return None
    if not (found["trace"].strip(b"0") and found["parent"].strip(b"0")):
        return None
    return found["trace"].decode()


def bind_trace(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Let every log line of this request carry the trace id of its ``traceparent``.

    A header given twice is as good as none. Nothing is answered: no standard has a header for
    it, and the service starts no request of its own that it could hand the trace to.
    """
    given = [value for name, value in headers if name == TRACEPARENT]
    if len(given) == 1:
        TRACE_ID.set(parse_traceparent(given[0]))


def open_tracer(settings: Settings) -> tuple[Tracer | None, Callable[[], None]]:
    """Return what makes spans, ``None`` where no collector is named, and what sends the last.

    Raises
    ------
    ValueError
        If a collector is named and the extra ``otel`` is not installed.
    """
    if settings.traces_endpoint is None:
        return None, lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ModuleNotFoundError as error:
        raise ValueError(
            f"Got ZEROSKEW_TRACES_ENDPOINT={settings.traces_endpoint}, but expected the extra "
            "`otel` to be installed then."
        ) from error
    provider = TracerProvider(
        resource=Resource.create({"service.name": "zeroskew"}),
        sampler=ParentBased(TraceIdRatioBased(settings.traces_sampling)),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(settings.traces_endpoint, timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider.get_tracer("zeroskew"), provider.shutdown


@contextmanager
def request_span(tracer: Tracer, scope: Scope, request_id: str) -> Iterator[RequestSpan]:
    """Make a span of a request, in the caller's trace where it names one.

    It tells the route as declared, never a path, a query, a header or a body.
    """
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate")
    }
    context = TraceContextTextMapPropagator().extract(carrier)
    with tracer.start_as_current_span(
        "request",
        context=context,
        kind=SpanKind.SERVER,
        # Its text may have what the client sent in it; the log has the traceback.
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        span.set_attribute("zeroskew.request_id", request_id)
        TRACE_ID.set(f"{span.get_span_context().trace_id:032x}")
        yield RequestSpan(span)


class RequestSpan:
    """The span of one request."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def finish(self, *, method: str, route: str, status: int) -> None:
        """Say what it was: names after OpenTelemetry's conventions for HTTP servers."""
        from opentelemetry.trace import StatusCode

        self._span.update_name(f"{method} {route}")
        attributes: dict[str, Any] = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
        }
        self._span.set_attributes(attributes)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)
