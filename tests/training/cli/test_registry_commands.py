"""The commands that move aliases, rollouts and versions, and show their history."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.support.command_line import run_command
from tests.support.manifests import FIELDS, make_manifest, publish, sum_graph
from training.cli.main import app
from zeroskew.contract.errors.project import SpecError
from zeroskew.contract.errors.service import (
    ArtifactError,
    RegistryConflictError,
    RevisionConflictError,
)
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.model_registry import ModelRegistry

ROLLOUT: dict[str, Any] = {
    "kind": "canary",
    "arms": [
        {"name": "champion", "alias": "champion", "weight": 0.9},
        {"name": "candidate", "version": 2, "weight": 0.1},
    ],
}


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/zeroskew.db"
    monkeypatch.setenv("ZEROSKEW_DATABASE_URL", url)
    opened = ModelRegistry.open(url)
    monkeypatch.setenv("ZEROSKEW_ARTIFACTS_DIR", str(tmp_path / "artifacts"))
    graph = sum_graph(6, 2)
    for description in ("First.", "Second."):
        manifest = make_manifest(graph, model="delay", description=description)
        publish(tmp_path, manifest, graph, alias=None)
    opened.set_alias("delay", "champion", 1)
    opened.close()


def run(*arguments: str, error: type[Exception] | None = None) -> Result:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    if error is None:
        assert result.exit_code == 0, (result.output, result.exception)
    else:
        assert isinstance(result.exception, error), (result.output, result.exception)
    return result


def test_an_alias_does_not_move_to_a_manifest_of_another_release(tmp_path: Path) -> None:
    artifacts = ArtifactStore(tmp_path / "artifacts")
    content = make_manifest(sum_graph(6, 2), model="delay").model_dump_json()
    registry = ModelRegistry.open(f"sqlite:///{tmp_path}/zeroskew.db")
    registry.register(
        model="delay",
        manifest_sha256=artifacts.put(content.replace("manifest/2", "manifest/1").encode()),
        model_sha256="0" * 64,
    )
    registry.close()
    refused = run("alias", "delay", "champion", "3", error=ArtifactError)
    assert "train and publish the model again" in str(refused.exception)


def test_an_alias_is_shown_moved_and_taken_away() -> None:
    assert "champion of delay is version 1 (revision 3)" in run("alias", "delay", "champion").output
    assert "is version 2" in run("alias", "delay", "champion", "2", "--if-match", "3").output
    run("alias", "delay", "champion", "1", "--if-match", "3", error=RevisionConflictError)
    run("alias", "delay", "champion", "--delete", "--reason", "No more.")
    assert "No more." in run("history", "delay").output


def test_a_rollout_is_set_from_a_file_shown_and_ended(tmp_path: Path) -> None:
    file = tmp_path / "rollout.json"
    file.write_text(json.dumps(ROLLOUT))
    run("rollout", "delay", str(file))
    shown = run("rollout", "delay").output
    assert json.loads(shown[shown.index("{") :]) == ROLLOUT
    run("rollout", "delay", "--delete")
    file.write_text(json.dumps({**ROLLOUT, "kind": "magic"}))
    failed = run("rollout", "delay", str(file), error=SpecError)
    assert "a mistake at kind" in str(failed.exception)


def test_a_version_is_deprecated_retired_and_brought_back() -> None:
    assert "2100-01-01" in run("deprecate", "delay", "2", "--sunset", "2100-01-01").output
    run("retire", "delay", "1", error=RegistryConflictError)
    run("retire", "delay", "2", "--reason", "Worse.")
    assert "is staged" in run("reactivate", "delay", "2").output


@pytest.mark.parametrize(
    "command",
    [
        ("alias", "delay", "champion"),
        ("retire", "delay"),
        ("deprecate", "delay"),
        ("history", "delay", "--limit"),
        ("keys", "history", "--limit"),
        ("keys", "create", "shop", "--scope", "predict", "--per-day"),
        ("log", "upkeep", "--keep-days"),
    ],
)
def test_a_number_that_no_database_holds_is_refused(command: tuple[str, ...]) -> None:
    done = run_command(*command, str(2**64))
    assert done.returncode == 2
    assert "should be less than or equal to" in done.stderr


def test_migrating_again_changes_nothing() -> None:
    assert "those of this release" in run("migrate").output


def test_a_rollout_of_versions_that_do_not_fit_is_refused(tmp_path: Path) -> None:
    graph = sum_graph(6, 2)
    fields = (FIELDS[0].model_copy(update={"nullable": True}), *FIELDS[1:])
    manifest = make_manifest(graph, model="delay", request=fields)
    assert publish(tmp_path, manifest, graph, alias="other") == 3
    file = tmp_path / "rollout.json"
    arms = [ROLLOUT["arms"][0], {"name": "candidate", "alias": "other", "weight": 0.1}]
    file.write_text(json.dumps({**ROLLOUT, "arms": arms}))
    failed = run("rollout", "delay", str(file), error=SpecError)
    assert "differs from that of 'champion' in carrier" in str(failed.exception)
