"""Which tables behind a project's views pushed rows can be added to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from zeroskew.contract.feature_catalog import LakeColumn, LakeTable
from zeroskew.features.offline_store.errors import OfflineStoreError
from zeroskew.features.offline_store.parquet.parquet_source import find_place
from zeroskew.features.windows.declare import window_plan_of

__all__ = ["LakeTables", "find_lake_tables"]

_WIDER: Final = {"FLOAT": "DOUBLE", "INT32": "INT64"}
"""What holds all values of a type, where two views of one column declare it as both."""


@dataclass
class LakeTables:
    """Tables by the name of their source, and why other sources are none."""

    tables: dict[str, LakeTable] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def find_lake_tables(store: Any) -> LakeTables:
    """Look at the sources of all views of a project.

    A table's columns are all that any view reads of it, one that is not online too.

    Parameters
    ----------
    store
        Feast's ``FeatureStore``.
    """
    found = LakeTables()
    places: dict[str, str] = {}
    columns: dict[str, dict[str, str]] = {}
    for view in sorted(store.list_feature_views(), key=lambda view: str(view.name)):
        source = view.batch_source
        if source is None or source.name in found.refused:
            continue
        try:
            place = str(find_place(source, store.config.repo_path))
            other = places.setdefault(place, source.name)
            if other != source.name:
                found.refused[source.name] = f"its source reads the same files as source {other!r}"
            else:
                _add_columns(view, columns.setdefault(source.name, {}))
        except OfflineStoreError as error:
            found.refused[source.name] = str(error).rstrip(".")
    for name, known in columns.items():
        if name not in found.refused:
            listed = tuple(LakeColumn(name=one, type=kind) for one, kind in sorted(known.items()))
            found.tables[name] = LakeTable(name=name, columns=listed)
    return found


def _add_columns(view: Any, known: dict[str, str]) -> None:
    from feast.feature_view import DUMMY_ENTITY_ID

    windows = window_plan_of(view)
    columns = view.entity_columns if windows else [*view.entity_columns, *view.features]
    kinds = {column.name: column.dtype.to_value_type().name for column in columns}
    kinds.pop(DUMMY_ENTITY_ID, None)
    if windows is not None:
        kinds |= windows.columns
    for name, kind in kinds.items():
        before = known.setdefault(name, kind)
        if before == kind or _WIDER.get(kind) == before:
            continue
        if _WIDER.get(before) != kind:
            raise OfflineStoreError(f"views declare its column {name!r} as {before} and as {kind}")
        known[name] = kind
