"""The readers of inference requests, given anything for longer than in every test run."""

import pytest
from hypothesis import given, settings

from tests.support.inference_fuzz import broken_requests, read_or_refuse

pytestmark = pytest.mark.soak


@settings(max_examples=300_000)
@given(broken_requests())
def test_many_broken_requests_are_read_or_refused(request: tuple[bytes, str | None]) -> None:
    read_or_refuse(*request)
