"""Are the labels what the objective learns from? Asked before anything is joined or fitted.

LightGBM asks little: it takes -1 as a class, dollars as a share, one class alone, and gives a
model all the same. Each function here is pure; ``find_...`` returns a sentence for each problem.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

import numpy as np
import polars as pl

from zeroskew.contract.errors.project import DatasetError
from zeroskew.contract.number_bounds import MAX_FLOAT32
from zeroskew.declarations.model_spec import SPANS, ModelSpec
from zeroskew.declarations.objective_table import LabelRule
from zeroskew.features.offline_store.column_types import beyond_exact_float, is_whole

__all__ = [
    "check_labelled_spans",
    "encode_labels",
    "find_label_problem",
    "find_label_type_problem",
    "find_span_problem",
]

_COARSE: Final = 1e-3
"""LightGBM keeps a label as float32: what that may move one, in standard deviations of all."""

_OBEYS: Final[dict[LabelRule, Callable[[pl.Series], pl.Series]]] = {
    LabelRule.TRUTH: lambda values: (values == 0) | (values == 1),
    LabelRule.SHARE: lambda values: values.is_between(0, 1),
    LabelRule.NUMBER: lambda values: values.abs() <= MAX_FLOAT32,
    LabelRule.NOT_NEGATIVE: lambda values: values.is_between(0, MAX_FLOAT32),
    LabelRule.POSITIVE: lambda values: (values > 0) & (values <= MAX_FLOAT32),
    LabelRule.FAR_FROM_ZERO: lambda values: values.abs().is_between(1, MAX_FLOAT32),
}


def find_label_type_problem(
    spec: ModelSpec, dtype: pl.DataType, *, example: str = "yes"
) -> str | None:
    """Say why no column of a type can be the label, or return ``None``.

    Parameters
    ----------
    dtype
        The type of ``spec.labels.label`` over the label table.
    example
        One of the labels, where they are text.
    """
    rule, objective = spec.objective.labels, spec.objective.name
    if _is_text(dtype):
        advice = _advise_on_text(spec, example)
    elif dtype == pl.Boolean:
        advice = _advise_on_booleans(spec)
    else:
        advice = _advise_on_moments(spec, dtype)
    if advice is None:
        return None
    return f"Got labels of type {_say_type(dtype)} for {objective!r}, but expected {rule}: {advice}"


def _advise_on_text(spec: ModelSpec, example: str) -> str | None:
    if spec.objective.labels is LabelRule.CLASS:
        return None
    if spec.objective.labels is LabelRule.TRUTH:
        return f"say what is true, such as `{_say_label(spec)} == {json.dumps(example[:20])}`"
    return f"such as `{_say_label(spec)}.cast(pl.Float64)`"


def _advise_on_booleans(spec: ModelSpec) -> str | None:
    if spec.output.kind == "probability":
        return None
    if spec.objective.labels is LabelRule.CLASS:
        return "two classes are objective 'binary' with Output(kind='probability')"
    return f"such as `{_say_label(spec)}.cast(pl.Int8)`, or objective 'binary'"


def _advise_on_moments(spec: ModelSpec, dtype: pl.DataType) -> str | None:
    label = _say_label(spec)
    if isinstance(dtype, pl.Duration):
        return f"say its unit, such as `{label}.dt.total_seconds()`"
    if isinstance(dtype, pl.Date | pl.Datetime | pl.Time):
        since = f'({label} - pl.col("event_timestamp")).dt.total_hours()'
        return f"say since when, such as `{since}`"
    is_fine = dtype.is_numeric() or dtype == pl.Null
    return None if is_fine else "say which part of it is the label"


def find_label_problem(spec: ModelSpec, labels: pl.Series) -> str | None:
    """Say which labels the objective cannot learn from, or return ``None``.

    Parameters
    ----------
    labels
        As the table has them, of any type; a null is no label and no problem.
    """
    labels = labels.drop_nulls()
    if labels.is_empty():
        return find_label_type_problem(spec, labels.dtype)
    example = max(labels.unique().cast(pl.String)) if _is_text(labels.dtype) else ""
    problem = find_label_type_problem(spec, labels.dtype, example=example)
    if problem is not None:
        return problem
    if spec.objective.labels is LabelRule.CLASS:
        numbers = _to_class_numbers(spec.objective.classes, labels)
        bad = labels.filter(numbers.is_null())
        return _say_bad(spec, labels, bad, f"one of {_say_classes(spec)}") if len(bad) else None
    if len(beyond := beyond_exact_float(labels) if is_whole(labels.dtype) else labels.clear()):
        return _say_bad(spec, labels, beyond, "numbers that float64 holds")
    numbers = labels.cast(pl.Float64)
    obeys = _OBEYS[spec.objective.labels](numbers) & numbers.is_finite()
    if not obeys.all():
        return _say_bad(spec, labels, labels.filter(~obeys), spec.objective.labels.value)
    return None


def encode_labels(spec: ModelSpec, labels: pl.Series) -> pl.Series:
    """Return labels as the learner is given them: float64, of a class its number, null for null.

    Raises
    ------
    DatasetError
        If `find_label_problem` finds one.
    """
    if (problem := find_label_problem(spec, labels)) is not None:
        raise DatasetError(problem)
    if spec.objective.labels is LabelRule.CLASS:
        labels = _to_class_numbers(spec.objective.classes, labels)
    return labels.cast(pl.Float64)


def find_span_problem(spec: ModelSpec, labels: pl.Series, spans: pl.Series) -> str | None:
    """Say in which span the labels do not show what is to be told apart, or return ``None``.

    Parameters
    ----------
    labels
        Float64, as `encode_labels` returns them.
    spans
        For each of them one of ``train``, ``validation`` and ``test``.
    """
    for span in SPANS:
        here = labels.filter(spans == span)
        if (missing := _find_missing(spec, here)) is not None:
            got, expected = missing
            if _find_missing(spec, labels) == missing:
                return (
                    f"Got {got} among all {len(labels):,} labels, but expected {expected}: look at "
                    "the column or the expression that they come from"
                )
            return (
                f"Got {got} among {len(here):,} labels of the {span} span, but expected {expected} "
                "in each span: move the split's dates"
            )
    train = labels.filter(spans == "train")
    if train.n_unique() == 1:
        return (
            f"Got the same label {train[0]:g} in all {len(train):,} rows of the train span, but "
            "expected labels that differ: there is nothing to learn"
        )
    if _is_too_coarse(train):
        return (
            f"Got labels such as {train[0]} that lie closer together than a float32 can "
            "tell, as which they are kept; but expected numbers near 0: subtract a constant"
        )
    return None


def check_labelled_spans(spec: ModelSpec, labels: pl.Series, spans: pl.Series) -> None:
    """Hold a data set's labels to what the model declares now.

    Raises
    ------
    DatasetError
        If one is none of the objective's labels, or if `find_span_problem` finds something.
    """
    rule, n_classes = spec.objective.labels, len(spec.objective.classes)
    obeys = labels.is_between(0, n_classes - 1) if rule is LabelRule.CLASS else _OBEYS[rule](labels)
    bad = labels.filter(~obeys.fill_null(False))
    if len(bad):
        raise DatasetError(_say_bad(spec, labels, bad, rule.value))
    if (problem := find_span_problem(spec, labels, spans)) is not None:
        raise DatasetError(problem)


def _find_missing(spec: ModelSpec, labels: pl.Series) -> tuple[str, str] | None:
    """Return what a span lacks, and what it should have."""
    if spec.objective.labels is LabelRule.CLASS:
        present = set(labels.to_list())
        for number, name in enumerate(spec.objective.classes):
            if number not in present:
                return f"no class {name!r}", "every class"
    elif spec.output.kind == "probability" and not 0 < float(labels.sum()) < len(labels):
        return ("no positive" if not labels.sum() else "no negative"), "positives and negatives"
    return None


def _to_class_numbers(classes: tuple[str, ...], labels: pl.Series) -> pl.Series:
    """Return each label's place among the classes, null where it has none.

    A text is a class's name. A whole number is one where all names are whole numbers, and else
    the place itself.
    """
    if _is_text(labels.dtype):
        return labels.cast(pl.String).cast(pl.Enum(classes), strict=False).to_physical()
    if labels.dtype == pl.Null:
        return labels.cast(pl.UInt32)
    names = [_to_whole(name) for name in classes]
    if None in names or len(set(names)) < len(names):
        names = list(range(len(classes)))
    return labels.cast(pl.Float64).replace_strict(
        [float(name) for name in names if name is not None],
        list(range(len(classes))),
        default=None,
        return_dtype=pl.UInt32,
    )


def _to_whole(name: str) -> int | None:
    digits = name.removeprefix("-")
    return int(name) if digits.isascii() and digits.isdigit() and len(digits) < 16 else None


def _is_text(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum)


def _is_too_coarse(numbers: pl.Series) -> bool:
    values = numbers.to_numpy()
    moved = float(np.abs(values.astype(np.float32).astype(np.float64) - values).max())
    return moved > _COARSE * float(values.std())


def _say_bad(spec: ModelSpec, labels: pl.Series, bad: pl.Series, expected: str) -> str:
    example = bad[0]
    said = repr(example[:40]) if isinstance(example, str) else str(example)
    return (
        f"Got label {said} in {len(bad):,} of {len(labels):,} rows of {spec.labels.table!r}, but "
        f"expected {expected}{_advise(spec, labels)}"
    )


def _advise(spec: ModelSpec, labels: pl.Series) -> str:
    """Return what to do, where it is known."""
    rule = spec.objective.labels
    if labels.dtype.is_float() and not labels.is_finite().all():
        return "; a null says that the label is not known"
    if rule is LabelRule.TRUTH:
        values = labels.unique().sort()
        how = f"== {values[1]}" if len(values) == 2 else "> 0"
        return f": say what is true, such as `{_say_label(spec)} {how}`"
    if rule is LabelRule.FAR_FROM_ZERO:
        return ": 'mape' counts nearer ones as 1; use 'regression_l1'"
    return ""


def _say_label(spec: ModelSpec) -> str:
    names = spec.labels.label.meta.root_names()
    return f'pl.col("{names[0][:30]}")' if names else "label"


def _say_classes(spec: ModelSpec) -> str:
    classes = spec.objective.classes
    return ", ".join(map(repr, classes[:5])) + (" …" if len(classes) > 5 else "")


def _say_type(dtype: pl.DataType) -> str:
    return str(dtype)[:40]
