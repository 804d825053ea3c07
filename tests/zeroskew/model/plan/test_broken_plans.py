"""Manifests and stored rows with pieces changed, lost and moved: right, or refused."""

from hypothesis import given, settings

from tests.support.plan_fuzz import (
    assemble_or_refuse,
    broken_cells,
    broken_manifests,
    compile_or_refuse,
)


@settings(max_examples=300, deadline=None)
@given(broken_manifests())
def test_a_broken_manifest_is_compiled_or_refused(content: bytes) -> None:
    compile_or_refuse(content)


@settings(max_examples=500)
@given(broken_cells())
def test_broken_cells_are_read_as_protobuf_reads_them_or_refused(
    rows: list[list[bytes | None]],
) -> None:
    assemble_or_refuse(rows)
