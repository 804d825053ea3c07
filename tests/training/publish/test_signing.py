"""What is published with a key is loaded by a service that trusts it, and by no other."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.manifests import make_manifest, sum_graph
from training.cli.main import app
from training.publish.publish_model import publish_model
from training.publish.signing import sign_bytes
from zeroskew.contract.errors.project import StepError
from zeroskew.contract.errors.service import ModelRefusedError
from zeroskew.model.load_gate import load_model
from zeroskew.model.requests.field_types import InstanceLimits
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.model_registry import ModelRegistry

LIMITS = InstanceLimits(max_instances=10, max_text_length=20)


def keygen(path: Path) -> str:
    """Make a key as a person would, and return its public half."""
    done = CliRunner().invoke(app, ["keygen", str(path)])
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def test_a_published_signature_is_what_the_service_checks(tmp_path: Path) -> None:
    public_key, other_key = keygen(tmp_path / "key.pem"), keygen(tmp_path / "other.pem")
    graph = sum_graph(6, 2)
    artifacts = ArtifactStore(tmp_path / "artifacts")
    registry = ModelRegistry.open(f"sqlite:///{tmp_path}/zeroskew.db")
    manifest = make_manifest(graph)
    publish_model(
        manifest,
        graph,
        artifacts=artifacts,
        registry=registry,
        signing_key=tmp_path / "key.pem",
    )
    registered = registry.get_version("arrival_delay", 1)
    registry.close()
    assert load_model(registered, artifacts, LIMITS, (public_key,)).version == 1
    with pytest.raises(ModelRefusedError, match="not by one of the trusted keys"):
        load_model(registered, artifacts, LIMITS, (other_key,))


def test_a_key_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    keygen(path)
    content = path.read_bytes()
    done = CliRunner().invoke(app, ["keygen", str(path)])
    assert isinstance(done.exception, StepError)
    assert path.read_bytes() == content


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("no key")
    with pytest.raises(StepError, match="expected a key of `zeroskew keygen`"):
        sign_bytes(b"manifest", path)
