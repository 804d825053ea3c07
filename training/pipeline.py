"""The steps from tables to a published model, in order.

Each step reads what the one before left in the model's work folder and leaves its own files
there, so that any of them can be run again alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from getpass import getuser
from pathlib import Path

import lightgbm as lgb
import numpy as np

from api.contract.manifest import Manifest
from api.registry.artifact_store import ArtifactStore
from api.registry.model_registry import ModelRegistry
from training.check_parity import check_parity
from training.compile_plan import compile_plan
from training.dataset import Dataset, build_dataset, load_labels
from training.errors import StepError
from training.evaluate import Evaluation, check_gates, evaluate_model
from training.export_onnx import export_onnx, serialize_model
from training.fit import FittedModel, Progress, fit_model
from training.model_spec import ModelSpec
from training.publish import Published, build_manifest, publish_model
from training.report import write_report
from training.workspace import Workspace

__all__ = [
    "TRAINING_STEPS",
    "Step",
    "load_evaluation",
    "make_dataset",
    "make_evaluation",
    "make_export",
    "make_fit",
    "make_parity",
    "materialize",
    "publish",
]

BOOSTER, THRESHOLD = "booster.txt", "threshold.json"
EVALUATION, MODEL_FILE, PARITY = "evaluation.json", "model.onnx", "parity.json"


@dataclass(frozen=True)
class Step:
    """A named step of training: ``run(workspace, spec, progress)`` returns what it did."""

    name: str
    run: Callable[[Workspace, ModelSpec, Progress], str]


def make_dataset(workspace: Workspace, spec: ModelSpec, progress: Progress) -> str:
    """Join labels and features as of each prediction time, split by time, and save them."""
    store = workspace.open_feature_store()
    compiled = compile_plan(store, spec)
    progress(1, 3)
    labels = load_labels(workspace.lake, spec)
    progress(2, 3)
    dataset = build_dataset(store, spec, compiled.plan, labels)
    dataset.save(workspace.work(spec.name))
    counts = ", ".join(f"{n:,} {span}" for span, n in dataset.snapshot(spec.split).rows.items())
    return f"{len(dataset.columns)} columns; rows: {counts}"


def make_fit(workspace: Workspace, spec: ModelSpec, progress: Progress) -> str:
    """Fit the model and save the booster's text."""
    folder = workspace.work(spec.name)
    model = fit_model(spec, Dataset.load(folder), progress)
    model.booster.save_model(folder / BOOSTER)
    (folder / THRESHOLD).write_text(json.dumps(model.threshold))
    return f"{model.booster.num_trees()} trees"


def make_evaluation(workspace: Workspace, spec: ModelSpec, progress: Progress) -> str:
    """Judge the model on the test span against both baselines and write the report."""
    folder = workspace.work(spec.name)
    model = load_fitted(folder)
    progress(0, 1)
    evaluation, scored = evaluate_model(spec, Dataset.load(folder), model)
    (folder / EVALUATION).write_text(evaluation.model_dump_json(indent=2))
    report = write_report(folder, spec, evaluation, scored, model)
    return f"report in {report}"


def make_export(workspace: Workspace, spec: ModelSpec, progress: Progress) -> str:
    """Export the booster and the request-time functions as one ONNX graph."""
    folder = workspace.work(spec.name)
    plan = Dataset.load(folder).plan
    progress(0, 1)
    compiled = compile_plan(workspace.open_feature_store(), spec)
    model = export_onnx(
        load_fitted(folder).booster,
        n_columns=len(plan.columns),
        request_inputs=plan.request_inputs,
        request_functions=compiled.request_functions,
    )
    content = serialize_model(model)
    (folder / MODEL_FILE).write_bytes(content)
    return f"{len(content):,} bytes"


