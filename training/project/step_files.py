"""What the steps of training leave in a model's work folder, and how the next one reads it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from training.dataset.build_dataset import Dataset
from training.evaluate.evaluate_model import Evaluation
from training.families.model_family import load_family
from training.fit.fit_model import FittedModel
from training.project.declared_parts import require_same_parts
from training.project.workspace import Workspace
from zeroskew.contract.errors.project import StepError
from zeroskew.declarations.model_spec import ModelSpec

__all__ = [
    "DECLARED",
    "EVALUATED",
    "EVALUATION",
    "EXPORTED",
    "FITTED",
    "MODEL_FILE",
    "PARITY",
    "find_fitted_file",
    "hash_file",
    "load_dataset",
    "load_evaluation",
    "load_fitted",
    "read_step_document",
    "read_step_file",
    "unreadable",
]

DECLARED: Final = "declared.json"
FITTED: Final = "fitted.json"
EVALUATION: Final = "evaluation.json"
EVALUATED: Final = "evaluated.sha256"
MODEL_FILE: Final = "model.onnx"
EXPORTED: Final = "exported.sha256"
PARITY: Final = "parity.json"


def load_dataset(folder: Path, spec: ModelSpec) -> Dataset:
    """Read what the dataset step left.

    Raises
    ------
    StepError
        If it has not been run, or not with this declaration.
    """
    dataset = Dataset.load(folder)
    require_same_parts(read_step_document(folder, DECLARED, "dataset"), spec, "dataset")
    return dataset


def load_evaluation(workspace: Workspace, spec: ModelSpec) -> Evaluation:
    """Read what the evaluate step left.

    Raises
    ------
    StepError
        If it has not been run.
    """
    content = read_step_file(workspace.work(spec.name), EVALUATION, "evaluate")
    try:
        return Evaluation.model_validate_json(content)
    except ValidationError as error:
        raise unreadable(EVALUATION, "evaluate") from error


def find_fitted_file(folder: Path, spec: ModelSpec) -> Path:
    """Return the place of the file in which the fit step leaves its model."""
    return folder / load_family(spec.family).step_file


def load_fitted(folder: Path, spec: ModelSpec, dataset: Dataset) -> FittedModel:
    """Read what the fit step left.

    Raises
    ------
    StepError
        If it has not been run, or not on this data set or with other parameters, or its file is
        another one: LightGBM ends the whole process on a model text that is cut short.
    """
    fitted = read_step_document(folder, FITTED, "fit")
    require_same_parts(fitted["declared"], spec, "fit")
    family = load_family(spec.family)
    content = read_step_file(folder, family.step_file, "fit")
    if fitted["fitted_sha256"] != hashlib.sha256(content).hexdigest():
        raise StepError(f"Got another {family.step_file} than was fitted; run `zeroskew fit` again")
    if fitted["data_sha256"] != dataset.snapshot(spec.split).sha256:
        raise StepError("Got a model fitted on another data set; run `zeroskew fit` again")
    return FittedModel(estimator=family.read(content), threshold=fitted["threshold"])


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


class _StepDocument(dict[str, Any]):
    """What a step noted; what it did not note was another release's."""

    def __init__(self, content: dict[str, Any], name: str, step: str) -> None:
        super().__init__(content)
        self._origin = name, step

    def __missing__(self, key: str) -> Any:
        raise unreadable(*self._origin)


def read_step_document(folder: Path, name: str, step: str) -> dict[str, Any]:
    """Return what ``step`` left as JSON; asked for what is not in it, it raises as well.

    Raises
    ------
    StepError
        If there is no such file, or it is cut short.
    """
    try:
        content = json.loads(read_step_file(folder, name, step))
    except ValueError as error:
        raise unreadable(name, step) from error
    if not isinstance(content, dict):
        raise unreadable(name, step)
    return _StepDocument(content, name, step)


def unreadable(name: str, step: str) -> StepError:
    """Return the error for a file of ``step`` that nobody can read."""
    return StepError(
        f"Got {name} cut short or of another release, but expected what the step left; run "
        f"`zeroskew {step}` again"
    )


def hash_file(path: Path) -> str:
    """Return the sha256 of a file as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
