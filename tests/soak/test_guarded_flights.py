"""A canary on two weeks of flights: a worse model goes, another of the same kind stays."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.flights_project import FlightsProject
from training import pipeline
from training.live.open_log import LiveLog, open_log
from training.live.rollouts.guard import Judgement
from training.live.rollouts.rollout_jobs import guard_rollout
from training.live.simulate.simulation import prepare_simulation, simulate
from training.project.workspace import Workspace
from zeroskew.contract.errors.not_found import UnknownRolloutError
from zeroskew.contract.rollout import Rollout
from zeroskew.declarations.model_spec import ModelSpec

pytestmark = pytest.mark.soak

MODEL = "arrival_delay_15"
START = datetime(2013, 10, 1, 12, tzinfo=UTC)
DAYS = 14


def quiet(_done: int, _total: int) -> None:
    """Say nothing."""


def publish_candidate(workspace: Workspace, spec: ModelSpec) -> int:
    for step in pipeline.TRAINING_STEPS:
        step.run(workspace, spec, quiet)
    return pipeline.publish(workspace, spec, alias=None).version


def guard_daily(log: LiveLog) -> Judgement:
    """Judge after each day, until the canary is ended or the labels are all there."""
    for day in range(1, DAYS + 3):
        as_of = START + timedelta(days=day)
        (judgement,) = guard_rollout(log, MODEL, as_of, actor="guard")
        print(f"{as_of:%Y-%m-%d}: {judgement.decision}: {judgement.reason}")  # noqa: T201 - a trial tells its numbers
        if judgement.decision != "hold":
            break
    return judgement


@pytest.mark.parametrize("kind", ["worse", "equal"])
def test_a_canary_on_flights_is_judged_by_what_landed(
    kind: str, flights: FlightsProject, tmp_path: Path
) -> None:
    copied = flights.copy(tmp_path)
    simulation = prepare_simulation(copied, tmp_path / "simulation", is_fresh=True)
    workspace = copied.model_copy(update={"database_url": f"sqlite:///{simulation.database}"})
    spec = flights.spec(MODEL)
    changes: dict[str, dict[str, Any]] = {
        "worse": {"n_rounds": 8},
        "equal": {"parameters": spec.parameters | {"seed": 7}},
    }
    candidate = publish_candidate(workspace, spec.model_copy(update={"gates": (), **changes[kind]}))
    rollout = Rollout.model_validate(
        {
            "kind": "canary",
            "arms": [
                {"name": "champion", "alias": "champion", "weight": 0.5},
                {"name": "candidate", "version": candidate, "weight": 0.5},
            ],
            "limits": {"metric": {"name": "log_loss", "margin": 0.0, "min_labels": 500}},
        }
    )
    with open_log(workspace.database_url, workspace) as log:
        champion = log.registry.resolve_alias(MODEL, "champion").version
        log.registry.set_rollout(MODEL, rollout)
        end = START + timedelta(days=DAYS)
        simulate(workspace, simulation, [spec], START, end, speed=0, progress=quiet)
        judgement = guard_daily(log)
        assert log.registry.resolve_alias(MODEL, "champion").version == champion
        if kind == "worse":
            assert judgement.decision == "roll_back"
            with pytest.raises(UnknownRolloutError):
                log.registry.get_rollout(MODEL)
        else:
            assert judgement.decision == "hold"
            assert log.registry.get_rollout(MODEL).rollout == rollout
