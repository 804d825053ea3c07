"""Both clients against servers, proxies and connections that fail in every way."""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.support.either_client import FAST, EitherClient
from tests.support.scripted_server import Received, Reply, ScriptedServer, Then, http_reply, in_turn
from zeroskew_client import (
    AsyncZeroskewClient,
    ConnectionFailedError,
    InvalidInputError,
    ProblemError,
    RequestTimeoutError,
    RetriesExhaustedError,
    UnexpectedAnswerError,
    ValuePrediction,
    ZeroskewClient,
    ZeroskewError,
)

ONCE = replace(FAST, attempts=1)
PROMPT_SEC = 0.2
ANSWER = {
    "id": "0",
    "model": "delay",
    "version": 1,
    "as_of": "2013-10-01T12:00:00Z",
    "predictions": [{"value": 1.0}],
}
GOOD = http_reply(ANSWER)
HALF = Reply(GOOD.content[: len(GOOD.content) - 20], Then.CLOSE)


def problem(status: int, code: str, **headers: str) -> Reply:
    """Return a reply with a problem document."""
    document = {"status": status, "code": code, "detail": f"It is {code}."}
    return http_reply(document, status, "application/problem+json", **headers)


def ask(kind: str, server: ScriptedServer, **options: Any) -> Any:
    with EitherClient(kind, server.url, **options) as client:
        return client.call("predict", "delay", [{"seats": 1}])


