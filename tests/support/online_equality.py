"""Compares what a reader of the service reads with what Feast's SDK reads, cell by cell."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from typing import Any, Final
from uuid import UUID

from feast import FeatureStore
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types.Value_pb2 import NULL, Value

from tests.support.online_stores import EVENT_TIME, ProtoRow, ViewSpec, write_protos
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.online.reader import (
    EntityLookup,
    OnlineFeatureReader,
    ReadLayout,
    StoredFeatures,
    StoredView,
)
from zeroskew.online.values.decode import (
    ValueType,
    decode_value,
    encode_key_prefix,
    encode_key_value,
)

PROJECT: Final = "trial"
N_CELLS: Final = 20_000
"""How many cells the suite compares on each store; `make soak` compares a million."""
VIEWS: Final = (
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
    ViewSpec(
        "plane",
        {"tail": "INT64"},
        {
            "built": "UNIX_TIMESTAMP",
            "notes": "JSON",
            "serial": "UUID",
            "flight": "TIME_UUID",
            "price": "DECIMAL",
        },
    ),
    ViewSpec(
        "papers",
        {"tail": "INT64"},
        {"seal": "BYTES", "manual": "PDF_BYTES", "photo": "IMAGE_BYTES"},
    ),
    ViewSpec("gate", {"gate_number": "INT32"}, {"walk_minutes": "FLOAT"}),
    ViewSpec("badge", {"code": "BYTES"}, {"uses": "INT64", "owner": "STRING"}),
    ViewSpec(
        "route_stats",
        {"origin": "STRING", "dest": "STRING", "tail": "INT64"},
        {"share": "DOUBLE", "late": "FLOAT", "kind": "STRING"},
    ),
)
"""Every type that the service reads, and every type that a join key may have."""

REFERENCES: Final = [f"{view.name}:{feature}" for view in VIEWS for feature in view.features]
KEY_VALUES: Final[Mapping[str, Sequence[Any]]] = {
    "carrier": [*(f"C{number}" for number in range(40)), "", "ü", "C'; --"],
    "tail": [0, 1, -1, 2**63 - 1, -(2**63), *range(100, 160)],
    "gate_number": [0, -1, 2**31 - 1, -(2**31), *range(5, 25)],
    "code": [b"", b"badge", "größer".encode(), *(b"%d" % number for number in range(30))],
    "origin": [f"A{number}" for number in range(6)],
    "dest": [f"A{number}" for number in range(6)],
}
_FIELDS: Final = {
    **{kind: f"{kind.lower()}_val" for kind in ValueType.__members__},
    "PDF_BYTES": "bytes_val",
    "IMAGE_BYTES": "bytes_val",
}
_SHARE_KNOWN: Final = 0.7
_SHARE_NULL: Final = 0.15


@dataclass
class Comparison:
    """How many cells were compared, and of how many the entity or else the value is absent."""

    n_cells: int = 0
    n_missing: int = 0
    n_null: int = 0


def write_random_rows(store: FeatureStore, draw: random.Random) -> set[tuple[str, bytes]]:
    """Write random rows for a share of all keys; return the views and keys that have one."""
    written = set()
    for view in VIEWS:
        rows = []
        for values in product(*(KEY_VALUES[key] for key in view.keys)):
            if draw.random() < _SHARE_KNOWN:
                keys = dict(zip(view.keys, values, strict=True))
                rows.append(_random_row(draw, view, keys))
                written.add((view.name, _serialize_key(view, keys)))
        write_protos(store, view.name, rows)
    return written


def _random_row(draw: random.Random, view: ViewSpec, keys: Mapping[str, Any]) -> ProtoRow:
    return ProtoRow(
        keys={name: Value(**{_FIELDS[view.keys[name]]: value}) for name, value in keys.items()},
        values={name: _random_value(draw, kind) for name, kind in view.features.items()},
        event_time=EVENT_TIME + timedelta(microseconds=draw.randrange(-(10**13), 10**13)),
    )


def _random_value(draw: random.Random, kind: str) -> Value:
    if draw.random() < _SHARE_NULL:
        return draw.choice([Value(), Value(null_val=NULL)])
    draws: dict[str, Callable[[], Any]] = {
        "FLOAT": lambda: draw.choice([0.0, -0.0, draw.gauss(0, 1e3), 1e-40, *_ODD_FLOATS]),
        "DOUBLE": lambda: draw.choice([0.0, draw.gauss(0, 1e-3), 1e300, 0.1, *_ODD_FLOATS]),
        "INT32": lambda: draw.choice([0, -1, draw.randint(-(2**31), 2**31 - 1)]),
        "INT64": lambda: draw.choice([0, 2**24 + 1, draw.randint(-(2**63), 2**63 - 1)]),
        "UNIX_TIMESTAMP": lambda: draw.choice([0, draw.randint(-(2**40), 2**40)]),
        "BOOL": lambda: draw.random() < 0.5,
        "JSON": lambda: f'{{"n": {draw.randrange(1000)}}}',
        "UUID": lambda: str(UUID(int=draw.getrandbits(128), version=4)),
        "TIME_UUID": lambda: str(UUID(int=draw.getrandbits(128), version=1)),
        "DECIMAL": lambda: f"{draw.randrange(-(10**20), 10**20)}.{draw.randrange(100):02}",
        "STRING": lambda: draw.choice(["small", "größer", "", "x" * draw.randrange(300)]),
    }
    make = draws.get(kind, lambda: draw.randbytes(draw.choice([0, 1, 127, 128, 300])))
    return Value(**{_FIELDS[kind]: make()})


_ODD_FLOATS: Final = (float("nan"), float("inf"), float("-inf"))


def _serialize_key(view: ViewSpec, row: Mapping[str, Any]) -> bytes:
    """Return the entity key as the service serialises it."""
    names = sorted(view.keys)
    parts = [encode_key_prefix(names)]
    for name in names:
        value = row[name]
        text = value.decode() if isinstance(value, bytes) else value
        parts.append(encode_key_value(text, ValueType[view.keys[name]]))
    return b"".join(parts)


def make_layout() -> ReadLayout:
    """Return the layout that reads all of `VIEWS`; views of one entity share a lookup."""
    by_keys: dict[tuple[str, ...], list[StoredView]] = {}
    for view in VIEWS:
        stored = StoredView(
            name=view.name,
            table=f"{PROJECT}_{view.name}",
            features=tuple(view.features),
        )
        by_keys.setdefault(tuple(view.keys), []).append(stored)
    return ReadLayout(PROJECT, tuple(EntityLookup(tuple(views)) for views in by_keys.values()))


async def compare_with_sdk(
    store: FeatureStore,
    reader: OnlineFeatureReader,
    draw: random.Random,
    n_cells: int,
    *,
    tells_missing: bool,
) -> Comparison:
    """Write random rows and read random batches both ways, until `n_cells` cells were compared.

    Values are equal to the bit, and so are event times. A cell has no event time exactly where
    nothing was written; the SDK says so as well, where ``tells_missing``.
    """
    written = write_random_rows(store, draw)
    layout, done = make_layout(), Comparison()
    by_name = {view.name: view for view in VIEWS}
    while done.n_cells < n_cells:
        rows = [
            {key: draw.choice(values) for key, values in KEY_VALUES.items()}
            for _ in range(draw.randint(1, 200))
        ]
        keys = [
            [_serialize_key(by_name[lookup.views[0].name], row) for row in rows]
            for lookup in layout.lookups
        ]
        stored = await reader.read(layout, keys)
        answer = store.get_online_features(
            features=REFERENCES,
            entity_rows={key: [row[key] for row in rows] for key in KEY_VALUES},
            full_feature_names=True,
        ).proto
        _compare_batch(layout, keys, stored, answer, written, tells_missing, done)
    await reader.close()
    return done


def _compare_batch(
    layout: ReadLayout,
    keys: Sequence[Sequence[bytes]],
    stored: StoredFeatures,
    answer: Any,
    written: set[tuple[str, bytes]],
    tells_missing: bool,
    done: Comparison,
) -> None:
    columns = dict(zip(answer.metadata.feature_names.val, answer.results, strict=True))
    types = {view.name: view.features for view in VIEWS}
    cells = [
        (view.name, feature, lookup_keys)
        for lookup, lookup_keys in zip(layout.lookups, keys, strict=True)
        for view in lookup.views
        for feature in view.features
    ]
    for position, (view, feature, row_keys) in enumerate(cells):
        column = columns[f"{view}__{feature}"]
        for row, key in enumerate(row_keys):
            where = (view, feature, key)
            status = FieldStatus.Name(column.statuses[row])
            cell = stored.cells[row][position]
            got = None if cell is None else decode_value(cell, ValueType[types[view][feature]])
            assert _bits(got) == _bits(_python_value(column.values[row])), where
            event_us = int(stored.event_us[row, position])
            is_known = (view, key) in written
            assert (event_us != NEVER_US) is is_known, where
            if is_known:
                assert event_us == column.event_timestamps[row].ToMicroseconds(), where
            assert (status == "NOT_FOUND") is (tells_missing and not is_known), where
            done.n_cells += 1
            done.n_missing += not is_known
            done.n_null += is_known and got is None


def _python_value(value: Value) -> Any:
    name = value.WhichOneof("val")
    return None if name in (None, "null_val") else getattr(value, name)


def _bits(value: Any) -> Any:
    """Return what tells apart what ``==`` does not: NaN and itself, 0.0 and -0.0, 1 and True."""
    return (type(value), struct.pack("<d", value) if isinstance(value, float) else value)
