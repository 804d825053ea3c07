"""One feature view as the join needs it: which columns to read, under which names and types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeAlias

import polars as pl
from feast import FeatureView
from feast.feature_view import DUMMY_ENTITY_ID
from feast.utils import _parse_feature_ref

from zeroskew.contract.window_plan import STATE, WindowPlan
from zeroskew.features.offline_store.asof_join import CREATED, EVENT
from zeroskew.features.offline_store.column_types import (
    as_polars,
    conform,
    conform_key,
    declared_type,
    epoch_microseconds,
)
from zeroskew.features.offline_store.errors import UnsupportedRequestError
from zeroskew.features.offline_store.parquet.parquet_source import (
    ParquetTable,
    between,
    has_key,
    open_parquet_table,
)
from zeroskew.features.offline_store.source_rows import drop_ties, has_ties, sort_by_time
from zeroskew.features.offline_store.view_columns import KeyColumn, RequestedFeature
from zeroskew.features.windows.declare import window_plan_of
from zeroskew.features.windows.windowed_table import WindowedTable

__all__ = ["HistoricalView", "JoinedView", "plan_view", "requested_features"]

_LONGEST_TTL_US: Final = 2**62


@dataclass(frozen=True, slots=True)
class HistoricalView:
    """A feature view with its table opened.

    ``created_column`` is None where the source has none. ``ttl_us`` is microseconds, None
    where values never expire. ``tie_breakers`` are the source columns of all the view's
    features in order of their names, requested or not.
    """

    name: str
    table: ParquetTable
    keys: tuple[KeyColumn, ...]
    features: tuple[RequestedFeature, ...]
    event_column: str
    created_column: str | None
    ttl_us: int | None
    tie_breakers: tuple[str, ...]

    def read(
        self,
        start: int | None,
        end: int,
        key_types: Sequence[pl.DataType],
        *,
        known_by: int | None,
    ) -> pl.DataFrame:
        """Read the rows whose event time lies in ``[start, end]``.

        Of rows with equal keys, event and created times one is left, chosen by its values
        alone (:func:`zeroskew.features.offline_store.source_rows.drop_ties`).

        Parameters
        ----------
        start, end : int or None
            Microseconds since the Unix epoch, both included; None leaves the start open.
        key_types : sequence of pl.DataType
            The types to bring the join keys to.
        known_by : int or None
            Leave out rows created later than this, and rows with a null created time.

        Returns
        -------
        pl.DataFrame
            ``key:i``, ``event``, perhaps ``created`` (Int64 microseconds), then the requested
            features under their output names with the prefix ``feature:``. No null keys.
        """
        selected = self._select(start, end, known_by)
        columns = {feature.source for feature in self.features}
        rows = self._collect(selected, sorted(columns))
        instants = [EVENT, *([CREATED] if self.created_column else [])]
        identity = [*self.key_names, *instants]
        rows = sort_by_time(rows, instants)
        if has_ties(rows, identity, instants=instants):
            breakers = [f"source:{column}" for column in self.tie_breakers]
            wider = self._collect(selected, sorted(columns | set(self.tie_breakers)))
            rows = drop_ties(wider, identity, breakers)
        keys = [
            conform_key(rows[name], dtype, column=key.source)
            for name, key, dtype in zip(self.key_names, self.keys, key_types, strict=True)
        ]
        return self._rename_features(rows.with_columns(keys))

    @property
    def key_names(self) -> list[str]:
        """The names of the join keys in what :meth:`read` returns."""
        return [f"key:{position}" for position in range(len(self.keys))]

    def _select(self, start: int | None, end: int, known_by: int | None) -> pl.LazyFrame:
        schema = self.table.schema
        conditions = [
            between(self.event_column, schema[self.event_column], start, end),
            *(has_key(key.source, schema[key.source]) for key in self.keys),
        ]
        if self.created_column is not None and known_by is not None:
            dtype = schema[self.created_column]
            conditions.append(between(self.created_column, dtype, None, known_by))
        return self.table.frame.filter(conditions)

    def _collect(self, selected: pl.LazyFrame, columns: Sequence[str]) -> pl.DataFrame:
        keys = [
            pl.col(key.source).alias(name)
            for name, key in zip(self.key_names, self.keys, strict=True)
        ]
        instants = [pl.col(self.event_column).alias(EVENT)]
        if self.created_column is not None:
            instants.append(pl.col(self.created_column).alias(CREATED))
        values = [pl.col(column).alias(f"source:{column}") for column in columns]
        rows = self.table.collect(selected.select(*keys, *instants, *values))
        return rows.with_columns(
            epoch_microseconds(rows[name]) for name in (EVENT, CREATED) if name in rows.columns
        )

    def _rename_features(self, rows: pl.DataFrame) -> pl.DataFrame:
        kept = [name for name in rows.columns if not name.startswith("source:")]
        features = [
            _to_declared(rows[f"source:{feature.source}"], feature).alias(
                f"feature:{feature.output}"
            )
            for feature in self.features
        ]
        return rows.select(kept).with_columns(features)


JoinedView: TypeAlias = HistoricalView | WindowedTable
"""A view over a table: of rows that have its features, or of events behind them."""


def requested_features(
    view: FeatureView, feature_refs: Sequence[str], *, full_feature_names: bool
) -> dict[str, str]:
    """Map each requested feature of a view to its output column, in the order requested."""
    prefix = f"{view.projection.name_alias or view.name}__" if full_feature_names else ""
    requested: dict[str, str] = {}
    for ref in feature_refs:
        view_name, version, feature = _parse_feature_ref(ref)
        if version is not None:
            view_name = f"{view_name}@v{version}"
        if view_name == view.projection.name_to_use():
            requested[feature] = f"{prefix}{feature}"
    return requested


def plan_view(
    view: FeatureView,
    feature_refs: Sequence[str],
    *,
    full_feature_names: bool,
    repo_path: Path | None,
) -> JoinedView:
    """Open a view's table and check that it is what the view declares.

    Parameters
    ----------
    view : FeatureView
        With its projection: an alias and a join-key map are honoured.
    feature_refs : sequence of str
        ``view:feature`` references, of this view and of others.
    full_feature_names : bool
        Whether output columns are ``view__feature``.
    repo_path : Path or None
        What relative paths are relative to.

    Returns
    -------
    HistoricalView or WindowedTable
        The latter where the view's features are windows over the events of its table.

    Raises
    ------
    UnsupportedRequestError
        If the view has no batch source, or one this store does not read, aggregates, or has
        a negative ttl.
    SourceError
        If the table lacks a column.
    """
    _refuse_unsupported(view)
    table = open_parquet_table(view.batch_source, repo_path)
    mapping = {new: old for old, new in view.batch_source.field_mapping.items()}
    declared = {field.name: field for field in view.features}
    requested = requested_features(view, feature_refs, full_feature_names=full_feature_names)
    event = mapping.get(view.batch_source.timestamp_field, view.batch_source.timestamp_field)
    created = mapping.get(
        view.batch_source.created_timestamp_column, view.batch_source.created_timestamp_column
    )
    if (windows := window_plan_of(view)) is not None:
        return _plan_windows(view, windows, table, requested, mapping, event, created)
    tie_breakers = {mapping.get(name, name) for name in declared}
    plan = HistoricalView(
        name=view.projection.name_to_use(),
        table=table,
        keys=_key_columns(view, mapping),
        features=tuple(
            RequestedFeature(mapping.get(name, name), output, declared_type(declared[name].dtype))
            for name, output in requested.items()
        ),
        event_column=event,
        created_column=created if created and created != event else None,
        ttl_us=_microseconds(view.ttl),
        tie_breakers=tuple(sorted(tie_breakers & set(table.schema))),
    )
    _check_columns(plan)
    return plan


def _plan_windows(
    view: FeatureView,
    windows: WindowPlan,
    table: ParquetTable,
    requested: Mapping[str, str],
    mapping: Mapping[str, str],
    event: str,
    created: str | None,
) -> WindowedTable:
    types = {field.name: declared_type(field.dtype) for field in view.features}
    plan = WindowedTable(
        name=view.projection.name_to_use(),
        table=table,
        keys=_key_columns(view, mapping),
        features=tuple(
            RequestedFeature(name, output, types[name])
            for name, output in requested.items()
            if name != STATE
        ),
        event_column=event,
        created_column=created if created and created != event else None,
        ttl_us=_microseconds(view.ttl),
        windows=windows,
    )
    _check_instants_and_keys(plan)
    for column in windows.columns:
        table.require(column, role=f"column of the windows of view {plan.name!r}")
    if windows.event_id is not None:
        table.require(windows.event_id, role=f"event id of view {plan.name!r}")
    return plan


def _refuse_unsupported(view: FeatureView) -> None:
    if view.ttl is not None and view.ttl < timedelta(0):
        raise UnsupportedRequestError(
            f"Got view {view.name!r} with a ttl of {view.ttl.total_seconds():g} s, "
            "but expected none or a positive one."
        )
    if getattr(view, "aggregations", None):
        raise UnsupportedRequestError(
            f"Got view {view.name!r} with aggregations, but expected them in "
            "`zeroskew.windowed_view`."
        )


def _key_columns(view: FeatureView, mapping: Mapping[str, str]) -> tuple[KeyColumn, ...]:
    return tuple(
        KeyColumn(
            view.projection.join_key_map.get(column.name, column.name),
            mapping.get(column.name, column.name),
        )
        for column in view.entity_columns
        if column.name != DUMMY_ENTITY_ID
    )


def _microseconds(ttl: timedelta | None) -> int | None:
    """Feast writes "for ever" as no ttl or as zero."""
    return min(ttl // timedelta(microseconds=1), _LONGEST_TTL_US) if ttl else None


def _check_columns(plan: HistoricalView) -> None:
    _check_instants_and_keys(plan)
    for feature in plan.features:
        plan.table.require(feature.source, role=f"feature of view {plan.name!r}")


def _check_instants_and_keys(plan: JoinedView) -> None:
    plan.table.require_instants(plan.event_column, role="event timestamp")
    if plan.created_column is not None:
        plan.table.require_instants(plan.created_column, role="created timestamp")
    for key in plan.keys:
        plan.table.require(key.source, role="join key")


def _to_declared(values: pl.Series, feature: RequestedFeature) -> pl.Series:
    if feature.arrow_type is None:
        return values
    return conform(values, as_polars(feature.arrow_type), column=feature.source)
