#!/bin/sh
# LightGBM 4.7.0: a column that stands in no group of interaction_constraints is never used.
#
# What one would guess: the groups say which columns may meet in a branch, and a column in no group
# may still be split on alone. What happens: it is left out of the model altogether, without a word,
# even where it decides the label.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check lightgbm==4.7.0 numpy==2.4.6
cat > trial.py <<'PYTHON'
import lightgbm as lgb
import numpy as np

rng = np.random.default_rng(0)
X = rng.normal(size=(2_000, 4))
y = 5 * X[:, 3] + X[:, 0] + 0.1 * rng.normal(size=2_000)
used = {}
for groups in (None, [[0, 1]], [[0, 1], [2], [3]]):
    parameters = {"objective": "regression", "num_threads": 1, "verbosity": 0}
    if groups is not None:
        parameters["interaction_constraints"] = groups
    booster = lgb.train(parameters, lgb.Dataset(X, y), 20)
    used[str(groups)] = [bool(n) for n in booster.feature_importance()]
print(used)
assert used["None"][3]
assert used["[[0, 1]]"] == [True, True, False, False]
assert used["[[0, 1], [2], [3]]"][3]
PYTHON
venv/bin/python trial.py || { echo "It is not so any more." >&2; exit 1; }
# Seen on 2026-11-30, Python 3.11.7:
# {'None': [True, False, True, True], '[[0, 1]]': [True, True, False, False], '[[0, 1], [2], [3]]': [True, True, False, True]}