PASSING = {
    "closed": Reply(then=Then.CLOSE),
    "reset": Reply(then=Then.RESET),
    "half a body": HALF,
    "half a header": Reply(b"HTTP/1.1 200 OK\r\nContent-", Then.CLOSE),
    "no HTTP": Reply(b"SSH-2.0-OpenSSH\r\n\r\n", Then.CLOSE),
    "429": problem(429, "too_many_requests"),
    "502 of a proxy": http_reply(b"<html>bad gateway</html>", 502, "text/html"),
    "503": problem(503, "online_store_unavailable"),
    "503 that says when": problem(503, "overloaded", Retry_After="0"),
    "503 that says nonsense": problem(503, "overloaded", Retry_After="soon"),
    "504": http_reply(b"", 504, "text/plain"),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_tried_again(kind: str, name: str) -> None:
    with ScriptedServer(in_turn([PASSING[name], PASSING[name], GOOD])) as server:
        assert ask(kind, server).predictions == (ValuePrediction(1.0),)
    assert len(server.received) == 3
    assert len({request.headers["x-request-id"] for request in server.received}) == 1


@pytest.mark.parametrize("name", PASSING)
def test_what_does_not_pass_in_time_is_given_up(kind: str, name: str) -> None:
    with ScriptedServer(in_turn([PASSING[name]])) as server:
        with pytest.raises(RetriesExhaustedError) as caught:
            ask(kind, server)
        with pytest.raises(ZeroskewError) as single:
            ask(kind, server, retries=ONCE)
    assert (caught.value.attempts, len(server.received)) == (3, 4)
    assert caught.value.last is caught.value.__cause__
    assert type(single.value) is type(caught.value.last)
    is_problem = name[:3].isdigit()
    assert isinstance(single.value, ProblemError if is_problem else ConnectionFailedError)
    assert single.value.request_id == server.received[3].headers["x-request-id"]


LASTING = {
    "422": problem(422, "invalid_instances"),
    "404": problem(404, "unknown_model"),
    "408": problem(408, "body_timeout"),
    "500": problem(500, "internal_error"),
    "501": http_reply(b"", 501, "text/plain"),
    "503 stale": problem(503, "feature_stale"),
    "503 unexpected": problem(503, "online_value_unexpected"),
    "503 refused": problem(503, "model_refused"),
}


@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_is_not_tried_again(kind: str, name: str) -> None:
    with (
        ScriptedServer(in_turn([LASTING[name], GOOD])) as server,
        pytest.raises(ProblemError) as caught,
    ):
        ask(kind, server)
    assert len(server.received) == 1
    assert caught.value.status == int(name[:3])


def changed(**members: Any) -> Reply:
    return http_reply(ANSWER | members)


UNEXPECTED = {
    "no JSON": http_reply(b"{'id': 0}"),
    "not UTF-8": http_reply(b'"\xff"'),
    "empty": http_reply(b""),
    "NaN": http_reply(json.dumps(ANSWER).replace("1.0", "NaN").encode()),
    "deep": http_reply(b"[" * 200_000),
    "a page": http_reply(b"<html>Welcome</html>", media_type="text/html"),
    "JSON that is said to be a page": http_reply(ANSWER, media_type="text/html"),
    "a list": http_reply([]),
    "an empty object": http_reply({}),
    "a prediction too many": changed(predictions=[{"value": 1.0}] * 2),
    "a prediction too few": changed(predictions=[]),
    "a prediction of no kind": changed(predictions=[{"score": 1.0}]),
    "a text for a number": changed(predictions=[{"value": "1.0"}]),
    "true for a version": changed(version=True),
    "no time": changed(as_of="noon"),
    "features of another number": changed(features=[{}, {}]),
    "features of no kind": changed(features=[{"seats": 1}]),
    "overrides of no kind": changed(overridden=[None]),
    "another status": http_reply(ANSWER, 202),
    "a redirect": http_reply(b"", 307, Location="http://127.0.0.1:1/"),
    "a wrong encoding": http_reply(b"no gzip", Content_Encoding="gzip"),
}


@pytest.mark.parametrize("name", UNEXPECTED)
def test_an_answer_that_is_none_is_told_and_not_tried_again(kind: str, name: str) -> None:
    with (
        ScriptedServer(in_turn([UNEXPECTED[name], GOOD])) as server,
        pytest.raises(UnexpectedAnswerError) as caught,
    ):
        ask(kind, server)
    (request,) = server.received
    assert caught.value.request_id == request.headers["x-request-id"]


SLOW = {
    "nothing": Reply(then=Then.STALL),
    "half a header": Reply(GOOD.content[:20], Then.STALL),
    "half a body": Reply(HALF.content, Then.STALL),
    "a body that drips": Reply(HALF.content.replace(b"Length: ", b"Length: 9"), Then.DRIP),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_answer_ends_the_attempt(kind: str, name: str) -> None:
    with ScriptedServer(in_turn([SLOW[name], GOOD])) as server:
        with pytest.raises(RequestTimeoutError) as caught:
            ask(kind, server, timeout=PROMPT_SEC, retries=ONCE)
        assert ask(kind, server).predictions == (ValuePrediction(1.0),)
    assert isinstance(caught.value, TimeoutError)


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_answer_gives_its_connection_back(kind: str, name: str) -> None:
    make = httpx.HTTPTransport if kind == "blocking" else httpx.AsyncHTTPTransport
    # With a place for one connection, one that was kept would block the next call.
    transport = make(limits=httpx.Limits(max_connections=1))
    with (
        ScriptedServer(in_turn([SLOW[name], GOOD])) as server,
        EitherClient(kind, server.url, transport=transport, retries=ONCE) as client,
    ):
        with pytest.raises(RequestTimeoutError) as caught:
            client.call("predict", "delay", [{"seats": 1}], timeout=PROMPT_SEC)
        assert client.call("predict", "delay", [{"seats": 1}], timeout=10.0).version == 1
    # Until here the error keeps all that it came through from being collected.
    assert caught.value.request_id


def test_a_slow_answer_is_tried_again_within_the_deadline(kind: str) -> None:
    with ScriptedServer(in_turn([Reply(then=Then.STALL), GOOD])) as server:
        assert ask(kind, server, timeout=PROMPT_SEC).version == 1
    assert len(server.received) >= 2


def test_the_deadline_ends_a_call_before_its_attempts_do(kind: str) -> None:
    patient = replace(FAST, attempts=1000, deadline_sec=PROMPT_SEC)
    with (
        ScriptedServer(in_turn([Reply(then=Then.STALL)])) as server,
        pytest.raises(RetriesExhaustedError) as caught,
    ):
        ask(kind, server, timeout=60.0, retries=patient)
    assert isinstance(caught.value.last, RequestTimeoutError)
    assert caught.value.attempts == len(server.received) < 10


def test_a_wait_beyond_the_deadline_is_not_begun(kind: str) -> None:
    patient = replace(FAST, retry_after_cap_sec=3600.0)
    with (
        ScriptedServer(in_turn([problem(503, "overloaded", Retry_After="1800")])) as server,
        pytest.raises(RetriesExhaustedError) as caught,
    ):
        ask(kind, server, retries=patient)
    assert len(server.received) == 1
    assert isinstance(caught.value.last, ProblemError)
    assert caught.value.last.retry_after_sec == 1800.0


def test_a_health_check_is_made_once(kind: str) -> None:
    with (
        ScriptedServer(in_turn([problem(503, "unavailable")])) as server,
        EitherClient(kind, server.url) as client,
    ):
        for method in ("check_live", "check_ready"):
            with pytest.raises(ProblemError):
                client.call(method)
    assert [request.target for request in server.received] == ["/livez", "/readyz"]


def test_calls_share_a_connection(kind: str) -> None:
    with (
        ScriptedServer(in_turn([GOOD])) as server,
        EitherClient(kind, server.url) as client,
    ):
        for _ in range(5):
            client.call("predict", "delay", [{"seats": 1}])
    assert (len(server.received), server.n_connections) == (5, 1)


def test_a_request_says_who_asks_and_what(kind: str) -> None:
    with (
        ScriptedServer(in_turn([GOOD])) as server,
        EitherClient(kind, server.url + "/behind/it/", headers={"X-Api-Key": "k"}) as client,
    ):
        client.call("predict", "delay", [{"seats": 1}], alias="champion", with_features=True)
    (request,) = server.received
    assert request.method == "POST"
    assert request.target == "/behind/it/v1/models/delay/labels/champion:predict?with_features=true"
    assert request.body == b'{"instances":[{"seats":1}]}'
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-api-key"] == "k"
    assert re.fullmatch("[0-9a-f]{32}", request.headers["x-request-id"])
    assert re.fullmatch(r"zeroskew-client/\d+\.\d+\.\d+", request.headers["user-agent"])


def test_the_id_that_the_service_used_is_told(kind: str) -> None:
    with ScriptedServer(in_turn([http_reply(ANSWER, X_Request_ID="of-the-proxy")])) as server:
        assert ask(kind, server).request_id == "of-the-proxy"


def score_seats(request: Received, version: int = 1) -> Reply:
    """Answer each instance with its number of seats."""
    seats = [{"value": instance["seats"]} for instance in request.json()["instances"]]
    return http_reply(ANSWER | {"predictions": seats, "version": version})


def test_versions_that_change_between_chunks_are_told(kind: str) -> None:
    with (
        ScriptedServer(lambda request: score_seats(request, first_seats(request) + 1)) as server,
        EitherClient(kind, server.url) as client,
    ):
        many = client.call("predict_many", "delay", rows(5), chunk_size=2)
    assert many.versions == (1, 1, 3, 3, 5)
    assert [prediction.value for prediction in many] == [0, 1, 2, 3, 4]


def rows(n: int) -> list[dict[str, int]]:
    return [{"seats": number} for number in range(n)]


def first_seats(request: Received) -> int:
    return int(request.json()["instances"][0]["seats"])


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (problem(500, "internal_error"), ProblemError),
        (problem(503, "overloaded"), RetriesExhaustedError),
        (Reply(then=Then.CLOSE), RetriesExhaustedError),
        (http_reply({}), UnexpectedAnswerError),
    ],
)
def test_a_chunk_that_fails_says_which(kind: str, reply: Reply, error: type[ZeroskewError]) -> None:
    def answer(request: Received) -> Reply:
        return reply if first_seats(request) == 4 else score_seats(request)

    with (
        ScriptedServer(answer) as server,
        EitherClient(kind, server.url) as client,
        pytest.raises(error) as caught,
    ):
        client.call("predict_many", "delay", rows(7), chunk_size=2)
    assert caught.value.instances == range(4, 6)
    if isinstance(caught.value, RetriesExhaustedError):
        assert caught.value.last is caught.value.__cause__
        assert caught.value.last.instances == range(4, 6)


