"""docs/glossary.md names each idea once, and no path, class or field that is not there."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "glossary.md").read_text()
HOUSES = ("zeroskew", "api", "training")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| term ", "| --- "))
]
NAMED = sorted(set(re.findall(r"`([^`]+)`", PAGE)))
PATHS = [name for name in NAMED if re.match(rf"({'|'.join(HOUSES)})[./]", name)]
CLASSES = [name for name in NAMED if re.fullmatch(r"[A-Z]\w*[a-z]\w*(\.\w+)?", name)]


def members_by_class() -> dict[str, set[str]]:
    """Return the fields and methods of each class of the product."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in (path for house in HOUSES for path in (ROOT / house).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                fields = [one.target for one in node.body if isinstance(one, ast.AnnAssign)]
                found[node.name] |= {one.id for one in fields if isinstance(one, ast.Name)}
                found[node.name] |= {
                    one.name for one in node.body if isinstance(one, ast.FunctionDef)
                }
    return found


@pytest.fixture(scope="module")
def members() -> dict[str, set[str]]:
    return members_by_class()


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_there(path: str) -> None:
    module = path.replace(".", "/")
    assert any((ROOT / place).exists() for place in (path, f"{module}.py", module))


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_and_its_member_are_there(name: str, members: dict[str, set[str]]) -> None:
    owner, _, member = name.partition(".")
    assert owner in members
    assert not member or member in members[owner]


def test_each_term_stands_once_in_order_with_its_meaning_and_its_place() -> None:
    terms = [term.lower() for term, *_ in ROWS]
    assert terms == sorted(set(terms))
    assert all(len(row) == 3 and all(row) for row in ROWS)
