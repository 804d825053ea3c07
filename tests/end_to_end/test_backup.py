"""The runbook's own commands bring everything back on an empty machine."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.databases import open_database_url
from tests.support.debian_programs import need_program
from tests.support.feast_service import watch
from tests.support.flights_project import CLOCK, FlightsProject

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
FLIGHT = {
    "carrier": "UA",
    "origin": "EWR",
    "dest": "IAH",
    "tailnum": "N14228",
    "scheduled_departure": "2013-10-01T10:17:00-04:00",
}


class Machine:
    """A folder with the release's feature repo, a database, and an environment."""

    def __init__(self, folder: Path, url: str, repo: Path, backup: Path) -> None:
        shutil.copytree(repo, folder / "feature_repo")
        self.folder = folder
        self.environment: Mapping[str, str] = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TZ": "UTC",
            "BACKUP": str(backup),
            "ZEROSKEW_FEATURE_REPO": str(folder / "feature_repo"),
            "ZEROSKEW_HOME": str(folder / "var"),
            "ZEROSKEW_LOG_SPOOL_DIR": str(folder / "spool"),
            "ZEROSKEW_ARTIFACTS_CACHE_DIR": str(folder / "cache"),
            "ZEROSKEW_CLOCK": CLOCK.isoformat(),
            "ZEROSKEW_DATABASE_URL": url,
            "ZEROSKEW_REQUIRE_KEYS": "true",
            "ZEROSKEW_PORT": "0",
        }

    def run(self, script: str) -> str:
        """Run lines of bash, and stop at the first that fails."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def serve(self, key: str) -> Iterator[httpx.Client]:
        """Run the service, and yield a client with a key."""
        process = subprocess.Popen(
            ["zeroskew", "serve"],
            env=self.environment,
            cwd=ROOT,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        with watch(process) as url:
            headers = {"Authorization": f"Bearer {key}"}
            with httpx.Client(base_url=url, headers=headers, timeout=20) as client:
                yield client


def block(name: str) -> str:
    """Return the runbook's commands under a mark."""
    (found,) = re.findall(rf"<!-- {name} -->\n```bash\n(.*?)```", RUNBOOK, re.DOTALL)
    text: str = found
    return text


def predict(client: httpx.Client) -> dict[str, Any]:
    answer = client.post("/v1/models/arrival_delay_15:predict", json={"instances": [FLIGHT]})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def test_a_restored_machine_answers_as_the_one_before(
    flights: FlightsProject, tmp_path: Path
) -> None:
    need_program("postgresql-client", ["pg_dump"])
    backup = tmp_path / "backup"
    backup.mkdir()
    with ExitStack() as stack:
        urls = [stack.enter_context(open_database_url("postgres", tmp_path)) for _ in range(2)]
        before, after = (
            Machine(tmp_path / name, url, flights.folder / "feature_repo", backup)
            for name, url in zip(("before", "after"), urls, strict=True)
        )
        shutil.copytree(flights.workspace.home, before.folder / "var")
        before.run("zeroskew migrate; zeroskew apply; zeroskew publish arrival_delay_15")
        key = before.run("zeroskew keys create all --scope admin").strip()
        with before.serve(key) as client:
            first = predict(client)
            label = {"prediction_id": first["id"], "value": True}
            label["observed_at"] = CLOCK.isoformat()
            assert client.post("/v1/feedback", json={"labels": [label]}).status_code == 200
        before.run(block("backup"))
        shutil.rmtree(before.folder)
        listed = after.run(block("restore"))
        assert "arrival_delay_15" in listed
        with after.serve(key) as client:
            second = predict(client)
            assert second["predictions"] == first["predictions"]
            replayed = client.post(f"/v1/predictions/{first['id']}:replay").json()
            assert replayed["is_equal"] is True
            labels = client.get("/v1/feedback", params={"prediction_id": first["id"]}).json()
            assert [one["value"] for one in labels["labels"]] == [True]
            assert client.get("/v1/models", headers={"Authorization": ""}).status_code == 401
