"""Lines of the log are those that structlog's own renderers write, and cost less."""

import io
import json
from contextlib import redirect_stderr
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import structlog
from hypothesis import given
from hypothesis import strategies as st

from api.log_config import REQUEST_ID
from tests.support.service_log import service_log

SHOWN = st.text() | st.sampled_from(["a b", "a=b", "it's", '"', "\t", "", "é"])
VALUES = SHOWN | st.integers() | st.floats() | st.none() | st.booleans() | st.binary()
KEYS = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)


def write(kind: Literal["console", "json"], call: Any) -> str:
    """Return what the log has after a call with its logger."""
    stream = io.StringIO()
    with redirect_stderr(stream), service_log("info", kind):
        call(structlog.get_logger("trial"))
    return stream.getvalue()


@given(SHOWN, st.dictionaries(KEYS, VALUES), st.sampled_from(["info", "warning", "error"]))
def test_a_plain_line_is_structlogs(event: str, values: dict[str, Any], level: str) -> None:
    line = write("console", lambda log: getattr(log, level)(event, **values))
    own = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    known = {"timestamp": line[:27], "level": level, "event": event}
    assert line == own(None, level, {**values, **known}) + "\n"
    age = datetime.now(UTC) - datetime.fromisoformat(line[:27])
    assert abs(age) < timedelta(hours=1)


def test_a_failure_has_its_traceback() -> None:
    def fail(log: Any) -> None:
        try:
            int("no such thing")
        except ValueError:
            log.exception("it_failed", place=3)

    plain = write("console", fail)
    assert "[error    ] it_failed " in plain
    assert plain.rstrip().endswith("base 10: 'no such thing'")
    told = json.loads(write("json", fail))
    assert (told["event"], told["level"], told["place"]) == ("it_failed", "error", 3)
    assert told["exception"].endswith("base 10: 'no such thing'")


def test_a_line_of_json_has_the_requests_id() -> None:
    token = REQUEST_ID.set("an-id")
    try:
        told = json.loads(write("json", lambda log: log.warning("seen", n=float("nan"))))
    finally:
        REQUEST_ID.reset(token)
    assert told.pop("timestamp").endswith("Z")
    assert told == {"n": "NaN", "event": "seen", "request_id": "an-id", "level": "warning"}
