"""The house keeps its measures: few loose files, small ones, a name a class, a fact a place."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSES = ("zeroskew", "api", "training")
MAX_LINES = 400
MAX_FILES = 15
MAX_FUNCTION_LINES = 60
LOOSE = {"zeroskew": 0, "api": 10, "training": 5}
FACTS = {
    "the Unix epoch": r"datetime\(1970, 1, 1",
    "microseconds since it": r"def to_epoch_us\(",
    "the time of what never was": r"^NEVER_US\b.*=",
    "the numbers of a logged row's instances": r"def list_numbers\(n_rows",
    "the field of a join key": r"^_?KEY_FIELDS\b.*=",
    "the codes of a feature's status": r"\bOVERRIDE(, DEFAULT)? = ",
    "the frozen base": r"class _?Frozen\w*\(",
    "the reader of varints": r"def (_?read|_?decode)_varint\(",
}


def files_of(house: str) -> list[Path]:
    return sorted((ROOT / house).rglob("*.py"))


PATHS = [path for house in HOUSES for path in files_of(house)]


def classes_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            yield node.name


@pytest.mark.parametrize("house", HOUSES)
def test_few_files_lie_loose(house: str) -> None:
    loose = [path.name for path in (ROOT / house).glob("*.py") if path.name != "__init__.py"]
    assert len(loose) <= LOOSE[house], loose


def test_no_package_is_a_drawer() -> None:
    sizes: dict[Path, int] = defaultdict(int)
    for path in PATHS:
        sizes[path.parent] += path.name != "__init__.py"
    drawers = [
        folder
        for folder, n_files in sizes.items()
        if n_files > MAX_FILES and not any(child.is_dir() for child in folder.glob("[a-z]*"))
    ]
    assert drawers == []


def test_files_are_short() -> None:
    long = {str(path): n for path in PATHS if (n := len(path.read_text().splitlines())) > MAX_LINES}
    assert long == {}


def test_a_class_has_a_name_of_its_own() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in PATHS:
        for name in classes_of(path):
            places[name].append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_files_import_one_another_in_a_circle() -> None:
    names = {name_of(path): path for path in PATHS}
    order = TopologicalSorter(
        {name: imports_of(path) & names.keys() for name, path in names.items()}
    )
    order.prepare()  # It raises a CycleError that names the circle.


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    """Return what a file imports, wherever in it: modules, and names that may be modules."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return found


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_stands_once(fact: str) -> None:
    pattern = re.compile(FACTS[fact])
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in PATHS
        for line in path.read_text().splitlines()
        if pattern.search(line) and not line.strip().startswith(">>>")
    ]
    assert len(found) == 1, found


TABLES = {"ServiceMetrics.__init__", "upgrade"}
"""What is a table, written as a function: the metrics, and a migration."""


def functions_of(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each function's name, with its class, and how many lines it has."""
    tree = ast.parse(path.read_text())
    owners = {
        function: node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for function in node.body
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            owner = f"{owners[node]}." if node in owners else ""
            yield f"{owner}{node.name}", node.end_lineno - node.lineno + 1


def test_functions_are_short() -> None:
    long = {
        f"{path.relative_to(ROOT)}: {name}": n_lines
        for path in PATHS
        for name, n_lines in functions_of(path)
        if n_lines > MAX_FUNCTION_LINES and name not in TABLES
    }
    assert not long


def test_no_merge_was_left_half_done() -> None:
    pages = [*ROOT.glob("*.*"), *(ROOT / "docs").rglob("*.md"), *PATHS]
    marked = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
    left = [str(page) for page in pages if page.is_file() and marked.search(page.read_text())]
    assert left == []
