"""The rows of a request, as its model reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zeroskew.contract.manifest import Scalar

__all__ = ["Instances", "Overrides", "RequestRow"]

RequestRow = tuple[Scalar | None, ...]

Overrides = Sequence[Mapping[str, Scalar | None]]
"""For each request row the values that stand for stored ones, by ``view:feature``; may be ()."""


class Instances(NamedTuple):
    """A request's instances: their rows, and what each overrides; ``()`` where none does.

    ``is_columnar`` says that they came as columns, and are answered as columns.
    """

    rows: list[RequestRow]
    overrides: Overrides
    is_columnar: bool = False
