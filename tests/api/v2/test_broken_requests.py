"""Whole requests with pieces changed, lost and moved: read as they say, or refused."""

from hypothesis import given, settings

from tests.support.inference_fuzz import broken_requests, read_or_refuse


@settings(max_examples=500)
@given(broken_requests())
def test_a_broken_request_is_read_as_it_says_or_refused(request: tuple[bytes, str | None]) -> None:
    read_or_refuse(*request)
