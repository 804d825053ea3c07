"""The training table: labels joined with what was known at the time of each prediction."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from training.dataset.empty_inputs import list_inputs, refuse_empty_inputs
from training.dataset.label_rules import check_labelled_spans
from training.dataset.label_table import LabelRows
from training.dataset.split import assign_spans
from zeroskew.contract.errors.project import DatasetError, StepError
from zeroskew.contract.label_columns import EVENT_TIMESTAMP, KNOWN_AT, LABEL, SPAN
from zeroskew.contract.manifest import Column, DataSnapshot, FeaturePlan, RequestInput
from zeroskew.contract.number_bounds import EXACT_FLOAT
from zeroskew.declarations.model_spec import SPANS, ModelSpec, TimeSplit
from zeroskew.features.offline_store.column_types import epoch_microseconds
from zeroskew.features.plans.compile_plan import PlanDraft, request_feature_names
from zeroskew.features.stored_features import find_views, join_stored_features

__all__ = [
    "DATA_FILES",
    "FEATURES",
    "PLAN",
    "ROWS",
    "Dataset",
    "build_dataset",
    "encode_columns",
    "encode_values",
    "extract_request",
    "to_request_input",
]

Value = TypeVar("Value")
NAN: Final = float("nan")
ROWS: Final = "rows.parquet"
FEATURES: Final = "features.parquet"
REQUEST: Final = "request.parquet"
PLAN: Final = "plan.json"
DATA_FILES: Final = (ROWS, FEATURES, REQUEST)
_ROW: Final = "row"
_OWN_COLUMNS: Final = (KNOWN_AT, LABEL, SPAN)
_SECOND_US: Final = 1_000_000


@dataclass(frozen=True)
class Dataset:
    """Labelled rows, ordered by prediction time.

    Attributes
    ----------
    rows
        The request fields and ``event_timestamp``, a name that no field can have.
    labels
        The trainer's own columns of the same rows, apart because a field may have their names:
        ``label_known_at``, ``label`` (float64) and ``span``.
    features
        The same rows as float32 columns: ``plan.columns``, then ``plan.request_features``.
    plan
        The feature plan with the categories found in the training span.
    request
        The same rows as float64 columns, one for each of ``plan.request_inputs``: what the
        request-time functions saw, NaN for null.
    request_only
        Those of ``plan.request_features`` that need nothing from the online store.
    """

    rows: pl.DataFrame
    labels: pl.DataFrame
    features: pl.DataFrame
    plan: FeaturePlan
    request: pl.DataFrame = dataclasses.field(default_factory=pl.DataFrame)
    request_only: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Names of the model's columns, in order."""
        return self.features.columns

    @property
    def categorical(self) -> list[int]:
        """Places of the columns that hold category codes."""
        return [
            place for place, column in enumerate(self.plan.columns) if column.categories is not None
        ]

    def span(self, *spans: str) -> pl.Series:
        """Return the boolean mask of the rows of ``spans``."""
        return self.labels[SPAN].is_in(list(spans))

    def matrix(self, *spans: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        """Return ``X`` float32 ``(n_rows, n_columns)`` and ``y`` float64 ``(n_rows,)``."""
        mask = self.span(*spans)
        features = self.features.filter(mask).to_numpy(order="c")
        return features, self.labels.filter(mask)[LABEL].to_numpy()

    def request_matrix(self, *spans: str) -> npt.NDArray[np.float64]:
        """Return the graph's ``request`` input, float64 ``(n_rows, n_request_inputs)``.

        Its columns are those of ``request``.
        """
        if not self.plan.request_inputs:
            return np.empty((int(self.span(*spans).sum()), 0))
        return self.request.filter(self.span(*spans)).to_numpy(order="c")

    def count_rows(self) -> dict[str, int]:
        """Return the number of rows of each span."""
        return {span: int(self.span(span).sum()) for span in SPANS}

    def snapshot(self, split: TimeSplit) -> DataSnapshot:
        """Return the identity of these rows: sha256 over every value and its column."""
        buffer = io.BytesIO()
        pl.concat(
            [
                self.rows.rename(lambda name: f"row:{name}"),
                self.labels,
                self.features.rename(lambda name: f"column:{name}"),
                self.request.rename(lambda name: f"request:{name}"),
            ],
            how="horizontal",
        ).write_ipc(buffer)
        return DataSnapshot(
            sha256=hashlib.sha256(buffer.getbuffer()).hexdigest(),
            rows=self.count_rows(),
            spans=split.spans(),
        )

    def save(self, folder: Path) -> None:
        """Write the data set into ``folder``.

        ``rows.parquet`` has the trainer's own columns last; one whose name a request field has as
        well ends in an underscore there.
        """
        taken = set(self.rows.columns)
        labels = self.labels.rename(lambda name: _find_free_name(name, taken))
        self.rows.hstack(labels).write_parquet(folder / ROWS)
        self.features.write_parquet(folder / FEATURES)
        self.request.write_parquet(folder / REQUEST)
        (folder / "request_only.json").write_text(json.dumps(self.request_only))
        (folder / PLAN).write_text(self.plan.model_dump_json(indent=2))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        StepError
            If there is nothing to read, or a file of it is gone or cut short, or rows were taken
            out of it, as when a subject is erased.
        """
        if not (folder / PLAN).exists():
            raise StepError(
                "Got no data set, but expected one; run `zeroskew dataset` first, or all steps "
                "with `zeroskew train`"
            )
        rows = _read_file(folder / ROWS, pl.read_parquet)
        own = rows.columns[-len(_OWN_COLUMNS) :]
        features = _read_file(folder / FEATURES, pl.read_parquet)
        if rows.height != features.height:
            raise StepError(
                f"Got {rows.height:,} rows in rows.parquet, but expected {features.height:,} as in "
                "features.parquet; run `zeroskew dataset` again"
            )
        return cls(
            rows=rows.drop(own),
            labels=rows.select(own).rename(dict(zip(own, _OWN_COLUMNS, strict=True))),
            features=features,
            plan=_read_file(folder / PLAN, _read_plan),
            request=_read_file(folder / REQUEST, pl.read_parquet),
            request_only=_read_file(folder / "request_only.json", _read_names),
        )


def _find_free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _read_file(path: Path, read: Callable[[Path], Value]) -> Value:
    try:
        return read(path)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise StepError(
            f"Got {path.name} gone, cut short or of another release, but expected what the step "
            "left; run `zeroskew dataset` again"
        ) from error


def _read_plan(path: Path) -> FeaturePlan:
    return FeaturePlan.model_validate_json(path.read_bytes())


def _read_names(path: Path) -> tuple[str, ...]:
    return tuple(json.loads(path.read_bytes()))


def build_dataset(store: Any, spec: ModelSpec, compiled: PlanDraft, labels: LabelRows) -> Dataset:
    """Join ``labels`` with the feature service as of each row's prediction time.

    A feature value takes part only if both its event time and its creation lie at or before
    the prediction. Everything is rounded to float32 once, because that is what serving feeds;
    text becomes the index of its category among those of the training span, all else is NaN.

    Raises
    ------
    DatasetError
        If a span is left without a row, or an input of the model without a value in training
        that the model does not declare as one that may be empty.
    OfflineStoreError
        If a view's table is not what the view declares.
    """
    spanned = assign_spans(labels.labels.with_row_index(_ROW), spec.split)
    check_labelled_spans(spec, spanned[LABEL], spanned[SPAN])
    rows = labels.request[spanned[_ROW]].with_columns(spanned[EVENT_TIMESTAMP])
    plan = compiled.plan
    views = find_views(store, plan)
    joined = rows.hstack(join_stored_features(store, plan, views, rows).get_columns())
    request = extract_request(joined, plan.request_inputs)
    joined = joined.hstack(_compute_request_features(compiled, request))
    is_train = spanned[SPAN] == "train"
    plan, features = encode_columns(joined, plan, train=is_train)
    inputs = list_inputs(plan, features, request)
    computed = zip(compiled.request_feature_references, plan.request_features, strict=True)
    inputs |= {reference: features[name] for reference, name in computed}
    trained = {name: values.filter(is_train) for name, values in inputs.items()}
    refuse_empty_inputs(store, spec, plan, views, rows.filter(is_train), trained)
    return Dataset(
        rows=rows,
        labels=spanned.select(_OWN_COLUMNS),
        features=features,
        plan=plan,
        request=request,
        request_only=compiled.request_only_features,
    )


def _compute_request_features(compiled: PlanDraft, request: pl.DataFrame) -> list[pl.Series]:
    """Give the functions the very inputs that the graph gets, and name what they return."""
    inputs = {name: request[name].to_numpy() for name in request.columns}
    return [
        pl.Series(name, values)
        for function in compiled.request_functions
        for name, values in zip(
            request_feature_names(function), function.evaluate(inputs).values(), strict=True
        )
    ]


def encode_columns(
    joined: pl.DataFrame, plan: FeaturePlan, *, train: pl.Series
) -> tuple[FeaturePlan, pl.DataFrame]:
    """Turn looked-up values into the model's float32 columns.

    Parameters
    ----------
    joined
        One column for each name in ``plan.columns`` and ``plan.request_features``.
    train
        Mask of the rows whose text values become categories, in sorted order.

    Returns
    -------
    plan, features
        The plan with those categories, and one float32 column for each of its columns.
        Text outside the categories, and null, is NaN.
    """
    columns: list[Column] = []
    features: list[pl.Series] = []
    for column in plan.columns:
        values = joined[column.name]
        columns.append(column)
        if values.dtype == pl.String:
            seen = values.filter(train).drop_nulls().unique().sort()
            columns[-1] = column.model_copy(update={"categories": tuple(seen)})
        features.append(encode_values(values, columns[-1]))
    features += [_as_float32(joined[name], name) for name in plan.request_features]
    return plan.model_copy(update={"columns": tuple(columns)}), pl.DataFrame(features)


def encode_values(values: pl.Series, column: Column) -> pl.Series:
    """Return a column's values as the model is given them: float32, NaN for null.

    Text is the index of its category, NaN where it is none of them.
    """
    if column.categories is not None:
        values = values.cast(pl.Enum(column.categories), strict=False).to_physical()
    return _as_float32(values, column.name)


def _as_float32(values: pl.Series, name: str) -> pl.Series:
    if not (values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
        raise DatasetError(f"Got column {name!r} of type {values.dtype}, but expected numbers")
    return values.cast(pl.Float32).fill_null(NAN).alias(name)


def extract_request(joined: pl.DataFrame, inputs: Sequence[RequestInput]) -> pl.DataFrame:
    """Return what the request-time functions see: one float64 column for each of their inputs.

    Parameters
    ----------
    joined
        Request fields by name, stored features as ``view__feature``, and the moment of each
        prediction as ``event_timestamp``.
    inputs
        ``plan.request_inputs``.

    Returns
    -------
    polars.DataFrame
        A timestamp is seconds since the Unix epoch, a stored one cut off below the second as
        online stores do; a boolean is 0 or 1, null NaN.
    """
    return pl.DataFrame(
        [
            to_request_input(joined[_column_of(one)], is_stored=one.view is not None).alias(
                one.name
            )
            for one in inputs
        ]
    )


def _column_of(one: RequestInput) -> str:
    if one.is_moment:
        return EVENT_TIMESTAMP
    return one.field or f"{one.view}__{one.feature}"


def to_request_input(values: pl.Series, *, is_stored: bool) -> pl.Series:
    """Return values as the graph's ``request`` input has them: float64, NaN for null."""
    if isinstance(values.dtype, pl.Datetime):
        values = _to_seconds(epoch_microseconds(values), is_stored=is_stored)
    return values.cast(pl.Float64).fill_null(NAN)


def _to_seconds(microseconds: pl.Series, *, is_stored: bool) -> pl.Series:
    if is_stored:
        # Materialization cuts off towards the past.
        return microseconds // _SECOND_US
    is_far = (microseconds > EXACT_FLOAT) | (microseconds < -EXACT_FLOAT)
    if not is_far.any():
        return microseconds / _SECOND_US
    # Beyond the year 2255 a float64 does not hold them: Python divides whole numbers, as the
    # service does.
    return pl.Series(
        [None if one is None else one / _SECOND_US for one in microseconds.to_list()],
        dtype=pl.Float64,
    )
