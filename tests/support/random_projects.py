"""Small projects drawn at random: tables, declarations, parameters, and mistakes in them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

__all__ = ["CLOCK", "RandomProject", "draw_project"]

CLOCK: Final = datetime(2024, 6, 15, tzinfo=UTC)
ROOT: Final = Path(__file__).parents[2]
START: Final = datetime(2024, 1, 1, tzinfo=UTC)
N_LABELS: Final = 600
N_ENTITIES: Final = 12
TTL: Final = timedelta(days=40)
TIMES: Final = ("event_timestamp", "created", "known_at")

_NUMBER: Final = itertools.count()

KEYS: Final[dict[str, list[Any]]] = {
    "INT64": [
        *(2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2, 2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1),
        *(0, 7, -1, 1_790_000_000_000_000_001),
    ],
    "INT32": [-(2**31), 2**31 - 1, 0, 1, 2, 3, 4, 5, -1, -2, -3, 99],
    "STRING": ["a", "A", "ü", "a b", "1", "01", "x" * 60, "é", "Ω", "null", "NaN", "0"],
}
KEY_DTYPES: Final = {
    "INT64": (pl.Int64,),
    "INT32": (pl.Int32, pl.Int64, pl.Int32),
    "STRING": (pl.String, pl.String, pl.Categorical),
}
VALUES: Final[dict[str, tuple[list[Any], Any]]] = {
    "Int64": ([2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 16_777_217, 0, 3, -4], pl.Int64),
    "Int32": ([2**31 - 1, -(2**31), 16_777_217, 0, 1, 5], pl.Int32),
    "Float64": (
        [0.1, 1e308, -1e308, 1e-320, -0.0, float("nan"), float("inf"), 16_777_217.0, 2.5],
        pl.Float64,
    ),
    "Float32": ([0.1, 3.4e38, 1e-45, -0.0, float("nan"), float("-inf"), 2.5, 7.0], pl.Float32),
    "String": (["red", "green", "", "Red", "blau ü", "7"], pl.String),
    "Bool": ([True, False], pl.Boolean),
}
FIELD_VALUES: Final[dict[str, tuple[list[Any], Any]]] = {
    "INTEGER": ([2**53 + 1, 2**63 - 1, -(2**63), 16_777_217, 0, 7], pl.Int64),
    "NUMBER": ([0.1, 1e30, -1e-320, 16_777_217.0, -0.0, 2.5], pl.Float64),
    "STRING": (["red", "green", "Red", "ü", "a b"], pl.String),
    "BOOLEAN": ([True, False], pl.Boolean),
}
NAMES: Final = (
    *("amount", "span", "label", "label_known_at", "features", "instances", "id", "self"),
    *("model_config", "schema", "class", "customer name", "größe", "a.b", "a[0]", 'q"uote', "a,b"),
    *("v0__f0", "v0:f0", "y", "known_at", "x" * 120, "as_of", "0", "copy", "request", "kind"),
)
PARAMETERS: Final = {
    "binary": (
        {"objective": "binary", "num_leaves": 7},
        {"objective": "binary", "learning_rate": 0.3, "min_data_in_leaf": 5},
        {"objective": "binary", "boosting": "dart", "drop_rate": 0.2},
        {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.7},
        {"objective": "binary", "is_unbalance": True},
        {"objective": "cross_entropy"},
    ),
    "value": (
        {"objective": "regression", "num_leaves": 7},
        {"objective": "mae"},
        {"objective": "quantile", "alpha": 0.8},
        {"objective": "huber", "alpha": 2.0},
        {"objective": "regression", "boosting": "dart"},
        {"objective": "regression", "lambda_l2": 3.0, "max_bin": 15},
    ),
    "classes": (
        {"objective": "multiclass", "num_leaves": 7},
        {"objective": "softmax", "boosting": "dart"},
    ),
}
OUTPUTS: Final = {
    "binary": 'kind="probability"',
    "value": 'kind="value"',
    "classes": 'kind="probabilities", classes=("low", "middle", "high")',
}
BAD_PARAMETERS: Final = (
    *({"n_estimators": 900}, {"num_leafs": 3}, {"early_stopping_round": 3}, {"metric": "None"}),
    *({"num_leaves": "many"}, {"learning_rate": float("nan")}, {"linear_tree": True}),
    *({"objective": "lambdarank"}, {"device": "cuda"}, {"use_quantized_grad": True}),
    *({"num_class": 4}, {"input_model": "x.txt"}, {"bagging_fraction": -1.0}, {"max_bin": 1}),
)


@dataclass
class View:
    """One feature view and its table."""

    name: str
    keys: list[str]
    features: dict[str, str]
    table: pl.DataFrame
    options: str = ""


@dataclass
class RandomProject:
    """A project on disk; ``mistake`` names what is wrong with it, if something was put wrong."""

    seed: int
    kind: str
    key_types: dict[str, str]
    views: list[View]
    fields: dict[str, tuple[str, bool]]
    columns: list[str]
    labels: pl.DataFrame
    parameters: dict[str, Any]
    label: str = 'pl.col("y")'
    output: str = ""
    parts: str = "one"
    mistake: str | None = None
    folder: Path = field(default=Path())

    def write(self, folder: Path) -> None:
        """Write tables, definitions and the model below `folder`."""
        self.folder = folder
        repo, models = folder / "feature_repo", folder / "models"
        repo.mkdir(parents=True)
        models.mkdir(parents=True)
        # Python keeps a module by its name.
        name = f"definitions_{os.getpid()}_{next(_NUMBER)}.py"
        (repo / name).write_text(self._definitions())
        store = (ROOT / "feature_repo" / "feature_store.yaml").read_text()
        (repo / "feature_store.yaml").write_text(store.replace("project: flights", "project: p"))
        (models / "m.py").write_text(self._model())
        for table, rows in {view.name: view.table for view in self.views}.items():
            self._write_table(table, rows)
        self._write_table("labels", self.labels)

    def environment(self) -> dict[str, str]:
        """Return the settings by which commands work on it."""
        return {
            "ZEROSKEW_FEATURE_REPO": str(self.folder / "feature_repo"),
            "ZEROSKEW_MODELS": str(self.folder / "models"),
            "ZEROSKEW_HOME": str(self.folder / "var"),
            "ZEROSKEW_CLOCK": CLOCK.isoformat(),
        }

    def _write_table(self, name: str, rows: pl.DataFrame) -> None:
        folder = self.folder / "var" / "lake" / name
        folder.mkdir(parents=True)
        half = rows.height // 2 if self.parts != "one" else rows.height
        first, second = rows[:half], rows[half:]
        times = [name for name in TIMES if isinstance(rows.schema.get(name), pl.Datetime)]
        if self.parts == "naive and zoned":
            utc = [pl.col(time).dt.convert_time_zone("UTC") for time in times if _zone(rows[time])]
            first = first.with_columns(*utc).with_columns(pl.col(times).dt.replace_time_zone(None))
        elif self.parts == "milliseconds and microseconds":
            first = first.with_columns(pl.col(times).dt.cast_time_unit("ms"))
        first.write_parquet(folder / "part-0.parquet")
        if second.height:
            second.write_parquet(folder / "part-1.parquet")

    def _definitions(self) -> str:
        lines = [
            "from datetime import timedelta",
            "from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType",
            "from feast.types import Bool, Float32, Float64, Int32, Int64, String",
        ]
        for key, kind in self.key_types.items():
            lines.append(
                f"{key} = Entity(name={key!r}, join_keys=[{key!r}], value_type=ValueType.{kind})"
            )
        for view in self.views:
            schema = ", ".join(
                f"Field(name={name!r}, dtype={kind})" for name, kind in view.features.items()
            )
            lines.append(
                f"{view.name} = FeatureView(name={view.name!r}, entities=[{', '.join(view.keys)}], "
                f"ttl=timedelta(days={TTL.days}), schema=[{schema}]{view.options}, "
                f'source=FileSource(path="../var/lake/{view.name}", '
                'timestamp_field="event_timestamp", created_timestamp_column="created"))'
            )
        names = ", ".join(view.name for view in self.views)
        lines.append(f'svc = FeatureService(name="svc", features=[{names}])')
        return "\n".join(lines) + "\n"

    def _model(self) -> str:
        request = "".join(
            f'RequestField(name={name!r}, type=FieldType.{kind}, description="d", '
            f"example={self.example(name)!r}, nullable={nullable}), "
            for name, (kind, nullable) in self.fields.items()
        )
        return (
            "from math import inf, nan\n"
            "import polars as pl\n"
            "from zeroskew import FieldType, Output, RequestField\n"
            "from zeroskew import Gate, LabelTable, ModelSpec, TimeSplit\n"
            'MODEL = ModelSpec(name="m", description="d", feature_service="svc", '
            f"request=({request}), columns={tuple(self.columns)!r}, "
            f'labels=LabelTable(table="labels", label={self.label}, known_at="known_at"), '
            'split=TimeSplit.from_dates("2024-01-01", "2024-05-01", "2024-06-01", "2024-07-01"), '
            f"parameters={self.parameters!r}, n_rounds=8, early_stopping_rounds=4, "
            f'output=Output({self.output}, description="d"))\n'
        )

    def example(self, name: str) -> Any:
        """Return an example of a request field."""
        if name in self.key_types:
            return KEYS[self.key_types[name]][-1]
        return {"INTEGER": 7, "NUMBER": 2.5, "STRING": "red", "BOOLEAN": True}[self.fields[name][0]]


def _zone(times: pl.Series) -> str | None:
    return getattr(times.dtype, "time_zone", None)


def draw_project(seed: int, *, mistakes: float = 0.4) -> RandomProject:
    """Draw a project; with a chance of `mistakes` something is put wrong in it."""
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(["binary", "value", "classes"]))
    n_keys = int(rng.integers(1, 3))
    key_types = {f"k{i}": str(rng.choice(list(KEYS))) for i in range(n_keys)}
    views = [_draw_view(rng, i, key_types) for i in range(int(rng.integers(1, 3)))]
    used = {key for view in views for key in view.keys}
    key_types = {key: kind for key, kind in key_types.items() if key in used}
    nullable = {key: bool(rng.random() < 0.4) for key in key_types}
    fields = {
        key: ("STRING" if kind == "STRING" else "INTEGER", nullable[key])
        for key, kind in key_types.items()
    }
    fields["x"] = ("NUMBER", False)
    columns = ["x"]
    if rng.random() < 0.7:
        name = str(rng.choice(NAMES))
        fields[name] = (str(rng.choice(list(FIELD_VALUES))), bool(rng.random() < 0.5))
        columns.append(name)
    project = RandomProject(
        seed=seed,
        kind=kind,
        key_types=key_types,
        views=views,
        fields=fields,
        columns=columns,
        labels=_draw_labels(rng, kind, key_types, fields),
        parameters=dict(_pick(rng, PARAMETERS[kind])),
        output=OUTPUTS[kind],
        parts=str(rng.choice(["one", "two", "naive and zoned", "milliseconds and microseconds"])),
    )
    if rng.random() < mistakes:
        mistake = _pick(rng, MISTAKES)
        mistake(rng, project)
        project.mistake = mistake.__name__
    return project


def _pick(rng: np.random.Generator, values: Sequence[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def _column(
    rng: np.random.Generator, values: Sequence[Any], dtype: Any, n: int, nulls: float
) -> pl.Series:
    drawn = [None if rng.random() < nulls else _pick(rng, values) for _ in range(n)]
    return pl.Series(drawn, dtype=dtype)


def _draw_view(rng: np.random.Generator, number: int, key_types: dict[str, str]) -> View:
    keys = sorted(rng.choice(list(key_types), int(rng.integers(1, len(key_types) + 1)), False))
    rows: list[dict[str, Any]] = []
    pools = [KEYS[key_types[key]] for key in keys]
    entities = list(zip(*[rng.permutation(np.array(one, object)) for one in pools], strict=True))
    for entity in entities:
        days = rng.choice(170, size=int(rng.integers(3, 9)), replace=False)
        for day in sorted(days):
            at = START + timedelta(days=int(day), seconds=int(rng.integers(86_400)))
            late = timedelta(seconds=int(rng.choice([0, 60, 86_400 * 3])))
            rows.append(
                dict(zip(keys, entity, strict=True)) | {"event_timestamp": at, "created": at + late}
            )
    instants = {name: pl.Datetime("us", "UTC") for name in ("event_timestamp", "created")}
    dtypes = {key: KEY_DTYPES[key_types[key]][0] for key in keys}
    table = pl.DataFrame(rows, schema={**dtypes, **instants})
    features = {}
    for i in range(int(rng.integers(1, 4))):
        kind = str(rng.choice(list(VALUES)))
        features[f"f{i}"] = kind
        values, dtype = VALUES[kind]
        nulls = float(rng.choice([0.0, 0.1, 0.9]))
        table = table.with_columns(_column(rng, values, dtype, table.height, nulls).alias(f"f{i}"))
    return View(f"v{number}", [str(key) for key in keys], features, table)


def _draw_labels(
    rng: np.random.Generator,
    kind: str,
    key_types: dict[str, str],
    fields: dict[str, tuple[str, bool]],
) -> pl.DataFrame:
    seconds = np.sort(rng.integers(0, 181 * 86_400, N_LABELS))
    at = pl.Series([START + timedelta(seconds=int(s)) for s in seconds])
    at = at.cast(pl.Datetime("us", "UTC"))
    x = np.round(rng.random(N_LABELS), 3)
    columns: dict[str, pl.Series] = {}
    for name, (field_kind, nullable) in fields.items():
        nulls = 0.05 if nullable else 0.0
        if name in key_types:
            dtype = _pick(rng, KEY_DTYPES[key_types[name]])
            columns[name] = _column(rng, KEYS[key_types[name]], dtype, N_LABELS, nulls)
        elif name == "x":
            columns[name] = pl.Series(x)
        else:
            values, dtype = FIELD_VALUES[field_kind]
            columns[name] = _column(rng, values, dtype, N_LABELS, nulls)
    noise = rng.random(N_LABELS)
    y = {
        "binary": pl.Series((x > 0.5) != (noise < 0.05)),
        "value": pl.Series(10 * x + noise),
        "classes": pl.Series(np.array(["low", "middle", "high"])[np.digitize(x, [0.3, 0.7])]),
    }[kind]
    known = at.dt.offset_by("1d")
    zone = str(rng.choice(["UTC", "UTC", "America/New_York", "Asia/Kolkata"]))
    instants = {
        "event_timestamp": at.dt.convert_time_zone(zone),
        "known_at": known.dt.convert_time_zone(zone),
    }
    # A field may have the name of what the label table needs itself: then the field has it.
    return pl.DataFrame({"y": y} | instants | columns)


def unknown_parameter(rng: np.random.Generator, project: RandomProject) -> None:
    """Give LightGBM a parameter that it does not know, or that is not the user's."""
    project.parameters |= _pick(rng, BAD_PARAMETERS)


