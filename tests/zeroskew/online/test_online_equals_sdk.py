"""What the service reads online is what Feast's SDK reads, cell by cell."""

import asyncio
import random
import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feast import FeatureStore
from feast import ValueType as FeastType

from api.predict.wide_work import TurningReader, WideWork
from tests.support.manifests import view_plan
from tests.support.online_equality import N_CELLS, compare_with_sdk
from tests.support.online_equality import VIEWS as ALL_TYPES
from tests.support.online_stores import (
    EVENT_TIME,
    Online,
    ViewSpec,
    make_store,
    open_online,
    write_rows,
)
from tests.support.waiting import PATIENCE_SEC
from zeroskew.contract.errors.service import (
    ModelRefusedError,
    OnlineStoreUnavailableError,
    OnlineValueError,
)
from zeroskew.contract.feature_status import FeatureStatus
from zeroskew.contract.manifest import Column, FeaturePlan, FieldType, RequestField
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.model.plan.feature_matrix import FeatureMatrix
from zeroskew.model.plan.read_plan import ReadPlan
from zeroskew.model.requests.instances import RequestRow
from zeroskew.online.schemes import open_store
from zeroskew.online.sqlite.reader import SqliteFeatureReader
from zeroskew.online.values.decode import ValueType

SIZES = ("small", "big", "größer", "")
VIEWS = (
    ViewSpec(
        "carrier_stats",
        {"carrier": "STRING"},
        {
            "mean": "FLOAT",
            "spread": "DOUBLE",
            "flights": "INT64",
            "rank": "INT32",
            "size": "STRING",
            "low_cost": "BOOL",
        },
    ),
    ViewSpec("plane", {"tail": "INT64"}, {"seats": "INT32", "built": "INT64", "maker": "STRING"}),
    ViewSpec("gate", {"gate_number": "INT32"}, {"walk_minutes": "FLOAT"}),
    ViewSpec(
        "route_stats",
        {"origin": "STRING", "dest": "STRING", "tail": "INT64"},
        {"share": "DOUBLE", "late": "FLOAT", "kind": "STRING"},
    ),
)
FIELDS = tuple(
    RequestField(name=name, type=kind, description="A key.", example=None, nullable=True)
    for name, kind in {
        "carrier": FieldType.STRING,
        "tail": FieldType.INTEGER,
        "gate_number": FieldType.INTEGER,
        "origin": FieldType.STRING,
        "dest": FieldType.STRING,
    }.items()
)
FEATURES = [(view, feature) for view in VIEWS for feature in view.features]
PLAN = FeaturePlan(
    project="trial",
    feature_service="all_v1",
    views=tuple(view_plan(v.name, dict(v.keys), dict(v.features), ttl_us=None) for v in VIEWS),
    columns=tuple(
        Column(
            name=f"{view.name}__{feature}",
            view=view.name,
            feature=feature,
            categories=SIZES if view.features[feature] == "STRING" else None,
        )
        for view, feature in FEATURES
    ),
)
N_ROWS = 8_000
EVENT_US = to_epoch_us(EVENT_TIME)
CARRIERS = [f"C{number}" for number in range(40)] + ["", "ü", "C'; --"]
AIRPORTS = [f"A{number}" for number in range(6)]
TAILS = [0, 1, -1, 2**63 - 1, -(2**63), *range(100, 160)]
GATES = [0, -1, 2**31 - 1, -(2**31), *range(5, 25)]


def random_value(draw: random.Random, kind: str) -> Any:
    if draw.random() < 0.15:
        return None
    kinds: dict[str, Callable[[], Any]] = {
        "FLOAT": lambda: float(np.float32(draw.choice([0.0, -0.0, draw.gauss(0, 1e3), 1e-40]))),
        "DOUBLE": lambda: draw.choice([0.0, draw.gauss(0, 1e-3), 1e300, 0.1]),
        "INT32": lambda: draw.randint(-(2**31), 2**31 - 1),
        "INT64": lambda: draw.choice([0, 2**24 + 1, draw.randint(-(2**62), 2**62)]),
        "STRING": lambda: draw.choice([*SIZES, "unlisted"]),
        "BOOL": lambda: draw.random() < 0.5,
    }
    return kinds[kind]()


