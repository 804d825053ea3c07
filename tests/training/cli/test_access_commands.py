"""The commands that make, rotate and revoke keys, and give models to tenants."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from training.cli.main import app
from zeroskew.contract.errors.access import UnknownKeyError
from zeroskew.contract.scope import Scope, split_key
from zeroskew.records.access.access_store import AccessStore
from zeroskew.records.registry.model_registry import ModelRegistry


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path}/zeroskew.db"
    monkeypatch.setenv("ZEROSKEW_DATABASE_URL", url)
    registry = ModelRegistry.open(url)
    registry.register(model="delay", manifest_sha256="a" * 64, model_sha256="b" * 64)
    registry.close()
    return url


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_key_is_printed_once_alone_on_its_line(url: str) -> None:
    result = run(
        *("keys", "create", "ci", "--scope", "predict", "--scope", "features:write"),
        *("--tenant", "ours", "--days", "30", "--per-sec", "50", "--per-day", "1000"),
    )
    assert result.exit_code == 0, result.output
    text = result.stdout.strip()
    found = split_key(text)
    assert found is not None
    registry = AccessStore.open(url)
    (key,) = registry.list_keys()
    registry.close()
    assert (key.id, key.sha256) == found
    assert (key.name, key.tenant, key.requests_per_sec, key.requests_per_day) == (
        *("ci", "ours", 50.0, 1000),
    )
    assert set(key.scopes) == {Scope.PREDICT, Scope.FEATURES_WRITE}
    assert key.expires_at is not None
    assert abs(key.expires_at - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)
    listed = run("keys", "list").output
    assert key.id in listed
    assert text not in listed


def test_names_and_reasons_are_shown_as_they_were_given(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    run(
        "keys", "create", "[/x] of team-with-a-long-name", "--scope", "predict", "--reason", "[new]"
    )
    listed = run("keys", "list")
    assert listed.exit_code == 0, listed.output
    cells = [line.split("│")[2].strip() for line in listed.output.splitlines() if "│" in line]
    assert "".join(cells).replace(" ", "") == "[/x]ofteam-with-a-long-name"
    assert "[new]" in run("keys", "history").output


@pytest.mark.parametrize("name", ["", "  "])
def test_a_key_of_nobody_is_not_made(url: str, name: str) -> None:
    refused = run("keys", "create", name, "--scope", "predict")
    assert "expected whose key it is" in str(refused.exception)


def test_a_key_is_rotated_and_revoked_and_the_history_says_so(url: str) -> None:
    old = run("keys", "create", "ci", "--scope", "predict").stdout.strip()
    rotated = run("keys", "rotate", old[:16], "--overlap-hours", "0", "--reason", "leaked")
    new = rotated.stdout.strip()
    assert new != old
    assert "is revoked" in run("keys", "revoke", new[:16]).output
    assert "ended" in run("keys", "list").output
    history = run("keys", "history").output
    for part in ("create_key", "rotate_key", "revoke_key", "leaked"):
        assert part in history
    assert isinstance(run("keys", "revoke", "zsk_0").exception, UnknownKeyError)


def test_a_model_is_given_to_a_tenant_and_to_everybody(url: str) -> None:
    def owner() -> dict[str, str]:
        registry = AccessStore.open(url)
        tenants = registry.read_access().tenants
        registry.close()
        return tenants

    assert run("tenant", "delay", "ours").exit_code == 0
    assert owner() == {"delay": "ours"}
    assert run("tenant", "delay", "--everybody").exit_code == 0
    assert owner() == {}
    for wrong in (("tenant", "delay"), ("tenant", "delay", "Ours"), ("keys", "create", "ci")):
        assert run(*wrong).exit_code == 2
