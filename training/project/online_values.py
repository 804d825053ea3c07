"""Values on their way to the online store: held to their declared types, refused in a sentence."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from zeroskew.contract.errors.project import StepError, TrainingError
from zeroskew.contract.errors.sentences import first_line

__all__ = ["check_online_values", "declared_columns", "say_write_errors"]


def check_online_values(store: Any, view: Any, start: datetime, until: datetime) -> None:
    """Check that the rows to be written hold what their view declares, by training's own rule.

    Feast writes 1 for 1.5 in a column declared an integer, true for 2, and a null for a list,
    and says nothing. Only columns of another type than declared are read; a source of another
    offline store than this project's is left to Feast.

    Parameters
    ----------
    store
        Feast's ``FeatureStore``.
    view
        One of its views.
    start, until
        The span of event times that is written.

    Raises
    ------
    SourceError
        If a value has no equal in its declared type; the message names the column.
    """
    import polars as pl
    from feast.feature_view import DUMMY_ENTITY_NAME
    from feast.utils import _get_column_names

    from zeroskew.features.offline_store.column_types import conform
    from zeroskew.features.offline_store.parquet.parquet_source import open_parquet_table
    from zeroskew.features.offline_store.polars_asof import PolarsAsofOfflineStoreConfig

    is_computed = getattr(view, "feature_transformation", None) or getattr(
        view, "aggregations", None
    )
    if is_computed or not isinstance(store.config.offline_store, PolarsAsofOfflineStoreConfig):
        return
    entities = [store.get_entity(name) for name in view.entities if name != DUMMY_ENTITY_NAME]
    keys, features, event, created = _get_column_names(view, entities)
    table = open_parquet_table(view.batch_source, store.config.repo_path)
    declared = declared_columns(view, keys, features)
    doubtful = {
        column: dtype
        for column, dtype in declared.items()
        if column in table.schema and table.schema[column] != dtype
    }
    if not doubtful:
        return
    pulled = store._get_provider().offline_store.pull_latest_from_table_or_query(
        config=store.config,
        data_source=view.batch_source,
        join_key_columns=keys,
        feature_name_columns=features,
        timestamp_field=event,
        created_timestamp_column=created,
        start_date=start,
        end_date=until,
    )
    rows = pl.from_arrow(pulled.to_arrow())
    assert isinstance(rows, pl.DataFrame)
    for column, dtype in doubtful.items():
        # Whole numbers may come as decimals, for Feast to lose none of their digits.
        conform(rows[column].cast(table.schema[column]), dtype, column=column)


def declared_columns(view: Any, keys: list[str], features: list[str]) -> dict[str, Any]:
    """Return the declared polars type of each source column that has one.

    Parameters
    ----------
    view
        Feast's ``FeatureView``.
    keys, features
        The source columns of its join keys, and of its features in their order.
    """
    from zeroskew.features.offline_store.column_types import as_polars, declared_type

    types = {field.name: field.dtype for field in view.entity_columns}
    mapping = dict(view.batch_source.field_mapping or {})
    pairs = [
        *((key, types.get(mapping.get(key, key))) for key in keys),
        *zip(features, (field.dtype for field in view.features), strict=True),
    ]
    arrow = {column: declared_type(dtype) for column, dtype in pairs if dtype is not None}
    return {column: as_polars(dtype) for column, dtype in arrow.items() if dtype is not None}


@contextmanager
def say_write_errors(view: str) -> Iterator[None]:
    """Say in one sentence, with the view's name, why its rows were not written.

    Raises
    ------
    SourceError
        If its table is not what it declares.
    StepError
        If they cannot be converted, or the online store cannot be written: no room is left, it
        does not answer.
    """
    try:
        yield
    except TrainingError as error:
        raise type(error)(f"View {view!r}: {error}") from error
    except (sqlite3.Error, OSError) as error:
        raise StepError(
            f"View {view!r}: the online store cannot be written: {first_line(error)}"
        ) from error
    except Exception as error:  # What Feast and the stores' clients raise has no common root.
        raise StepError(
            f"View {view!r}: Got {type(error).__name__} while its rows were written "
            f"({first_line(error)[:160]}), but expected a store that takes them"
        ) from error
