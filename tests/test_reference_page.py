"""docs/reference.md says of every declaration what the code has, and its snippets run."""

import ast
import enum
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

import zeroskew

PAGE = (Path(__file__).parents[1] / "docs" / "reference.md").read_text()
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
FACE = {name: getattr(zeroskew, name) for name in zeroskew.__all__}
DECLARATIONS = {
    name: declared
    for name, declared in FACE.items()
    if isinstance(declared, type) and issubclass(declared, BaseModel)
}
FUNCTIONS = {name: value for name, value in FACE.items() if inspect.isfunction(value)}
REQUIRED = "required"


def rows_of(section: str) -> Iterator[list[str]]:
    """Yield the cells of a section's tables, without their heads."""
    for line in SECTIONS[section].splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def defaults_on_page(section: str) -> dict[str, object]:
    """Return what the section's table says to be each field's default."""
    return {
        name.strip("`"): default if default == REQUIRED else ast.literal_eval(default.strip("`"))
        for name, _, default, *_ in rows_of(section)
    }


def defaults_of(declared: type[BaseModel]) -> dict[str, object]:
    return {
        name: REQUIRED if field.is_required() else field.get_default(call_default_factory=True)
        for name, field in declared.model_fields.items()
    }


def choices_in(annotation: Any) -> Iterator[str]:
    """Yield the texts that a field's type closes its values to."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    elif isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        yield from (choice.value for choice in annotation)
    for argument in get_args(annotation):
        yield from choices_in(argument)


@pytest.mark.parametrize("name", DECLARATIONS)
def test_a_table_has_each_field_with_its_default_in_order(name: str) -> None:
    declared = defaults_of(DECLARATIONS[name])
    assert defaults_on_page(name) == declared
    assert list(defaults_on_page(name)) == list(declared)


@pytest.mark.parametrize("name", DECLARATIONS)
def test_a_row_has_type_meaning_example_and_every_choice(name: str) -> None:
    fields = DECLARATIONS[name].model_fields
    for field, *cells in rows_of(name):
        assert len(cells) == 4, field
        assert all(cells), field
        told = set(re.findall(r"`([^`]+)`", " ".join(cells)))
        choices = set(choices_in(fields[field.strip("`")].annotation))
        assert choices <= told, field


@pytest.mark.parametrize("name", DECLARATIONS)
def test_the_code_says_what_each_field_means(name: str) -> None:
    declared = DECLARATIONS[name]
    text = inspect.getdoc(declared) or ""
    heads = re.findall(r"^\w+(?:, \w+)*$", text, re.MULTILINE)
    told = {*", ".join(heads).split(", "), *re.findall(r"``(\w+)``", text)}
    silent = {one for one, field in declared.model_fields.items() if not field.description}
    assert silent <= told


def test_field_types_are_those_there_are() -> None:
    told = [name.strip("`") for name, *_ in rows_of("FieldType")]
    assert told == [f"FieldType.{name}" for name in zeroskew.FieldType.__members__]


@pytest.mark.parametrize("name", zeroskew.__all__)
def test_every_name_of_the_face_is_told(name: str) -> None:
    assert re.search(rf"`{name}[`(]", PAGE)


def test_no_section_is_of_what_the_face_does_not_have() -> None:
    assert set(SECTIONS) <= set(FACE)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_told_with_its_parameters(name: str) -> None:
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    if name in SECTIONS:
        expected = {
            one: REQUIRED if told.default is inspect.Parameter.empty else told.default
            for one, told in parameters.items()
        }
        assert defaults_on_page(name) == expected
    else:
        assert f"`{name}({', '.join(parameters)})`" in PAGE


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_snippet_runs(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a module of its own: a request-time function is imported by its name."""
    module = f"reference_snippet_{number}"
    (tmp_path / f"{module}.py").write_text(SNIPPETS[number])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    importlib.import_module(module)
    said = re.findall(r"print\(.*\)  # (.*)", SNIPPETS[number])
    assert capsys.readouterr().out.splitlines() == said
