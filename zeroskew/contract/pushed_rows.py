"""Pushed rows on their way to a table of the lake, as the database keeps them.

The service writes them and training reads them. A value is JSON: whole numbers with all their
digits, fractions in the shortest form that reads back the same, NaN and infinities as Python
writes them, bytes as base64, a Unix timestamp as whole seconds, a list, set or map as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["PushedColumn", "PushedRows"]


@dataclass(frozen=True, slots=True)
class PushedColumn:
    """One column: Feast's name of its type, and a value or ``None`` for each row."""

    type: str
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class PushedRows:
    """Rows of one table under the names that its views have for the columns.

    ``event_us`` and ``created_us`` are microseconds since the Unix epoch; a created time is
    ``None`` where the caller said none, and the row counts as created at ``received_us``.
    """

    columns: Mapping[str, PushedColumn]
    event_us: Sequence[int]
    created_us: Sequence[int | None]
    received_us: int

    @property
    def sha256(self) -> str:
        """The identity of what the caller sent, which a request that is sent again has too."""
        return hashlib.sha256(json.dumps(self._said(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        """Return the rows as text."""
        said = self._said() | {"received_us": self.received_us}
        return json.dumps(said, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> PushedRows:
        """Read what `to_json` wrote.

        >>> column = PushedColumn("INT64", [2**63 - 1, None])
        >>> rows = PushedRows({"n": column}, [0, 1], [None, 5], 7)
        >>> PushedRows.from_json(rows.to_json()) == rows
        True
        """
        said = json.loads(text)
        columns = {name: PushedColumn(**column) for name, column in said.pop("columns").items()}
        return cls(columns=columns, **said)

    def _said(self) -> dict[str, Any]:
        columns = {
            name: {"type": one.type, "values": one.values} for name, one in self.columns.items()
        }
        return {"columns": columns, "event_us": self.event_us, "created_us": self.created_us}

    def without(self, places: set[int]) -> PushedRows:
        """Return the rows but for those at some places."""
        kept = [place for place in range(len(self.event_us)) if place not in places]

        def keep(values: Sequence[Any]) -> list[Any]:
            return [values[place] for place in kept]

        return PushedRows(
            {name: PushedColumn(one.type, keep(one.values)) for name, one in self.columns.items()},
            keep(self.event_us),
            keep(self.created_us),
            self.received_us,
        )
