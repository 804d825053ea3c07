"""A stranger's path: the README's own code, a second table, and a score over HTTP."""

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from api.main import create_app
from api.settings import Settings
from tests.support.app_client import AppClient
from tests.support.shop_project import CLOCK, ROOT, readme_code, write_definitions, write_tables


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project of the README's two files, brought up by the command line."""
    folder = tmp_path_factory.mktemp("project")
    write_definitions(folder)
    write_tables(folder / "var" / "lake")
    done = subprocess.run(
        [Path(sys.executable).with_name("zeroskew"), "up", "--no-serve"],
        cwd=ROOT,
        env=os.environ
        | {
            "ZEROSKEW_FEATURE_REPO": str(folder / "feature_repo"),
            "ZEROSKEW_MODELS": str(folder / "training" / "models"),
            "ZEROSKEW_HOME": str(folder / "var"),
            "ZEROSKEW_CLOCK": CLOCK,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "will_return version 1 is champion" in done.stdout
    return folder


def test_readme_needs_at_most_forty_lines() -> None:
    code = readme_code()
    assert set(code) == {"feature_repo/definitions.py", "training/models/will_return.py"}
    lines = [line for text in code.values() for line in text.splitlines() if line.strip()]
    assert len(lines) <= 40


def test_second_table_is_served(project: Path) -> None:
    settings = Settings(
        database_url=f"sqlite:///{project}/var/zeroskew.db",
        artifacts_dir=project / "var" / "artifacts",
        online_store=f"sqlite:///{project}/var/feast/online.db",
        clock=datetime.fromisoformat(CLOCK),
    )
    latest = (
        pl.read_parquet(project / "var/lake/customer_orders/part-0.parquet")
        .filter(pl.col("event_timestamp") <= datetime.fromisoformat(CLOCK))
        .sort("event_timestamp")
        .group_by("customer_id")
        .last()
        .sort("orders_30d")
    )
    fewest, most = latest["customer_id"][0], latest["customer_id"][-1]
    with AppClient(create_app(settings)) as client:
        answer = client.post(
            "/v1/models/will_return:predict",
            json={"instances": [{"customer_id": c, "amount": 59.9} for c in (fewest, most)]},
        )
    assert answer.status_code == 200, answer.text
    low, high = (prediction["probability"] for prediction in answer.json()["predictions"])
    # A customer's orders decide: about 0.04 at 0 orders and 0.95 at 19.
    assert low < 0.25
    assert high > 0.75
