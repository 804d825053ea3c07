"""A shadow scores along: it is logged, and never answers, delays or disturbs anybody."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.main import create_app
from api.models.loaded_models import LoadedModels
from api.predict.shadow_runner import ShadowRunner
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE
from tests.support.numbered_versions import MODEL, expected_score, publish_number
from tests.support.settings import make_settings
from tests.support.waiting import PATIENCE_SEC, wait_until
from zeroskew.model.model_session import ModelSession

PREDICT = f"/v1/models/{MODEL}:predict"
SHADOW = 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    publish_number(tmp_path, 1, alias="champion")
    publish_number(tmp_path, SHADOW)
    return tmp_path


@pytest.fixture
def client(folder: Path, online_store: Path) -> Iterator[AppClient]:
    settings = make_settings(folder, online_store, log_spool_dir=folder / "spool")
    with AppClient(create_app(settings)) as running:
        set_shadow(running, 1.0)
        yield running


def set_shadow(client: AppClient, share: float) -> None:
    rollout = {
        "kind": "canary",
        "arms": [{"name": "champion", "alias": "champion", "weight": 1}],
        "shadows": [{"name": "next", "version": SHADOW, "share": share}],
    }
    response = client.put(f"/v1/models/{MODEL}/rollout", json={"rollout": rollout})
    assert response.status_code == 200, response.text


def ask(client: AppClient) -> Any:
    response = client.post(PREDICT, json={"instances": [EXAMPLE, EXAMPLE]})
    assert response.status_code == 200, response.text
    return response.json()


def counters(client: AppClient) -> Any:
    return client.part(ShadowRunner).counters


def read_log(folder: Path, role: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(folder / "zeroskew.db") as connection:
        return connection.execute(
            "SELECT answer_id, arm, version, output, error, request_id FROM prediction "
            "WHERE role = ?",
            (role,),
        ).fetchall()


class HangingShadow:
    """Scores nothing until it is released, or nobody is patient any more."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.released = threading.Event()
        self.has_ended = False

    def __call__(self) -> Any:
        self.began.set()
        self.released.wait(PATIENCE_SEC)
        self.has_ended = True
        return np.zeros(2)


def block_shadow(
    monkeypatch: pytest.MonkeyPatch, client: AppClient, act: Callable[[], Any]
) -> None:
    models = client.part(LoadedModels).list_loaded()
    (session,) = [model.session for model in models if model.version == SHADOW]
    run = ModelSession.run

    def run_slowly(self: ModelSession, *inputs: Any) -> Any:
        return act() if self is session else run(self, *inputs)

    monkeypatch.setattr(ModelSession, "run", run_slowly)


def test_what_a_shadow_says_is_logged_with_the_answer_it_stood_behind(
    client: AppClient, folder: Path
) -> None:
    answer = ask(client)
    assert (answer["version"], answer["arm"]) == (1, "champion")
    assert [one["value"] for one in answer["predictions"]] == [expected_score(1)] * 2
    wait_until(lambda: len(read_log(folder, "shadow")) == 1)
    ((answer_id, arm, version, output, error, request_id),) = read_log(folder, "shadow")
    assert (answer_id, arm, version, error) == (answer["id"], "next", SHADOW, None)
    assert np.frombuffer(output, "<f8").tolist() == [expected_score(SHADOW)] * 2
    assert request_id == read_log(folder, "answer")[0][-1]
    assert counters(client).scored == 1


def test_only_its_share_is_shadowed(client: AppClient) -> None:
    set_shadow(client, 0.0)
    for _ in range(5):
        ask(client)
    set_shadow(client, 1.0)
    ask(client)
    wait_until(lambda: counters(client).scored == 1)
    assert counters(client).dropped == 0


def test_a_shadow_that_hangs_changes_nothing_for_the_callers(
    client: AppClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow = HangingShadow()
    block_shadow(monkeypatch, client, shadow)
    for number in range(60):
        assert [one["value"] for one in ask(client)["predictions"]] == [expected_score(1)] * 2
        if number == 0:
            assert shadow.began.wait(PATIENCE_SEC)
    assert not shadow.has_ended, "they waited for it"
    # One is stuck, 32 wait, and there is no room for the others.
    assert counters(client).dropped == 60 - 33
    shadow.released.set()
    wait_until(lambda: counters(client).scored == 33)
    wait_until(lambda: len(read_log(folder, "shadow")) == 33)


def test_a_shadow_that_fails_is_logged_as_such(
    client: AppClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block_shadow(monkeypatch, client, lambda: np.full(2, np.nan))
    answer = ask(client)
    wait_until(lambda: len(read_log(folder, "shadow")) == 1)
    ((answer_id, _, _, output, error, _),) = read_log(folder, "shadow")
    assert (answer_id, output, error) == (answer["id"], b"", "non_finite_score")
    assert counters(client).failed == 1


def test_a_shadow_that_breaks_does_not_end_the_others(
    client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Any:
        raise RuntimeError("broken")

    with monkeypatch.context() as context:
        block_shadow(context, client, fail)
        ask(client)
        wait_until(lambda: counters(client).failed == 1)
    ask(client)
    wait_until(lambda: counters(client).scored == 1)


def test_a_service_ends_while_a_shadow_hangs(
    folder: Path, online_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow = HangingShadow()
    with AppClient(create_app(make_settings(folder, online_store, log_mode="off"))) as client:
        set_shadow(client, 1.0)
        block_shadow(monkeypatch, client, shadow)
        ask(client)
        ask(client)
        assert shadow.began.wait(PATIENCE_SEC)
    assert not shadow.has_ended, "it waited for the shadow"
    shadow.released.set()
