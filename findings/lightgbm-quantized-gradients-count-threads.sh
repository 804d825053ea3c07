#!/bin/sh
# LightGBM 4.7.0: with use_quantized_grad, deterministic=true gives other trees on two threads.
#
# What one would guess: deterministic together with force_row_wise (or force_col_wise) gives the same
# trees whatever num_threads is, as it does without quantized gradients. What happens: the rounding
# of gradients is drawn per thread, so that one thread and two give other models.
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
X = rng.normal(size=(5_000, 8))
y = X[:, 0] + rng.normal(size=5_000)
same = {}
for quantized in (False, True):
    for layout in ("force_row_wise", "force_col_wise"):
        texts = set()
        for threads in (1, 2):
            parameters = {
                "objective": "regression", "deterministic": True, "seed": 1, layout: True,
                "use_quantized_grad": quantized, "verbosity": -1, "num_threads": threads,
            }
            text = lgb.train(parameters, lgb.Dataset(X, y), 8).model_to_string()
            texts.add(text.split("end of trees")[0])
        same[layout, quantized] = len(texts) == 1
print(same)
assert all(is_same is not quantized for (_, quantized), is_same in same.items())
PYTHON
venv/bin/python trial.py || { echo "It is not so any more." >&2; exit 1; }
# Seen on 2026-11-30, Python 3.11.7:
# {('force_row_wise', False): True, ('force_col_wise', False): True, ('force_row_wise', True): False, ('force_col_wise', True): False}
