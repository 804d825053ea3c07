from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.model_specs import tiny_spec
from training.evaluate.evaluate_model import Evaluation, check_gates
from zeroskew.contract.errors.project import GateError
from zeroskew.contract.manifest import Metric, Output
from zeroskew.declarations.model_spec import Gate, ModelSpec


def evaluation(
    auc: tuple[float, float, float],
    other: tuple[float, float, float],
    name: str = "auc",
    over_base_rate: tuple[float, float, float] = (-0.3, -0.2, -0.1),
) -> Evaluation:
    def metric(bounds: tuple[float, float, float]) -> Metric:
        low, value, high = bounds
        return Metric(value=value, low=low, high=high)

    return Evaluation(
        metrics={name: metric(auc)},
        baselines={"base_rate": {name: metric(other)}, "request_only": {name: metric(other)}},
        threshold=0.5,
        judged_by="rmse" if name == "mae" else "log_loss",
        over_base_rate=metric(over_base_rate),
    )


def gated_spec(*gates: Gate, **changes: Any) -> ModelSpec:
    """Return a declaration with gates; one for MAE is of minutes."""
    if any(gate.metric == "mae" for gate in gates):
        minutes = Output(kind="value", description="Minutes.")
        changes |= {"parameters": {"objective": "regression"}, "output": minutes}
    return tiny_spec(gates=gates, **changes)


@pytest.mark.parametrize(
    ("gate", "judged"),
    [
        (Gate(metric="auc", at_least=0.70), evaluation((0.6, 0.70, 0.8), (0.5, 0.5, 0.5))),
        (Gate(metric="mae", at_most=2.0), evaluation((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "mae")),
        (
            Gate(metric="auc", beats=("request_only",)),
            evaluation((0.71, 0.72, 0.73), (0.68, 0.69, 0.70)),
        ),
        (
            Gate(metric="mae", beats=("base_rate",)),
            evaluation((1.0, 2.0, 3.0), (3.1, 4.0, 5.0), "mae"),
        ),
    ],
)
def test_gate_holds(gate: Gate, judged: Evaluation) -> None:
    check_gates(gated_spec(gate), judged)


@pytest.mark.parametrize(
    ("gate", "judged", "message"),
    [
        (
            Gate(metric="auc", at_least=0.70),
            evaluation((0.6, 0.6999, 0.8), (0.5, 0.5, 0.5)),
            "got auc 0.6999, but expected at least 0.7",
        ),
        (
            Gate(metric="auc", at_least=0.70),
            evaluation((0.6, float(0), 0.8), (0.5, 0.5, 0.5)),
            "got auc 0.0000",
        ),
        (
            Gate(metric="mae", at_most=2.0),
            evaluation((1.0, 2.1, 3.0), (4.0, 5.0, 6.0), "mae"),
            "expected at most 2.0",
        ),
        (
            Gate(metric="auc", beats=("request_only",)),
            evaluation((0.70, 0.72, 0.73), (0.68, 0.69, 0.70)),
            "expected an interval better than",
        ),
        (
            Gate(metric="mae", beats=("base_rate",)),
            evaluation((1.0, 2.0, 3.2), (3.1, 4.0, 5.0), "mae"),
            "of base_rate",
        ),
        (
            Gate(metric="precision", at_least=0.1),
            evaluation((0.6, 0.7, 0.8), (0.5, 0.5, 0.5)),
            "no metric 'precision'",
        ),
        (
            Gate(metric="auc", beats=("base_rate",)),
            evaluation((0.6, 0.7, 0.8), (0.5, 0.5, 0.5)).model_copy(
                update={"baselines": {"base_rate": {}, "request_only": {}}}
            ),
            "no auc of base_rate to compare with",
        ),
    ],
)
def test_gate_fails_and_says_why(gate: Gate, judged: Evaluation, message: str) -> None:
    with pytest.raises(GateError, match=message):
        check_gates(gated_spec(gate), judged)


def test_unknown_baseline_is_refused() -> None:
    with pytest.raises(ValidationError, match="Got baselines"):
        Gate(metric="auc", beats=("last_year",))


@pytest.mark.parametrize("over_base_rate", [(-0.2, -0.1, 0.0), (0.0, 0.0, 0.0), (0.1, 0.2, 0.3)])
def test_a_model_no_better_than_its_base_rate_is_published_only_if_wanted(
    over_base_rate: tuple[float, float, float],
) -> None:
    judged = evaluation((0.6, 0.7, 0.8), (0.5, 0.5, 0.5), over_base_rate=over_base_rate)
    with pytest.raises(GateError, match=r"got log_loss less that of base_rate .* expected it all"):
        check_gates(gated_spec(), judged)
    check_gates(gated_spec(must_beat_base_rate=False), judged)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"metric": "f2", "at_least": 0.1}, "Got a gate for 'f2', but expected one of auc, log_"),
        ({"metric": "rmse", "at_most": 1}, "Got a gate for 'rmse', but expected one of auc"),
        ({"metric": "auc"}, "Got a gate for 'auc' without a condition"),
    ],
)
def test_a_gate_that_can_decide_nothing_is_refused(gate: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        tiny_spec(gates=(Gate(**gate),))


def test_coverage_beats_nothing() -> None:
    with pytest.raises(ValidationError, match="neither more nor less"):
        tiny_spec(
            parameters={"objective": "quantile", "alpha": 0.5},
            output=Output(kind="value", description=""),
            gates=(Gate(metric="coverage", beats=("base_rate",)),),
        )
