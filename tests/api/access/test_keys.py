"""Keys are made, rotated, revoked and followed; their text is stored nowhere."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.databases import DATABASES, open_database_url
from tests.support.settings import make_settings
from tests.support.waiting import wait_until
from tests.support.whole_service import publish_every_kind
from zeroskew.contract.errors.access import NoKeysError, UnknownKeyError
from zeroskew.contract.errors.not_found import UnknownModelError
from zeroskew.contract.errors.service import RegistryConflictError
from zeroskew.contract.scope import Scope, hash_secret
from zeroskew.contract.settings import Settings
from zeroskew.records.access.access_store import AccessStore
from zeroskew.records.access.open_access import open_access
from zeroskew.records.registry.model_registry import ModelRegistry


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with open_database_url(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture
def access(url: str) -> Iterator[AccessStore]:
    opened = AccessStore.open(url)
    yield opened
    opened.close()


def test_only_a_hash_is_stored_and_the_history_has_none(access: AccessStore, url: str) -> None:
    issued = access.create_key("ci", [Scope.PREDICT, Scope.FEEDBACK], actor="ann", reason="new")
    assert issued.text.startswith(f"{issued.key.id}_")
    (stored,) = access.list_keys()
    assert stored == issued.key
    assert stored.sha256 == hash_secret(issued.text)
    assert stored.scopes == (Scope.FEEDBACK, Scope.PREDICT)
    (act,) = access.list_acts()
    assert (act.action, act.actor, act.reason, act.subject) == (
        *("create_key", "ann", "new", issued.key.id),
    )
    assert issued.key.sha256 not in act.model_dump_json()
    assert issued.text not in act.model_dump_json()


def test_a_rotated_key_hands_its_rights_on_and_ends(access: AccessStore) -> None:
    old = access.create_key("ci", [Scope.PREDICT], tenant="ours", requests_per_sec=5).key
    access.note_uses({old.id: datetime.now(UTC)})
    new = access.rotate_key(old.id, overlap=timedelta(hours=1)).key
    rights = ("name", "scopes", "tenant", "requests_per_sec")
    assert all(getattr(new, name) == getattr(old, name) for name in rights)
    assert (new.last_used_at, new.expires_at) == (None, None)
    ended = next(key for key in access.list_keys() if key.id == old.id)
    now = datetime.now(UTC)
    assert ended.is_valid(now)
    assert not ended.is_valid(now + timedelta(hours=1))
    assert [act.action for act in access.list_acts()] == ["create_key", "rotate_key", "create_key"]


def test_a_key_is_rotated_once(access: AccessStore) -> None:
    old = access.create_key("ci", [Scope.PREDICT]).key
    new = access.rotate_key(old.id, overlap=timedelta(hours=1)).key
    with pytest.raises(RegistryConflictError, match="rotated already"):
        access.rotate_key(old.id, overlap=timedelta(hours=1))
    assert access.rotate_key(new.id, overlap=timedelta(hours=1)).key.expires_at is None


def test_what_has_ended_is_not_rotated_and_what_is_not_there_is_said(
    access: AccessStore,
) -> None:
    key = access.create_key("ci", [Scope.PREDICT]).key
    revoked = access.revoke_key(key.id)
    assert access.revoke_key(key.id) == revoked
    with pytest.raises(RegistryConflictError, match="has ended"):
        access.rotate_key(key.id, overlap=timedelta())
    for call in (
        lambda: access.revoke_key("zsk_0"),
        lambda: access.rotate_key("zsk_0", overlap=timedelta()),
    ):
        with pytest.raises(UnknownKeyError):
            call()
    with pytest.raises(UnknownModelError):
        access.set_tenant("nothing", "ours")


def test_sqlite_is_read_the_same_without_sqlalchemy(access: AccessStore, url: str) -> None:
    registry = ModelRegistry.open(url)
    for name in ("delay", "fare"):
        registry.register(model=name, manifest_sha256="a" * 64, model_sha256="b" * 64)
    registry.close()
    access.set_tenant("fare", "ours")
    ends = datetime(2030, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    first = access.create_key("a", [Scope.ADMIN], expires_at=ends, requests_per_day=3).key
    access.revoke_key(access.create_key("b", [Scope.METRICS], tenant="ours").key.id)
    reader = open_access(url, busy_timeout_sec=1)
    used = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    reader.note_uses({first.id: used})
    reader.note_uses({first.id: used - timedelta(days=1), "zsk_gone": used})
    found, generation = reader.read_access(), reader.read_generation()
    reader.close()
    assert found.tenants == {"fare": "ours"}
    expected = access.read_access()
    assert found.generation == expected.generation == generation
    assert sorted(found.keys, key=lambda key: key.id) == sorted(
        expected.keys, key=lambda key: key.id
    )
    assert next(key for key in found.keys if key.id == first.id).last_used_at == used


def make_keyed(folder: Path, online_store: Path, **changes: object) -> Settings:
    settings = {"require_keys": True, "registry_poll_sec": 0.05}
    return make_settings(folder, online_store, **settings | changes)


def test_keys_and_tenants_are_followed_while_the_service_runs(
    tmp_path: Path, online_store: Path
) -> None:
    publish_every_kind(tmp_path)
    settings = make_keyed(tmp_path, online_store)
    registry = AccessStore.open(settings.database_url)
    first = registry.create_key("first", [Scope.ADMIN])
    with AppClient(create_app(settings)) as client:

        def status(text: str, path: str = "/v1/models/is_late") -> int:
            return client.get(path, headers={"Authorization": f"bearer {text}"}).status_code

        assert status(first.text) == 200
        second = registry.create_key("second", [Scope.PREDICT], tenant="ours")
        wait_until(lambda: status(second.text) == 200)
        registry.set_tenant("is_late", "theirs")
        wait_until(lambda: status(second.text) == 404)
        registry.revoke_key(second.key.id)
        wait_until(lambda: status(second.text) == 401)
        soon = datetime.now(UTC) + timedelta(seconds=0.5)
        third = registry.create_key("third", [Scope.ADMIN], expires_at=soon)
        wait_until(lambda: status(third.text) == 200)
        wait_until(lambda: status(third.text) == 401)
    used = {key.name: key.last_used_at for key in registry.list_keys()}
    registry.close()
    assert used["first"] is not None
    assert used["first"] > datetime.now(UTC) - timedelta(minutes=1)


def test_a_service_for_others_does_not_start_without_keys(
    tmp_path: Path, online_store: Path
) -> None:
    publish_every_kind(tmp_path)
    settings = make_settings(tmp_path, online_store, host="0.0.0.0")  # noqa: S104 - nothing listens
    with pytest.raises(NoKeysError, match="zeroskew keys create"), AppClient(create_app(settings)):
        pass


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"host": "0.0.0.0", "require_keys": False}, "ZEROSKEW_REQUIRE_KEYS=false"),  # noqa: S104 - as above
        ({"clock": "2013-10-01T00:00:00Z", "clock_file": "clock"}, "expected one clock"),
        ({"request_timeout_sec": 30, "shutdown_grace_sec": 10}, "ZEROSKEW_SHUTDOWN_GRACE_SEC=10"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(
    changes: dict[str, object], part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        Settings.model_validate(changes)
