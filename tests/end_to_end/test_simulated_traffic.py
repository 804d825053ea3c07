"""Hours of the past as live traffic: the log comes out the same again, and skew names faults."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.flights_project import CLOCK, MODELS, FlightsProject
from tests.support.planted_faults import FAULTS, PlantedFault
from training.live.logged_predictions import Span
from training.live.open_log import open_log
from training.live.replay import replay
from training.live.simulate import simulation as simulation
from training.live.simulate.simulation import SimulationReport, prepare_simulation, simulate
from training.live.skew.find_skew import SkewReport, find_skew
from training.live.skew.skew_findings import list_findings
from training.live.skew.skew_page import write_skew_page
from training.project.workspace import Workspace
from zeroskew.declarations.model_spec import load_model_spec

START = datetime(2013, 10, 1, 12, tzinfo=UTC)


def run(
    workspace: Workspace, folder: Path, models: tuple[str, ...], hours: int
) -> SimulationReport:
    simulated = prepare_simulation(workspace, folder, is_fresh=True)
    specs = [load_model_spec(workspace.models, name) for name in models]
    end = START + timedelta(hours=hours)
    return simulate(
        workspace, simulated, specs, START, end, speed=0, progress=lambda _done, _total: None
    )


def look_for_skew(workspace: Workspace, folder: Path, model: str) -> SkewReport:
    with open_log(f"sqlite:///{folder}/zeroskew.db", workspace) as log:
        return find_skew(
            log, workspace.open_feature_store(), model, Span(START), lambda _done, _total: None
        )


def test_hours_of_traffic_come_out_the_same_again_and_without_skew(
    flights: FlightsProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The simulation has a clock of its own.
    monkeypatch.setenv("ZEROSKEW_CLOCK", CLOCK.isoformat())
    workspace = flights.workspace
    report = run(workspace, tmp_path, MODELS, hours=4)
    assert report.n_predictions == dict.fromkeys(MODELS, report.n_predictions[MODELS[0]])
    assert report.n_predictions[MODELS[0]] > 200
    assert report.n_labels > 20
    with open_log(f"sqlite:///{tmp_path}/zeroskew.db", workspace) as log:
        for model in MODELS:
            n_rows = report.n_predictions[model]
            replayed = replay(log, model, Span(), lambda _done, _total: None)
            assert (replayed.n_rows, replayed.n_differing) == (n_rows, 0)
            skew = look_for_skew(workspace, tmp_path, model)
            assert (skew.n_rows, skew.n_faults) == (n_rows, 0)
            assert [one for one in list_findings(skew) if one.kind != "late data"] == []
            write_skew_page(tmp_path / "skew.html", skew, list_findings(skew))
            assert "late data" in (tmp_path / "skew.html").read_text()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found_and_named(
    fault: PlantedFault,
    flights: FlightsProject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workspace = flights.copy(tmp_path)
    fault.rewrite(workspace.lake_folder, fault.before)
    monkeypatch.setattr(simulation, "ArrivingRows", fault.make_rows())
    run(workspace, tmp_path / "simulation", MODELS[:1], hours=4)
    fault.rewrite(workspace.lake_folder, fault.after)
    report = look_for_skew(workspace, tmp_path / "simulation", MODELS[0])
    findings = list_findings(report)
    named = [(one.kind, one.subject, one.is_fault) for one in findings]
    assert (fault.kind, fault.subject, fault.is_fault) in named
    others = [one for one in named if one[2] and not one[1].startswith(fault.view)]
    assert others == [], "a fault of one view is no fault of another"
    assert any(one.is_fault for one in findings) == fault.is_fault
    write_skew_page(tmp_path / "skew.html", report, findings)
    assert fault.kind in (tmp_path / "skew.html").read_text()
