"""How a model is declared: one file of the models' folder with one ``MODEL``."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from zeroskew.contract.errors.project import SpecError
from zeroskew.contract.label_columns import EVENT_TIMESTAMP
from zeroskew.contract.manifest import AS_OF, FieldType, ModelName, Output, RequestField, Scalar
from zeroskew.declarations.families import check_family, load_parameter_rules
from zeroskew.declarations.located_error import describe_error, locate_error
from zeroskew.declarations.objective_table import Objective
from zeroskew.declarations.objectives import read_objective

__all__ = [
    "Gate",
    "LabelTable",
    "ModelFileError",
    "ModelSpec",
    "TimeSplit",
    "list_model_names",
    "load_model_spec",
]

SPANS = ("train", "validation", "test")
_ROUNDS: Final = frozenset({"n_rounds", "early_stopping_rounds"})
BASELINES = ("base_rate", "request_only")
RESERVED_FIELDS: Final = {
    AS_OF: "request-time functions call the moment of the prediction so",
    "overrides": "in an instance it holds what the caller gives instead of stored features",
    EVENT_TIMESTAMP: "in the label table it is the moment of the prediction, which a service "
    "knows by itself",
}
"""Names that no request field can have, and why."""


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class LabelTable(_Declared):
    """Where the labelled rows are and what is to be predicted.

    Parameters
    ----------
    table
        Folder of Parquet files in the lake. It holds every request field, ``event_timestamp``
        (the moment of the prediction) and what ``label`` and ``known_at`` name.
    label
        The target as a polars expression over that table; rows where it is null are left out.
    known_at
        The column that says when the label became known. A row whose label was not yet known
        when its span ended is left out of that span, as it would have been on that day.
    matures_after
        How long after a prediction all labels are there that will ever come. Labels that come
        early are not like the others, so live metrics count only what is older. Where it is
        not set, every prediction with a label counts.
    """

    table: str
    label: pl.Expr
    known_at: str
    matures_after: timedelta | None = None


class TimeSplit(_Declared):
    """Half-open spans of prediction times: train, then validation, then test.

    Parameters
    ----------
    train_from, validation_from, test_from
        Where a span begins, itself included, and the one before ends. With a UTC offset, and each
        later than the one before.
    test_until
        Where the test span ends.
    """

    train_from: AwareDatetime
    validation_from: AwareDatetime
    test_from: AwareDatetime
    test_until: AwareDatetime

    @classmethod
    def from_dates(
        cls, train_from: str, validation_from: str, test_from: str, test_until: str
    ) -> Self:
        """Return the split at midnights UTC of ISO dates such as ``2013-09-01``."""
        midnights = [
            datetime.combine(date.fromisoformat(text), time(), UTC)
            for text in (train_from, validation_from, test_from, test_until)
        ]
        return cls(**dict(zip(cls.model_fields, midnights, strict=True)))

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        bounds = [self.train_from, self.validation_from, self.test_from, self.test_until]
        if any(later <= earlier for earlier, later in itertools.pairwise(bounds)):
            raise ValueError(
                "Got split bounds "
                + ", ".join(bound.isoformat() for bound in bounds)
                + ", but expected each to be later than the one before"
            )
        return self

    def spans(self) -> dict[str, tuple[datetime, datetime]]:
        """Return ``{span: (from, until)}``, each half-open."""
        bounds = [self.train_from, self.validation_from, self.test_from, self.test_until]
        return dict(zip(SPANS, itertools.pairwise(bounds), strict=True))


class Gate(_Declared):
    """A condition on the test span that a model must meet to be published.

    Parameters
    ----------
    metric
        One that the objective has; docs/models.md lists them.
    at_least, at_most
        What the metric may not be below, or above. A gate has one of these or ``beats``.
    beats
        Baselines, ``base_rate`` or ``request_only``, whose interval for ``metric`` must not
        overlap the model's. That the base rate is beaten on the objective's own metric needs no
        gate: see `ModelSpec.must_beat_base_rate`.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    beats: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_baselines(self) -> Self:
        unknown = sorted(set(self.beats) - set(BASELINES))
        if unknown:
            raise ValueError(f"Got baselines {unknown}, but expected some of {list(BASELINES)}")
        if self.at_least is None and self.at_most is None and not self.beats:
            raise ValueError(
                f"Got a gate for {self.metric!r} without a condition, but expected at_least, "
                "at_most or beats"
            )
        return self