def key_values(name: str) -> list[Any]:
    return {"carrier": CARRIERS, "tail": TAILS, "gate_number": GATES}.get(name, AIRPORTS)


def random_rows(draw: random.Random, view: ViewSpec, share: float) -> list[dict[str, Any]]:
    """Return rows for a share of the keys that the queries draw from."""
    keys: list[dict[str, Any]] = [{}]
    for name in view.keys:
        keys = [key | {name: value} for key in keys for value in key_values(name)]
    return [
        key | {name: random_value(draw, kind) for name, kind in view.features.items()}
        for key in keys
        if draw.random() < share
    ]


@pytest.fixture(scope="module", params=["sqlite", "redis"])
def online(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Online]:
    with open_online(request.param, tmp_path_factory.mktemp(request.param)) as opened:
        yield opened


@pytest.fixture(scope="module")
def store(online: Online, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    draw = random.Random(1)  # noqa: S311 - test data
    made = make_store(tmp_path_factory.mktemp("sdk"), VIEWS, online.config)
    for view in VIEWS:
        write_rows(made, view.name, random_rows(draw, view, 0.7))
    return made


def read_matrix(url: str, plan: ReadPlan, rows: list[RequestRow], now_us: int) -> FeatureMatrix:
    async def read() -> FeatureMatrix:
        reader = open_store(url).open_reader(timeout_sec=PATIENCE_SEC)
        stored = await reader.read(plan.layout, plan.serialize_keys(rows))
        await reader.close()
        return plan.assemble(rows, stored, now_us)

    return asyncio.run(read())


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_cells_of_every_type_equal_the_sdk(tmp_path: Path, kind: str) -> None:
    with open_online(kind, tmp_path / "online") as online:
        store = make_store(tmp_path, ALL_TYPES, online.config)
        reader = open_store(online.url).open_reader(timeout_sec=PATIENCE_SEC)
        draw = random.Random(3)  # noqa: S311 - test data
        compared = asyncio.run(
            compare_with_sdk(store, reader, draw, N_CELLS, tells_missing=kind == "sqlite")
        )
    assert compared.n_null > N_CELLS / 10
    assert compared.n_missing > N_CELLS / 10


@pytest.mark.parametrize("kind", sorted(set(FeastType.__members__) - set(ValueType.__members__)))
def test_a_type_that_is_no_scalar_is_refused_by_its_name(kind: str) -> None:
    view = view_plan("gate", {"gate_number": "INT32"}, {"walk": kind})
    plan = FeaturePlan(project="trial", feature_service="gate_v1", views=(view,), columns=())
    with pytest.raises(ModelRefusedError, match=f"'gate:walk' of type {kind},"):
        ReadPlan(FIELDS, plan)


def test_100_000_numbers_of_the_matrix_equal_the_sdk(store: FeatureStore, online: Online) -> None:
    draw = random.Random(2)  # noqa: S311 - test data
    names = [field.name for field in FIELDS]
    rows: list[RequestRow] = [
        tuple(draw.choice(key_values(name)) for name in names) for _ in range(N_ROWS)
    ]
    matrix = read_matrix(online.url, ReadPlan(FIELDS, PLAN), rows, EVENT_US)
    answer = store.get_online_features(
        features=[f"{view.name}:{feature}" for view, feature in FEATURES],
        entity_rows=[dict(zip(names, row, strict=True)) for row in rows],
        full_feature_names=True,
    ).to_dict()
    codes = {text: float(code) for code, text in enumerate(SIZES)}
    seen: set[int] = set()
    for column, (view, feature) in enumerate(FEATURES):
        values = answer[f"{view.name}__{feature}"]
        if view.features[feature] == "STRING":
            values = [codes.get(value) if value is not None else None for value in values]
        expected = [np.nan if value is None else value for value in values]
        with np.errstate(over="ignore"):
            target = np.array([np.float32(value) for value in expected], np.float32)
        np.testing.assert_array_equal(matrix.values[:, column], target, err_msg=feature)
        known = ~np.isnan(target)
        np.testing.assert_array_equal(
            np.signbit(matrix.values[known, column]), np.signbit(target[known])
        )
        seen |= set(matrix.status[:, column].tolist())
    assert matrix.values.size >= 100_000
    assert seen == {FeatureStatus.PRESENT, FeatureStatus.NULL, FeatureStatus.MISSING}


def test_a_null_key_matches_nothing(store: FeatureStore, online: Online) -> None:
    rows: list[RequestRow] = [(None, None, None, "A0", None)]
    matrix = read_matrix(online.url, ReadPlan(FIELDS, PLAN), rows, EVENT_US)
    assert np.isnan(matrix.values).all()
    assert (matrix.status == FeatureStatus.MISSING).all()


TTL_US = 3_600_000_000


@pytest.mark.parametrize(
    ("now_us", "status"),
    [
        (EVENT_US - 1, FeatureStatus.FUTURE),
        (EVENT_US, FeatureStatus.PRESENT),
        (EVENT_US + TTL_US, FeatureStatus.PRESENT),
        (EVENT_US + TTL_US + 1, FeatureStatus.STALE),
    ],
)
def test_both_bounds_of_the_ttl_are_inclusive_to_the_microsecond(
    tmp_path: Path, now_us: int, status: FeatureStatus
) -> None:
    view = ViewSpec("gate", {"gate_number": "INT32"}, {"walk": "FLOAT"}, ttl=timedelta(hours=1))
    store = make_store(tmp_path, [view])
    write_rows(store, "gate", [{"gate_number": 1, "walk": 2.5}])
    plan = FeaturePlan(
        project="trial",
        feature_service="gate_v1",
        views=(view_plan("gate", {"gate_number": "INT32"}, {"walk": "FLOAT"}, ttl_us=TTL_US),),
        columns=(Column(name="walk", view="gate", feature="walk"),),
    )
    rows: list[RequestRow] = [(None, None, 1, None, None)]
    matrix = read_matrix(f"sqlite:///{tmp_path}/online.db", ReadPlan(FIELDS, plan), rows, now_us)
    assert matrix.status.tolist() == [[status]]
    expected = [[2.5 if status is FeatureStatus.PRESENT else np.nan]]
    np.testing.assert_array_equal(matrix.values, expected)


@pytest.fixture
def gates(tmp_path: Path) -> tuple[Path, ReadPlan]:
    """A store of one gate, and the plan to read it."""
    view = ViewSpec("gate", {"gate_number": "INT32"}, {"walk": "FLOAT"})
    write_rows(make_store(tmp_path, [view]), "gate", [{"gate_number": 1, "walk": 2.5}])
    plan = FeaturePlan(
        project="trial",
        feature_service="gate_v1",
        views=(view_plan("gate", {"gate_number": "INT32"}, {"walk": "FLOAT"}, ttl_us=None),),
        columns=(Column(name="walk", view="gate", feature="walk"),),
    )
    return tmp_path / "online.db", ReadPlan(FIELDS, plan)


ROW: list[RequestRow] = [(None, None, 1, None, None)]


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "error", "message"),
    [
        ("DROP TABLE trial_gate", OnlineStoreUnavailableError, "no table for feature view 'gate'"),
        ("UPDATE trial_gate SET value = x'1803'", OnlineValueError, "Feature gate:walk: Got"),
        ("UPDATE trial_gate SET value = 'text'", OnlineValueError, "view 'gate'"),
        ("UPDATE trial_gate SET event_ts = 'soon'", OnlineValueError, "view 'gate'"),
        ("UPDATE trial_gate SET event_ts = NULL", OnlineValueError, "view 'gate'"),
    ],
)
def test_what_is_not_feasts_layout_is_refused_by_the_views_name(
    gates: tuple[Path, ReadPlan], statement: str, error: type[Exception], message: str
) -> None:
    path, plan = gates
    change(path, statement)
    with pytest.raises(error, match=message):
        read_matrix(f"sqlite:///{path}", plan, ROW, EVENT_US)


