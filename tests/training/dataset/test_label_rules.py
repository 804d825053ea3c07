"""What a label may be is asked of the objective and the output, before anything is fitted."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from pydantic import ValidationError

from tests.support.model_specs import tiny_spec
from training.dataset.label_rules import (
    check_labelled_spans,
    encode_labels,
    find_label_problem,
    find_label_type_problem,
    find_span_problem,
)
from zeroskew.contract.errors.project import DatasetError
from zeroskew.contract.manifest import Output, Scalar
from zeroskew.declarations.model_spec import ModelSpec
from zeroskew.declarations.objectives import ALIASES, OBJECTIVES, read_objective

CHANCE = Output(kind="probability", description="")
MINUTES = Output(kind="value", description="")
SIZES = Output(kind="probabilities", description="", classes=("small", "middle", "large"))
DECILES = Output(kind="probabilities", description="", classes=("1", "2", "3"))
LONGEST = 200


def spec_of(objective: str, output: Output | None = None, **parameters: Scalar) -> ModelSpec:
    usual = {"binary": CHANCE, "multiclass": SIZES}.get(objective, MINUTES)
    return tiny_spec(parameters={"objective": objective} | parameters, output=output or usual)


@pytest.mark.parametrize(
    ("spec", "labels", "encoded"),
    [
        (spec_of("binary"), [True, False, None], [1.0, 0.0, None]),
        (spec_of("binary"), [1, 0], [1.0, 0.0]),
        (spec_of("binary"), [1.0, 0.0], [1.0, 0.0]),
        (spec_of("binary"), [Decimal("1.00"), Decimal("0.00")], [1.0, 0.0]),
        (spec_of("cross_entropy", CHANCE), [0.3, 1.0], [0.3, 1.0]),
        (spec_of("cross_entropy", CHANCE), [True, False], [1.0, 0.0]),
        (spec_of("cross_entropy"), [0.0, 0.25], [0.0, 0.25]),
        (spec_of("poisson"), [0, 3], [0.0, 3.0]),
        (spec_of("gamma"), [0.5, 3.0], [0.5, 3.0]),
        (spec_of("mape"), [-1, 3], [-1.0, 3.0]),
        (spec_of("quantile"), [-1.5, 3.0], [-1.5, 3.0]),
        # A decimal number becomes the float64 nearest to it.
        (spec_of("regression"), [Decimal("0.10"), Decimal("-7.25")], [0.1, -7.25]),
        (spec_of("multiclass"), ["large", "small", None], [2.0, 0.0, None]),
        (spec_of("multiclass"), [2, 0], [2.0, 0.0]),
        (spec_of("multiclass"), [2.0, None], [2.0, None]),
        (spec_of("multiclass", DECILES), [3, 1], [2.0, 0.0]),
        (spec_of("multiclass", DECILES), ["3", "1"], [2.0, 0.0]),
    ],
)
def test_labels_of_an_objective_are_taken(
    spec: ModelSpec, labels: list[Any], encoded: list[float | None]
) -> None:
    values = encode_labels(spec, pl.Series("y", labels))
    assert values.dtype == pl.Float64
    assert values.to_list() == encoded


@pytest.mark.parametrize(
    ("spec", "labels", "said"),
    [
        (spec_of("binary"), [-1, 1, 1], "Got label -1 in 1 of 3 rows of 'labels', but expected"),
        (spec_of("binary"), [1, 2, 2], 'say what is true, such as `pl.col("sold") == 2`'),
        (spec_of("binary"), [0, 100], 'such as `pl.col("sold") == 100`'),
        (spec_of("binary"), [0.0, 19.99, 5.5], 'such as `pl.col("sold") > 0`'),
        (spec_of("binary"), [0.5, 1.0], "Got label 0.5 in 1 of 2"),
        (spec_of("binary"), ["no", "yes"], 'such as `pl.col("sold") == "yes"`'),
        (spec_of("binary"), ["0", "1"], 'such as `pl.col("sold") == "1"`'),
        (spec_of("binary"), [1.0, float("nan")], "Got label nan in 1 of 2 rows of 'labels'"),
        (spec_of("cross_entropy", CHANCE), [0.3, 1.1], "Got label 1.1 in 1 of 2"),
        (spec_of("cross_entropy", CHANCE), [-0.1, 1.0], "but expected numbers from 0 to 1"),
        (spec_of("regression"), [1.0, float("inf")], "a null says that the label is not known"),
        (spec_of("regression"), [1.0, 1e39], "Got label 1e+39 in 1 of 2"),
        (spec_of("regression"), [2**53 + 1, 5], "but expected numbers that float64 holds"),
        (spec_of("regression"), ["1.5"], 'such as `pl.col("sold").cast(pl.Float64)`'),
        (spec_of("regression"), [True, False], 'such as `pl.col("sold").cast(pl.Int8)`'),
        (spec_of("regression"), [timedelta(1)], 'such as `pl.col("sold").dt.total_seconds()`'),
        (spec_of("regression"), [date(2024, 1, 1)], 'pl.col("event_timestamp")).dt.total_hours'),
        (spec_of("regression"), [[1.0]], "Got labels of type List(Float64) for 'regression'"),
        (spec_of("quantile"), [1.0, float("nan")], "Got label nan"),
        (spec_of("poisson"), [0, -2], "Got label -2 in 1 of 2"),
        (spec_of("tweedie"), [0.0, -0.5], "but expected numbers of 0 or more"),
        (spec_of("gamma"), [0.0, 1.0], "but expected numbers above 0"),
        (spec_of("mape"), [0, 5], "use 'regression_l1'"),
        (spec_of("mape"), [0.5, 5.0], "'mape' counts nearer ones as 1"),
        (spec_of("multiclass"), ["small", "Large"], "Got label 'Large' in 1 of 2"),
        (spec_of("multiclass"), [0, 3], "but expected one of 'small', 'middle', 'large'"),
        (spec_of("multiclass"), [0.5, 1.0], "Got label 0.5 in 1 of 2"),
        (spec_of("multiclass"), [-1, 1], "Got label -1 in 1 of 2"),
        (spec_of("multiclass", DECILES), [0, 1], "Got label 0 in 1 of 2"),
        (spec_of("multiclass"), [True, False], "two classes are objective 'binary'"),
    ],
)
def test_other_labels_are_refused_with_count_example_and_advice(
    spec: ModelSpec, labels: list[Any], said: str
) -> None:
    values = pl.Series("y", labels)
    problem = find_label_problem(spec, values)
    assert problem is not None
    assert said in problem
    assert len(problem) < LONGEST
    with pytest.raises(DatasetError):
        encode_labels(spec, values)


def test_a_type_is_refused_before_a_value_is_read() -> None:
    assert find_label_type_problem(spec_of("binary"), pl.Boolean()) is None
    problem = find_label_type_problem(spec_of("binary"), pl.Categorical())
    assert problem is not None
    assert "Got labels of type Categorical" in problem
    # Where no row has a label, the type alone is looked at; of categories the texts.
    assert find_label_problem(spec_of("binary"), pl.Series([None], dtype=pl.Int8)) is None
    assert "String" in (find_label_problem(spec_of("binary"), pl.Series([None, ""])) or "")
    sizes = pl.Series(["small", "large", None], dtype=pl.Categorical())
    assert encode_labels(spec_of("multiclass"), sizes).to_list() == [0.0, 2.0, None]
    assert '"small"' in (find_label_problem(spec_of("binary"), sizes) or "")


@pytest.mark.parametrize(
    ("spec", "by_span", "said"),
    [
        (
            spec_of("binary"),
            ([1, 1], [0, 1], [0, 1]),
            "Got no negative among 2 labels of the train",
        ),
        (spec_of("binary"), ([0, 0], [0, 0], [0, 0]), "no positive among all 6 labels, but expe"),
        (spec_of("binary"), ([0, 1], [0, 0], [0, 1]), "no positive among 2 labels of the validati"),
        (spec_of("binary"), ([0, 1], [0, 1], [1, 1]), "no negative among 2 labels of the test"),
        (
            spec_of("cross_entropy", CHANCE),
            ([0.2, 1], [0, 0], [0.5, 0.5]),
            "no positive among 2 labels of the validation span",
        ),
        (spec_of("multiclass"), ([0, 1, 2], [0, 1, 2], [0, 2]), "Got no class 'middle' among 2"),
        (spec_of("multiclass"), ([0, 1], [0, 1, 2], [0, 1, 2]), "no class 'large' among 2 labels"),
        (spec_of("regression"), ([5, 5], [1, 2], [1, 2]), "Got the same label 5 in all 2 rows"),
        (spec_of("poisson"), ([0, 0], [1, 2], [1, 2]), "Got the same label 0 in all 2 rows"),
        # Seconds since 1970 are 128 apart in float32.
        (spec_of("regression"), ([1.7e9, 1.7e9 + 60], [1, 2], [1, 2]), "subtract a constant"),
        (spec_of("regression"), ([0.1, 0.1], [1, 2], [1, 2]), "Got the same label 0.1 in all 2"),
    ],
)
def test_each_span_shows_what_is_to_be_told_apart(
    spec: ModelSpec, by_span: tuple[list[float], ...], said: str
) -> None:
    names = ("train", "validation", "test")
    spans = pl.Series([name for name, part in zip(names, by_span, strict=True) for _ in part])
    labels = pl.Series([float(label) for part in by_span for label in part])
    problem = find_span_problem(spec, labels, spans)
    assert problem is not None
    assert said in problem
    assert len(problem) < LONGEST
    with pytest.raises(DatasetError):
        check_labelled_spans(spec, labels, spans)


def test_a_data_set_of_another_declaration_is_not_fitted() -> None:
    labels = pl.Series([0.0, 1.0, 2.0] * 3)
    spans = pl.Series(["train"] * 3 + ["validation"] * 3 + ["test"] * 3)
    check_labelled_spans(spec_of("multiclass"), labels, spans)
    with pytest.raises(DatasetError, match=r"Got label 2.0 in 3 of 9 rows"):
        check_labelled_spans(spec_of("binary"), labels, spans)


@pytest.mark.parametrize(
    ("parameters", "output", "said"),
    [
        (
            {"objective": "regression"},
            CHANCE,
            "'probability' for objective 'regression', but expec",
        ),
        ({"objective": "mse"}, CHANCE, "but expected 'value'"),
        ({"objective": "binary"}, MINUTES, "'value' for objective 'binary', but expected 'probab"),
        ({"objective": "multiclass"}, CHANCE, "but expected 'probabilities'"),
        ({"objective": "binary"}, SIZES, "Got output kind 'probabilities' for objective 'binary'"),
        ({"objective": "cross_entropy"}, SIZES, "expected 'probability' or 'value'"),
        ({"objective": "lambdarank"}, MINUTES, "it ranks within queries"),
        (
            {"objective": "xendcg"},
            MINUTES,
            "Got objective 'xendcg', but expected another: it ranks",
        ),
        ({"objective": "ova"}, SIZES, "they do not add up to 1: use 'multiclass'"),
        ({"objective": "cross_entropy_lambda"}, CHANCE, "not on the labels' scale"),
        ({"objective": "none"}, MINUTES, "a function of one's own cannot be exported"),
        ({"objective": "regresion"}, MINUTES, "Got objective 'regresion', but expected one of bin"),
        ({"objective": "regresion"}, MINUTES, "tweedie, gamma: 'regression'?"),
        ({}, MINUTES, "Got parameters without an objective"),
        ({"objective": "quantile", "alpha": 1}, MINUTES, "Got alpha=1 for 'quantile'"),
        ({"objective": "quantile", "alpha": "0.5"}, MINUTES, "Got alpha='0.5', but expected a num"),
        (
            {"objective": "tweedie", "tweedie_variance_power": 2.5},
            MINUTES,
            "of at least 1 and below 2",
        ),
        ({"objective": "multiclass", "num_class": 2}, SIZES, "output.classes has 3, and says it"),
        (
            {"objective": "multiclass"},
            Output(kind="probabilities", description=""),
            "Got output.classes [], but expected two names or more, each once",
        ),
        (
            {"objective": "multiclass"},
            SIZES.model_copy(update={"classes": ("a", "b", "a")}),
            "Got output.classes ['a'] twice",
        ),
        (
            {"objective": "multiclass"},
            SIZES.model_copy(update={"classes": ("a", " ")}),
            "Got output.classes [' ', 'a'",
        ),
        (
            {"objective": "multiclass"},
            SIZES.model_copy(update={"classes": ("a", "b\0")}),
            r"Got output.classes ['b\x00', 'a'",
        ),
        (
            {"objective": "multiclass"},
            SIZES.model_copy(update={"classes": ("a", "b" * 101)}),
            "and of at most 100 letters",
        ),
        (
            {"objective": "binary"},
            CHANCE.model_copy(update={"classes": ("no", "yes")}),
            "they belong to 'probabilities'",
        ),
        (
            {"objective": "binary"},
            CHANCE.model_copy(update={"threshold": 50.0}),
            "Got threshold=50 of an output of kind 'probability'",
        ),
        (
            {"objective": "regression"},
            MINUTES.model_copy(update={"threshold": 0.5}),
            "Got threshold=0.5 of an output of kind 'value'",
        ),
    ],
)
def test_an_objective_that_does_not_fit_its_output_is_not_declared(
    parameters: dict[str, Scalar], output: Output, said: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        tiny_spec(parameters=parameters, output=output)
    (error,) = caught.value.errors()
    assert said in error["msg"]
    assert len(error["msg"]) < LONGEST + 20


@pytest.mark.parametrize(
    "given", sorted({*ALIASES, *OBJECTIVES} - {"custom", "none", "null", "na"})
)
def test_names_of_objectives_are_those_of_lightgbm(given: str) -> None:
    name = ALIASES.get(given, given)
    if "rank" in name:  # It wants queries, and no label tells what it means by them.
        return
    labels: npt.NDArray[np.float64] = np.linspace(0.1, 0.9, 60)
    parameters: dict[str, Scalar] = {"objective": given, "verbosity": -1}
    if name.startswith("multiclass"):
        labels, parameters["num_class"] = np.arange(60.0) % 3, 3
    elif name == "binary":
        labels = np.arange(60.0) % 2
    booster = lgb.train(parameters, lgb.Dataset(np.arange(60.0)[:, None], labels), 1)
    said = next(line for line in booster.model_to_string().splitlines() if "objective=" in line)
    assert said.removeprefix("objective=").split()[0] == name


def test_one_number_of_classes_may_be_said_twice() -> None:
    assert read_objective({"objective": "softmax", "num_class": 3}, SIZES).classes == SIZES.classes
