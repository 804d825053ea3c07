"""The service stays lean: what it must not import, it does not, and a plant is caught."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = ("feast", "lightgbm", "onnx", "onnxmltools", "pandas", "polars", "pyarrow", "sklearn")


def test_the_service_loads_none_of_the_training_libraries() -> None:
    program = "import sys, api.main; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert {"api", "fastapi", "onnxruntime"} <= loaded
    assert not loaded & {*FORBIDDEN, "training"}
    # The registry's file is read without them: their import would be half of a start.
    assert not loaded & {"sqlalchemy", "sqlmodel"}


@pytest.mark.parametrize(
    ("module", "plant", "broken"),
    [
        ("api/predict/predictor.py", "", False),
        ("api/predict/predictor.py", "import feast\n", True),
        ("api/predict/predictor.py", "import training.pipeline\n", True),
        ("api/predict/predictor.py", "import zeroskew.features.stored_views\n", True),
        ("api/predict/predictor.py", "import api.main\n", True),
        ("api/predict/predictor.py", "import zeroskew_client\n", True),
        ("zeroskew_client/errors.py", "import zeroskew.contract.scope\n", True),
        ("training/pipeline.py", "import api.main\n", True),
        ("training/pipeline.py", "import training.cli.main\n", True),
        ("zeroskew/features/stored_views.py", "import training.pipeline\n", True),
        ("zeroskew/records/registry/tables.py", "import api.main\n", True),
        ("zeroskew/contract/manifest.py", "import zeroskew.records.registry.tables\n", True),
        ("zeroskew/records/registry/tables.py", "import zeroskew.online.reader\n", True),
        ("zeroskew/online/reader.py", "import zeroskew.model.load_gate\n", True),
        ("zeroskew/model/load_gate.py", "import zeroskew.features.stored_views\n", True),
        ("zeroskew_client/errors.py", "import pydantic\n", True),
        ("zeroskew_client/errors.py", "import zeroskew_client.client\n", True),
    ],
)
def test_a_planted_import_breaks_the_import_rules(
    tmp_path: Path, module: str, plant: str, broken: bool
) -> None:
    for folder in ("zeroskew", "api", "training", "client/src/zeroskew_client"):
        shutil.copytree(
            ROOT / folder,
            tmp_path / Path(folder).name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    first = "from __future__ import annotations\n"
    text = (tmp_path / module).read_text()
    assert first in text
    (tmp_path / module).write_text(text.replace(first, first + plant, 1))
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) is broken, done.stdout + done.stderr
