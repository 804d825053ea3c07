#!/bin/sh
# Feast 0.67.0: `feast apply` in a copy of a project drops every table of the original's online store.
#
# What one would guess: all paths of feature_store.yaml are relative, so a copied folder is a project
# of its own, and applying the same definitions there changes nothing. What happens: the registry
# keeps the absolute path of each SQLite table as it was first applied; in the copy the path is
# another, so that the old tables count as removed and are dropped, in the file of the original.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check feast==0.67.0
mkdir one
cat > one/feature_store.yaml <<'YAML'
project: shop
provider: local
registry: registry.db
online_store: {type: sqlite, path: online.db}
entity_key_serialization_version: 3
YAML
cat > one/definitions.py <<'PYTHON'
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Int64

key = Entity(name="key", join_keys=["key"], value_type=ValueType.INT64)
source = FileSource(path="rows.parquet", timestamp_field="event_timestamp")
orders = FeatureView(name="orders", entities=[key], schema=[Field(name="n", dtype=Int64)], source=source)
visits = FeatureView(name="visits", entities=[key], schema=[Field(name="n", dtype=Int64)], source=source)
PYTHON
cat > tables.py <<'PYTHON'
import sqlite3
import sys

rows = sqlite3.connect(sys.argv[1]).execute("SELECT name FROM sqlite_master WHERE type = 'table'")
print(*sorted(name for (name,) in rows))
PYTHON
apply() { (cd "$1" && ../venv/bin/feast apply --skip-source-validation >/dev/null 2>&1); }
apply one
before=$(venv/bin/python tables.py one/online.db)
cp -r one two
apply two
after=$(venv/bin/python tables.py one/online.db)
echo "original before: $before; original after apply in the copy: $after"
[ "$before" = "shop_orders shop_visits" ] && [ "$after" = "" ] \
  || { echo "It is not so any more." >&2; exit 1; }
# Seen on 2026-11-30, Python 3.11.7:
# original before: shop_orders shop_visits; original after apply in the copy:
