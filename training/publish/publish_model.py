"""Hand a model over: its manifest, its file in the artefact store, its row in the registry."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from training.dataset.build_dataset import Dataset
from training.evaluate.evaluate_model import Evaluation
from training.families.model_family import load_family
from training.publish.alias_moves import check_alias_move
from training.publish.load_gate import check_service_takes
from zeroskew.contract.errors.project import TrainingError
from zeroskew.contract.manifest import FeaturePlan, GoldenRow, Manifest, ModelFile
from zeroskew.contract.rollout import CHAMPION
from zeroskew.declarations.model_spec import ModelSpec
from zeroskew.features.onnx_graph import open_session
from zeroskew.features.plans.compile_plan import make_golden_keys
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.model_registry import ModelRegistry

__all__ = ["Published", "build_manifest", "make_golden_rows", "make_up_instances", "publish_model"]

LIBRARIES = ("feast", "ndonnx", "numpy", "onnx", "onnxruntime", "polars")
N_GOLDEN_ROWS = 16
_MADE_UP_KEYS: Mapping[str, tuple[str | int, str | int]] = {
    "STRING": ("", "golden key: größer"),
    "BYTES": ("", "golden key: größer"),
    "INT32": (-(2**31), 2**31 - 1),
    "INT64": (-(2**53) + 1, 2**53 - 1),
}
"""Values that are nobody's: a manifest is immutable, and an entity must be erasable."""


class Published(BaseModel):
    """A registered version and where its files are."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    manifest_sha256: str
    model_sha256: str


def build_manifest(
    spec: ModelSpec,
    dataset: Dataset,
    evaluation: Evaluation,
    model_file: bytes,
    parity: dict[str, Any],
) -> Manifest:
    """Return the manifest of an exported model; it holds nothing that changes between runs."""
    libraries = {*LIBRARIES, *load_family(spec.family).libraries}
    return Manifest(
        model=spec.name,
        description=spec.description,
        family=spec.family,
        objective=spec.objective.name,
        output=spec.output.model_copy(update={"threshold": evaluation.threshold}),
        request=spec.request,
        plan=dataset.plan,
        model_file=ModelFile(
            sha256=hashlib.sha256(model_file).hexdigest(), size_bytes=len(model_file)
        ),
        golden_rows=make_golden_rows(dataset, model_file),
        golden_keys=make_golden_keys(dataset.plan, make_up_instances(dataset.plan)),
        example=spec.example,
        metrics=evaluation.metrics,
        baselines=evaluation.baselines,
        parity=parity,
        data=dataset.snapshot(spec.split),
        label_matures_after_sec=(
            spec.labels.matures_after.total_seconds() if spec.labels.matures_after else None
        ),
        parameters={
            name: value if isinstance(value, str | int | float) else json.dumps(value)
            for name, value in spec.parameters.items()
        },
        libraries={name: version(name) for name in sorted(libraries)},
        code_revision=read_code_revision(),
    )


def publish_model(
    manifest: Manifest,
    model_file: bytes,
    *,
    artifacts: ArtifactStore,
    registry: ModelRegistry,
    alias: str | None = CHAMPION,
    created_by: str = "",
    reason: str = "",
    signing_key: Path | None = None,
    allow_request_change: bool = False,
) -> Published:
    """Store both files, register the version and point ``alias`` to it.

    Files come first: a version in the registry always has its files. Publishing the same
    manifest again gives the version it already has. With the file of a ``signing_key`` the
    registry keeps a signature over the manifest's bytes.

    Raises
    ------
    GateError
        If the service would not load the model.
    SpecError
        If the callers of ``alias`` could not go on, unless ``allow_request_change``.

    Nothing is stored then.
    """
    check_service_takes(manifest, model_file)
    if alias is not None:
        check_alias_move(
            manifest,
            alias,
            registry=registry,
            artifacts=artifacts,
            allow_request_change=allow_request_change,
        )
    model_sha256 = artifacts.put(model_file)
    content = manifest.model_dump_json(indent=2).encode()
    manifest_sha256 = artifacts.put(content)
    signature = None
    if signing_key is not None:
        from training.publish.signing import sign_bytes  # Few sign, and its import takes its time.

        signature = sign_bytes(content, signing_key)
    row = registry.register(
        model=manifest.model,
        manifest_sha256=manifest_sha256,
        model_sha256=model_sha256,
        created_by=created_by,
        reason=reason,
        signature=signature,
    )
    if alias is not None:
        registry.set_alias(manifest.model, alias, row.version, actor=created_by, reason=reason)
    return Published(
        model=manifest.model,
        version=row.version,
        manifest_sha256=manifest_sha256,
        model_sha256=model_sha256,
    )


def make_golden_rows(dataset: Dataset, model_file: bytes) -> tuple[GoldenRow, ...]:
    """Score rows spread over the test span, and one without any value, one at a time.

    Raises
    ------
    TrainingError
        If a row scores differently alone and in a batch: no answer could then be replayed.
    """
    features, _ = dataset.matrix("test")
    features = features[:, : len(dataset.plan.columns)]
    request = dataset.request_matrix("test")
    picked = np.linspace(0, len(features) - 1, N_GOLDEN_ROWS).astype(int)
    nothing = np.full((1, features.shape[1]), np.nan, dtype=np.float32)
    features = np.concatenate([features[picked], nothing])
    request = np.concatenate([request[picked], np.full((1, request.shape[1]), np.nan)])

    session = open_session(model_file)
    batch = _score(session, features, request)
    rows = []
    for index in range(len(features)):
        one = slice(index, index + 1)
        alone = _score(session, features[one], request[one])
        if alone.tobytes() != batch[one].tobytes():
            raise TrainingError(f"Got {alone} for a row alone, but {batch[one]} in a batch")
        rows.append(
            GoldenRow(
                features=features[one].astype("<f4").tobytes().hex(),
                request=request[one].astype("<f8").tobytes().hex(),
                scores=alone.astype("<f8").tobytes().hex(),
            )
        )
    return tuple(rows)


def make_up_instances(plan: FeaturePlan) -> list[dict[str, Any]]:
    """Return two instances, each with a value for all request fields that are entity keys."""
    # INT32 last: a field that keys views of both types is to fit both.
    keys = sorted(
        (key for view in plan.views for key in view.join_keys), key=lambda key: key.type == "INT32"
    )
    return [{key.field: _MADE_UP_KEYS[key.type][number] for key in keys} for number in range(2)]


def read_code_revision() -> str:
    """Return the git commit, with ``-dirty`` after local changes, or ``unknown``.

    ``ZEROSKEW_CODE_REVISION`` wins, for images that carry no git folder.
    """
    if revision := os.environ.get("ZEROSKEW_CODE_REVISION"):
        return revision
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty"],  # noqa: S607 - git on PATH
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()


def _score(
    session: Any, features: npt.NDArray[np.float32], request: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    inputs: dict[str, npt.NDArray[Any]] = {"features": features}
    if request.shape[1]:
        inputs["request"] = request
    return np.asarray(session.run(["scores"], inputs)[0], dtype=np.float64)