class ModelSpec(_Declared):
    """One model: what it answers, from which features, fitted and judged how.

    Parameters
    ----------
    name
        The name of the file it stands in, and of the model in addresses: a small letter, then up
        to 62 small letters, digits or underscores.
    description
        What it answers, for whoever reads ``/docs`` or ``zeroskew models``.
    feature_service
        Feast's feature service that lists what it reads.
    request
        The fields of an instance, in the order in which they are told and logged.
    columns
        Request fields that are columns of the model themselves; text becomes a category.
    labels
        Where the labelled rows are, and what is the label.
    split
        What is learned from, and what is judged on.
    family
        The family of models, by its name in `zeroskew.declarations.families`.
    parameters
        The family's parameters, ``objective`` included; docs/parameters.md says which LightGBM
        has. Those of single columns take a mapping by the column's name.
    n_rounds, early_stopping_rounds
        The most boosting rounds; validation stops earlier, that many rounds after the best.
    output
        What a score means. A probability without a ``threshold`` gets the one with the best
        F1 on the validation span. The names of ``probabilities`` are its ``classes``: the label
        is one of them, or its place from 0.
    gates
        What the model must reach beside its base rate.
    must_beat_base_rate
        Whether a model is refused that is not better than what answers the labels' own rate,
        beyond what resampling its days explains. ``False`` says that such a model is wanted.
    when_stale
        For a view, what becomes of a value older than its ttl: ``null``, as in training, where
        a view is not named; ``reject``, which fails the instance; or ``serve``.
    when_store_down
        What becomes of a request while the online store cannot be read: ``fail``, or an answer
        from ``defaults``.
    defaults
        For ``view:feature``, the value that stands for it then; null where it is not named.
    may_be_empty
        Inputs, as ``view:feature`` or the name of a request field, that may be without a single
        value in the training span, or, where they have some there, in the online store at the
        moment of ``publish``. Any other is refused: a model learns nothing from it.
    """

    name: ModelName
    description: str
    feature_service: str
    request: tuple[RequestField, ...]
    columns: tuple[str, ...] = ()
    labels: LabelTable
    split: TimeSplit
    family: str = "lightgbm"
    parameters: dict[str, Any]
    n_rounds: Annotated[int, Field(gt=0)] = 500
    early_stopping_rounds: Annotated[int, Field(gt=0)] = 30
    output: Output
    gates: tuple[Gate, ...] = ()
    must_beat_base_rate: bool = True
    when_stale: dict[str, Literal["null", "reject", "serve"]] = Field(default_factory=dict)
    when_store_down: Literal["fail", "defaults"] = "fail"
    defaults: dict[str, Scalar] = Field(default_factory=dict)
    may_be_empty: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        fields = {field.name: field for field in self.request}
        _check_field_names([field.name for field in self.request])
        if self.defaults and self.when_store_down == "fail":
            raise ValueError(
                f"Got defaults of {sorted(self.defaults)}, but expected none where "
                "when_store_down is 'fail'"
            )
        for name in self.columns:
            if name not in fields:
                raise ValueError(f"Got column {name!r}, but expected one of {sorted(fields)}")
            if fields[name].type is FieldType.TIMESTAMP:
                raise ValueError(
                    f"Got the timestamp {name!r} as a column, but expected a request-time feature "
                    "made from it: seconds since 1970 do not fit a float32"
                )
        return self

    @model_validator(mode="after")
    def _check_family(self) -> Self:
        check_family(self.family)
        rules = load_parameter_rules(self.family)
        if problems := rules.find_problems(self.parameters):
            raise ValueError("; ".join(problems))
        if not rules.FITS_IN_ROUNDS and (said := self.model_fields_set & _ROUNDS):
            raise ValueError(
                f"Got {' and '.join(sorted(said))}, but expected neither: a {self.family} model "
                "is not fitted in rounds"
            )
        return self

    @model_validator(mode="after")
    def _check_judgement(self) -> Self:
        known = self.objective.metrics
        for gate in self.gates:
            if gate.metric not in known:
                raise ValueError(
                    f"Got a gate for {gate.metric!r}, but expected one of {', '.join(known)}"
                )
            if gate.beats and gate.metric == "coverage":
                raise ValueError(
                    "Got a gate by which 'coverage' beats another's, but expected at_least and "
                    "at_most: it should be the objective's alpha, neither more nor less"
                )
        return self

    @property
    def objective(self) -> Objective:
        """What the model learns, and by what it is judged."""
        rules = load_parameter_rules(self.family)
        return read_objective(rules.resolve_names(self.parameters), self.output)

    @property
    def example(self) -> dict[str, Scalar | None]:
        """An instance made of the fields' own examples."""
        return {field.name: field.example for field in self.request}

    @property
    def is_classifier(self) -> bool:
        """Whether the score is a probability."""
        return self.output.kind == "probability"


