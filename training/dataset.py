"""The training table: labels joined with what was known at the time of each prediction."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from api.contract.manifest import AS_OF, Column, DataSnapshot, FeaturePlan, FieldType, RequestInput
from training.compile_plan import CompiledPlan
from training.errors import DatasetError, StepError
from training.model_spec import SPANS, ModelSpec, TimeSplit
from training.offline_store.table_files import Place, scan_table
from training.split import assign_spans

__all__ = [
    "EVENT_TIMESTAMP",
    "LABEL",
    "SPAN",
    "Dataset",
    "build_dataset",
    "encode_columns",
    "encode_values",
    "extract_request",
    "load_labels",
    "to_request_input",
]

Value = TypeVar("Value")
EVENT_TIMESTAMP = "event_timestamp"
LABEL = "label"
SPAN = "span"
NAN = float("nan")

# What a column of the label table must be, by the type of the request field it stands for.
COLUMN_TYPES: dict[FieldType, tuple[str, Callable[[pl.DataType], bool]]] = {
    FieldType.STRING: ("text", lambda dtype: dtype in (pl.String, pl.Categorical, pl.Null)),
    FieldType.INTEGER: ("whole numbers", lambda dtype: dtype.is_integer()),
    FieldType.NUMBER: ("numbers", lambda dtype: dtype.is_numeric()),
    FieldType.BOOLEAN: ("booleans", lambda dtype: dtype == pl.Boolean),
    FieldType.TIMESTAMP: (
        "times with a time zone",
        lambda dtype: isinstance(dtype, pl.Datetime) and dtype.time_zone is not None,
    ),
}


@dataclass(frozen=True)
class Dataset:
    """Labelled rows, ordered by prediction time.

    Attributes
    ----------
    rows
        Request fields as given, ``event_timestamp``, ``label_known_at``, ``label`` (float64)
        and ``span``.
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
    features: pl.DataFrame
    plan: FeaturePlan
    request: pl.DataFrame = dataclasses.field(default_factory=pl.DataFrame)
    request_only: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Names of the model's columns, in order."""
        return self.features.columns

    @property
    def categorical(self) -> list[str]:
        """Names of the columns that hold category codes."""
        return [column.name for column in self.plan.columns if column.categories is not None]

    def span(self, *spans: str) -> pl.Series:
        """Return the boolean mask of the rows of ``spans``."""
        return self.rows[SPAN].is_in(list(spans))

    def matrix(self, *spans: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        """Return ``X`` float32 ``(n_rows, n_columns)`` and ``y`` float64 ``(n_rows,)``."""
        mask = self.span(*spans)
        features = self.features.filter(mask).to_numpy(order="c")
        return features, self.rows.filter(mask)[LABEL].to_numpy()

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
                self.rows,
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
        """Write the data set into ``folder``."""
        self.rows.write_parquet(folder / "rows.parquet")
        self.features.write_parquet(folder / "features.parquet")
        self.request.write_parquet(folder / "request.parquet")
        (folder / "request_only.json").write_text(json.dumps(self.request_only))
        (folder / "plan.json").write_text(self.plan.model_dump_json(indent=2))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        StepError
            If there is nothing to read, or a file of it is gone or cut short.
        """
        if not (folder / "plan.json").exists():
            raise StepError("Got no data set, but expected one; run `zeroskew dataset` first")
        return cls(
            rows=_read_file(folder / "rows.parquet", pl.read_parquet),
            features=_read_file(folder / "features.parquet", pl.read_parquet),
            plan=_read_file(folder / "plan.json", _read_plan),
            request=_read_file(folder / "request.parquet", pl.read_parquet),
            request_only=_read_file(folder / "request_only.json", _read_names),
        )


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


def load_labels(lake: Place, spec: ModelSpec) -> pl.DataFrame:
    """Read the label table: request fields, prediction time, label and when it was known.

    Raises
    ------
    DatasetError
        If the table or one of its columns is missing, or no row has a label.
    SourceError
        If the lake is in an object store that cannot be read.
    """
    names = [field.name for field in spec.request]
    table = _open_labels(lake, spec, names)
    query = (
        table.select(
            *names,
            EVENT_TIMESTAMP,
            pl.col(spec.labels.known_at).alias("label_known_at"),
            spec.labels.label.cast(pl.Float64).alias(LABEL),
        )
        .filter(pl.col(LABEL).is_not_null())
        .sort(EVENT_TIMESTAMP, *names)
    )
    try:
        labels = query.collect()
    except pl.exceptions.PolarsError as error:
        raise DatasetError(f"Got labels that are no numbers: {error}") from error
    if labels.is_empty():
        raise DatasetError(f"Got no labelled row in {spec.labels.table!r}, but expected some")
    for field in spec.request:
        if not field.nullable and (n_null := labels[field.name].null_count()):
            raise DatasetError(
                f"Got {n_null:,} labelled rows without {field.name!r}, but expected none: the "
                "service refuses such requests; declare the field nullable or leave them out"
            )
    if n_repeated := labels.height - labels.n_unique():
        raise DatasetError(
            f"Got {n_repeated:,} repeated rows in {spec.labels.table!r}, but expected each label "
            "once: a row that is there twice counts twice"
        )
    return labels


def _open_labels(lake: Place, spec: ModelSpec, names: Sequence[str]) -> pl.LazyFrame:
    table = scan_table(lake, spec.labels.table)
    if table is None:
        raise DatasetError(
            f"Got no Parquet file in {lake}/{spec.labels.table}, but expected the label table of "
            f"{spec.name}; run `zeroskew prepare` first"
        )
    try:
        schema = table.collect_schema()
    except pl.exceptions.PolarsError as error:
        raise DatasetError(
            f"Got {error} from {lake}/{spec.labels.table}, but expected Parquet files"
        ) from error
    wanted = {*names, EVENT_TIMESTAMP, spec.labels.known_at, *spec.labels.label.meta.root_names()}
    missing = sorted(wanted - set(schema.names()))
    if missing:
        raise DatasetError(f"Got label table {spec.labels.table!r} without columns {missing}")
    _check_label_types(spec, schema)
    return table


def _check_label_types(spec: ModelSpec, schema: pl.Schema) -> None:
    expected = {field.name: COLUMN_TYPES[field.type] for field in spec.request}
    instants = (EVENT_TIMESTAMP, spec.labels.known_at)
    expected |= dict.fromkeys(instants, COLUMN_TYPES[FieldType.TIMESTAMP])
    for name, (described, fits) in expected.items():
        if not fits(schema[name]):
            raise DatasetError(
                f"Got column {name!r} of type {schema[name]} in {spec.labels.table!r}, "
                f"but expected {described}"
            )


def build_dataset(
    store: Any, spec: ModelSpec, compiled: CompiledPlan, labels: pl.DataFrame
) -> Dataset:
    """Join ``labels`` with the feature service as of each row's prediction time.

    A feature value takes part only if both its event time and its creation lie at or before
    the prediction. Everything is rounded to float32, because that is what serving feeds; text
    becomes the index of its category among those of the training span, all else is NaN.
    """
    spanned = assign_spans(labels, spec.split)
    moment = pl.col(EVENT_TIMESTAMP).alias(AS_OF)
    given = spanned.select(*(field.name for field in spec.request), moment)
    joined = _join_features(store, spec, spanned, compiled.plan)
    plan, features = encode_columns(joined, compiled.plan, train=spanned[SPAN] == "train")
    return Dataset(
        rows=spanned,
        features=features,
        plan=plan,
        request=extract_request(
            joined.with_columns(given),
            plan.request_inputs,
        ),
        request_only=compiled.request_only_features,
    )


def _join_features(
    store: Any, spec: ModelSpec, labels: pl.DataFrame, plan: FeaturePlan
) -> pl.DataFrame:
    wanted: list[str | pl.Expr] = [*(field.name for field in spec.request), EVENT_TIMESTAMP]
    if any(one.is_moment for one in plan.request_inputs):
        # Feast takes what its on-demand views ask for from the rows of the request.
        wanted.append(pl.col(EVENT_TIMESTAMP).alias(AS_OF))
    entity_rows = labels.select(wanted).to_pandas()
    job = store.get_historical_features(
        entity_df=entity_rows,
        features=store.get_feature_service(spec.feature_service),
        full_feature_names=True,
        filter_by_created_timestamp=True,
    )
    table: pa.Table = job.to_arrow()
    if table.num_rows != labels.height:
        raise DatasetError(
            f"Got {table.num_rows} rows from the point-in-time join, but expected {labels.height}"
        )
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


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
        prediction as ``as_of``, where it is asked for.
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
        return AS_OF
    return one.field or f"{one.view}__{one.feature}"


def to_request_input(values: pl.Series, *, is_stored: bool) -> pl.Series:
    """Return values as the graph's ``request`` input has them: float64, NaN for null."""
    if isinstance(values.dtype, pl.Datetime):
        seconds = values.dt.epoch("us") / 1_000_000
        # Materialization cuts off towards the past.
        values = pl.Series(np.floor(seconds.fill_null(NAN).to_numpy())) if is_stored else seconds
    return values.cast(pl.Float64).fill_null(NAN)
