"""On-demand features by name: what Feast's server computes, or a refusal that says why."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    OnDemandFeatureView,
    PushSource,
    RequestSource,
    ValueType,
)
from feast.feature_server import get_app
from feast.types import Array, Float32, Float64, Int64, String, UnixTimestamp

from tests.api.feast.conftest import FeastService, open_service
from tests.support.app_client import AppClient
from tests.support.feast_service import make_source, open_trial_store
from tests.support.online_stores import EVENT_TIME
from tests.support.request_functions import new_york_clock
from zeroskew.features.request_time import request_time_view

KNOWN_AT = EVENT_TIME.isoformat()
EXTRA = RequestSource(
    name="extra", schema=[Field(name="more", dtype=Int64), Field(name="factor", dtype=Float64)]
)
Udf = Callable[[pd.DataFrame], pd.DataFrame]


def add(inputs: pd.DataFrame) -> pd.DataFrame:
    frame = pd.DataFrame()
    frame["out"] = inputs["rate"] + inputs["more"]
    return frame


def combine(inputs: pd.DataFrame) -> pd.DataFrame:
    import numpy as np  # Feast runs the function without its module.

    share = (inputs["stats__rate"] * 2 - 1.5) / inputs["factor"]
    return pd.DataFrame({"out": -abs(share) + np.sqrt(inputs["n"]) * np.floor(inputs["rate"])})


def divide_the_other_way(inputs: pd.DataFrame) -> pd.DataFrame:
    import numpy as np  # As above.

    return pd.DataFrame({"out": 1 / inputs["n"] - (3 - np.ceil(inputs["rate"]))})


def copy(inputs: pd.DataFrame) -> pd.DataFrame:
    return inputs[["n"]].rename(columns={"n": "out"})


def triple(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"out": inputs["n"] * 3})


READABLE: list[tuple[Udf, Any]] = [
    (add, Float64),
    (combine, Float64),
    (divide_the_other_way, Float64),
    (copy, Int64),
    (triple, Int64),
]


def branch(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"out": [1.0 if rate > 0.5 else 0.0 for rate in inputs["rate"]]})


def mask(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"out": inputs["rate"].where(inputs["rate"] > 0.5, 0.0)})


def fill(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"out": inputs["rate"].fillna(0.0) * 2})


def compare_rows(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"out": inputs["rate"] - inputs["rate"].mean()})


def take_logarithms(inputs: pd.DataFrame) -> pd.DataFrame:
    import numpy as np  # As above.

    return pd.DataFrame({"out": np.log(inputs["rate"])})


def round_down(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"out": inputs["rate"].astype("int64") * 1.0})


def read_a_file(inputs: pd.DataFrame) -> pd.DataFrame:
    from pathlib import Path  # As above.

    return pd.DataFrame({"out": inputs["rate"] * len(str(Path("/").stat().st_mtime))})


def spell(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"out": inputs["rate"].astype(str)})


def count_letters(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"out": inputs["name"].str.len() * 1.0})


def add_rows(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"out": pd.concat([inputs["rate"] * 2] * 2, ignore_index=True)})


def multiply_beyond(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"out": inputs["n"] * inputs["n"] * 1.0})


UNREADABLE: list[tuple[Udf, Any, str]] = [
    (branch, Float64, "compares values"),
    (mask, Float64, "values"),
    (fill, Float64, "another 'out'"),
    (compare_rows, Float64, "turns a value into a number"),
    (take_logarithms, Float64, "more than calculate"),
    (round_down, Float64, "number of Python|more than calculate"),
    (read_a_file, Float64, "it imports 'pathlib'"),
    (spell, String, "'out' of type STRING"),
    (count_letters, Float64, "more than calculate"),
    (add_rows, Float64, "for each row"),
    (multiply_beyond, Float64, "another 'out'"),
]


def make_project(folder: Path, online_store: dict[str, Any]) -> FeatureStore:
    store = open_trial_store(folder, online_store)
    shop = Entity(name="shop", join_keys=["shop_id"], value_type=ValueType.INT64)
    stats = FeatureView(
        name="stats",
        entities=[shop],
        schema=[
            Field(name="rate", dtype=Float32),
            Field(name="n", dtype=Int64),
            Field(name="name", dtype=String),
            Field(name="ids", dtype=Array(Int64)),
        ],
        source=PushSource(
            name="stats_push", batch_source=make_source(folder, "stats", {"shop_id": pa.int64()})
        ),
    )
    functions = [*READABLE, *((udf, dtype) for udf, dtype, _ in UNREADABLE)]
    views = [
        make_view(f"{udf.__name__}_{number}", udf, dtype, [stats, EXTRA])
        for number, (udf, dtype) in enumerate(functions)
    ]
    ours = request_time_view(
        name="clock",
        function=new_york_clock,
        inputs=[Field(name="departure", dtype=UnixTimestamp)],
        outputs=[Field(name="hour", dtype=Float64), Field(name="weekday", dtype=Float64)],
    )
    services = [
        FeatureService(name="readable", features=[stats, views[0], ours]),
        FeatureService(name="renamed", features=[views[0].with_name("alias")[["out"]]]),
        FeatureService(name="unreadable", features=[stats[["n"]], views[-1]]),
    ]
    store.apply([shop, stats, ours, *views, *services])
    return store


def make_view(name: str, udf: Udf, dtype: Any, sources: list[Any]) -> OnDemandFeatureView:
    return OnDemandFeatureView(
        name=name,
        sources=sources,
        schema=[Field(name="out", dtype=dtype)],
        mode="pandas",
        udf=udf,
        udf_string=inspect.getsource(udf),
    )


@pytest.fixture(scope="module", params=["sqlite"])
def sides(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[FeastService, AppClient]]:
    """The service and Feast's own server over the same rows."""
    folder = tmp_path_factory.mktemp("computed")
    with open_service(request.param, folder, make_project) as service:
        service.push(
            "stats_push",
            shop_id=[1, 2, 3],
            rate=[0.1, -2.5, None],
            n=[7, 0, 2**53],
            name=["a", None, "c"],
            ids=[[1], [], None],
            known_at=[KNOWN_AT] * 3,
        )
        with AppClient(get_app(service.store, 0)) as feast:
            yield service, feast