class ModelFileError(SpecError):
    """A model file does not run, or declares something impossible.

    Attributes
    ----------
    sentences
        One for each mistake, beginning with the file and, where it is known, the line.
    """

    def __init__(self, sentences: list[str]) -> None:
        self.sentences = sentences
        more = f" (and {len(sentences) - 1} more)" if len(sentences) > 1 else ""
        super().__init__(f"{sentences[0]}{more}")


def _check_field_names(names: Sequence[str]) -> None:
    for name in names:
        if name in RESERVED_FIELDS:
            raise ValueError(
                f"Got request field {name!r}, but expected another name: {RESERVED_FIELDS[name]}"
            )
        # Polars takes such names for patterns of others.
        is_pattern = name == "*" or (name.startswith("^") and name.endswith("$"))
        if not name.isprintable() or not name.strip() or is_pattern:
            raise ValueError(
                f"Got request field {name!r}, but expected a name of printable characters that is "
                "neither * nor ^...$"
            )
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"Got request fields {repeated} twice, but expected distinct names")


def list_model_names(models: Path) -> list[str]:
    """Return the names of the models declared in the folder ``models``, sorted."""
    return sorted(path.stem for path in models.glob("*.py") if not path.stem.startswith("_"))


def load_model_spec(models: Path, name: str) -> ModelSpec:
    """Run ``models/<name>.py`` and return its ``MODEL``.

    Raises
    ------
    ModelFileError
        If it does not run, or has no ``MODEL`` of that name.
    SpecError
        If there is no such file.
    """
    names = list_model_names(models)
    if name not in names:
        raise SpecError(f"Got model {name!r}, but expected one of {names} in {models}")
    module_spec = importlib.util.spec_from_file_location(
        f"zeroskew_models.{name}", models / f"{name}.py"
    )
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    path = models / f"{name}.py"
    try:
        module_spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # Whatever a user's file may raise.
        place = locate_error(error, models, path)
        raise ModelFileError([f"{place}: {said}" for said in describe_error(error)]) from error
    if not hasattr(module, "MODEL"):
        raise ModelFileError(
            [f"{path.name}: Got no MODEL, but expected one: MODEL = ModelSpec(name={name!r}, ...)"]
        )
    declared = module.MODEL
    if not isinstance(declared, ModelSpec):
        raise ModelFileError(
            [f"{path.name}: Got a {type(declared).__name__} as MODEL, but expected a ModelSpec"]
        )
    if declared.name != name:
        raise ModelFileError(
            [
                f"{path.name}: Got a model named {declared.name!r}, but expected {name!r}, as the "
                "file is; rename one of them"
            ]
        )
    return declared
