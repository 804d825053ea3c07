"""A model of trees with golden rows as `publish` makes them, and damage to its files."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from tests.support.boosters import Float32Array, fit_booster
from tests.support.manifests import PLAN, golden_row, make_manifest
from training.export.export_onnx import export_onnx, serialize_model
from training.families.lightgbm.estimator import LightgbmEstimator
from zeroskew.contract.errors.service import ModelRefusedError
from zeroskew.contract.manifest import Manifest, ModelFile
from zeroskew.model.load_gate import ActiveModel, load_model
from zeroskew.model.requests.field_types import InstanceLimits
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.registered_version import RegisteredVersion

_N_GOLDEN_ROWS: Final = 16
_PLAN: Final = PLAN.model_copy(update={"request_inputs": (), "request_features": ()})
LIMITS: Final = InstanceLimits(max_instances=10, max_text_length=20)


@dataclass(frozen=True)
class TreeModel:
    """A model file with its manifest, and rows like those that it was fitted on."""

    content: bytes
    manifest: Manifest
    rows: Float32Array

    def rehashed(self, content: bytes) -> Manifest:
        """Return the manifest as if `content` were its model file."""
        sha256 = hashlib.sha256(content).hexdigest()
        file = ModelFile(sha256=sha256, size_bytes=len(content))
        return self.manifest.model_copy(update={"model_file": file})

    def score(self, loaded: ActiveModel) -> bytes:
        """Return the bytes of the scores of all rows."""
        return loaded.session.run(self.rows, np.empty((len(self.rows), 0))).tobytes()


def make_tree_model(n_iterations: int = 30) -> TreeModel:
    """Return a small model of trees, some of whose splits are categorical."""
    booster, rows = fit_booster(n_rows=400, n_iterations=n_iterations)
    content = serialize_model(export_onnx(LightgbmEstimator.of(booster), n_columns=6))
    golden = [golden_row(content, row.tolist(), []) for row in rows[:_N_GOLDEN_ROWS]]
    golden.append(golden_row(content, [float("nan")] * 6, []))
    manifest = make_manifest(content, plan=_PLAN, golden_rows=tuple(golden))
    return TreeModel(content, manifest, rows)


def store(artifacts: ArtifactStore, manifest: bytes, content: bytes) -> RegisteredVersion:
    """Store both files, and return what the registry says of them."""
    return RegisteredVersion(
        model="arrival_delay",
        version=1,
        manifest_sha256=artifacts.put(manifest),
        model_sha256=artifacts.put(content),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        created_by="test",
        reason="test",
    )


def flip_bits(content: bytes, n_flips: int, *, seed: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield copies of `content` with one bit flipped, each with the bit's number."""
    for bit in random.Random(seed).sample(range(8 * len(content)), n_flips):  # noqa: S311 - no secret
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(damaged)


def judge_rehashed(folder: Path, model: TreeModel, content: bytes) -> str:
    """Load a damaged file that the registry vouches for, and say what came of it.

    ``refused``, ``golden`` where it was the golden rows that told, ``harmless`` where all rows
    score as before, or ``wrong``.
    """
    artifacts = ArtifactStore(folder)
    sound = load_model(
        store(artifacts, model.manifest.model_dump_json().encode(), model.content),
        artifacts,
        LIMITS,
    )
    manifest = model.rehashed(content).model_dump_json().encode()
    try:
        loaded = load_model(store(artifacts, manifest, content), artifacts, LIMITS)
    except ModelRefusedError as error:
        return "golden" if "golden row" in str(error) else "refused"
    try:
        return "harmless" if model.score(loaded) == model.score(sound) else "wrong"
    except Exception:
        return "wrong"
