"""What the callers of one version would notice when another answers them instead.

An alias stands for whatever version it points to, and its callers go on sending what they sent.
A version fits them when it takes every request that the version before it took, and answers
in the same form.
"""

from __future__ import annotations

from collections.abc import Iterator

from zeroskew.contract.manifest import Manifest, Output, RequestField

__all__ = ["check_callers_fit"]


def check_callers_fit(alias: str, version: int, before: Manifest, after: Manifest) -> None:
    """Check that the callers of an alias can go on when it moves.

    A request names every field of its model, also those that may be null, so a new field is a
    break whatever it may be. Fields in another order, further choices, and a null that is now
    let through are none.

    Parameters
    ----------
    alias, version, before
        The alias, the version that it points to, and the manifest of that version.
    after
        The manifest of the version that it is to point to.

    Raises
    ------
    ValueError
        If a request that `before` takes is refused by `after`, or answered in another form.
    """
    for broken in _find_breaks(before, after):
        raise ValueError(
            f"Got a version for {alias!r} with which callers of version {version} cannot go on: "
            f"{broken}; allow_request_change moves it all the same."
        )


def _find_breaks(before: Manifest, after: Manifest) -> Iterator[str]:
    standing = {field.name: field for field in before.request}
    coming = {field.name: field for field in after.request}
    yield from (
        f"{name!r} is new, and they do not send it" for name in coming if name not in standing
    )
    yield from (f"{name!r} is gone, and they send it" for name in standing if name not in coming)
    narrowed = _list_int32_keys(after) - _list_int32_keys(before)
    for name, field in standing.items():
        if name in coming:
            yield from _find_field_breaks(field, coming[name])
            if name in narrowed:
                yield f"{name!r} is a key of 32 bits, and they may send 64"
    yield from _find_output_breaks(before.output, after.output)


def _find_field_breaks(before: RequestField, after: RequestField) -> Iterator[str]:
    name = before.name
    if after.type is not before.type:
        yield f"{name!r} is {after.type.value}, and they send {before.type.value}"
    if before.nullable and not after.nullable:
        yield f"{name!r} takes no null, and they may send one"
    if after.choices is not None:
        gone = sorted(set(before.choices or ()) - set(after.choices))
        if before.choices is None:
            yield f"{name!r} has choices, and they may send any text"
        elif gone:
            yield f"{name!r} has no choice {gone[0]!r}, and they may send it"


def _list_int32_keys(manifest: Manifest) -> set[str]:
    """Return the request fields that are a join key of 32 bits, which bounds what they take."""
    return {
        key.field for view in manifest.plan.views for key in view.join_keys if key.type == "INT32"
    }


def _find_output_breaks(before: Output, after: Output) -> Iterator[str]:
    if after.kind != before.kind:
        yield f"its output is a {after.kind}, and they get a {before.kind}"
    elif set(after.classes or ()) != set(before.classes or ()):
        yield "its output has other classes than they know"
    elif before.unit and after.unit and after.unit != before.unit:
        yield f"its output is in {after.unit}, and they get {before.unit}"
