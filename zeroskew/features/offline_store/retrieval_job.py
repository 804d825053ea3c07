"""A retrieval that runs when its result is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from feast import OnDemandFeatureView
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.saved_dataset import SavedDatasetStorage, ValidationReference

from zeroskew.features.offline_store.errors import UnsupportedRequestError
from zeroskew.features.offline_store.parquet.parquet_source import local_path
from zeroskew.features.offline_store.parquet.part_files import write_file_atomically

__all__ = ["PolarsRetrievalJob"]


class PolarsRetrievalJob(RetrievalJob):
    """Runs ``evaluate`` at each call of ``to_arrow``, ``to_df`` or ``persist``.

    Parameters
    ----------
    evaluate : callable
        Returns the result as an Arrow table, each column in one chunk.
    repo_path : Path or None
        What a relative path of :meth:`persist` is relative to.
    index : pd.Index or None
        The pandas index of the result, None for a range.
    full_feature_names : bool
        Whether feature columns are ``view__feature``.
    on_demand_feature_views : sequence of OnDemandFeatureView
        Views that Feast computes from the result.
    metadata : RetrievalMetadata or None
        What was asked for.
    """

    def __init__(
        self,
        evaluate: Callable[[], pa.Table],
        *,
        repo_path: Path | None,
        index: pd.Index[Any] | None = None,
        full_feature_names: bool = False,
        on_demand_feature_views: Sequence[OnDemandFeatureView] = (),
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        self._evaluate = evaluate
        self._repo_path = repo_path
        self._index = index
        self._full_feature_names = full_feature_names
        self._on_demand_feature_views = list(on_demand_feature_views)
        self._metadata = metadata

    @property
    def full_feature_names(self) -> bool:
        """Whether feature columns are ``view__feature``."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """The views that Feast computes from the result."""
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked for."""
        return self._metadata

    def to_df(
        self,
        validation_reference: ValidationReference | None = None,
        timeout: int | None = None,
    ) -> pd.DataFrame:
        """Run the retrieval and return a pandas frame with the entity frame's own index."""
        table = self.to_arrow(validation_reference=validation_reference, timeout=timeout)
        frame = table.to_pandas()
        if self._index is not None:
            frame.index = self._index
        return frame

    def persist(
        self,
        storage: SavedDatasetStorage,
        allow_overwrite: bool = False,
        timeout: int | None = None,
    ) -> None:
        """Run the retrieval and write the result to one Parquet file, atomically.

        Raises
        ------
        UnsupportedRequestError
            If the storage is not a local ``.parquet`` file.
        SavedDatasetLocationAlreadyExists
            If the file exists and ``allow_overwrite`` is false.
        """
        if not isinstance(storage, SavedDatasetFileStorage):
            raise UnsupportedRequestError(
                f"Got {type(storage).__name__}, but expected SavedDatasetFileStorage."
            )
        path = local_path(storage.to_data_source(), self._repo_path)
        if path.suffix != ".parquet" or path.is_dir():
            raise UnsupportedRequestError(
                f"Got {path.name!r} to save to, but expected the path of a .parquet file."
            )
        if path.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(path))
        write_file_atomically(self.to_arrow(timeout=timeout), path)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        if timeout is not None:
            raise UnsupportedRequestError(
                f"Got timeout={timeout}, but expected none: a running join is not interrupted."
            )
        return self._evaluate()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal(timeout).to_pandas()