@pytest.mark.parametrize("content", [None, b"", b"not a database" * 100])
def test_a_store_that_is_not_there_is_unavailable(
    gates: tuple[Path, ReadPlan], content: bytes | None
) -> None:
    path, plan = gates
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OnlineStoreUnavailableError) as raised:
        read_matrix(f"sqlite:///{path}", plan, ROW, EVENT_US)
    assert str(path) not in str(raised.value)


def test_a_replaced_file_is_noticed(gates: tuple[Path, ReadPlan], tmp_path: Path) -> None:
    path, plan = gates
    newer = tmp_path / "newer.db"
    newer.write_bytes(path.read_bytes())
    change(newer, "UPDATE trial_gate SET value = x'3500000040'")

    async def read_twice() -> list[float]:
        reader = SqliteFeatureReader(path, timeout_sec=1)
        values = []
        for _ in range(2):
            stored = await reader.read(plan.layout, plan.serialize_keys(ROW))
            values.append(float(plan.assemble(ROW, stored, EVENT_US).values[0, 0]))
            if newer.exists():
                newer.replace(path)
        await reader.close()
        return values

    assert asyncio.run(read_twice()) == [2.5, 2.0]


def test_a_read_waits_for_a_commit_and_no_longer_than_its_timeout(
    gates: tuple[Path, ReadPlan],
) -> None:
    path, plan = gates
    writer = sqlite3.connect(path, isolation_level=None)
    keys = plan.serialize_keys(ROW)

    async def read_while_locked() -> None:
        impatient = SqliteFeatureReader(path, timeout_sec=0.01)
        patient = SqliteFeatureReader(path, timeout_sec=60)
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OnlineStoreUnavailableError, match="locked by a writer"):
            await impatient.read(plan.layout, keys)
        waiting = asyncio.create_task(patient.read(plan.layout, keys))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        writer.execute("COMMIT")
        assert len((await waiting).cells) == 1
        await impatient.close()
        await patient.close()

    asyncio.run(read_while_locked())
    writer.close()


