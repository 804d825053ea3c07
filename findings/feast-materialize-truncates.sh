#!/bin/sh
# Feast 0.67.0, SQLite online store: a value that does not fit the declared type is cut to fit.
#
# What one would guess: 1.5 in a column that is declared Int64, or 2 in one declared Bool, is an error
# (as Utf8 in Float64 is). What happens: materialize stores 1 and true, and a list in a Float64
# feature becomes null, all without a word.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check feast==0.67.0
cat > trial.py <<'PYTHON'
import warnings
from datetime import datetime, timezone

import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Bool, Float64, Int64

warnings.simplefilter("ignore")
DAY = datetime(2024, 1, 2, tzinfo=timezone.utc)
COLUMNS = {
    "whole": (Int64, pa.array([1.5], pa.float64())),
    "flag": (Bool, pa.array([2], pa.int64())),
    "number": (Float64, pa.array([[1.0, 2.0]], pa.list_(pa.float64()))),
}
table = pa.table(
    {name: column for name, (_, column) in COLUMNS.items()}
    | {"key": pa.array([1]), "event_timestamp": pa.array([DAY], pa.timestamp("us", "UTC"))}
)
pq.write_table(table, "rows.parquet")
store = FeatureStore(
    config=RepoConfig(
        project="trial",
        provider="local",
        registry="registry.db",
        online_store={"type": "sqlite", "path": "online.db"},
        entity_key_serialization_version=3,
    )
)
key = Entity(name="key", join_keys=["key"], value_type=ValueType.INT64)
views = [
    FeatureView(
        name=name,
        entities=[key],
        schema=[Field(name=name, dtype=declared)],
        source=FileSource(name=name, path="rows.parquet", timestamp_field="event_timestamp"),
    )
    for name, (declared, _) in COLUMNS.items()
]
store.apply([key, *views])
store.materialize(datetime(2024, 1, 1, tzinfo=timezone.utc), datetime(2024, 1, 3, tzinfo=timezone.utc))
answer = store.get_online_features(
    features=[f"{name}:{name}" for name in COLUMNS], entity_rows=[{"key": 1}]
).to_dict()
found = {name: answer[name][0] for name in COLUMNS}
print(f"online {found}")
assert found == {"whole": 1, "flag": True, "number": None}
PYTHON
venv/bin/python trial.py 2>/dev/null | grep '^online' || { echo "It is not so any more." >&2; exit 1; }
# Seen on 2026-11-30, Python 3.11.7:
# online {'whole': 1, 'flag': True, 'number': None}
