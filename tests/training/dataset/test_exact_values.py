"""From the file to the matrix, offline and online, no value passes through a type that loses it.

Tables are drawn with every column type, next to nulls and near the ends of what the types hold.
The oracle is exact: whole numbers and fractions of Python, rounded once to the nearest float32.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from feast import FeatureService, FeatureStore, Field, ValueType
from feast.types import Bool, FeastType, Float32, Float64, Int32, Int64, String, UnixTimestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.feast_repos import entity, feature_store, view
from tests.support.model_specs import tiny_spec
from tests.support.request_functions import combine
from training.dataset.build_dataset import Dataset, build_dataset
from training.dataset.label_table import load_labels
from zeroskew.contract.manifest import FieldType, RequestField
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.declarations.model_spec import LabelTable, ModelSpec
from zeroskew.features.offline_store.errors import SourceError
from zeroskew.features.plans.compile_plan import PlanDraft, compile_plan
from zeroskew.features.request_time import request_time_view
from zeroskew.model.plan.feature_matrix import FeatureMatrix
from zeroskew.model.plan.read_plan import ReadPlan
from zeroskew.model.requests.field_types import parse_timestamp
from zeroskew.online.sqlite.reader import SqliteFeatureReader

EVENT = datetime(2024, 1, 1, tzinfo=UTC)
ASKED = [datetime(2024, 1, day, tzinfo=UTC) for day in (2, 12, 22)]
"""A moment in each span."""
NAN = float("nan")

# A float64 between two float32 is a tie that only what lies below it decides.
TIES = [2**60 + 2**36 + 1, 2**62 + 2**38 + 1, -(2**62) - 2**38 - 1, 2**54 + 2**30 + 1]
EDGES = [
    sign * (2**power + off) for sign in (1, -1) for power in (24, 53, 62) for off in (-1, 0, 1)
]
INT64 = st.one_of(
    st.sampled_from([*EDGES, *TIES, 2**63 - 1, -(2**63), 0]), st.integers(-(2**63), 2**63 - 1)
)
WHOLE = st.integers(-(2**53), 2**53)
FINITE = st.floats(width=64, allow_nan=False, allow_infinity=False, min_value=-1e38, max_value=1e38)
DECIMAL = st.integers(-(10**30), 10**30).map(lambda digits: Decimal(digits).scaleb(-12))
INSTANT = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001


def cut_to_float32(values: Any) -> Any:
    return values.map(lambda value: float(np.float32(value)))


@dataclass(frozen=True)
class Stored:
    """A feature: its declared type, the file's type, and the values to draw."""

    declared: FeastType
    dtype: Any
    values: Any


FEATURES = {
    "long": Stored(Int64, pl.Int64, INT64),
    "unsigned": Stored(Int64, pl.UInt64, st.integers(0, 2**63 - 1)),
    "short": Stored(Int64, pl.Int16, st.integers(-(2**15), 2**15 - 1)),
    "medium": Stored(Int32, pl.Int32, st.integers(-(2**31), 2**31 - 1)),
    "by_pandas": Stored(Int64, pl.Float64, WHOLE.map(float)),
    "double": Stored(Float64, pl.Float64, FINITE),
    "widened": Stored(Float64, pl.Float32, cut_to_float32(FINITE)),
    "of_whole": Stored(Float64, pl.Int64, WHOLE),
    "of_decimal": Stored(Float64, pl.Decimal(38, 12), DECIMAL),
    "single": Stored(Float32, pl.Float32, cut_to_float32(FINITE)),
    "rounded": Stored(Float32, pl.Float64, FINITE),
    "single_whole": Stored(Float32, pl.Int64, WHOLE),
    "flag": Stored(Bool, pl.Boolean, st.booleans()),
    "text": Stored(String, pl.String, st.sampled_from(["a", "ü", "NaN", "0"])),
    "category": Stored(String, pl.Categorical, st.sampled_from(["a", "ü", "", "None"])),
}
INPUTS = {
    "is_open": Stored(Bool, pl.Boolean, st.booleans()),
    "opened_at": Stored(UnixTimestamp, pl.Datetime("us", "UTC"), INSTANT),
    "rank": Stored(Int64, pl.Int64, INT64),
    "rate": Stored(Float32, pl.Float32, cut_to_float32(FINITE)),
    "height": Stored(Float64, pl.Float64, FINITE),
}
REQUEST: dict[str, tuple[FieldType, Any, Any]] = {
    "number": (FieldType.INTEGER, pl.Int64, INT64),
    "amount": (FieldType.NUMBER, pl.Float64, FINITE),
    "of_decimals": (FieldType.NUMBER, pl.Decimal(38, 12), DECIMAL),
    "of_singles": (FieldType.NUMBER, pl.Float32, cut_to_float32(FINITE)),
    "of_wholes": (FieldType.NUMBER, pl.Int64, WHOLE),
    "is_new": (FieldType.BOOLEAN, pl.Boolean, st.booleans()),
    "kind": (FieldType.STRING, pl.Categorical, st.sampled_from(["x", "y", ""])),
    "asked_at": (FieldType.TIMESTAMP, pl.Datetime("us", "America/New_York"), INSTANT),
}
KEYS = st.lists(INT64, min_size=4, max_size=4, unique=True)


