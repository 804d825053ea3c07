"""A machine that runs the `zeroskew` command and the service: a folder and an environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from tests.support.feast_service import watch
from tests.support.flights_project import CLOCK
from tests.support.waiting import PATIENCE_SEC

__all__ = ["FLIGHT", "Machine", "predict_flight"]

ROOT: Final = Path(__file__).parents[2]
FLIGHT: Final = {
    "carrier": "UA",
    "origin": "EWR",
    "dest": "IAH",
    "tailnum": "N14228",
    "scheduled_departure": "2013-10-01T10:17:00-04:00",
}


class Machine:
    """A folder with the release's feature repo, a database, and an environment."""

    def __init__(self, folder: Path, url: str, repo: Path, **variables: str) -> None:
        shutil.copytree(repo, folder / "feature_repo")
        self.folder = folder
        self.environment: Mapping[str, str] = (
            os.environ
            | {
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "ZEROSKEW_FEATURE_REPO": str(folder / "feature_repo"),
                "ZEROSKEW_HOME": str(folder / "var"),
                "ZEROSKEW_LOG_SPOOL_DIR": str(folder / "spool"),
                "ZEROSKEW_ARTIFACTS_CACHE_DIR": str(folder / "cache"),
                "ZEROSKEW_CLOCK": CLOCK.isoformat(),
                "ZEROSKEW_DATABASE_URL": url,
                "ZEROSKEW_REQUIRE_KEYS": "true",
                "ZEROSKEW_PORT": "0",
            }
            | variables
        )

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
            with httpx.Client(base_url=url, headers=headers, timeout=PATIENCE_SEC) as client:
                yield client


def predict_flight(client: httpx.Client) -> dict[str, Any]:
    """Score one flight, and return the answer."""
    answer = client.post("/v1/models/arrival_delay_15:predict", json={"instances": [FLIGHT]})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document
