"""The load gate: a model is usable when its files, its graph and its plan prove to agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from api.contract.manifest import Manifest, Output
from api.errors import ArtifactError, ModelRefusedError, ServiceError
from api.prediction.feature_plan import CompiledPlan
from api.prediction.model_session import ModelSession
from api.registry.artifact_store import ArtifactStore
from api.registry.tables import ModelVersion
from api.schemas import InstanceLimits, ModelSchema

__all__ = ["ActiveModel", "load_model", "read_manifest"]


@dataclass(frozen=True, slots=True, eq=False)
class ActiveModel:
    """One model version that passed the load gate; replaced as a whole, never changed."""

    version: int
    manifest: Manifest
    plan: CompiledPlan
    schema: ModelSchema
    session: ModelSession

    @property
    def name(self) -> str:
        """The model's name."""
        return self.manifest.model


def read_manifest(registered: ModelVersion, artifacts: ArtifactStore) -> Manifest:
    """Read and check the manifest of a registered version, without loading its graph.

    Raises
    ------
    ModelRefusedError
        If it is missing, damaged, of another format, or another model's.
    """
    try:
        manifest = Manifest.model_validate_json(artifacts.get(registered.manifest_sha256))
    except ArtifactError as error:
        raise ModelRefusedError(f"{_title(registered)}: manifest: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the top"
        raise ModelRefusedError(
            f"{_title(registered)}: Got a manifest with {error.error_count()} errors, "
            f"the first at {place}: {first['msg']}."
        ) from error
    if manifest.model != registered.model:
        raise ModelRefusedError(
            f"{_title(registered)}: Got the manifest of model {manifest.model!r}."
        )
    if manifest.model_file.sha256 != registered.model_sha256:
        raise ModelRefusedError(
            f"{_title(registered)}: Got model file {manifest.model_file.sha256} in the manifest, "
            f"but expected {registered.model_sha256} as registered."
        )
    return manifest


def load_model(
    registered: ModelVersion, artifacts: ArtifactStore, limits: InstanceLimits
) -> ActiveModel:
    """Load a registered version and prove that it is what was published.

    In this order: sizes and sha256 of both files, the manifest's shape, the plan against
    itself and the request fields, every golden entity key, the manifest's example, the
    graph's inputs and output against the plan, and every golden row equal to the bit.

    Raises
    ------
    ModelRefusedError
        If any of it does not hold; the message begins with the model and its version.
    """
    manifest = read_manifest(registered, artifacts)
    try:
        plan = CompiledPlan(manifest.request, manifest.plan)
        plan.check_golden_keys(manifest.golden_keys)
        _check_output(manifest.output)
        schema = ModelSchema(manifest, registered.version, limits)
        content = artifacts.get(manifest.model_file.sha256)
        if len(content) != manifest.model_file.size_bytes:
            raise ModelRefusedError(
                f"Got a model file of {len(content)} bytes, "
                f"but expected {manifest.model_file.size_bytes}."
            )
        session = ModelSession(
            content, n_features=plan.n_columns, n_request_inputs=plan.n_request_inputs
        )
        _check_golden_rows(manifest, plan, session)
    except ServiceError as error:
        raise ModelRefusedError(f"{_title(registered)}: {error}") from error
    return ActiveModel(registered.version, manifest, plan, schema, session)


def _check_output(output: Output) -> None:
    if output.kind == "probability" and output.threshold is None:
        raise ModelRefusedError("Got output kind probability without a threshold.")
    if output.kind == "probabilities" and not output.classes:
        raise ModelRefusedError("Got output kind probabilities without classes.")


def _check_golden_rows(manifest: Manifest, plan: CompiledPlan, session: ModelSession) -> None:
    """Replay every golden row alone, as `n_rows` = 1, and compare the scores' bytes."""
    classes = manifest.output.classes
    shape = (1, len(classes)) if manifest.output.kind == "probabilities" and classes else (1,)
    for number, row in enumerate(manifest.golden_rows):
        features = _read_row(row.features, "<f4", plan.n_columns, number)
        request = _read_row(row.request, "<f8", plan.n_request_inputs, number)
        scores = session.run(features, request)
        if scores.shape != shape:
            raise ModelRefusedError(
                f"Got scores of shape {scores.shape} for one row, but expected {shape}."
            )
        if scores.astype("<f8").tobytes().hex() != row.scores:
            raise ModelRefusedError(f"Got another score than published for golden row {number}.")


def _read_row(text: str, dtype: str, width: int, number: int) -> NDArray[Any]:
    values = np.frombuffer(bytes.fromhex(text), np.uint8)
    expected = np.dtype(dtype).itemsize * width
    if len(values) != expected:
        raise ModelRefusedError(
            f"Got {len(values)} bytes in golden row {number}, but expected {expected}."
        )
    return values.view(dtype).reshape(1, width)


def _title(registered: ModelVersion) -> str:
    return f"Model {registered.model} version {registered.version}"
