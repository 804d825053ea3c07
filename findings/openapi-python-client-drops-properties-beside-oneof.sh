#!/bin/sh
# openapi-python-client 0.29.1: an object's properties are lost where a `oneOf` stands beside them.
#
# What one would guess: JSON Schema applies `properties` and `oneOf` together, so a body with `keys`
# and either `name` or `names` has a class, or two, with `keys` in each; or the generator warns.
# What happens: the type is the union of the alternatives alone. `keys` is nowhere, and even with
# --fail-on-warning nothing is said. Repeat the shared members in each alternative.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check openapi-python-client==0.29.1
cat > api.json <<'JSON'
{"openapi": "3.1.0", "info": {"title": "shop", "version": "1"},
 "paths": {"/read": {"post": {"operationId": "read",
   "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Read"}}}},
   "responses": {"204": {"description": "Done."}}}}},
 "components": {"schemas": {
   "ByName": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
   "ByNames": {"type": "object", "required": ["names"], "properties": {"names": {"type": "array", "items": {"type": "string"}}}},
   "Read": {"type": "object", "required": ["keys"], "properties": {"keys": {"type": "array", "items": {"type": "integer"}}},
     "oneOf": [{"$ref": "#/components/schemas/ByName"}, {"$ref": "#/components/schemas/ByNames"}]}}}}
JSON
PATH="$folder/venv/bin:$PATH" venv/bin/openapi-python-client generate --path api.json --output-path client --meta none --fail-on-warning >/dev/null 2>&1
classes=$(sed -n 's/^class \([A-Za-z]*\):.*/\1/p' client/models/*.py | sort | tr '\n' ' ')
mentions=$(grep -rlw keys client --include='*.py' | xargs -r grep -lE 'keys: list' | wc -l)
echo "classes: $classes; files with the member keys: $mentions"
[ "$classes" = "ByName ByNames " ] && [ "$mentions" -eq 0 ] || { echo "It is not so any more." >&2; exit 1; }
# Seen on 2026-11-30, Python 3.11.7:
# classes: ByName ByNames ; files with the member keys: 0
