"""Serialised entity keys of request rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from zeroskew.model.plan.plan_compiler import CompiledLookup, KeyPart
from zeroskew.model.requests.instances import RequestRow
from zeroskew.online.values.decode import encode_key_value

__all__ = ["EntityKeySerializer"]

_TABLE_SIZE: Final = 4096
"""How many different values of a join key are remembered before they are forgotten."""


class EntityKeySerializer:
    """Serialises the entity key of one lookup for many rows.

    Parameters
    ----------
    lookup
        Says which values of a row the key is made of.
    """

    def __init__(self, lookup: CompiledLookup) -> None:
        self._prefix = lookup.prefix
        self._parts = [(part.position, _EncodedValues(part)) for part in lookup.keys]

    def serialize(self, rows: Sequence[RequestRow]) -> list[bytes | None]:
        """Return the key of each row; ``None`` where one of its values is null."""
        if len(self._parts) == 1:
            (position, encoded) = self._parts[0]
            prefix = self._prefix
            values = [row[position] for row in rows]
            return [None if value is None else prefix + encoded[value] for value in values]
        return [self.serialize_row(row) for row in rows]

    def serialize_row(self, row: RequestRow) -> bytes | None:
        """Return the key of one row; ``None`` where one of its values is null."""
        key = self._prefix
        for position, encoded in self._parts:
            value = row[position]
            if value is None:
                return None
            key += encoded[value]
        return key


class _EncodedValues(dict[object, bytes]):
    """The serialised values of one join key that came by so far."""

    def __init__(self, part: KeyPart) -> None:
        super().__init__()
        self._type = part.type

    def __missing__(self, value: object) -> bytes:
        assert isinstance(value, str | int)
        encoded = encode_key_value(value, self._type)
        if len(self) >= _TABLE_SIZE:
            self.clear()
        self[value] = encoded
        return encoded