def test_nothing_is_sent_when_a_later_instance_cannot_be(kind: str) -> None:
    instances: list[dict[str, Any]] = [*rows(9), {"seats": float("nan")}]
    with (
        ScriptedServer(in_turn([GOOD])) as server,
        EitherClient(kind, server.url) as client,
        pytest.raises(ValueError, match=r"Got nan at /instances/9/seats, but expected a finite"),
    ):
        client.call("predict_many", "delay", instances, chunk_size=2)
    assert server.received == []


def test_as_many_chunks_as_allowed_are_under_way_at_once() -> None:
    # The barrier opens only when three requests have come and none is answered.
    barrier = threading.Barrier(3)
    waiting: list[int] = []
    most = 0

    def answer(request: Received) -> Reply:
        nonlocal most
        waiting.append(1)
        most = max(most, len(waiting))
        barrier.wait(10)
        waiting.pop()
        return score_seats(request)

    with ScriptedServer(answer) as server, EitherClient("asyncio", server.url) as client:
        many = client.call("predict_many", "delay", rows(9), chunk_size=1, concurrency=3)
    assert [prediction.value for prediction in many] == list(range(9))
    assert most == 3
    assert server.n_connections == 3


@pytest.mark.parametrize("make", [ZeroskewClient, AsyncZeroskewClient])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "ftp://service"}, "http:// or https://"),
        ({"base_url": "127.0.0.1:8000"}, "http:// or https://"),
        ({"base_url": "http://"}, "a host"),
        ({"base_url": "http://service:port"}, "no address"),
        ({"base_url": None}, "no address"),
        ({"headers": {"X-Api-Key": "é"}}, "no text in ASCII"),
        ({"headers": {"X-Api-Key": None}}, "no text in ASCII"),
        ({"headers": {"X-Api-Key": 7}}, "no text in ASCII"),
        ({"timeout": 0.0}, "timeout=0.0"),
        ({"timeout": float("inf")}, "timeout=inf"),
    ],
)
def test_a_client_that_could_not_ask_is_not_made(
    make: Callable[..., object], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make(**({"base_url": "http://service"} | options))


def test_a_header_that_would_make_two_is_refused(kind: str) -> None:
    with (
        ScriptedServer(in_turn([GOOD])) as server,
        pytest.raises(InvalidInputError, match="a request that HTTP cannot carry"),
    ):
        ask(kind, server, headers={"X-Api-Key": "k\r\nX-Admin: yes"})
    assert server.received == []


def test_a_transport_can_be_given() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url == "http://service/v1/models/delay/versions/3:predict"
        return httpx.Response(200, json=ANSWER)

    with ZeroskewClient("http://service", transport=httpx.MockTransport(answer)) as client:
        assert client.predict("delay", [{}], version=3).model == "delay"