def test_what_is_read_and_assembled_in_pieces_equals_the_whole_to_the_bit(
    store: FeatureStore, online: Online
) -> None:
    assert store.list_feature_views()
    draw = random.Random(7)  # noqa: S311 - test data
    names = [field.name for field in FIELDS]
    rows: list[RequestRow] = [
        tuple(draw.choice([*key_values(name), None]) for name in names) for _ in range(300)
    ]
    plan = ReadPlan(FIELDS, PLAN)
    whole = read_matrix(online.url, plan, rows, EVENT_US)

    async def read() -> tuple[FeatureMatrix, FeatureMatrix]:
        reader = open_store(online.url).open_reader(timeout_sec=PATIENCE_SEC)
        wide = WideWork(cells_at_once=50, timeout_sec=5, max_cells=100_000)
        stored = await TurningReader(reader, wide).read(plan.layout, plan.serialize_keys(rows))
        assert wide.n_turns > 50
        joined = FeatureMatrix.allocate(len(rows), plan.assemble(rows, stored, EVENT_US))
        for piece in wide.split(len(rows), len(plan.features)):
            found = await reader.read(plan.layout, plan.serialize_keys(rows[piece]))
            joined.put(piece, plan.assemble(rows[piece], found, EVENT_US))
        await reader.close()
        return plan.assemble(rows, stored, EVENT_US), joined

    for matrix in asyncio.run(read()):
        assert matrix.values.tobytes() == whole.values.tobytes()
        assert matrix.request.tobytes() == whole.request.tobytes()
        assert matrix.status.tobytes() == whole.status.tobytes()
        assert matrix.event_us.tobytes() == whole.event_us.tobytes()
