"""Spans reach a collector over OTLP, in the caller's trace, with a child a stage."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE
from tests.support.settings import make_settings

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


class Collector:
    """Takes spans over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.bodies: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.bodies.append(body)
                request = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    for scoped in resource.scope_spans:
                        collector.spans += scoped.spans
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_prediction_is_a_span_with_a_child_for_each_stage(
    published: Path, online_store: Path, collector: Collector
) -> None:
    settings = make_settings(published, online_store, traces_endpoint=collector.endpoint)
    secret = {"traceparent": PARENT, "X-Request-ID": "r1", "X-Secret": "hush"}
    with AppClient(create_app(settings)) as client:
        path = "/v1/models/is_late:predict?with_features=true"
        assert client.post(path, json={"instances": [EXAMPLE]}, headers=secret).status_code == 200
        client.get("/made/up/hush")
    (served,) = [
        span for span in collector.spans if span.trace_id.hex() == TRACE and span.kind == 2
    ]
    assert served.name == "POST /v1/models/{model:name}:predict"
    assert served.parent_span_id.hex() == "00f067aa0ba902b7"
    assert attributes(served) == {
        "http.request.method": "POST",
        "http.route": "/v1/models/{model:name}:predict",
        "http.response.status_code": 200,
        "zeroskew.request_id": "r1",
    }
    children = [span for span in collector.spans if span.parent_span_id == served.span_id]
    assert {span.name for span in children} == {"parse", "features", "model", "log"}
    (other,) = [span for span in collector.spans if span.name == "GET other"]
    assert other.trace_id.hex() != TRACE
    assert all(b"hush" not in body for body in collector.bodies)


def test_none_is_sampled_but_what_the_caller_samples(
    published: Path, online_store: Path, collector: Collector
) -> None:
    settings = make_settings(
        published, online_store, traces_endpoint=collector.endpoint, traces_sampling=0
    )
    with AppClient(create_app(settings)) as client:
        client.get("/v1/models")
        client.get("/v1/models", headers={"traceparent": PARENT})
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}


def test_fastapi_makes_no_spans_of_its_own(
    published: Path, online_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    with AppClient(create_app(make_settings(published, online_store))) as client:
        assert client.get("/v1/models?token=hush").status_code == 422
    assert spans.get_finished_spans() == ()


def test_a_collector_that_is_away_harms_nobody(published: Path, online_store: Path) -> None:
    settings = make_settings(
        published, online_store, traces_endpoint="http://127.0.0.1:9/v1/traces"
    )
    with AppClient(create_app(settings)) as client:
        assert client.get("/v1/models").status_code == 200
