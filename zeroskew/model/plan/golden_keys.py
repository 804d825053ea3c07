"""Whether the service makes the entity keys that Feast makes."""

from __future__ import annotations

from collections.abc import Sequence

from zeroskew.contract.errors.service import ModelRefusedError
from zeroskew.contract.manifest import GoldenKey
from zeroskew.model.plan.plan_compiler import CompiledLookup
from zeroskew.online.values.decode import encode_key_value

__all__ = ["check_golden_keys"]


def check_golden_keys(lookups: Sequence[CompiledLookup], golden: Sequence[GoldenKey]) -> None:
    """Check that every golden key serialises to the bytes that Feast gave for it.

    Raises
    ------
    ModelRefusedError
        If one differs, or a view with join keys has none.
    """
    of_view = {view.plan.name: lookup for lookup in lookups for view in lookup.views}
    for key in golden:
        lookup = of_view.get(key.view)
        if lookup is None or len(key.values) != len(lookup.keys):
            raise ModelRefusedError(f"Got a golden key that does not fit view {key.view!r}.")
        serialized = _serialize_golden(lookup, key).hex()
        if serialized != key.serialized:
            raise ModelRefusedError(
                f"Got {serialized} for a golden key of view {key.view!r}, "
                f"but expected {key.serialized}."
            )
    unproven = {name for name, lookup in of_view.items() if lookup.keys}
    unproven -= {key.view for key in golden}
    if unproven:
        raise ModelRefusedError(f"Got no golden key for the views {sorted(unproven)}.")


def _serialize_golden(lookup: CompiledLookup, key: GoldenKey) -> bytes:
    try:
        values = zip(key.values, lookup.keys, strict=True)
        return lookup.prefix + b"".join(
            encode_key_value(value, part.type) for value, part in values
        )
    except (ValueError, OverflowError) as error:
        raise ModelRefusedError(
            f"Got a golden key of view {key.view!r} with a value of another type."
        ) from error
