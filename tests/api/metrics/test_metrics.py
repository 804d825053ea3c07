"""What `/metrics` tells is what happened, over all processes, and nothing a client made up."""

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.main import create_app
from api.metrics.instruments import Counter, Gauge, Histogram
from api.metrics.metric_book import MetricBook
from api.metrics.sampler import MetricsSampler
from tests.support.app_client import AppClient
from tests.support.feast_service import run_service
from tests.support.manifests import EXAMPLE
from tests.support.settings import make_settings
from tests.support.waiting import PATIENCE_SEC, wait_until, wait_until_ready
from tests.support.whole_service import publish_every_kind
from zeroskew.contract.scope import Scope
from zeroskew.records.access.access_store import AccessStore

PREDICT = "/v1/models/{model:name}:predict"


def read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def find(text: str, name: str, **labels: str) -> float:
    return read(text).get((name, frozenset(labels.items())), 0.0)


@pytest.fixture
def fresh(published: Path, online_store: Path) -> Iterator[AppClient]:
    with AppClient(create_app(make_settings(published, online_store))) as client:
        yield client


def test_a_look_that_fails_is_not_the_last(
    fresh: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_looks = 0

    def fail() -> None:
        nonlocal n_looks
        n_looks += 1
        raise RuntimeError("planted")

    monkeypatch.setattr(fresh.part(MetricsSampler), "sample", fail)
    wait_until(lambda: n_looks >= 2)


def test_requests_predictions_stages_scores_and_features_are_counted(fresh: AppClient) -> None:
    for _ in range(3):
        fresh.post("/v1/models/is_late:predict", json={"instances": [EXAMPLE] * 2})
    fresh.post("/v1/models/is_late:predict", json={"instances": [{}]})
    fresh.post("/v1/models/delay_class:predict", json={"instances": [EXAMPLE]})
    text = fresh.get("/metrics").text
    assert find(text, "zeroskew_requests_total", method="POST", route=PREDICT, status="200") == 4
    assert find(text, "zeroskew_requests_total", method="POST", route=PREDICT, status="422") == 1
    assert find(text, "zeroskew_request_seconds_count", route=PREDICT) == 5
    model = {"model": "is_late", "version": "1"}
    assert find(text, "zeroskew_predictions_total", arm="", **model) == 3
    assert find(text, "zeroskew_predicted_rows_total", **model) == 6
    assert find(text, "zeroskew_score_probability_count", **model) == 6
    assert find(text, "zeroskew_prediction_seconds_count", model="is_late") == 3
    assert find(text, "zeroskew_stage_seconds_count", stage="parse") == 5
    for stage in ("features", "model", "log"):
        assert find(text, "zeroskew_stage_seconds_count", stage=stage) == 4
    assert find(text, "zeroskew_online_reads_total", outcome="ok") == 4
    assert find(text, "zeroskew_online_store_up") == 1
    assert (
        find(text, "zeroskew_feature_values_sampled_total", view="carrier_stats", status="present")
        > 0
    )
    assert find(text, "zeroskew_feature_age_seconds_count", view="carrier_stats") > 0
    assert find(text, "zeroskew_alias_version", model="arrival_delay", alias="challenger") == 2
    assert find(text, "zeroskew_log_rows_total", outcome="recorded") == 4
    assert find(text, "zeroskew_processes") == 1
    assert find(text, "zeroskew_resident_bytes") > 1e7


def test_head_counts_under_its_route(fresh: AppClient) -> None:
    fresh.request("HEAD", "/v1/models")
    text = fresh.get("/metrics").text
    assert (
        find(text, "zeroskew_requests_total", method="HEAD", route="/v1/models", status="200") == 1
    )


def test_what_a_client_makes_up_becomes_no_label(fresh: AppClient) -> None:
    for number in range(50):
        fresh.get(f"/made/up/{number}")
        fresh.request("BREW", f"/v1/models/made_up_{number}")
        fresh.post(f"/v1/models/made_up_{number}:predict", json={})
        fresh.post("/v1/models/is_late:predict", json={"instances": [{f"x{number}": 1}]})
    text = fresh.get("/metrics").text
    assert "made" not in text
    assert "x1" not in text
    assert find(text, "zeroskew_requests_total", method="GET", route="other", status="404") == 50


def test_without_the_scope_nothing_is_told(tmp_path: Path, online_store: Path) -> None:
    publish_every_kind(tmp_path)
    settings = make_settings(tmp_path, online_store, require_keys=True)
    registry = AccessStore.open(settings.database_url)
    keys = {scope: registry.create_key("k", [scope]).text for scope in Scope}
    ours = registry.create_key("k", [Scope.METRICS], tenant="ours").text
    registry.close()
    with AppClient(create_app(settings)) as client:

        def status(key: str) -> int:
            return client.get("/metrics", headers={"X-API-Key": key}).status_code

        assert client.get("/metrics").status_code == 401
        assert status(ours) == 403
        allowed = {scope for scope, key in keys.items() if status(key) == 200}
        assert allowed == {Scope.METRICS, Scope.ADMIN}
        text = client.get("/metrics", headers={"X-API-Key": keys[Scope.METRICS]}).text
        assert find(text, "zeroskew_keys_valid") == len(keys) + 1
        assert all(key not in text for key in keys.values())


def test_several_workers_count_together_exactly(
    published: Path, online_store: Path, tmp_path: Path
) -> None:
    n_each, n_threads = 60, 4

    def press(url: str) -> None:
        # A connection each, so that all workers get some.
        for _ in range(n_each):
            httpx.post(
                f"{url}/v1/models/is_late:predict",
                json={"instances": [EXAMPLE]},
                timeout=PATIENCE_SEC,
            )

    def count(text: str) -> float:
        return find(text, "zeroskew_requests_total", method="POST", route=PREDICT, status="200")

    store = f"sqlite:///{online_store}"
    folder = str(tmp_path / "not there yet" / "metrics")
    settings = {"ZEROSKEW_WORKERS": "2", "ZEROSKEW_METRICS_DIR": folder}
    with run_service(published, store, **settings) as url:
        wait_until_ready(url)
        threads = [threading.Thread(target=press, args=(url,)) for _ in range(n_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        texts: list[str] = []

        def have_all_told() -> bool:
            # Whoever answers next may not have heard yet what this one was told by the others.
            texts.append(httpx.get(f"{url}/metrics", timeout=PATIENCE_SEC).text)
            is_whole = find(texts[-1], "zeroskew_processes") == 2
            return is_whole and count(texts[-1]) >= n_each * n_threads

        wait_until(have_all_told)
        text = texts[-1]
    counted = count(text)
    assert counted == n_each * n_threads
    assert find(text, "zeroskew_request_seconds_count", route=PREDICT) == counted


def test_counts_of_a_process_that_ended_stay_and_its_gauges_do_not(tmp_path: Path) -> None:
    def make(number: int) -> MetricBook:
        count, height = Counter("c_total", "C."), Gauge("g", "G.", together="max")
        spread = Histogram("h", "H.", bounds=(1, 2))
        count.add((), number)
        height.set(10 * number)
        spread.observe(number)
        return MetricBook([count, height, spread], tmp_path)

    first, second = make(1), make(2)
    first.share()
    text = second.render().decode()
    assert (find(text, "c_total"), find(text, "g")) == (3, 20)
    assert [find(text, "h_bucket", le=bound) for bound in ("1.0", "2.0", "+Inf")] == [1, 2, 2]
    assert find(text, "h_sum") == 3
    (path,) = tmp_path.glob("*.json")
    # Written a minute ago: whoever wrote it is no more.
    content = json.loads(path.read_text())
    content["g"] = [[[], 99]]
    path.write_text(json.dumps(content))
    os.utime(path, (time.time() - 60,) * 2)
    text = second.render().decode()
    assert (find(text, "c_total"), find(text, "g")) == (3, 20)


def test_many_values_are_counted_as_one_by_one() -> None:
    generator = np.random.default_rng(5)
    values = generator.normal(0, 3, 5000).round(1)
    together, alone = (Histogram("h", "H.", bounds=(-3, -1, 0, 1, 3)) for _ in range(2))
    together.observe_all(values)
    for value in values:
        alone.observe(value)
    ((_, found),) = together.read()
    ((_, expected),) = alone.read()
    assert found[:-1] == expected[:-1]
    assert found[-1] == pytest.approx(expected[-1])


def test_series_beyond_the_bound_count_as_other() -> None:
    count = Counter("c_total", "C.", ("a", "b"), max_series=3)
    for number in range(10):
        count.add((str(number), "x"))
    assert dict(count.read()) == {
        ("0", "x"): 1,
        ("1", "x"): 1,
        ("2", "x"): 1,
        ("other", "other"): 7,
    }
