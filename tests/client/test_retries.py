"""When an attempt is made again, after how long, and when a call is given up."""

import math
import pickle
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroskew_client import (
    ConnectionFailedError,
    FieldProblem,
    InvalidInputError,
    ProblemError,
    RequestTimeoutError,
    RetriesExhaustedError,
    RetryPolicy,
    UnexpectedAnswerError,
    ZeroskewError,
)
from zeroskew_client.answers import read_retry_after
from zeroskew_client.calls import Call
from zeroskew_client.exchange import Exchange, ExchangeSettings

CALL = Call(path="/", read=lambda *_: None)
NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)
seconds = st.floats(0, 1e6)


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time_sec = 1000.0

    def __call__(self) -> float:
        return self.time_sec


class HighestRandom(Random):
    """Draws the longest pause."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - jitter guards no secret


@given(seconds, seconds, seconds, st.none() | seconds, st.integers(1, 10_000), st.integers())
def test_a_pause_lies_between_what_is_asked_and_the_ceiling_above_it(
    base_sec: float,
    cap_sec: float,
    retry_after_cap_sec: float,
    retry_after_sec: float | None,
    retry: int,
    seed: int,
) -> None:
    policy = RetryPolicy(
        base_sec=base_sec, cap_sec=cap_sec, retry_after_cap_sec=retry_after_cap_sec
    )
    pause_sec = policy.pause_sec(retry, retry_after_sec, seeded(seed))
    asked = min(retry_after_sec or 0.0, retry_after_cap_sec)
    ceiling = min(cap_sec, base_sec * 2.0 ** min(retry - 1, 1000))
    assert asked <= pause_sec <= asked + ceiling
    assert pause_sec == policy.pause_sec(retry, retry_after_sec, seeded(seed))


def test_the_longest_pauses_double_up_to_the_cap() -> None:
    policy = RetryPolicy(base_sec=0.1, cap_sec=1.0, retry_after_cap_sec=5.0)
    longest = [policy.pause_sec(retry, None, HighestRandom()) for retry in range(1, 7)]
    assert longest == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])
    assert policy.pause_sec(1, 3.0, HighestRandom()) == pytest.approx(3.1)
    assert policy.pause_sec(1, 3600.0, HighestRandom()) == pytest.approx(5.1)


def test_pauses_spread_over_their_whole_range() -> None:
    policy = RetryPolicy(base_sec=1.0)
    random = seeded(7)
    pauses = sorted(policy.pause_sec(1, None, random) for _ in range(1000))
    for tenth in range(1, 10):
        # A uniform draw's tenths: a thousand of them stray by 0.016 at one sigma.
        assert pauses[100 * tenth] == pytest.approx(tenth / 10, abs=0.08)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attempts", 0),
        ("base_sec", -0.1),
        ("base_sec", math.nan),
        ("cap_sec", math.inf),
        ("retry_after_cap_sec", -1.0),
        ("deadline_sec", 0.0),
    ],
)
def test_a_policy_without_sense_is_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidInputError, match=f"Got {name}={value}"):
        RetryPolicy(**{name: value})  # type: ignore[arg-type]  # a table of both kinds


@pytest.mark.parametrize(
    ("text", "expected_sec"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 400, 999_999_999_999_999_999.0),
        ("-1", None),
        ("1.5", None),
        ("\u0661", None),
        ("soon", None),
        ("", None),
        ("Tue, 01 Oct 2013 12:01:30 GMT", 90.0),
        ("Tue, 01 Oct 2013 12:01:30 -0000", 90.0),
        ("Tue, 01 Oct 2013 11:00:00 GMT", 0.0),
        ("Tue, 99 Oct 2013 11:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, expected_sec: float | None) -> None:
    assert read_retry_after(text, NOON) == expected_sec


@given(st.text())
def test_retry_after_is_never_a_surprise(text: str) -> None:
    waited = read_retry_after(text, NOON)
    assert waited is None or 0 <= waited < math.inf


def begin(clock: HandClock, **policy: Any) -> Exchange[None]:
    settings = ExchangeSettings(
        timeout_sec=10.0, retries=RetryPolicy(**policy), random=HighestRandom(), now=clock
    )
    return Exchange(CALL, settings)


def test_an_attempt_gets_what_the_deadline_leaves() -> None:
    clock = HandClock()
    exchange = begin(clock, deadline_sec=12.0)
    assert exchange.attempt_sec == 10.0
    clock.time_sec += 7.0
    assert exchange.attempt_sec == pytest.approx(5.0)
    clock.time_sec += 7.0
    assert 0 < exchange.attempt_sec < 0.01


def test_a_call_is_given_up_when_the_pause_would_outlast_the_deadline() -> None:
    clock = HandClock()
    exchange = begin(clock, attempts=9, base_sec=1.0, cap_sec=1.0, deadline_sec=10.0)
    assert exchange.pause_after(ConnectionFailedError("First.")) == 1.0
    clock.time_sec += 8.5
    assert exchange.pause_after(ConnectionFailedError("Second.")) == 1.0
    clock.time_sec += 0.5
    last = ConnectionFailedError("Third.")
    with pytest.raises(
        RetriesExhaustedError, match=r"Got no answer in 3 attempts.*Third"
    ) as caught:
        exchange.pause_after(last)
    assert caught.value.last is caught.value.__cause__ is last


FIELD = FieldProblem("/instances/0/a", "null", "a string", "Got null.")
ERRORS = [
    InvalidInputError("Got a NaN."),
    ConnectionFailedError("Got no answer.", "id"),
    RequestTimeoutError("Got no answer.", "id"),
    UnexpectedAnswerError("Got a page.", "id"),
    ProblemError(422, "invalid_instances", "Got null.", "id", (FIELD,), 3.0),
    RetriesExhaustedError(ProblemError(503, None, "Got 503.", "id"), 3),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_survives_the_way_between_processes(error: ZeroskewError) -> None:
    error.place(range(5, 9))
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert (copy.request_id, copy.instances) == (error.request_id, range(5, 9))
    assert getattr(copy, "errors", None) == getattr(error, "errors", None)
    assert isinstance(error, ZeroskewError)
