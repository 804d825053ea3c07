"""The plan and the decoder of cells, given anything for longer than in every test run."""

import pytest
from hypothesis import given, settings

from tests.support.plan_fuzz import (
    assemble_or_refuse,
    broken_cells,
    broken_manifests,
    compile_or_refuse,
)

pytestmark = pytest.mark.soak


@settings(max_examples=60_000, deadline=None)
@given(broken_manifests())
def test_many_broken_manifests_are_compiled_or_refused(content: bytes) -> None:
    compile_or_refuse(content)


@settings(max_examples=400_000)
@given(broken_cells())
def test_many_broken_cells_are_read_as_protobuf_reads_them_or_refused(
    rows: list[list[bytes | None]],
) -> None:
    assemble_or_refuse(rows)