def column(values: Any) -> Any:
    return st.lists(st.none() | values, min_size=4, max_size=4)


TABLES = st.fixed_dictionaries(
    {name: column(one.values) for name, one in (FEATURES | INPUTS).items()}
    | {f"field {name}": column(values) for name, (_, _, values) in REQUEST.items()}
)


def nearest_float32(value: Fraction) -> float:
    """Round once: the nearest float32, the even one of two."""
    guess = np.float32(float(value))
    with np.errstate(over="ignore"):
        around = [
            guess,
            np.nextafter(guess, np.float32(-np.inf)),
            np.nextafter(guess, np.float32(np.inf)),
        ]
    finite = [one for one in around if np.isfinite(one)]
    return float(
        min(finite, key=lambda one: (abs(Fraction(float(one)) - value), int(one.view("u4")) & 1))
    )


def expected_column(
    values: list[Any], codes: dict[str, int] | None, *, by_double: bool
) -> list[float]:
    """Return what the matrix must hold; what is declared a double is one before it is rounded."""
    if codes is not None:
        return [NAN if value is None else float(codes[value]) for value in values]
    exact = [None if value is None else Fraction(value) for value in values]
    if by_double:
        exact = [None if value is None else Fraction(float(value)) for value in exact]
    return [NAN if value is None else nearest_float32(value) for value in exact]