def signed_label(rng: np.random.Generator, project: RandomProject) -> None:
    """Label with -1 and 1."""
    project.label = 'pl.when(pl.col("x") > 0.5).then(1).otherwise(-1)'


def one_class(rng: np.random.Generator, project: RandomProject) -> None:
    """Label every row alike."""
    project.label = 'pl.col("x") >= 0'


def hundred_label(rng: np.random.Generator, project: RandomProject) -> None:
    """Label with 0 and 100."""
    project.label = '(pl.col("x") > 0.5).cast(pl.Int64) * 100'


def nan_label(rng: np.random.Generator, project: RandomProject) -> None:
    """Label some rows with what is no number."""
    value = _pick(rng, ['float("nan")', 'float("inf")', '-float("inf")'])
    project.label = f'pl.when(pl.col("x") > 0.9).then({value}).otherwise(pl.col("x"))'


def text_label(rng: np.random.Generator, project: RandomProject) -> None:
    """Label with words."""
    project.label = 'pl.when(pl.col("x") > 0.5).then(pl.lit("yes")).otherwise(pl.lit("no"))'


def other_output(rng: np.random.Generator, project: RandomProject) -> None:
    """Declare an output that the objective does not give."""
    project.output = OUTPUTS["binary" if project.kind == "value" else "value"]


