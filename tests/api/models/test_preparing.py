"""What makes a loaded model quicker comes after the load, and harms nothing where it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.settings import make_settings
from tests.support.waiting import wait_until
from zeroskew.model.load_gate import ActiveModel

GRAPH = sum_graph(6, 2)
INSTANCES = {"instances": [EXAMPLE]}


def test_each_loaded_version_is_prepared_once(
    tmp_path: Path, online_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[tuple[str, int]] = []
    prepare = ActiveModel.prepare
    names = ["one", "two"]

    def note(model: ActiveModel) -> None:
        prepare(model)
        if model.name in names:  # Services of other tests may be running.
            prepared.append((model.name, model.version))

    monkeypatch.setattr(ActiveModel, "prepare", note)
    for name in names:
        publish(tmp_path, make_manifest(GRAPH, model=name), GRAPH)
    settings = make_settings(tmp_path, online_store, registry_poll_sec=0.02)
    with AppClient(create_app(settings)) as client:
        wait_until(lambda: len(prepared) == 2)
        publish(tmp_path, make_manifest(GRAPH, model="one", description="Newer."), GRAPH)
        wait_until(lambda: len(prepared) == 3)
        for name in names:
            assert client.post(f"/v1/models/{name}:predict", json=INSTANCES).status_code == 200
    assert sorted(prepared) == [("one", 1), ("one", 2), ("two", 1)]


def test_a_model_that_cannot_be_prepared_answers_as_before(
    tmp_path: Path, online_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_model: ActiveModel) -> None:
        raise MemoryError

    monkeypatch.setattr(ActiveModel, "prepare", fail)
    publish(tmp_path, make_manifest(GRAPH), GRAPH)
    with AppClient(create_app(make_settings(tmp_path, online_store))) as client:
        metrics = 'zeroskew_background_failures_total{work="models"}'
        wait_until(lambda: f"{metrics} 1" in client.get("/metrics").text)
        answer = client.post("/v1/models/arrival_delay:predict", json=INSTANCES)
        assert answer.status_code == 200
        assert client.get("/readyz").status_code == 200
