"""A clone with a model of its user's beside the flights, and then without the flights."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Final

import pytest

from api.main import create_app
from tests.support.app_client import AppClient
from tests.support.command_line import run_command
from tests.support.flights_project import FlightsProject
from tests.support.readme_project import CLOCK, readme_code, write_tables
from zeroskew.contract.settings import Settings

ROOT: Final = Path(__file__).parents[2]
# Of the flights; the project's own name is its user's to change.
OURS: Final = re.compile(
    r"arrival_|carrier|plane_|airport|station_|origin_|destination_|tailnum|flight_events"
    r"|flights are"
)
ORDER: Final = {"customer_id": 7, "amount": 59.9}


class Clone:
    """A copy of what a clone has, in which the flights stand."""

    def __init__(self, folder: Path, flights: FlightsProject) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__")
        for name in ("feature_repo", "training/models"):
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for name in ("example.toml", "zeroskew.toml"):
            shutil.copy(ROOT / name, folder)
        shutil.copytree(flights.workspace.home, folder / "var")

    def run(self, *arguments: str) -> str:
        done: CompletedProcess[str] = run_command(
            *arguments, environment={"ZEROSKEW_CLOCK": CLOCK}, folder=self.folder
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def add_shop(self) -> None:
        """Add the definitions and the model of the README, and bring them to a version."""
        code = readme_code()
        (self.folder / "feature_repo/shop.py").write_text(code["feature_repo/definitions.py"])
        models = self.folder / "training" / "models"
        (models / "will_return.py").write_text(code["models/will_return.py"])
        write_tables(self.folder / "var" / "lake")
        for command in (["apply"], ["train", "will_return"], ["materialize"]):
            self.run(*command)
        self.run("publish", "will_return")

    def list_files(self) -> list[str]:
        """Return the sha256 of all files of the flights' versions."""
        query = (
            "SELECT manifest_sha256, model_sha256 FROM model_version WHERE model LIKE 'arrival%'"
        )
        with closing(sqlite3.connect(self.folder / "var" / "zeroskew.db")) as database:
            found = [sha256 for row in database.execute(query).fetchall() for sha256 in row]
        assert found
        return found

    def serve(self) -> AppClient:
        settings = Settings(
            database_url=f"sqlite:///{self.folder}/var/zeroskew.db",
            artifacts_dir=self.folder / "var" / "artifacts",
            online_store=f"sqlite:///{self.folder}/var/feast/online.db",
            clock=datetime.fromisoformat(CLOCK),
            log_mode="durable",
            log_spool_dir=self.folder / "var" / "spool",
        )
        return AppClient(create_app(settings))


@pytest.fixture(scope="module")
def clone(flights: FlightsProject, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    made = Clone(tmp_path_factory.mktemp("clone"), flights)
    made.add_shop()
    return made


def test_nothing_is_removed_where_what_stays_needs_it(clone: Clone) -> None:
    shop = clone.folder / "feature_repo" / "shop.py"
    text = shop.read_text()
    shop.write_text("from entities import plane\n" + text)
    # As a call leaves it that was broken off when this file alone lay aside.
    aside = clone.folder / ".example-removed" / "feature_repo"
    aside.mkdir(parents=True)
    (clone.folder / "feature_repo" / "entities.py").rename(aside / "entities.py")
    # In a process of its own, which has imported nothing of it yet.
    done = subprocess.run(
        [Path(sys.executable).with_name("zeroskew"), "example", "remove", "--yes"],
        cwd=clone.folder,
        env=os.environ | {"ZEROSKEW_CLOCK": CLOCK},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "entities" in done.stdout
    assert (clone.folder / "feature_repo" / "entities.py").exists()
    assert "arrival_delay_15" in clone.run("models")
    shop.write_text(text)


def test_nothing_of_the_example_is_left_and_a_users_model_answers(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    with clone.serve() as client:
        before = client.post("/v1/models/will_return:predict", json={"instances": [ORDER]}).json()
        flights = client.post("/v1/models/arrival_delay_15:predict", json={"instances": [{}]})
        assert flights.status_code == 422
    # Nobody says yes.
    with Path("/dev/null").open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert run_command("example", "remove", folder=clone.folder).returncode == 1
    assert "arrival_delay_15" in clone.run("models")
    files = clone.list_files()
    said = clone.run("example", "remove", "--yes")
    assert "9 files and 8 tables; 2 versions" in said

    assert OURS.search(clone.run("models")) is None
    assert "will_return" in clone.run("models")
    lake = {path.name for path in (clone.folder / "var" / "lake").iterdir()}
    assert lake == {"customer_orders", "orders"}
    with closing(sqlite3.connect(clone.folder / "var" / "feast" / "online.db")) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert [name for (name,) in tables if OURS.search(name)] == []
    assert [name for (name,) in tables if name.endswith("customer_orders")] != []
    assert list_mentions(clone.folder) == []
    assert [
        sha256 for sha256 in files if list(clone.folder.glob(f"var/artifacts/*/{sha256}"))
    ] == []

    with clone.serve() as client:
        after = client.post("/v1/models/will_return:predict", json={"instances": [ORDER]}).json()
        assert after["predictions"] == before["predictions"]
        for page in ("/", "/docs", "/openapi.json", "/v1/models", "/feast/get-catalog"):
            assert OURS.search(client.get(page).text) is None, page
    # What is left stands on its own.
    assert "nothing found" in clone.run("check")
    again = run_command("example", "remove", "--yes", folder=clone.folder)
    assert (again.returncode, "Got no example.toml" in again.stdout) == (1, True)


def list_mentions(folder: Path) -> list[str]:
    """Return the files that still speak of flights, of whatever kind they are."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        # Artefacts are shared by the databases of several tests.
        if path.is_file()
        and "artifacts" not in path.parts
        and OURS.search(path.read_bytes().decode("latin-1"))
    ]
