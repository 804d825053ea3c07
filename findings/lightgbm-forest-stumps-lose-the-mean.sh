#!/bin/sh
# LightGBM 4.7.0, boosting="rf": trees that find no split answer 0 and not the mean.
#
# What one would guess: where no split is allowed, a forest answers the mean of the labels, as
# gbdt and dart do. What happens: a tree with a split carries the mean in its leaves, a tree without
# one carries 0, and the forest averages both. No warning says more than "no further splits".
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
X = rng.normal(size=(400, 2))
y = 10 + X[:, 0]
means = {}
for boosting in ("gbdt", "dart", "rf"):
    parameters = {
        "boosting": boosting, "objective": "regression", "min_data_in_leaf": 300,
        "bagging_freq": 1, "bagging_fraction": 0.5, "num_threads": 1, "verbosity": -1,
    }
    means[boosting] = round(float(lgb.train(parameters, lgb.Dataset(X, y), 10).predict(X).mean()), 3)
print(f"labels {y.mean():.3f}, predicted {means}")
assert abs(means["gbdt"] - y.mean()) < 0.2
assert abs(means["dart"] - y.mean()) < 0.2
assert abs(means["rf"]) < 0.2
PYTHON
venv/bin/python trial.py || { echo "It is not so any more." >&2; exit 1; }
# Seen on 2026-11-30, Python 3.11.7:
# labels 9.929, predicted {'gbdt': 9.929, 'dart': 9.929, 'rf': 0.009}
