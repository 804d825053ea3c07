"""What a project's definitions import: named once, loaded when asked for, and enough."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import zeroskew

ROOT = Path(__file__).parents[2]
DEFINITIONS = sorted(
    path for folder in ("feature_repo", "training/models") for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("name", zeroskew.__all__)
def test_a_name_of_the_face_is_where_it_says(name: str) -> None:
    assert getattr(zeroskew, name).__module__.startswith("zeroskew.")


def test_what_is_not_of_the_face_is_refused_by_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'ModelSpecs'"):
        _ = zeroskew.ModelSpecs


@pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_definitions_import_the_face_alone(path: Path) -> None:
    imported = {
        node.module
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    assert not {name for name in imported if name.startswith(("zeroskew.", "api", "training"))} - {
        "training.models._flights"  # the two models' common ground
    }


@pytest.mark.parametrize(
    ("program", "unloaded"),
    [
        ("import zeroskew.contract.manifest", {"feast", "polars", "pandas", "lightgbm", "fastapi"}),
        ("from zeroskew import FieldType", {"feast", "polars", "pandas", "lightgbm", "fastapi"}),
        # Labels are expressions of polars, so a declaration has it anyway.
        ("from zeroskew import ModelSpec", {"feast", "pandas", "lightgbm", "fastapi"}),
    ],
)
def test_a_name_loads_no_more_than_it_needs(program: str, unloaded: set[str]) -> None:
    program += "; import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not unloaded & {name.split(".")[0] for name in done.stdout.split()}
