from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.support.flights_project import ROOT
from tests.support.model_specs import tiny_spec
from zeroskew.contract.errors.project import SpecError
from zeroskew.contract.manifest import FieldType, RequestField
from zeroskew.declarations.model_spec import list_model_names, load_model_spec
from zeroskew.declarations.objectives import OBJECTIVES, REFUSED


def test_models_of_the_example_are_declared() -> None:
    models = ROOT / "training" / "models"
    assert list_model_names(models) == ["arrival_delay_15", "arrival_delay_minutes"]
    assert load_model_spec(models, "arrival_delay_15").is_classifier
    assert not load_model_spec(models, "arrival_delay_minutes").is_classifier


def test_the_model_of_the_page_on_kinds_is_declared(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    (tmp_path / "order_size.py").write_text(page.split("```python\n")[1].split("```")[0])
    declared = load_model_spec(tmp_path, "order_size")
    assert declared.objective.classes == ("small", "middle", "large")
    # The table has each objective that can be declared.
    table = page.split("## Labels")[0]
    for objective in OBJECTIVES.values():
        rows = [line for line in table.splitlines() if line.startswith("|")]
        (row,) = [line for line in rows if f"`{objective.name}`" in line.split("|")[1]]
        assert objective.kinds[0] in row
        assert f"`{objective.metric}`" in row or "deviance" in row
    for name in REFUSED:
        assert name == "custom" or f"`{name}`" in table


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("MODEL = 1", "^broken.py: Got a int as MODEL, but expected a ModelSpec$"),
        ("", r"^broken.py: Got no MODEL, but expected one: MODEL = ModelSpec\(name='broken', "),
        ("\nMODEL =", r"^broken.py:2: Got SyntaxError \(invalid syntax\)"),
        ("import nothing_like_it", r"^broken.py:1: Got ModuleNotFoundError \(No module named"),
        ("raise SystemExit(3)", r"^broken.py:1: Got SystemExit \(3\)"),
        (
            "from zeroskew.declarations.model_spec import ModelSpec\n"
            "MODEL = ModelSpec(nam='broken')",
            r"^broken.py:2: name: Got nothing, but expected a value \(and \d more\)$",
        ),
    ],
)
def test_broken_model_file_says_what_is_wrong(tmp_path: Path, code: str, message: str) -> None:
    (tmp_path / "broken.py").write_text(code)
    with pytest.raises(SpecError, match=message):
        load_model_spec(tmp_path, "broken")


@pytest.mark.parametrize("name", ["missing", "../models/arrival_delay_15", "_flights", ""])
def test_unknown_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError, match="but expected one of"):
        load_model_spec(tmp_path, name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": ("city",)}, "Got column 'city', but expected one of"),
        ({"columns": ("at",)}, "seconds since 1970 do not fit a float32"),
        ({"parameters": {}}, "Got parameters without an objective"),
        ({"name": "Tiny"}, "String should match pattern"),
        ({"when_stale": {"sales": "guess"}}, "Input should be 'null', 'reject' or 'serve'"),
        ({"when_store_down": "guess"}, "Input should be 'fail' or 'defaults'"),
        ({"defaults": {"sales:count": 1}}, r"Got defaults of \['sales:count'\], but expected none"),
        (
            {
                "request": (
                    RequestField(
                        name="overrides", type=FieldType.STRING, description="", example="a"
                    ),
                ),
                "columns": (),
            },
            "Got request field 'overrides', but expected another name: in an instance it holds",
        ),
    ],
)
def test_impossible_declarations_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        tiny_spec(**changes)


def test_example_is_made_of_the_fields() -> None:
    spec = tiny_spec()
    assert spec.example == {"shop": "a", "at": "2024-01-01T00:00:00Z"}
    assert spec.request[1].type is FieldType.TIMESTAMP


@pytest.mark.parametrize(
    ("kind", "example"),
    [
        (FieldType.NUMBER, "warm"),
        (FieldType.NUMBER, True),
        (FieldType.INTEGER, 1.5),
        (FieldType.STRING, 7),
        (FieldType.TIMESTAMP, 0),
        (FieldType.BOOLEAN, 1),
    ],
)
def test_example_of_another_type_is_refused(kind: FieldType, example: object) -> None:
    with pytest.raises(ValidationError, match=r"as example of 'x', but expected type "):
        RequestField.model_validate(
            {"name": "x", "type": kind, "description": "", "example": example}
        )


def request_of(*names: str) -> tuple[RequestField, ...]:
    return tuple(
        RequestField(name=name, type=FieldType.STRING, description="", example="a")
        for name in names
    )


@pytest.mark.parametrize(
    "name", ["event_timestamp", "", " ", "a\nb", "a\0", "\ud800", "*", "^a.*$", "overrides"]
)
def test_a_field_name_that_no_table_or_request_can_carry_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=r"Got request field .* but expected a"):
        tiny_spec(request=request_of(name), columns=())


def test_a_field_stands_once() -> None:
    with pytest.raises(ValidationError, match=r"Got request fields \['shop'\] twice"):
        tiny_spec(request=request_of("shop", "shop"))
