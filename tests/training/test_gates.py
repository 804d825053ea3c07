import pytest
from pydantic import ValidationError

from api.contract.manifest import Metric
from tests.support.model_specs import tiny_spec
from training.errors import GateError
from training.evaluate import Evaluation, check_gates
from training.model_spec import Gate


def evaluation(
    auc: tuple[float, float, float], other: tuple[float, float, float], name: str = "auc"
) -> Evaluation:
    def metric(bounds: tuple[float, float, float]) -> Metric:
        low, value, high = bounds
        return Metric(value=value, low=low, high=high)

    return Evaluation(
        metrics={name: metric(auc)},
        baselines={"base_rate": {name: metric(other)}, "request_only": {name: metric(other)}},
        threshold=0.5,
    )


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
    check_gates(tiny_spec(gates=(gate,)), judged)


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
            Gate(metric="f2", at_least=0.1),
            evaluation((0.6, 0.7, 0.8), (0.5, 0.5, 0.5)),
            "no metric 'f2'",
        ),
    ],
)
def test_gate_fails_and_says_why(gate: Gate, judged: Evaluation, message: str) -> None:
    with pytest.raises(GateError, match=message):
        check_gates(tiny_spec(gates=(gate,)), judged)


def test_unknown_baseline_is_refused() -> None:
    with pytest.raises(ValidationError, match="Got baselines"):
        Gate(metric="auc", beats=("last_year",))
