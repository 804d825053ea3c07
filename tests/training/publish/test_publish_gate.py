"""Nothing is published that the service would not load, or that callers would not survive."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.manifests import EXAMPLE, FIELDS, PLAN, make_manifest, publish, sum_graph
from training.cli.main import app
from training.publish.load_gate import check_service_takes
from training.publish.publish_model import publish_model
from zeroskew.contract.errors.project import GateError, SpecError, TrainingError
from zeroskew.contract.manifest import FieldType, Manifest, Output, RequestField
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.model_registry import ModelRegistry

GRAPH = sum_graph(6, 2)
GATE = RequestField(name="gate", type=FieldType.STRING, description="Gate.", example="A1")


def with_example(**values: Any) -> Manifest:
    return make_manifest(GRAPH, example=EXAMPLE | values)


def with_column(**changes: Any) -> Manifest:
    columns = tuple(
        column.model_copy(update=changes) if column.name == "distance" else column
        for column in PLAN.columns
    )
    return make_manifest(GRAPH, plan=PLAN.model_copy(update={"columns": columns}))


REFUSED = {
    "an example of 302 letters": (with_example(origin="x" * 302), "origin"),
    "an example that is no choice": (with_example(carrier="ZZ"), "carrier"),
    "an example with NUL": (with_example(origin="a\0b"), "origin"),
    "an example beyond float32": (with_example(distance=1e39), "distance"),
    "an example without its zone": (
        with_example(scheduled_departure="2013-10-01T10:17:00"),
        "scheduled_departure",
    ),
    "a null where none may be": (with_example(seats=None), "seats"),
    "an example beyond 64 bits": (with_example(seats=2**63), "seats"),
    "text codes for a number": (with_column(categories=("a", "b")), "distance"),
    "choices for a number": (
        make_manifest(GRAPH, request=(*FIELDS[:4], FIELDS[4].model_copy(update={"choices": ("1",)}),
                                      *FIELDS[5:])),
        "distance",
    ),
    "no threshold": (
        make_manifest(GRAPH, output=Output(kind="probability", description="P")),
        "threshold",
    ),
    "a column of a view that is not read": (
        with_column(view="nowhere", feature="x", field=None),
        "nowhere",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_loader_refuses_is_not_published(what: str, tmp_path: Path) -> None:
    manifest, named = REFUSED[what]
    registry = ModelRegistry.open(f"sqlite:///{tmp_path}/zeroskew.db")
    with pytest.raises(GateError, match="the service would not load it: Got") as refused:
        publish_model(
            manifest, GRAPH, artifacts=ArtifactStore(tmp_path / "artifacts"), registry=registry
        )
    assert named in str(refused.value)
    assert len(str(refused.value)) < 300
    assert registry.list_models() == []
    assert not (tmp_path / "artifacts").exists()
    registry.close()


def test_an_example_that_has_no_finite_score_is_not_published() -> None:
    graph = sum_graph(6, 2, output="exponential")
    manifest = make_manifest(graph)
    with pytest.raises(GateError, match="a score that is not finite"):
        check_service_takes(manifest, graph)


def test_the_bound_of_texts_is_that_of_the_service_here(monkeypatch: pytest.MonkeyPatch) -> None:
    check_service_takes(with_example(origin="x" * 256), GRAPH)
    monkeypatch.setenv("ZEROSKEW_MAX_TEXT_LENGTH", "400")
    check_service_takes(with_example(origin="x" * 302), GRAPH)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRegistry:
    """Version 1 is the champion; 2 wants one more field."""
    url = f"sqlite:///{tmp_path}/zeroskew.db"
    monkeypatch.setenv("ZEROSKEW_DATABASE_URL", url)
    monkeypatch.setenv("ZEROSKEW_ARTIFACTS_DIR", str(tmp_path / "artifacts"))
    publish(tmp_path, make_manifest(GRAPH), GRAPH)
    publish(tmp_path, demanding(), GRAPH, alias=None)
    return ModelRegistry.open(url)


def demanding(description: str = "Wants a gate.") -> Manifest:
    return make_manifest(
        GRAPH,
        description=description,
        request=(*FIELDS, GATE),
        example=EXAMPLE | {"gate": "A1"},
    )


def test_publishing_what_callers_would_not_survive_is_refused_unless_wanted(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    artifacts = ArtifactStore(tmp_path / "artifacts")
    coming = demanding("Newer.")
    with pytest.raises(SpecError, match="version 1 cannot go on: 'gate' is new"):
        publish_model(coming, GRAPH, artifacts=artifacts, registry=registry)
    assert [one.version for one in registry.list_versions("arrival_delay")] == [2, 1]
    assert (
        publish_model(coming, GRAPH, artifacts=artifacts, registry=registry, alias="next").version
        == 3
    )
    published = publish_model(
        coming, GRAPH, artifacts=artifacts, registry=registry, allow_request_change=True
    )
    assert registry.list_aliases("arrival_delay") == {"champion": published.version, "next": 3}


def test_the_command_moves_an_alias_by_the_same_rule(registry: ModelRegistry) -> None:
    def move(*options: str) -> Any:
        return CliRunner().invoke(app, ["alias", "arrival_delay", "champion", "2", *options])

    refused = move()
    assert isinstance(refused.exception, TrainingError)
    assert "'gate' is new" in str(refused.exception)
    assert registry.list_aliases("arrival_delay") == {"champion": 1}
    assert "is version 2" in move("--allow-request-change").output


def test_a_champion_whose_manifest_is_gone_holds_nothing_up(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    artifacts = ArtifactStore(tmp_path / "artifacts")
    sha256 = registry.get_version("arrival_delay", 1).manifest_sha256
    (tmp_path / "artifacts" / sha256[:2] / sha256).unlink()
    published = publish_model(demanding("N."), GRAPH, artifacts=artifacts, registry=registry)
    assert registry.list_aliases("arrival_delay") == {"champion": published.version}


def test_a_bound_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROSKEW_MAX_INSTANCES", "none")
    with pytest.raises(SpecError, match="Got ZEROSKEW_MAX_INSTANCES=none"):
        check_service_takes(make_manifest(GRAPH), GRAPH)