ENTITIES: dict[str, list[Any]] = {
    "shop_id": [1, 2, 3, 9],
    "more": [5, -5, 1, 2],
    "factor": [0.3, 0.0, -1.0, 2.0],
}
CLOCK = {"departure": ["2013-10-01T12:00:00Z"] * 4}


def computed(client: AppClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    names = answer.json()["metadata"]["feature_names"]
    values = [one["values"] for one in answer.json()["results"]]
    return dict(zip(names, values, strict=True))


@pytest.mark.parametrize("number", range(len(READABLE)))
def test_what_only_calculates_is_computed_as_feast_computes_it(
    sides: tuple[FeastService, AppClient], number: int
) -> None:
    service, feast = sides
    udf, _ = READABLE[number]
    shops = {name: values[:2] for name, values in ENTITIES.items()}
    features = [f"{udf.__name__}_{number}:out", "stats:n"]
    body = {"features": features, "entities": shops}
    told = computed(service.client, "/feast/get-online-features", body)
    assert told == computed(feast, "/get-online-features", body)
    # Of what is null, or not there, comes null; Feast's server fails at a column of nulls.
    with_unknown = {name: [*values, 9] for name, values in shops.items()}
    result = service.results(features, **with_unknown)["out"]
    assert result["values"][2] is None
    assert result["statuses"][2] == "NULL_VALUE"


def test_a_service_has_stored_and_computed_features(
    sides: tuple[FeastService, AppClient],
) -> None:
    service, feast = sides
    body = {"feature_service": "readable", "entities": {**ENTITIES, **CLOCK}}
    told = computed(service.client, "/feast/get-online-features", body)
    assert told == computed(feast, "/get-online-features", body)
    assert list(told) == ["shop_id", "rate", "n", "name", "ids", "out", "hour", "weekday"]
    assert (told["hour"][0], told["weekday"][0]) == (8.0, 1.0)
    full = {"feature_service": "renamed", "entities": ENTITIES, "full_feature_names": True}
    assert "alias__out" in computed(service.client, "/feast/get-online-features", full)


def test_features_of_the_request_alone_need_no_entity(
    sides: tuple[FeastService, AppClient],
) -> None:
    assert sides[0].read(["clock:hour"], **CLOCK) == {"hour": [8.0] * 4}


@pytest.mark.parametrize("number", range(len(UNREADABLE)))
def test_what_needs_its_code_is_refused_with_the_reason(
    sides: tuple[FeastService, AppClient], number: int
) -> None:
    service, _ = sides
    udf, _, said = UNREADABLE[number]
    name = f"{udf.__name__}_{len(READABLE) + number}"
    answer = service.post(
        "get-online-features", {"features": [f"{name}:out"], "entities": ENTITIES}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert re.search(f"on demand by code, which the service does not run.*({said})", answer.text)
    assert "request_time_view" in answer.json()["detail"]


def test_a_service_with_such_a_view_is_refused_and_its_others_are_read(
    sides: tuple[FeastService, AppClient],
) -> None:
    service, _ = sides
    asked = {"feature_service": "unreadable", "entities": ENTITIES}
    answer = service.post("get-online-features", asked)
    assert answer.status_code == 422
    assert "Ask for the others by name" in answer.json()["detail"]
    assert service.read(["stats:n"], shop_id=[1])["n"] == [7]


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"more": ...}, "missing_request_data", "/entities/more"),
        ({"more": [1, 2, 3, "x"]}, "invalid_request", "/entities/more/3"),
        ({"more": [1, 2, 3, 1.5]}, "invalid_request", "/entities/more/3"),
        ({"more": [1, 2, 3, 2**53 + 1]}, "invalid_request", "/entities/more/3"),
        ({"more": [1]}, "invalid_request", "/entities/more"),
        ({"shop_id": ...}, "invalid_request", "/entities/shop_id"),
    ],
)
def test_what_a_computation_cannot_take_is_refused_by_place(
    sides: tuple[FeastService, AppClient], changes: dict[str, Any], code: str, pointer: str
) -> None:
    entities = {k: v for k, v in (ENTITIES | changes).items() if v is not ...}
    asked = {"features": ["add_0:out"], "entities": entities}
    answer = sides[0].post("get-online-features", asked)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_result_that_float64_may_have_rounded_is_no_answer(
    sides: tuple[FeastService, AppClient],
) -> None:
    asked = {"features": ["triple_4:out"], "entities": {"shop_id": [3]}}
    answer = sides[0].post("get-online-features", asked)
    assert (answer.status_code, answer.json()["code"]) == (503, "online_value_unexpected")


def test_rows_cannot_be_written_to_a_computed_view(
    sides: tuple[FeastService, AppClient],
) -> None:
    body = {"feature_view_name": "add_0", "df": {"out": [1.0]}}
    answer = sides[0].post("write-to-online-store", body)
    assert answer.status_code == 422
    assert "expected a view that is stored" in answer.json()["detail"]
