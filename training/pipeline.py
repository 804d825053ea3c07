"""The steps from tables to a published model, in order.

Each step reads what the one before left in the model's work folder and leaves its own files
there, so that any of them can be run again alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.dataset.build_dataset import build_dataset
from training.dataset.empty_inputs import list_inputs
from training.dataset.label_rules import check_labelled_spans
from training.dataset.label_table import load_labels
from training.evaluate.evaluate_model import check_gates, evaluate_model
from training.evaluate.report import write_report
from training.export.check_parity import check_parity
from training.export.export_onnx import export_onnx, serialize_model
from training.families.progress import Progress
from training.fit.fit_model import fit_model
from training.project.declared_parts import read_parts
from training.project.online_store import open_online_store, open_store_of
from training.project.online_values import check_online_values, say_write_errors
from training.project.registry_folder import RegistryFolder
from training.project.step_files import (
    DECLARED,
    EVALUATED,
    EVALUATION,
    EXPORTED,
    FITTED,
    MODEL_FILE,
    PARITY,
    find_fitted_file,
    hash_file,
    load_dataset,
    load_evaluation,
    load_fitted,
    read_step_document,
    read_step_file,
    unreadable,
)
from training.project.user_name import user_name
from training.project.workspace import Workspace
from training.publish.absent_online import refuse_absent_online
from training.publish.publish_model import Published, build_manifest, publish_model
from training.windows.apply_waiting import apply_waiting
from training.windows.write_states import write_states
from zeroskew.contract.errors.project import StepError
from zeroskew.contract.label_columns import LABEL, SPAN
from zeroskew.contract.manifest import FeaturePlan, Manifest
from zeroskew.contract.rollout import CHAMPION
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.declarations.model_spec import ModelSpec
from zeroskew.features.plans.compile_plan import PlanDraft, compile_plan
from zeroskew.features.windows.declare import window_plan_of
from zeroskew.records.registry.model_registry import ModelRegistry

__all__ = [
    "TRAINING_STEPS",
    "Step",
    "make_dataset",
    "make_evaluation",
    "make_export",
    "make_fit",
    "make_parity",
    "materialize",
    "materialize_views",
    "publish",
]

_EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Step:
    """A named step of training: ``run(workspace, spec, progress)`` returns what it did."""

    name: str
    run: Callable[[Workspace, ModelSpec, Progress], str]


def make_dataset(workspace: Workspace, spec: ModelSpec, progress: Progress) -> str:
    """Join labels and features as of each prediction time, split by time, and save them."""
    RegistryFolder(workspace).require_own()
    store = workspace.open_feature_store()
    compiled = compile_plan(store, spec)
    progress(1, 3)
    labels = load_labels(workspace.lake, spec)
    progress(2, 3)
    dataset = build_dataset(store, spec, compiled, labels)
    folder = workspace.work(spec.name)
    dataset.save(folder)
    (folder / DECLARED).write_text(json.dumps(read_parts(spec, "dataset")))
    counts = ", ".join(f"{n:,} {span}" for span, n in dataset.count_rows().items())
    lacking = ", ".join(f"{n:,} without {name}" for name, n in labels.left_out.items())
    more = f"; left out: {lacking}" if lacking else ""
    return f"{len(dataset.columns)} columns; rows: {counts}{more}"


def make_fit(workspace: Workspace, spec: ModelSpec, progress: Progress) -> str:
    """Fit the model and save it as its family does."""
    folder = workspace.work(spec.name)
    dataset = load_dataset(folder, spec)
    check_labelled_spans(spec, dataset.labels[LABEL], dataset.labels[SPAN])
    model = fit_model(spec, dataset, progress)
    fitted_file = find_fitted_file(folder, spec)
    fitted_file.write_bytes(model.estimator.to_bytes())
    fitted = {
        "declared": read_parts(spec, "fit"),
        "threshold": model.threshold,
        "data_sha256": dataset.snapshot(spec.split).sha256,
        "fitted_sha256": hash_file(fitted_file),
    }
    (folder / FITTED).write_text(json.dumps(fitted))
    return "\n  ".join(model.said)


def make_evaluation(workspace: Workspace, spec: ModelSpec, progress: Progress) -> str:
    """Judge the model on the test span against both baselines and write the report."""
    folder = workspace.work(spec.name)
    dataset = load_dataset(folder, spec)
    model = load_fitted(folder, spec, dataset)
    progress(0, 1)
    evaluation, scored = evaluate_model(spec, dataset, model)
    (folder / EVALUATION).write_text(evaluation.model_dump_json(indent=2))
    (folder / EVALUATED).write_text(hash_file(find_fitted_file(folder, spec)))
    report = write_report(folder, spec, evaluation, scored, model, dataset.columns)
    return f"report in {report}"


def make_export(workspace: Workspace, spec: ModelSpec, progress: Progress) -> str:
    """Export the fitted model and the request-time functions as one ONNX graph."""
    folder = workspace.work(spec.name)
    dataset = load_dataset(folder, spec)
    plan = dataset.plan
    progress(0, 1)
    compiled = compile_plan(workspace.open_feature_store(), spec)
    model = export_onnx(
        load_fitted(folder, spec, dataset).estimator,
        n_columns=len(plan.columns),
        request_inputs=[one.name for one in plan.request_inputs],
        request_functions=compiled.request_functions,
    )
    content = serialize_model(model)
    (folder / MODEL_FILE).write_bytes(content)
    (folder / EXPORTED).write_text(hash_file(folder / MODEL_FILE))
    return f"{len(content):,} bytes"


def make_parity(workspace: Workspace, spec: ModelSpec, progress: Progress) -> str:
    """Compare the exported graph with the fitted model on held-out rows and adversarial ones."""
    folder = workspace.work(spec.name)
    dataset = load_dataset(folder, spec)
    model_file = read_step_file(folder, MODEL_FILE, "export")
    if (
        hashlib.sha256(model_file).hexdigest()
        != read_step_file(folder, EXPORTED, "export").decode()
    ):
        raise unreadable(MODEL_FILE, "export")
    compiled = compile_plan(workspace.open_feature_store(), spec)
    progress(0, 1)
    features, _ = dataset.matrix("test")
    request = dataset.request_matrix("test")
    n_columns = len(dataset.plan.columns)
    _check_request_features(compiled, dataset.plan, request, features[:, n_columns:])
    report = check_parity(
        load_fitted(folder, spec, dataset).estimator,
        model_file,
        np.ascontiguousarray(features[:, :n_columns]),
        request=request,
        request_inputs=[one.name for one in dataset.plan.request_inputs],
        request_functions=compiled.request_functions,
    )
    content = {
        **report.as_dict(),
        "fitted_sha256": hash_file(find_fitted_file(folder, spec)),
        "model_sha256": hash_file(folder / MODEL_FILE),
    }
    (folder / PARITY).write_text(json.dumps(content, indent=2))
    in_leaves = f"{report.n_rows_in_different_leaf} in a different leaf, " if report.n_trees else ""
    return (
        f"{report.n_rows:,} held-out and {report.n_adversarial_rows:,} adversarial rows: "
        f"{in_leaves}relative difference at most {report.max_relative_difference:.1e}"
    )


TRAINING_STEPS = (
    Step("dataset", make_dataset),
    Step("fit", make_fit),
    Step("evaluate", make_evaluation),
    Step("export", make_export),
    Step("parity", make_parity),
)


def publish(
    workspace: Workspace,
    spec: ModelSpec,
    *,
    alias: str | None = CHAMPION,
    reason: str = "",
    allow_request_change: bool = False,
) -> Published:
    """Check the gates and register what the training steps left.

    Parameters
    ----------
    workspace, spec
        Where things are, and the model.
    alias, reason
        What is to point to the new version, and why.
    allow_request_change
        Whether the alias's callers may be refused, or answered otherwise, from then on.

    Raises
    ------
    GateError
        If the model is not good enough, or the service would not load it.
    SpecError
        If the callers of ``alias`` could not go on. Nothing is registered then.
    StepError
        If a training step has not been run, or one before it was run again since, or the
        declaration was edited since, or a feature with values in training has none online.
    """
    manifest, model_file = _take_checked(workspace, spec)
    with contextlib.closing(ModelRegistry.open(workspace.database_url)) as registry:
        return publish_model(
            manifest,
            model_file,
            artifacts=workspace.open_artifacts(),
            registry=registry,
            alias=alias,
            created_by=user_name(),
            reason=reason,
            signing_key=workspace.signing_key_file,
            allow_request_change=allow_request_change,
        )


def _take_checked(workspace: Workspace, spec: ModelSpec) -> tuple[Manifest, bytes]:
    """Return the manifest and the file of a model that passed its steps, gates and look-ups."""
    folder = workspace.work(spec.name)
    dataset = load_dataset(folder, spec)
    evaluation = load_evaluation(workspace, spec)
    parity = read_step_document(folder, PARITY, "parity")
    model_file = read_step_file(folder, MODEL_FILE, "export")
    load_fitted(folder, spec, dataset)
    _check_same_model(folder, spec, parity)
    check_gates(spec, evaluation)
    refuse_absent_online(
        spec,
        dataset.plan,
        dataset.rows,
        list_inputs(dataset.plan, dataset.features, dataset.request),
        online=lambda: open_online_store(workspace),
    )
    return build_manifest(spec, dataset, evaluation, model_file, parity), model_file


def materialize(workspace: Workspace, until: datetime, progress: Progress) -> dict[str, int | None]:
    """Write each view's latest values known at ``until`` to the online store.

    Returns
    -------
    n_entities
        For each view the number of entities that are online afterwards, ``None`` where the
        store is a server and would have to be asked for all of its keys.

    Raises
    ------
    StepError
        If no view is applied.
    """
    RegistryFolder(workspace).require_own()
    if until < _EARLIEST:
        raise StepError(f"Got {until:%Y-%m-%d}, but expected a moment after {_EARLIEST:%Y-%m-%d}")
    store = workspace.open_feature_store()
    views = materialize_views(store, until, progress)
    online = open_online_store(workspace)
    if workspace.database_file is None or workspace.database_file.exists():
        apply_waiting(store, workspace.database_url, online, to_epoch_us(until))
    sizes = online.measure()
    if sizes is None:
        return dict.fromkeys(views)
    found = {view: sizes.get(f"{store.project}_{view}") for view in views}
    return {view: None if size is None else size.n_entities for view, size in found.items()}


def materialize_views(store: Any, until: datetime, progress: Progress) -> list[str]:
    """Write each view's latest values known at ``until`` to a store's online store.

    Returns
    -------
    views
        The names of the views.

    Raises
    ------
    StepError
        If no view is applied, or the online store cannot be written.
    SourceError
        If a value is not what its view declares.
    """
    views = sorted(
        (view for view in store.list_feature_views() if view.online), key=lambda view: view.name
    )
    if not views:
        raise StepError("Got no feature view, but expected some; run `zeroskew apply` first")
    for done, view in enumerate(views):
        progress(done, len(views))
        start = until - view.ttl if view.ttl else _EARLIEST
        with say_write_errors(view.name):
            if window_plan_of(view) is not None:
                write_states(store, view, until, open_store_of(store))
                continue
            check_online_values(store, view, start, until)
            store.materialize(start - timedelta(seconds=1), until, feature_views=[view.name])
    progress(len(views), len(views))
    return [view.name for view in views]


def _check_request_features(
    compiled: PlanDraft,
    plan: FeaturePlan,
    request: npt.NDArray[np.float64],
    joined: npt.NDArray[np.float32],
) -> None:
    """Raise unless the functions give, to the bit, what the data set has."""
    now = compiled.plan
    if (now.request_inputs, now.request_features) != (plan.request_inputs, plan.request_features):
        raise StepError(
            "Got other request-time features than the data set has, or other inputs of theirs, but "
            "expected the same; run `zeroskew dataset` again"
        )
    inputs = dict(zip((one.name for one in plan.request_inputs), request.T, strict=True))
    computed = [
        column.astype(np.float32)
        for function in compiled.request_functions
        for column in function.evaluate(inputs).values()
    ]
    for name, column, expected in zip(plan.request_features, computed, joined.T, strict=True):
        if not np.array_equal(column, expected, equal_nan=True):
            raise StepError(
                f"Got other values of {name} than the data set has, but expected the same; run "
                "`zeroskew dataset` again"
            )


def _check_same_model(folder: Path, spec: ModelSpec, parity: dict[str, Any]) -> None:
    """Raise unless evaluation, export and parity are of the fitted model that stands."""
    fitted_sha256 = hash_file(find_fitted_file(folder, spec))
    if read_step_file(folder, EVALUATED, "evaluate").decode() != fitted_sha256:
        raise StepError("Got an evaluation of another fit; run `zeroskew evaluate` again")
    if parity["fitted_sha256"] != fitted_sha256:
        raise StepError("Got an export of another fit; run `zeroskew export` and `parity` again")
    if parity["model_sha256"] != hash_file(folder / MODEL_FILE):
        raise StepError("Got a parity report on another export; run `zeroskew parity` again")