def make_parity(workspace: Workspace, spec: ModelSpec, progress: Progress) -> str:
    """Compare the exported graph with LightGBM on all held-out rows and adversarial ones."""
    folder = workspace.work(spec.name)
    dataset = Dataset.load(folder)
    model_file = read_step_file(folder, MODEL_FILE, "export")
    compiled = compile_plan(workspace.open_feature_store(), spec)
    progress(0, 1)
    features, _ = dataset.matrix("test")
    report = check_parity(
        load_fitted(folder).booster,
        model_file,
        np.ascontiguousarray(features[:, : len(dataset.plan.columns)]),
        request=dataset.request_matrix("test"),
        request_inputs=dataset.plan.request_inputs,
        request_functions=compiled.request_functions,
    )
    content = {**report.as_dict(), "model_sha256": hashlib.sha256(model_file).hexdigest()}
    (folder / PARITY).write_text(json.dumps(content, indent=2))
    return (
        f"{report.n_rows:,} held-out and {report.n_adversarial_rows:,} adversarial rows: "
        f"{report.n_rows_in_different_leaf} in a different leaf, relative difference at most "
        f"{report.max_relative_difference:.1e}"
    )


TRAINING_STEPS = (
    Step("dataset", make_dataset),
    Step("fit", make_fit),
    Step("evaluate", make_evaluation),
    Step("export", make_export),
    Step("parity", make_parity),
)


def publish(
    workspace: Workspace, spec: ModelSpec, *, alias: str | None = "champion", reason: str = ""
) -> Published:
    """Check the gates and register what the training steps left.

    Raises
    ------
    GateError
        If the model is not good enough. Nothing is registered then.
    StepError
        If a training step has not been run, or another model was exported since.
    """
    folder = workspace.work(spec.name)
    evaluation = load_evaluation(workspace, spec)
    parity = json.loads(read_step_file(folder, PARITY, "parity"))
    model_file = read_step_file(folder, MODEL_FILE, "export")
    if parity["model_sha256"] != hashlib.sha256(model_file).hexdigest():
        raise StepError("Got a parity report on another model.onnx; run `zeroskew parity` again")
    check_gates(spec, evaluation)
    manifest: Manifest = build_manifest(spec, Dataset.load(folder), evaluation, model_file, parity)
    registry = ModelRegistry.open(workspace.registry_url)
    try:
        return publish_model(
            manifest,
            model_file,
            artifacts=ArtifactStore(workspace.artifacts_dir),
            registry=registry,
            alias=alias,
            created_by=getuser(),
            reason=reason,
        )
    finally:
        registry.close()


def materialize(workspace: Workspace, until: datetime, progress: Progress) -> int:
    """Write each view's latest values known at ``until`` to the online store.

    Returns
    -------
    n_views
        The number of views written.
    """
    store = workspace.open_feature_store()
    views = [view for view in store.list_feature_views() if view.online]
    for done, view in enumerate(views):
        progress(done, len(views))
        start = until - view.ttl if view.ttl else datetime(1970, 1, 2, tzinfo=UTC)
        store.materialize(start - timedelta(seconds=1), until, feature_views=[view.name])
    progress(len(views), len(views))
    return len(views)


def load_evaluation(workspace: Workspace, spec: ModelSpec) -> Evaluation:
    """Read what the evaluate step left.

    Raises
    ------
    StepError
        If it has not been run.
    """
    content = read_step_file(workspace.work(spec.name), EVALUATION, "evaluate")
    return Evaluation.model_validate_json(content)


def load_fitted(folder: Path) -> FittedModel:
    """Read what the fit step left.

    Raises
    ------
    StepError
        If it has not been run.
    """
    text = read_step_file(folder, BOOSTER, "fit").decode()
    threshold = json.loads((folder / THRESHOLD).read_text())
    return FittedModel(booster=lgb.Booster(model_str=text), threshold=threshold)


def read_step_file(folder: Path, name: str, step: str) -> bytes:
    """Return the content of a file that ``step`` left.

    Raises
    ------
    StepError
        If there is no such file.
    """
    path = folder / name
    if not path.exists():
        raise StepError(f"Got no {name} in {folder}, but expected one; run `zeroskew {step}` first")
    return path.read_bytes()
