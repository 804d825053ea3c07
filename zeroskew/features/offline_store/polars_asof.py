"""The Feast offline store: point-in-time joins and materialization over local Parquet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any, Literal

import polars as pl
import pyarrow as pa
from feast import FeatureView, OnDemandFeatureView, RepoConfig
from feast.data_source import DataSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel
from pydantic import Field, StrictBool

from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.features.offline_store.entity_rows import EntityRows, read_entity_rows
from zeroskew.features.offline_store.errors import EntityRowError, UnsupportedRequestError
from zeroskew.features.offline_store.historical_view import JoinedView, plan_view
from zeroskew.features.offline_store.parquet.parquet_source import open_parquet_table
from zeroskew.features.offline_store.point_in_time import join_views
from zeroskew.features.offline_store.retrieval_job import PolarsRetrievalJob
from zeroskew.features.offline_store.source_pull import SourcePull
from zeroskew.features.offline_store.source_write import append_to_source, derived_partitions
from zeroskew.features.offline_store.time_slices import SliceLimits

__all__ = ["PolarsAsofOfflineStore", "PolarsAsofOfflineStoreConfig"]


class PolarsAsofOfflineStoreConfig(FeastConfigBaseModel):
    """The ``offline_store`` section of ``feature_store.yaml``; unknown options are refused.

    Attributes
    ----------
    type : str
        The store's dotted path.
    filter_by_created_timestamp : bool
        Whether a row is unknown before its created time. On by default, so that a backfilled
        or corrected value cannot leak into a label older than itself. A call's own
        ``filter_by_created_timestamp=True`` turns it on; Feast does not pass on a False, so
        turning it off takes this option. It holds for materialization too: a row created
        after the end of the span is not written online.
    max_slice_rows : int
        A table with more rows is read in slices of time.
    slice_months : int
        Calendar months in one slice.
    """

    type: Literal["zeroskew.features.offline_store.polars_asof.PolarsAsofOfflineStore"] = (
        "zeroskew.features.offline_store.polars_asof.PolarsAsofOfflineStore"
    )
    filter_by_created_timestamp: StrictBool = True
    max_slice_rows: int = Field(default=2_000_000, gt=0)
    slice_months: int = Field(default=1, gt=0, le=1200)

    @property
    def limits(self) -> SliceLimits:
        """The bound on rows read at once."""
        return SliceLimits(max_rows=self.max_slice_rows, months=self.slice_months)


class PolarsAsofOfflineStore(OfflineStore):
    """Point-in-time joins and materialization over local Parquet files."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: object,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        *,
        filter_by_created_timestamp: bool | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Join features to labels as they were known at each label's time.

        Entity rows are read and checked at once, the join runs when its result is asked for.

        Parameters
        ----------
        config, feature_views, feature_refs, registry, project, full_feature_names
            As Feast documents them.
        entity_df : pd.DataFrame, pl.DataFrame or pa.Table
            One row a label, :func:`zeroskew.features.offline_store.entity_rows.read_entity_rows`.
        filter_by_created_timestamp : bool or None
            None stands for the store's own option.
        start_date, end_date : datetime or None
            Refused: labels are rows of ``entity_df``.

        Returns
        -------
        RetrievalJob
            The label columns, then the features with their declared types, view by view, each
            view's in the order asked. One row a label, in the labels' order.

        Raises
        ------
        EntityRowError, SourceError, UnsupportedRequestError
            If labels or tables cannot be joined, here or when the job runs.
        """
        if entity_df is not None:
            _refuse_dates(start_date, end_date)
        store: PolarsAsofOfflineStoreConfig = config.offline_store
        cutoff = filter_by_created_timestamp
        if cutoff is None:
            cutoff = store.filter_by_created_timestamp
        labels = read_entity_rows(entity_df)
        plan = partial(plan_view, full_feature_names=full_feature_names, repo_path=config.repo_path)
        views = [plan(view, feature_refs) for view in feature_views]
        _check_output_names(labels, views)
        return PolarsRetrievalJob(
            lambda: _join(labels, views, store.limits, cutoff=cutoff),
            repo_path=config.repo_path,
            index=labels.index,
            full_feature_names=full_feature_names,
            on_demand_feature_views=OnDemandFeatureView.get_requested_odfvs(
                feature_refs, project, registry
            ),
            metadata=_metadata(labels, feature_refs),
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """Read the latest row of each entity in ``[start_date, end_date]``.

        The same row that a label at ``end_date`` gets, if the view lives that long.
        """
        store: PolarsAsofOfflineStoreConfig = config.offline_store
        end = to_epoch_us(end_date)
        pull = SourcePull(
            table=open_parquet_table(data_source, config.repo_path),
            keys=tuple(join_key_columns),
            features=tuple(feature_name_columns),
            event_column=timestamp_field,
            created_column=created_timestamp_column or None,
            start=to_epoch_us(start_date),
            end=end,
            known_by=end if store.filter_by_created_timestamp else None,
        )
        return PolarsRetrievalJob(lambda: pull.latest(store.limits), repo_path=config.repo_path)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Read all entities' rows in ``[start_date, end_date]``, whenever they were created."""
        pull = SourcePull(
            table=open_parquet_table(data_source, config.repo_path),
            keys=tuple(join_key_columns),
            features=tuple(feature_name_columns),
            event_column=timestamp_field,
            created_column=created_timestamp_column or None,
            start=None if start_date is None else to_epoch_us(start_date),
            end=None if end_date is None else to_epoch_us(end_date),
        )
        return PolarsRetrievalJob(pull.all_rows, repo_path=config.repo_path)

    @staticmethod
    def offline_write_batch(
        config: RepoConfig,
        feature_view: FeatureView,
        table: pa.Table,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Append rows to a view's folder as new part files; nothing is rewritten."""
        append_to_source(table, feature_view.batch_source, config.repo_path)
        if progress is not None:
            progress(table.num_rows)

    @staticmethod
    def write_logged_features(**_request: object) -> None:
        """Refuse: predictions are logged by the service, not through Feast."""
        raise UnsupportedRequestError(
            "Got features to log through Feast, but expected none: this store keeps no logs."
        )

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> Iterable[tuple[str, str]]:
        """Name a source's columns and Arrow types, without partitions that follow from time."""
        table = open_parquet_table(data_source, config.repo_path)
        derived = derived_partitions(data_source, config.repo_path)
        for name, dtype in table.schema.items():
            if name not in derived:
                yield name, _arrow_name(dtype)


def _refuse_dates(start_date: datetime | None, end_date: datetime | None) -> None:
    if start_date is not None or end_date is not None:
        raise UnsupportedRequestError(
            "Got entity_df with start_date or end_date, but expected only entity_df."
        )


def _check_output_names(labels: EntityRows, views: list[JoinedView]) -> None:
    names = [*labels.table.column_names]
    names += [feature.output for view in views for feature in view.features]
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise EntityRowError(
            f"Got {repeated} from more than one of the labels and the views, but expected "
            "distinct columns. Ask with full_feature_names=True, or rename the label column."
        )


def _join(
    labels: EntityRows, views: list[JoinedView], limits: SliceLimits, *, cutoff: bool
) -> pa.Table:
    table = labels.table
    joined = join_views(labels, views, limits, cutoff=cutoff)
    for view, features in zip(views, joined, strict=True):
        for feature in view.features:
            values = features[f"feature:{feature.output}"].to_arrow()
            if feature.arrow_type is not None:
                values = values.cast(feature.arrow_type)
            table = table.append_column(feature.output, values)
    return table


def _metadata(labels: EntityRows, feature_refs: list[str]) -> RetrievalMetadata:
    first, last = labels.bounds
    return RetrievalMetadata(
        features=feature_refs,
        keys=[name for name in labels.table.column_names if name != labels.timestamp_column],
        min_event_timestamp=first,
        max_event_timestamp=last,
    )


def _arrow_name(dtype: pl.DataType) -> str:
    """Feast reads ``large_string`` as JSON, so text is named ``string``."""
    return str(pl.Series([], dtype=dtype).to_arrow().type).replace("large_", "")
