"""The load gate: a model is usable when its files, its graph and its plan prove to agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeroskew.contract.errors.service import (
    ArtifactError,
    ArtifactMissingError,
    ArtifactStoreUnavailableError,
    ModelMissingError,
    ModelRefusedError,
    ServiceError,
)
from zeroskew.contract.manifest import GoldenRow, Manifest, Output, parse_manifest
from zeroskew.model.manifest_signature import check_signature
from zeroskew.model.model_session import ModelSession
from zeroskew.model.plan.read_plan import ReadPlan
from zeroskew.model.requests.field_types import InstanceLimits
from zeroskew.model.requests.schemas import ModelSchema
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.registered_version import RegisteredVersion

__all__ = ["ActiveModel", "load_model", "read_manifest"]


@dataclass(frozen=True, slots=True, eq=False)
class ActiveModel:
    """One model version that passed the load gate; replaced as a whole, never changed."""

    version: int
    manifest: Manifest
    plan: ReadPlan
    schema: ModelSchema
    session: ModelSession

    @property
    def name(self) -> str:
        """The model's name."""
        return self.manifest.model

    def prepare(self) -> None:
        """Make the session quicker for few rows; see `ModelSession.prepare`."""
        golden = self.manifest.golden_rows
        self.session.prepare(np.concatenate(_read_requests(golden, self.plan.n_request_inputs)))


def read_manifest(
    registered: RegisteredVersion, artifacts: ArtifactStore, trusted_keys: Sequence[str] = ()
) -> Manifest:
    """Read and check the manifest of a registered version, without loading its graph.

    With `trusted_keys`, one of them must have signed it.

    Raises
    ------
    ModelMissingError
        If it is not there, or cannot be read now.
    ModelRefusedError
        If it is damaged, unsigned, of another format, or another model's.
    """
    try:
        content = artifacts.get(registered.manifest_sha256)
        if trusted_keys:
            check_signature(content, registered.signature, trusted_keys)
        manifest = parse_manifest(content)
    except ArtifactMissingError as error:
        raise ModelMissingError(f"{_title(registered)}: manifest: {error}") from error
    except (ArtifactError, ModelRefusedError) as error:
        raise ModelRefusedError(f"{_title(registered)}: manifest: {error}") from error
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
    registered: RegisteredVersion,
    artifacts: ArtifactStore,
    limits: InstanceLimits,
    trusted_keys: Sequence[str] = (),
) -> ActiveModel:
    """Load a registered version and prove that it is what was published.

    In this order: sizes and sha256 of both files, the manifest's signature where keys are
    trusted, its shape, the plan against itself and the request fields, every golden entity key,
    the manifest's example, the graph's contents, its inputs and output against the plan, and
    every golden row equal to the bit, alone and among the others.

    Raises
    ------
    ModelMissingError
        If a file is not there, or cannot be read now.
    ModelRefusedError
        If any of it does not hold; the message begins with the model and its version.
    ArtifactStoreUnavailableError
        If the files cannot be had now, which says nothing about them.
    """
    manifest = read_manifest(registered, artifacts, trusted_keys)
    try:
        plan = ReadPlan(manifest.request, manifest.plan)
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
            content,
            n_features=plan.n_columns,
            n_request_inputs=plan.n_request_inputs,
            n_request_features=len(manifest.plan.request_features),
        )
        _check_golden_rows(manifest, plan, session)
    except ArtifactStoreUnavailableError:
        raise
    except ArtifactMissingError as error:
        raise ModelMissingError(f"{_title(registered)}: {error}") from error
    except ServiceError as error:
        raise ModelRefusedError(f"{_title(registered)}: {error}") from error
    return ActiveModel(registered.version, manifest, plan, schema, session)


def _check_output(output: Output) -> None:
    if output.kind == "probability" and output.threshold is None:
        raise ModelRefusedError("Got output kind probability without a threshold.")
    if output.kind == "probabilities" and not output.classes:
        raise ModelRefusedError("Got output kind probabilities without classes.")


def _check_golden_rows(manifest: Manifest, plan: ReadPlan, session: ModelSession) -> None:
    """Replay the golden rows, each alone and all as one batch, and compare the scores' bytes."""
    width = len(manifest.output.classes or ()) if manifest.output.kind == "probabilities" else None
    golden = manifest.golden_rows
    features = [
        _read_row(row.features, "<f4", plan.n_columns, number) for number, row in enumerate(golden)
    ]
    request = _read_requests(golden, plan.n_request_inputs)
    for number, row in enumerate(golden):
        scores = _replay(session, features[number], request[number], width)
        if scores != [row.scores]:
            raise ModelRefusedError(f"Got another score than published for golden row {number}.")
    batch = _replay(session, np.concatenate(features), np.concatenate(request), width)
    for number, row in enumerate(golden):
        if batch[number] != row.scores:
            raise ModelRefusedError(
                f"Got another score for golden row {number} among the others than alone."
            )


def _replay(
    session: ModelSession,
    features: NDArray[np.float32],
    request: NDArray[np.float64],
    n_classes: int | None,
) -> list[str]:
    """Return each row's scores as little-endian hex."""
    try:
        scores = session.run(features, request)
    except Exception as error:  # The runtime's exceptions have no common root but this.
        raise ModelRefusedError("Got a graph that fails when it runs.") from error
    shape = (len(features),) if n_classes is None else (len(features), n_classes)
    if scores.shape != shape:
        raise ModelRefusedError(
            f"Got scores of shape {scores.shape} for {len(features)} rows, but expected {shape}."
        )
    return [row.astype("<f8").tobytes().hex() for row in scores]


def _read_requests(golden: Sequence[GoldenRow], width: int) -> list[NDArray[Any]]:
    return [_read_row(row.request, "<f8", width, number) for number, row in enumerate(golden)]


def _read_row(text: str, dtype: str, width: int, number: int) -> NDArray[Any]:
    values = np.frombuffer(bytes.fromhex(text), np.uint8)
    expected = np.dtype(dtype).itemsize * width
    if len(values) != expected:
        raise ModelRefusedError(
            f"Got {len(values)} bytes in golden row {number}, but expected {expected}."
        )
    return values.view(dtype).reshape(1, width)


def _title(registered: RegisteredVersion) -> str:
    return f"Model {registered.model} version {registered.version}"
