"""Features from Feast's SDK, scores from LightGBM: what the applications and the checks share."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from feast import FeatureStore
from feast.on_demand_feature_view import OnDemandFeatureView
from numpy.typing import NDArray

from zeroskew.contract.manifest import Manifest

__all__ = ["SdkScorer"]

Row = Mapping[str, Any]
Columns = Mapping[str, Sequence[Any]]


class SdkScorer:
    """Looks features up with the SDK and scores them with the booster, in two ways.

    The first asks for the feature service, as Feast's documentation does. The second spares
    the SDK's on-demand transformations, which go through pandas: it asks for the stored
    features alone, and calls the request-time functions itself.

    Parameters
    ----------
    feature_repo
        The folder with ``feature_store.yaml``.
    booster_file
        The model in LightGBM's text format.
    manifest_file
        The manifest of the same model: it says which text has which code.
    """

    def __init__(self, feature_repo: Path, booster_file: Path, manifest_file: Path) -> None:
        # The on-demand view's source is imported by its bare name, as Feast's own commands do.
        sys.path.insert(0, str(feature_repo))
        self.manifest = Manifest.model_validate_json(manifest_file.read_bytes())
        self.store = FeatureStore(repo_path=str(feature_repo))
        self.booster = lgb.Booster(model_file=str(booster_file))
        plan = self.manifest.plan
        self.service = self.store.get_feature_service(plan.feature_service)
        self.references = [f"{view.name}:{f.name}" for view in plan.views for f in view.features]
        self._join_keys = {key.field for view in plan.views for key in view.join_keys}
        self._columns = [*(column.name for column in plan.columns), *plan.request_features]
        self._codes = {
            column.name: {text: code for code, text in enumerate(column.categories)}
            for column in plan.columns
            if column.categories is not None
        }
        self._functions = self._load_functions()

    def ask_service(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the arguments of the SDK's call for the whole feature service."""
        entity_rows = [dict(row) for row in rows]
        return {"features": self.service, "entity_rows": entity_rows, "full_feature_names": True}

    def ask_stored(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the arguments of the SDK's call for the stored features alone."""
        entity_rows = [{key: row[key] for key in self._join_keys} for row in rows]
        return {
            "features": self.references,
            "entity_rows": entity_rows,
            "full_feature_names": True,
        }

    def score_service(self, rows: Sequence[Row], online: Columns) -> NDArray[np.float64]:
        """Score rows, float64 ``(n_rows,)``, from what the SDK said of the feature service."""
        return self._predict(self.matrix(rows, online))

    def score_stored(self, rows: Sequence[Row], online: Columns) -> NDArray[np.float64]:
        """Score rows, float64 ``(n_rows,)``, from what the SDK said of the stored features."""
        computed = dict(online)
        inputs = {
            source.name: _as_floats(
                [row[source.field] for row in rows]
                if source.field is not None
                else online[f"{source.view}__{source.feature}"]
            )
            for source in self.manifest.plan.request_inputs
        }
        for function in self._functions:
            for output, values in function.evaluate(inputs).items():
                computed[f"{function.name}__{output}"] = values
        return self._predict(self.matrix(rows, computed))

    def matrix(self, rows: Sequence[Row], online: Columns) -> NDArray[np.float32]:
        """Return the booster's features, float32 ``(n_rows, n_columns)``; null is NaN."""
        matrix = np.empty((len(rows), len(self._columns)), np.float32)
        for index, name in enumerate(self._columns):
            values = online[name] if name in online else [row[name] for row in rows]
            codes = self._codes.get(name)
            if codes is not None:
                values = [codes.get(text) for text in values]
            matrix[:, index] = np.array(values, np.float64)
        return matrix

    def _predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(self.booster.predict(matrix), np.float64)

    def _load_functions(self) -> list[Any]:
        from zeroskew.features.request_time import request_function_of

        views = (
            self.store.registry.get_any_feature_view(projection.name, self.store.project)
            for projection in self.service.feature_view_projections
        )
        return [
            request_function_of(view) for view in views if isinstance(view, OnDemandFeatureView)
        ]


def _as_floats(values: Sequence[Any]) -> NDArray[np.float64]:
    return np.array(
        [value.timestamp() if isinstance(value, datetime) else value for value in values],
        np.float64,
    )
