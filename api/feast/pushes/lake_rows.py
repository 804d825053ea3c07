"""The rows of a request as the tables of the lake get them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.feast.catalog_index import CatalogIndex
from api.feast.column_values import RefusedFields, parse_column
from api.feast.request_bodies import PushTarget
from zeroskew.contract.errors.fields import json_pointer
from zeroskew.contract.errors.service import FieldError, InvalidRequestError
from zeroskew.contract.feature_catalog import CatalogView, LakeTable
from zeroskew.contract.pushed_rows import PushedColumn, PushedRows
from zeroskew.online.values.nested_values import find_type

__all__ = ["LakeTarget", "choose_tables", "make_rows"]


@dataclass(frozen=True, slots=True)
class LakeTarget:
    """Which tables a request's rows go to, and why some views have none: both by view."""

    tables: Mapping[str, LakeTable]
    online_only: Mapping[str, str]


def choose_tables(
    catalog: CatalogIndex, views: Sequence[CatalogView], target: PushTarget | None
) -> LakeTarget:
    """Return the tables behind some views that get the rows of a request.

    Raises
    ------
    InvalidRequestError
        If the caller asked for the lake, and a view has no table that rows can be added to.
    """
    if target is PushTarget.ONLINE:
        return LakeTarget({}, {})
    tables: dict[str, LakeTable] = {}
    online_only: dict[str, str] = {}
    for view in views:
        found = _find_table(catalog, view, views)
        if isinstance(found, LakeTable):
            tables[view.name] = found
        else:
            online_only[view.name] = found
    if target is not None and online_only:
        name, reason = next(iter(online_only.items()))
        expected = f"online, or tables that rows can be added to: of view {name!r}, {reason}"
        field = FieldError("/to", target.value, expected)
        raise InvalidRequestError(field.message, (field,))
    return LakeTarget(tables, online_only)


def _find_table(
    catalog: CatalogIndex, view: CatalogView, views: Sequence[CatalogView]
) -> LakeTable | str:
    """Return the table of a view, or why rows of `views` cannot be added to it."""
    if view.source is None or view.source.table is None:
        reason = None if view.source is None else view.source.no_table
        return reason or "the catalog knows no table; run `zeroskew apply`"
    table = catalog.tables[view.source.table]
    written = {
        name
        for one in views
        if one.source is not None and one.source.table == table.name
        for name in _own_names(one)
    }
    others = sorted({column.name for column in table.columns} - written)
    if others:
        return f"other views read {others[0]!r} of its table, which these rows lack"
    return table


def _own_names(view: CatalogView) -> set[str]:
    said = view.windows.columns if view.windows else {one.name for one in view.features}
    return {key.name for key in view.join_keys} | set(said)


def make_rows(
    table: LakeTable,
    columns: Mapping[str, Sequence[Any]],
    event_us: Sequence[int],
    created_us: Sequence[int | None],
    received_us: int,
) -> PushedRows:
    """Return a request's rows for a table.

    Parameters
    ----------
    columns
        The request's, under the names that the views have for them.

    Raises
    ------
    InvalidRequestError
        If a value is not of the table's type.
    """
    findings = RefusedFields()
    parsed = {}
    for column in table.columns:
        pointer = json_pointer("/df", column.name)
        kind = find_type(column.type)
        assert kind is not None, "the views of all columns were read with their types"
        values = parse_column(columns[column.name], kind, pointer, findings)
        parsed[column.name] = PushedColumn(column.type, [_to_json(value) for value in values])
    findings.raise_any()
    return PushedRows(parsed, event_us, created_us, received_us)


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return [_to_json(one) for one in value] if isinstance(value, list) else value
