#!/bin/sh
# Feast 0.67.0: a BatchFeatureView comes back from the registry without its aggregations.
#
# What one would guess: `BatchFeatureView(aggregations=[...])` is taken without a word, so that what
# is applied is what the registry gives back, as it does for a StreamFeatureView. What happens: the
# message that it is stored in has no field for them; the view comes back as a plain FeatureView whose
# features are read from columns that the table does not have.
# Besides, two aggregations without a name whose windows differ below the second get one name.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check feast==0.67.0
cat > seen.py <<'PYTHON'
import warnings
from datetime import timedelta

warnings.simplefilter("ignore")
from feast import (
    BatchFeatureView, Entity, FeatureStore, Field, FileSource, PushSource, RepoConfig,
    StreamFeatureView, ValueType,
)
from feast.aggregation import Aggregation
from feast.types import Float64

hour = [Aggregation(column="v", function="sum", time_window=timedelta(hours=1), name="v_1h")]
key = Entity(name="key", join_keys=["key"], value_type=ValueType.INT64)
rows = FileSource(name="rows", path="rows.parquet", timestamp_field="t")
given = {"entities": [key], "schema": [Field(name="v_1h", dtype=Float64)], "aggregations": hour}
batch = BatchFeatureView(name="batch", source=rows, **given)
pushed = PushSource(name="pushed", batch_source=rows)
stream = StreamFeatureView(name="stream", source=pushed, timestamp_field="t", **given)
config = RepoConfig(
    project="p", provider="local", registry="registry.db", offline_store={"type": "file"},
    online_store={"type": "sqlite", "path": "online.db"}, entity_key_serialization_version=3,
)
store = FeatureStore(config=config)
store.apply([key, batch, stream])
found = store.get_feature_view("batch")
kept = store.get_stream_feature_view("stream").aggregations
spans = [timedelta(milliseconds=ms) for ms in (1000, 1500)]
names = [Aggregation("v", "sum", span).resolved_name(span) for span in spans]
print(type(found).__name__, getattr(found, "aggregations", None), len(kept), *names)
PYTHON
seen=$(venv/bin/python seen.py 2>/dev/null | tail -1)
echo "$seen"
[ "$seen" = "FeatureView None 1 sum_v_1s sum_v_1s" ] || { echo "It is not so any more." >&2; exit 1; }
# Seen on 2026-12-01, Python 3.11.7:
# FeatureView None 1 sum_v_1s sum_v_1s
