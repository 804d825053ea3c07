"""Which columns of a view's table the join reads, and what they become."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

__all__ = ["KeyColumn", "RequestedFeature"]


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A join key: the label's column and the source's column."""

    label: str
    source: str


@dataclass(frozen=True, slots=True)
class RequestedFeature:
    """A feature: its source column, the column it becomes, and its declared Arrow type."""

    source: str
    output: str
    arrow_type: pa.DataType | None
