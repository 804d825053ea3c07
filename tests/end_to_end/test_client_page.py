"""The client's page: its example runs against the worked example's service, as it stands there."""

import contextlib
import io
import re
from inspect import signature
from pathlib import Path
from typing import Any

import zeroskew_client
from tests.support.flights_project import CLOCK, FlightsProject
from tests.support.service_process import Server
from zeroskew_client import RetryPolicy, ZeroskewError

PAGE = (Path(__file__).parents[2] / "client" / "README.md").read_text()
ADDRESS = "http://127.0.0.1:8000"


def test_the_examples_print_what_the_page_says(flights: FlightsProject) -> None:
    examples = re.findall(r"```python\n(.*?)```\n\nprints\n\n```\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == PAGE.count("```python") == 2
    home = flights.workspace.home
    server = Server(
        home,
        home / "feast" / "online.db",
        ZEROSKEW_CLOCK=CLOCK.isoformat(),
        ZEROSKEW_MAX_BODY_BYTES="1000000",
        ZEROSKEW_BODY_TIMEOUT_SEC="5",
    )
    names: dict[str, Any] = {}
    try:
        for code, expected in examples:
            assert ADDRESS in code
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(code.replace(ADDRESS, server.url), names)  # noqa: S102 - our own page
            assert printed.getvalue() == expected
    finally:
        server.stop()


def test_every_error_is_in_the_table() -> None:
    errors = {
        name
        for name, value in vars(zeroskew_client).items()
        if isinstance(value, type) and issubclass(value, ZeroskewError)
    }
    assert set(re.findall(r"^\| `(\w+Error)` \|", PAGE, re.MULTILINE)) == errors - {"ZeroskewError"}


def test_the_policy_is_the_one_of_the_page() -> None:
    defaults = signature(RetryPolicy).parameters.values()
    written = ", ".join(f"{field.name}={field.default}" for field in defaults)
    assert f"`RetryPolicy({written})`" in PAGE
