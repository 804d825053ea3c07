"""The windows of `docs/windows.md`: trained on, served, pushed to, and falling with time."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from training.project.workspace import Workspace
from zeroskew.contract.settings import Settings

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = (ROOT / "docs" / "windows.md").read_text()
CLOCK: Final = datetime(2026, 12, 1, tzinfo=UTC)
NAMES: Final = (
    "purchases_30d",
    "dollars_90d",
    "returned_90d",
    "average_basket",
    "seconds_since_last",
)
MODEL: Final = """
import polars as pl
from zeroskew import FieldType, LabelTable, ModelSpec, Output, RequestField, TimeSplit

MODEL = ModelSpec(
    name="buys_again",
    description="Will the customer buy again?",
    feature_service="repeat_v1",
    request=(RequestField(name="customer_id", type=FieldType.INTEGER, description="W", example=4),),
    labels=LabelTable(table="labels", label=pl.col("again"), known_at="known_at"),
    split=TimeSplit.from_dates("2026-06-01", "2026-09-01", "2026-10-01", "2026-11-01"),
    parameters={"objective": "binary", "num_leaves": 7},
    n_rounds=20,
    must_beat_base_rate=False,
    output=Output(kind="probability", description="Chance of a purchase."),
)
"""


def write_tables(lake: Path) -> None:
    drawn = random.Random(5)  # noqa: S311 - the same again
    start = datetime(2026, 3, 1, tzinfo=UTC)
    moments = sorted(drawn.randrange(23_000_000_000_000) for _ in range(4000))
    instants = [start + timedelta(microseconds=us) for us in moments]
    purchases = pl.DataFrame(
        {
            "customer_id": [drawn.randrange(60) for _ in moments],
            "event_timestamp": instants,
            "created": [one + timedelta(minutes=drawn.choice([1, 5, 600])) for one in instants],
            "dollars": [round(drawn.gammavariate(2.0, 30.0), 2) for _ in moments],
            "status": [drawn.choice(["paid", "returned", None]) for _ in moments],
        }
    )
    labels = purchases.select(
        "customer_id",
        event_timestamp=pl.col("event_timestamp") + pl.duration(hours=7),
        known_at=pl.col("event_timestamp") + pl.duration(days=2),
        again=pl.Series([drawn.random() < 0.4 for _ in moments]),
    )
    for name, table in {"purchases": purchases, "labels": labels}.items():
        (lake / name).mkdir(parents=True)
        table.write_parquet(lake / name / "part-0.parquet")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("windows")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    for name in ("feature_repo", "models"):
        (folder / name).mkdir()
    (folder / "feature_repo" / "definitions.py").write_text(code)
    template = ROOT / "training" / "new_project" / "template" / "feature_repo"
    (folder / "feature_repo" / "feature_store.yaml").write_text(
        (template / "feature_store.yaml").read_text().replace("@name@", "habits")
    )
    (folder / "models" / "buys_again.py").write_text(MODEL)
    write_tables(folder / "var" / "lake")
    done = run(folder, "up", "--no-serve")
    assert "buys_again version 1 is champion" in done, done
    return folder


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [Path(sys.executable).with_name("zeroskew"), *arguments],
        cwd=ROOT,
        env=os.environ | environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(folder: Path) -> dict[str, str]:
    return {
        "ZEROSKEW_FEATURE_REPO": str(folder / "feature_repo"),
        "ZEROSKEW_MODELS": str(folder / "models"),
        "ZEROSKEW_HOME": str(folder / "var"),
        "ZEROSKEW_CLOCK": CLOCK.isoformat(),
    }


def workspace(folder: Path) -> Workspace:
    home = folder / "var"
    return Workspace(feature_repo=folder / "feature_repo", models=folder / "models", home=home)


@contextmanager
def serve(folder: Path, moment: datetime) -> Iterator[AppClient]:
    settings = Settings(
        database_url=f"sqlite:///{folder}/var/zeroskew.db",
        artifacts_dir=folder / "var" / "artifacts",
        online_store=f"sqlite:///{folder}/var/feast/online.db",
        clock=moment,
        log_mode="durable",
        log_spool_dir=folder / "var" / "spool",
    )
    with AppClient(create_app(settings)) as client:
        yield client


def ask(client: AppClient, customers: list[int]) -> list[tuple[Any, ...]]:
    answer = client.post(
        "/v1/models/buys_again:predict?with_features=true",
        json={"instances": [{"customer_id": one} for one in customers]},
    )
    assert answer.status_code == 200, answer.text
    return [
        tuple(row[f"habits:{name}"]["value"] for name in NAMES) for row in answer.json()["features"]
    ]


def join(folder: Path, customers: list[int], moment: datetime) -> list[tuple[Any, ...]]:
    rows = pl.DataFrame({"customer_id": customers, "event_timestamp": [moment] * len(customers)})
    store = workspace(folder).open_feature_store()
    names = [f"habits:{name}" for name in NAMES]
    joined = store.get_historical_features(rows.to_pandas(), names).to_arrow()
    return pl.DataFrame(joined).select(NAMES).rows()


@pytest.mark.parametrize("n_rows", [1, 3, 70])
def test_what_is_served_is_what_training_joins(project: Path, n_rows: int) -> None:
    customers = [number % 61 for number in range(n_rows)]
    with serve(project, CLOCK) as client:
        assert ask(client, customers) == join(project, customers, CLOCK)


def test_values_fall_with_time_alone(project: Path) -> None:
    purchases = pl.read_parquet(project / "var/lake/purchases/part-0.parquet")
    last = purchases.filter(pl.col("customer_id") == 4)["event_timestamp"].max()
    assert isinstance(last, datetime)
    seen = set()
    for days in (30, 90):
        for microseconds in (-1, 0, 1):
            moment = last + timedelta(days=days, microseconds=microseconds)
            with serve(project, moment) as client:
                found = ask(client, [4])
                assert found == join(project, [4], moment)
                seen.add(found[0][:2])
    # In 30 days the last purchase goes, in 90 its dollars; a microsecond before, both are there.
    assert len(seen) == 4


def test_what_the_page_pushes_counts_at_once_and_in_training(project: Path) -> None:
    body, *_ = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    with serve(project, CLOCK) as client:
        (before,) = ask(client, [4])
        answer = client.post("/v1/events/purchases_push", json=json.loads(body))
        assert answer.json()["views"] == {"habits": {"written": 2, "older": 0}}, answer.text
        (after,) = ask(client, [4])
        assert after[0] == before[0] + 2
        assert after[4] == 14 * 3600 + 55 * 60
    # Whatever reads the tables brings in first what waits.
    assert join(project, [4], CLOCK) == [after]
    run(project, "materialize")
    with serve(project, CLOCK) as client:
        assert ask(client, [4]) == [after]