def expected_input(values: list[Any], *, is_stored: bool) -> list[float]:
    def of(value: Any) -> float:
        if value is None:
            return NAN
        if isinstance(value, datetime):
            us = (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
            return float(us // 1_000_000) if is_stored else us / 1_000_000
        return float(value)

    return [of(value) for value in values]


class Repo:
    """A repository whose tables each draw writes anew."""

    def __init__(
        self, folder: Path, store: FeatureStore, spec: ModelSpec, compiled: PlanDraft
    ) -> None:
        self.folder, self.store, self.spec, self.compiled = folder, store, spec, compiled

    def dataset(self, keys: list[int], drawn: dict[str, list[Any]]) -> Dataset:
        """Write both tables, four entities in each span and one row that names none."""
        stored = {
            name: pl.Series(drawn[name], dtype=one.dtype, strict=False)
            for name, one in (FEATURES | INPUTS).items()
        }
        pl.DataFrame(
            {
                "shop": pl.Series(keys, dtype=pl.Int64),
                **stored,
                "event_timestamp": EVENT,
                "created": EVENT,
            }
        ).with_columns(pl.col("event_timestamp", "created").dt.cast_time_unit("us")).write_parquet(
            self.folder / "shops.parquet"
        )
        fields = {
            name: pl.Series(drawn[f"field {name}"], dtype=dtype, strict=False)
            for name, (_, dtype, _) in REQUEST.items()
        }
        rows = pl.DataFrame({"shop": pl.Series(keys, dtype=pl.Int64), **fields})
        nobody = rows[:1].with_columns(shop=pl.lit(None, pl.Int64))
        labels = [rows.with_columns(event_timestamp=pl.lit(moment)) for moment in ASKED]
        labels += [nobody.with_columns(event_timestamp=pl.lit(moment)) for moment in ASKED]
        (self.folder / "labels").mkdir(exist_ok=True)
        pl.concat(labels).with_columns(
            known_at=pl.col("event_timestamp") + timedelta(hours=1),
            sold=pl.int_range(pl.len()).mod(2).cast(pl.Float64),
        ).write_parquet(self.folder / "labels" / "a.parquet")
        return build_dataset(
            self.store, self.spec, self.compiled, load_labels(self.folder, self.spec)
        )

    def serve(self, dataset: Dataset, instances: list[tuple[Any, ...]]) -> FeatureMatrix:
        """Materialize, and assemble what the service gives the graph."""
        online = self.folder / "online.db"
        with sqlite3.connect(online) as database:
            database.execute("DELETE FROM trial_shops")
        self.store.materialize(EVENT - timedelta(days=1), ASKED[-1])
        plan = ReadPlan(self.spec.request, dataset.plan)

        async def read() -> FeatureMatrix:
            reader = SqliteFeatureReader(online, timeout_sec=30.0)
            found = await reader.read(plan.layout, plan.serialize_keys(instances))
            await reader.close()
            return plan.assemble(instances, found, to_epoch_us(ASKED[-1]))

        return asyncio.run(read())


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    folder = tmp_path_factory.mktemp("exact")
    shop = entity("shop", ValueType.INT64)
    everything = FEATURES | INPUTS
    empty = {name: pl.Series([], dtype=one.dtype) for name, one in everything.items()}
    instants = dict.fromkeys(
        ("event_timestamp", "created"), pl.Series([], dtype=pl.Datetime("us", "UTC"))
    )
    path = folder / "shops.parquet"
    pl.DataFrame({"shop": pl.Series([], dtype=pl.Int64), **empty, **instants}).write_parquet(path)
    shops = view("shops", path, [shop], {name: one.declared for name, one in everything.items()})
    computed = request_time_view(
        name="combined",
        function=combine,
        inputs=[Field(name="asked_at", dtype=UnixTimestamp), Field(name="amount", dtype=Float64)],
        sources=[shops[list(INPUTS)]],
        outputs=[Field(name="rank_out", dtype=Float64), Field(name="mixed", dtype=Float64)]
        + [
            Field(name=f"{name}_out", dtype=Float64)
            for name in ("asked_at", "height", "is_open", "opened_at", "rate")
        ]
        + [Field(name="minutes_open", dtype=Float64)],
    )
    service = FeatureService(name="tiny_v1", features=[shops[list(FEATURES)], computed])
    store = feature_store(
        folder, [shop, shops, computed, service], materialization={"pull_latest_features": True}
    )
    request = tuple(
        RequestField(name=name, type=kind, description="", example=None, nullable=True)
        for name, kind in {
            "shop": FieldType.INTEGER,
            **{n: k for n, (k, _, _) in REQUEST.items()},
        }.items()
    )
    spec = tiny_spec(
        request=request,
        columns=tuple(
            name for name, (kind, _, _) in REQUEST.items() if kind is not FieldType.TIMESTAMP
        ),
        labels=LabelTable(table="labels", label=pl.col("sold"), known_at="known_at"),
    )
    compiled = compile_plan(store, spec)
    plan = compiled.plan
    references = [
        *(f"{v}:{f}" for v, f in plan.list_stored_features()),
        *compiled.request_feature_references,
    ]
    wanted = spec.model_copy(update={"may_be_empty": (*references, *spec.columns, "asked_at")})
    return Repo(folder, store, wanted, compile_plan(store, wanted))


def parsed(name: str, value: Any) -> Any:
    """Return a value as the service has it after the request was parsed."""
    kind = REQUEST[name][0]
    if value is None:
        return None
    if kind is FieldType.TIMESTAMP:
        return parse_timestamp(value.isoformat())
    return float(value) if kind is FieldType.NUMBER else value


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(keys=KEYS, drawn=TABLES)
def test_trained_and_served_are_the_exact_value_rounded_once(
    repo: Repo, keys: list[int], drawn: dict[str, list[Any]]
) -> None:
    dataset = repo.dataset(keys, drawn)
    codes = {
        one.name: {text: code for code, text in enumerate(one.categories)}
        for one in dataset.plan.columns
        if one.categories is not None
    }
    matrix = {
        f"shops__{name}": expected_column(
            drawn[name], codes.get(f"shops__{name}"), by_double=one.declared is Float64
        )
        for name, one in FEATURES.items()
    } | {
        name: expected_column(
            drawn[f"field {name}"], codes.get(name), by_double=kind is FieldType.NUMBER
        )
        for name, (kind, _, _) in REQUEST.items()
        if kind is not FieldType.TIMESTAMP
    }
    inputs = {
        one.name: expected_input(
            drawn[f"field {one.name}" if one.field else one.name], is_stored=one.field is None
        )
        for one in dataset.plan.request_inputs
    }
    plan_columns = [one.name for one in dataset.plan.columns]
    trained = dataset.rows["shop"].to_list()
    for place, key in enumerate(keys):
        for row in (row for row, of in enumerate(trained) if of == key):
            found = dataset.features.row(row, named=True)
            for name in plan_columns:
                assert same(found[name], matrix[name][place]), (name, found[name], key)
            seen = dataset.request.row(row, named=True)
            for name, values in inputs.items():
                assert same(seen[name], values[place]), (name, seen[name], key)
    for row in (row for row, of in enumerate(trained) if of is None):
        assert all(math.isnan(dataset.features[f"shops__{name}"][row]) for name in FEATURES)

    instances = [
        (key, *(parsed(name, drawn[f"field {name}"][place]) for name in REQUEST))
        for place, key in enumerate(keys)
    ]
    served = repo.serve(dataset, instances)
    np.testing.assert_array_equal(
        served.values, np.array([matrix[name] for name in plan_columns], np.float32).T
    )
    np.testing.assert_array_equal(served.request, np.array(list(inputs.values())).T)


def same(found: float, expected: float) -> bool:
    return found == expected or (math.isnan(found) and math.isnan(expected))


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        (Float32, pl.Series([TIES[0], None], dtype=pl.Int64)),
        (Float32, pl.Series([Decimal(TIES[1]), None], dtype=pl.Decimal(38, 0))),
        (Int64, pl.Series([2**63, None], dtype=pl.UInt64)),
        (Int32, pl.Series([2**31, None], dtype=pl.Int64)),
        (Int64, pl.Series([0.5, None], dtype=pl.Float64)),
        (Bool, pl.Series([1, None], dtype=pl.Int64)),
        (Float64, pl.Series(["1", None])),
        (UnixTimestamp, pl.Series([2**61, None]).cast(pl.Datetime("ms", "UTC"))),
    ],
    ids=["tie", "tie of a decimal", "unsigned", "wide", "half", "number", "text", "far"],
)
def test_a_value_that_its_declared_type_cannot_hold_is_refused_by_name(
    tmp_path: Path, declared: FeastType, values: pl.Series
) -> None:
    shop = entity("shop", ValueType.INT64)
    table = pl.DataFrame({"shop": [1, 2], "v": values, "event_timestamp": EVENT, "created": EVENT})
    table.write_parquet(tmp_path / "t.parquet")
    store = feature_store(
        tmp_path, [shop, view("t", tmp_path / "t.parquet", [shop], {"v": declared})]
    )
    asked = pl.DataFrame({"shop": [1, 2], "event_timestamp": ASKED[0]})
    with pytest.raises(SourceError, match="'v'"):
        store.get_historical_features(asked, ["t:v"]).to_arrow()


