#!/bin/sh
# Feast 0.67.0, SQLite online store: one null in a batch rounds every Int64 beside it.
#
# What one would guess: a nullable Int64 feature is written online as it stands in the table.
# What happens: the column goes through NumPy, where a null makes a column of integers one of
# floats, so 2**62+1 is stored as 2**62. Without the null in the same batch it stays exact.
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
from feast.types import Int64

warnings.simplefilter("ignore")
EXACT = 2**62 + 1
DAY = datetime(2024, 1, 2, tzinfo=timezone.utc)


def read_back(name: str, values: list[int | None]) -> int:
    """Materialize one row for each value, and return what is online for the first."""
    n = len(values)
    table = pa.table(
        {
            "key": pa.array(range(n), pa.int64()),
            "balance": pa.array(values, pa.int64()),
            "event_timestamp": pa.array([DAY] * n, pa.timestamp("us", "UTC")),
        }
    )
    pq.write_table(table, f"{name}.parquet")
    store = FeatureStore(
        config=RepoConfig(
            project=name,
            provider="local",
            registry=f"{name}.registry",
            online_store={"type": "sqlite", "path": f"{name}.db"},
            entity_key_serialization_version=3,
        )
    )
    key = Entity(name="key", join_keys=["key"], value_type=ValueType.INT64)
    source = FileSource(path=f"{name}.parquet", timestamp_field="event_timestamp")
    view = FeatureView(
        name="v", entities=[key], schema=[Field(name="balance", dtype=Int64)], source=source
    )
    store.apply([key, view])
    store.materialize(datetime(2024, 1, 1, tzinfo=timezone.utc), datetime(2024, 1, 3, tzinfo=timezone.utc))
    answer = store.get_online_features(features=["v:balance"], entity_rows=[{"key": 0}])
    return answer.to_dict()["balance"][0]


alone, beside_null = read_back("alone", [EXACT]), read_back("beside_null", [EXACT, None])
print(f"table {EXACT}, online alone {alone}, online beside a null {beside_null}")
assert (alone, beside_null) == (EXACT, 2**62)
PYTHON
venv/bin/python trial.py 2>/dev/null | grep '^table' || { echo "It is not so any more." >&2; exit 1; }
# Seen on 2026-11-30, Python 3.11.7:
# table 4611686018427387905, online alone 4611686018427387905, online beside a null 4611686018427387904
