"""A stranger's path: the README's own code, a second table, and a score over HTTP."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.readme_project import (
    CLOCK,
    ROOT,
    readme_code,
    write_definitions,
    write_second_model,
    write_tables,
)
from zeroskew.contract.settings import Settings


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project of the README's two files, brought up by the command line."""
    folder = tmp_path_factory.mktemp("project")
    write_definitions(folder)
    write_second_model(folder)
    write_tables(folder / "var" / "lake")
    done = subprocess.run(
        [Path(sys.executable).with_name("zeroskew"), "up", "--no-serve"],
        cwd=ROOT,
        env=os.environ
        | {
            "ZEROSKEW_FEATURE_REPO": str(folder / "feature_repo"),
            "ZEROSKEW_MODELS": str(folder / "models"),
            "ZEROSKEW_HOME": str(folder / "var"),
            "ZEROSKEW_CLOCK": CLOCK,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "will_return version 1 is champion" in done.stdout
    assert "will_return_by_age version 1 is champion" in done.stdout
    return folder


def test_readme_needs_at_most_forty_lines() -> None:
    code = readme_code()
    assert set(code) == {"feature_repo/definitions.py", "models/will_return.py"}
    lines = [line for text in code.values() for line in text.splitlines() if line.strip()]
    assert len(lines) <= 40


@pytest.fixture(scope="module")
def service(project: Path) -> Iterator[AppClient]:
    settings = Settings(
        database_url=f"sqlite:///{project}/var/zeroskew.db",
        artifacts_dir=project / "var" / "artifacts",
        online_store=f"sqlite:///{project}/var/feast/online.db",
        clock=datetime.fromisoformat(CLOCK),
        log_mode="durable",
        log_spool_dir=project / "var" / "spool",
    )
    with AppClient(create_app(settings)) as client:
        yield client


@pytest.fixture(scope="module")
def latest(project: Path) -> pl.DataFrame:
    """Return each customer's last row before the clock, in order of their orders."""
    return (
        pl.read_parquet(project / "var/lake/customer_orders/part-0.parquet")
        .filter(pl.col("event_timestamp") <= datetime.fromisoformat(CLOCK))
        .sort("event_timestamp")
        .group_by("customer_id")
        .last()
        .sort("orders_30d")
    )


def test_second_table_is_served(service: AppClient, latest: pl.DataFrame) -> None:
    fewest, most = latest["customer_id"][0], latest["customer_id"][-1]
    answer = service.post(
        "/v1/models/will_return:predict",
        json={"instances": [{"customer_id": c, "amount": 59.9} for c in (fewest, most)]},
    )
    assert answer.status_code == 200, answer.text
    low, high = (prediction["probability"] for prediction in answer.json()["predictions"])
    # A customer's orders decide: about 0.04 at 0 orders and 0.95 at 19.
    assert low < 0.25
    assert high > 0.75


def test_the_moment_of_prediction_is_an_input_in_training_and_in_serving(
    project: Path, service: AppClient, latest: pl.DataFrame
) -> None:
    """Days since an order, of nothing that the caller says."""
    work = project / "var" / "work" / "will_return_by_age"
    name, column = "as_of", "order_age__days_since_order"
    rows, request, features = (
        pl.read_parquet(work / f"{file}.parquet") for file in ("rows", "request", "features")
    )
    moments = rows["event_timestamp"].dt.epoch("us").to_numpy() / 1e6
    np.testing.assert_array_equal(request[name].to_numpy(), moments)
    days = (moments - request["last_ordered_at"].to_numpy()) / 86400.0
    np.testing.assert_array_equal(features[column].to_numpy(), days.astype(np.float32))
    assert 0 < days.min() < days.max()

    url = "/v1/models/will_return_by_age:predict?with_features=true"
    clock = datetime.fromisoformat(CLOCK).timestamp()
    shown = latest.head(3)
    instances = [{"customer_id": one, "amount": 59.9} for one in (*shown["customer_id"], 10**6)]
    whole = service.post(url, json={"instances": instances})
    alone = [service.post(url, json={"instances": [one]}) for one in instances]
    assert whole.status_code == 200, whole.text
    # An online store keeps whole seconds.
    seconds = shown["last_ordered_at"].dt.epoch("us").to_numpy() // 1_000_000
    expected = [*((clock - seconds) / 86400.0).astype(np.float32).tolist(), None]
    for got in (whole.json()["features"], [one.json()["features"][0] for one in alone]):
        values = [one[column]["value"] for one in got]
        assert [None if v is None else np.float32(v) for v in values] == expected
    predictions = whole.json()["predictions"]
    assert predictions == [one.json()["predictions"][0] for one in alone]

    replayed = service.post(f"/v1/predictions/{whole.json()['id']}:replay")
    assert replayed.status_code == 200, replayed.text
    assert [one["is_equal"] for one in replayed.json()["rows"]] == [True] * 4