def offline_view(rng: np.random.Generator, project: RandomProject) -> None:
    """Keep a view from the online store."""
    _pick(rng, project.views).options = ", online=False"


def empty_feature(rng: np.random.Generator, project: RandomProject) -> None:
    """Leave a feature without one value."""
    view = _pick(rng, project.views)
    view.table = view.table.with_columns(pl.lit(None, view.table["f0"].dtype).alias("f0"))


def created_too_late(rng: np.random.Generator, project: RandomProject) -> None:
    """Have all rows of a view written after the last label, as Feast's template does."""
    view = _pick(rng, project.views)
    late = pl.lit(datetime(2024, 8, 1, tzinfo=UTC)).cast(pl.Datetime("us", "UTC"))
    view.table = view.table.with_columns(late.alias("created"))


def missing_column(rng: np.random.Generator, project: RandomProject) -> None:
    """Declare a feature that its table does not have."""
    view = _pick(rng, project.views)
    view.table = view.table.drop("f0")


def other_type(rng: np.random.Generator, project: RandomProject) -> None:
    """Have texts where a number is declared, or numbers where a text is."""
    view = _pick(rng, project.views)
    other = pl.String if view.features["f0"] != "String" else pl.Float64
    values = ["red" if other == pl.String else 1.5] * view.table.height
    view.table = view.table.with_columns(pl.Series("f0", values, other))


def naive_times(rng: np.random.Generator, project: RandomProject) -> None:
    """Leave the zone out of a table's times; they are UTC."""
    times = ("event_timestamp", "created")
    view = _pick(rng, project.views)
    view.table = view.table.with_columns(pl.col(times).dt.replace_time_zone(None))


def no_label_column(rng: np.random.Generator, project: RandomProject) -> None:
    """Name a label that is not there."""
    project.label = 'pl.col("z")'


def key_of_other_type(rng: np.random.Generator, project: RandomProject) -> None:
    """Have an entity key in the label table that is of another type than the entity's."""
    key = next(iter(project.key_types))
    other = pl.Float64 if project.key_types[key] != "STRING" else pl.Int64
    values = [float(i % 7) if other == pl.Float64 else i % 7 for i in range(project.labels.height)]
    project.labels = project.labels.with_columns(pl.Series(key, values, other))


MISTAKES: Final[tuple[Callable[[np.random.Generator, RandomProject], None], ...]] = (
    *(unknown_parameter, unknown_parameter, unknown_parameter, signed_label, one_class),
    *(hundred_label, nan_label, text_label, other_output, offline_view, empty_feature),
    *(created_too_late, missing_column, other_type, naive_times, no_label_column),
    key_of_other_type,
)
