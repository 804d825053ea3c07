"""A stranger's path: the README's own code, a second table, and a score over HTTP."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from api.main import create_app
from api.settings import Settings
from tests.support.app_client import AppClient

ROOT = Path(__file__).parents[1]
CLOCK = "2024-06-15T00:00:00Z"
N_CUSTOMERS = 200


def readme_code() -> dict[str, str]:
    """Return the code blocks of "Bring your own tables" by the file the text names."""
    section = (
        (ROOT / "README.md").read_text().split("## Bring your own tables")[1].split("\n## ")[0]
    )
    return dict(re.findall(r"`([\w/]+\.py)`:\n\n```python\n(.*?)```", section, re.DOTALL))


def write_tables(lake: Path) -> None:
    random = np.random.default_rng(3)
    days = pl.datetime_range(
        datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 6, 30, tzinfo=UTC), "1d", eager=True
    )
    events = pl.DataFrame({"customer_id": range(N_CUSTOMERS)}).join(
        pl.DataFrame({"event_timestamp": days[::5]}), how="cross"
    )
    history = events.with_columns(
        created=pl.col("event_timestamp") + pl.duration(minutes=5),
        orders_30d=pl.Series(random.integers(0, 20, events.height)),
        spent_30d=pl.Series(random.gamma(2.0, 50.0, events.height), dtype=pl.Float32),
    )
    n_orders = 6_000
    orders = pl.DataFrame(
        {
            "customer_id": random.integers(0, N_CUSTOMERS, n_orders),
            "amount": random.gamma(2.0, 30.0, n_orders).round(2),
            "event_timestamp": pl.Series(random.choice(days.to_numpy(), n_orders))
            .cast(pl.Datetime("us"))
            .dt.replace_time_zone("UTC")
            .dt.offset_by("1h"),
        }
    ).sort("event_timestamp")
    known = orders.join_asof(
        history.sort("event_timestamp"), on="event_timestamp", by="customer_id"
    )
    chance = 1 / (1 + np.exp(-(known["orders_30d"].fill_null(5).to_numpy() - 10) / 3))
    orders = orders.with_columns(
        returned=pl.Series(random.random(n_orders) < chance),
        decided_at=pl.col("event_timestamp") + pl.duration(days=3),
    )
    for name, table in {"customer_orders": history, "orders": orders}.items():
        (lake / name).mkdir(parents=True)
        table.write_parquet(lake / name / "part-0.parquet")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project of the README's two files, brought up by the command line."""
    folder = tmp_path_factory.mktemp("project")
    for name, code in readme_code().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    store = (ROOT / "feature_repo" / "feature_store.yaml").read_text()
    (folder / "feature_repo" / "feature_store.yaml").write_text(
        store.replace("project: flights", "project: returns")
    )
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
