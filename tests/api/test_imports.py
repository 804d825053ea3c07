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
    ("plant", "broken"),
    [
        ("", False),
        ("import feast\n", True),
        ("import training.errors\n", True),
        ("import api.main\n", True),
    ],
)
def test_a_planted_import_breaks_the_import_rules(tmp_path: Path, plant: str, broken: bool) -> None:
    for name in ("api", "training"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    predictor = tmp_path / "api/prediction/predictor.py"
    predictor.write_text(
        predictor.read_text().replace("import asyncio\n", f"import asyncio\n{plant}", 1)
    )
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) is broken, done.stdout + done.stderr
