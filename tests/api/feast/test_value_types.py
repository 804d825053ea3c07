"""Values of every type go out of one store and into another one as they are."""

import base64
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore
from feast.protos.feast.types.Value_pb2 import Value

from tests.api.feast.conftest import FeastService, open_service
from tests.support.online_equality import KEY_VALUES, VIEWS, write_random_rows
from tests.support.online_stores import EVENT_TIME, ProtoRow, ViewSpec, make_store, write_protos

LIVE_CLOCK = "2999-01-01T00:00:00Z"


def make_views(folder: Path, online_store: dict[str, Any]) -> FeatureStore:
    return make_store(folder, VIEWS, online_store)


def sdk_values(store: FeatureStore, view: ViewSpec, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return Feast's own messages by feature."""
    references = [f"{view.name}:{feature}" for feature in view.features]
    proto = store.get_online_features(references, rows).proto
    names = proto.metadata.feature_names.val
    return {
        name: [value.SerializeToString() for value in result.values]
        for name, result in zip(names, proto.results, strict=True)
        if name in view.features
    }


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_what_is_read_here_can_be_written_there(tmp_path: Path, kind: str) -> None:
    draw = random.Random(9)  # noqa: S311 - test data
    open_one = partial(open_service, kind, make_store=make_views, clock=LIVE_CLOCK)
    with open_one(folder=tmp_path / "a") as here, open_one(folder=tmp_path / "b") as there:
        write_random_rows(here.store, draw)
        for view in VIEWS:
            rows = [{key: draw.choice(KEY_VALUES[key]) for key in view.keys} for _ in range(60)]
            written = copy_view(here, there, view, rows)
            assert written > 10
            expected = sdk_values(here.store, view, rows)
            told = sdk_values(there.store, view, rows)
            for name, values in expected.items():
                # A null may be the empty message or an explicit one; the service writes the former.
                nulls = {Value(null_val=0).SerializeToString()}  # type: ignore[arg-type]  # its one value
                assert told[name] == [b"" if value in nulls else value for value in values], name


def copy_view(
    here: FeastService, there: FeastService, view: ViewSpec, rows: list[dict[str, Any]]
) -> int:
    """Read rows of one service, write those that are there to the other; return how many."""
    keys = {key: [as_json(row[key]) for row in rows] for key in view.keys}
    told = here.results([f"{view.name}:{feature}" for feature in view.features], **keys)
    first = told[next(iter(view.features))]
    known = [row for row, status in enumerate(first["statuses"]) if status != "NOT_FOUND"]
    df = {name: [result["values"][row] for row in known] for name, result in told.items()}
    df["event_timestamp"] = [first["event_timestamps"][row] for row in known]
    answer = there.post("write-to-online-store", {"feature_view_name": view.name, "df": df})
    assert answer.status_code == 200, answer.text
    return len(known)


def as_json(key: Any) -> Any:
    return base64.b64encode(key).decode() if isinstance(key, bytes) else key


POISON: list[tuple[str, str, list[Any]]] = [
    ("plane", "built", ["x", 2**63, 1.5, True, "2013-10-01"]),
    ("plane", "notes", ["{", "", {}, "[" * 100_000]),
    ("plane", "serial", ["x", 1, "123e4567-e89b-12d3-a456-42661417400"]),
    ("plane", "flight", ["x"]),
    ("plane", "price", ["", "1,5", 1.5, "1" * 200]),
    ("papers", "seal", ["é", "eA=", "eA==\n", 1]),
    ("papers", "manual", ["!"]),
    ("papers", "photo", ["!"]),
    ("carrier_stats", "spread", ["nan", 10**400, "1"]),
    ("carrier_stats", "rank", [2**31, -(2**31) - 1]),
    ("carrier_stats", "low_cost", [1, 0, "true"]),
]
GOOD: dict[str, Any] = {
    "FLOAT": 1.5,
    "DOUBLE": "-Infinity",
    "INT64": 2**63 - 1,
    "INT32": -(2**31),
    "STRING": "größer",
    "BOOL": False,
    "UNIX_TIMESTAMP": "1969-12-31 23:59:58.5",
    "JSON": '{"n": NaN}',
    "UUID": "123e4567-e89b-12d3-a456-426614174000",
    "TIME_UUID": "123e4567-e89b-12d3-a456-426614174000",
    "DECIMAL": "-1.50",
    "BYTES": "",
    "PDF_BYTES": "/+8=",
    "IMAGE_BYTES": "eA==",
}
STORED: dict[str, Value] = {
    "FLOAT": Value(float_val=1.5),
    "DOUBLE": Value(double_val=float("-inf")),
    "INT64": Value(int64_val=2**63 - 1),
    "INT32": Value(int32_val=-(2**31)),
    "STRING": Value(string_val="größer"),
    "BOOL": Value(bool_val=False),
    "UNIX_TIMESTAMP": Value(unix_timestamp_val=-1),
    "JSON": Value(json_val='{"n": NaN}'),
    "UUID": Value(uuid_val="123e4567-e89b-12d3-a456-426614174000"),
    "TIME_UUID": Value(time_uuid_val="123e4567-e89b-12d3-a456-426614174000"),
    "DECIMAL": Value(decimal_val="-1.50"),
    "BYTES": Value(bytes_val=b""),
    "PDF_BYTES": Value(bytes_val=b"\xff\xef"),
    "IMAGE_BYTES": Value(bytes_val=b"x"),
}


def test_values_are_checked_by_their_types_and_stored_as_feast_does(tmp_path: Path) -> None:
    with open_service("sqlite", tmp_path, make_views) as service:
        for name, feature, values in POISON:
            view = next(one for one in VIEWS if one.name == name)
            for value in values:
                answer = write(service, view, {feature: value})
                assert answer.status_code == 422, (feature, value)
                assert answer.json()["errors"][0]["pointer"] == f"/df/{feature}/0"
        for view in VIEWS:
            assert write(service, view, {}).status_code == 200
            keys = [{key: KEY_VALUES[key][3] for key in view.keys}]
            assert sdk_values(service.store, view, keys) == {
                feature: [STORED[kind].SerializeToString()]
                for feature, kind in view.features.items()
            }


def write(service: FeastService, view: ViewSpec, changes: dict[str, Any]) -> Any:
    row = {key: as_json(KEY_VALUES[key][3]) for key in view.keys}
    row |= {feature: GOOD[kind] for feature, kind in view.features.items()} | changes
    df = {name: [value] for name, value in row.items()}
    df["event_timestamp"] = ["2013-10-01T12:00:00Z"]
    return service.post("write-to-online-store", {"feature_view_name": view.name, "df": df})


def test_a_time_that_is_null_to_feast_is_null(tmp_path: Path) -> None:
    with open_service("sqlite", tmp_path, make_views) as service:
        plane = VIEWS[1]
        # What Feast's own client sends of a missing time.
        assert write(service, plane, {"built": -(2**63)}).status_code == 200
        row = {"tail": KEY_VALUES["tail"][3]}
        assert sdk_values(service.store, plane, [row])["built"] == [b""]
        no_time = Value(unix_timestamp_val=-(2**63))
        values = {feature: Value() for feature in plane.features} | {"built": no_time}
        write_protos(
            service.store, "plane", [ProtoRow({"tail": Value(int64_val=0)}, values, EVENT_TIME)]
        )
        told = service.results(["plane:built"], tail=[0])["built"]
        assert (told["values"], told["statuses"]) == ([None], ["NULL_VALUE"])
