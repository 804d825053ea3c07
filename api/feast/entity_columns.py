"""The join keys of a request's rows, and the entity keys made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from api.feast.column_values import RefusedFields, parse_column
from zeroskew.contract.errors.fields import json_pointer
from zeroskew.contract.manifest import JoinKey
from zeroskew.online.values.decode import Value, ValueType, encode_key_prefix, encode_key_value

__all__ = ["EntityColumns"]

_BYTES_HEADER: Final = ValueType.BYTES.to_bytes(4, "little")


class EntityColumns:
    """The values of join keys, one list a key.

    Parameters
    ----------
    columns
        From a request's body, by the name of a join key's field; all of one length.
    keys
        The join keys that will be asked for; each is looked for under its field.
    pointer
        Where the columns stand in the body.
    max_text_length
        How long a text may be.
    findings
        Takes what is missing or refused; nothing here may be used then.
    nullable
        Whether a null may stand for a key.
    """

    def __init__(
        self,
        columns: Mapping[str, Sequence[Any]],
        keys: Iterable[JoinKey],
        pointer: str,
        max_text_length: int,
        findings: RefusedFields,
        *,
        nullable: bool = True,
    ) -> None:
        self._encoded: dict[tuple[str, str], list[bytes | None]] = {}
        for key in keys:
            if (key.field, key.type) in self._encoded:
                continue
            where = json_pointer(pointer, key.field)
            if key.field not in columns:
                findings.add(where, "nothing", "a list of join keys")
                continue
            kind = ValueType[key.type]
            parsed = parse_column(columns[key.field], kind, where, findings, nullable=nullable)
            _refuse_long(parsed, where, max_text_length, findings)
            self._encoded[key.field, key.type] = [_encode(value, kind) for value in parsed]

    def serialize_keys(self, keys: Sequence[JoinKey]) -> list[bytes | None]:
        """Return the entity key of each row; ``None`` where one of its values is null.

        Parameters
        ----------
        keys
            The join keys of a view, in Feast's order.
        """
        prefix = encode_key_prefix([key.name for key in keys])
        columns = [self._encoded[key.field, key.type] for key in keys]
        return [
            None if None in parts else prefix + b"".join(parts)
            for parts in zip(*columns, strict=True)
        ]


def _refuse_long(
    values: Sequence[Value | None], pointer: str, max_length: int, findings: RefusedFields
) -> None:
    for row, value in enumerate(values):
        if isinstance(value, str | bytes) and len(value) > max_length and not findings.are_enough:
            what = f"a key of length {len(value)}"
            findings.add(json_pointer(pointer, row), what, f"at most {max_length}")


def _encode(value: Value | None, kind: ValueType) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return _BYTES_HEADER + len(value).to_bytes(4, "little") + value
    assert isinstance(value, str | int)
    return encode_key_value(value, kind)