@pytest.mark.parametrize("asked", [pl.Float64, pl.Int64], ids=str)
@pytest.mark.parametrize("stored", [pl.Float64, pl.Int64], ids=str)
@pytest.mark.parametrize("key", [2**53 + 2, -(2**53) - 2, 2**62])
def test_a_key_that_is_as_well_its_neighbour_is_refused(
    tmp_path: Path, key: int, asked: Any, stored: Any
) -> None:
    """Floats stand for whole keys where pandas made them; beyond 2^53 nobody knows which."""
    shop = entity("shop", ValueType.INT64)
    ids = pl.Series([key, 7], dtype=pl.Int64)
    table = pl.DataFrame(
        {"shop": ids.cast(stored), "v": [1.0, 2.0], "event_timestamp": EVENT, "created": EVENT}
    )
    table.write_parquet(tmp_path / "t.parquet")
    store = feature_store(
        tmp_path, [shop, view("t", tmp_path / "t.parquet", [shop], {"v": Float64})]
    )
    labels = pl.DataFrame({"shop": ids.cast(asked), "event_timestamp": ASKED[0]})
    job = store.get_historical_features(labels, ["t:v"])
    if asked == stored == pl.Int64:
        assert job.to_arrow()["v"].to_pylist() == [1.0, 2.0]
        return
    with pytest.raises(SourceError, match=r"join key 'shop'.*64-bit integers"):
        job.to_arrow()
