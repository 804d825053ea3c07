"""A log line that cannot be written is lost, and what it is about goes on."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.api.test_background_work import break_registry
from tests.support.manifests import EXAMPLE, make_manifest, publish, sum_graph
from tests.support.redis_servers import free_port
from tests.support.service_process import ROOT, make_environment
from tests.support.waiting import wait_until, wait_until_ready
from zeroskew.contract.rollout import Rollout
from zeroskew.records.registry.model_registry import ModelRegistry

GRAPH = sum_graph(6, 2)


@pytest.mark.parametrize(
    ("redirection", "log_format"),
    [("", "json"), ("2>/dev/full", "json"), ("2>&-", "console")],
    ids=["broken pipe", "full disk", "closed"],
)
def test_work_that_fails_while_nothing_can_be_logged_goes_on_afterwards(
    tmp_path: Path, online_store: Path, redirection: str, log_format: str
) -> None:
    publish(tmp_path, make_manifest(GRAPH), GRAPH)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = make_environment(
        tmp_path,
        online_store,
        ZEROSKEW_PORT=str(port),
        ZEROSKEW_LOG_FORMAT=log_format,
        ZEROSKEW_REGISTRY_POLL_SEC="0.02",
    )
    registry = ModelRegistry.open(environment["ZEROSKEW_DATABASE_URL"])
    arm = {"name": "champion", "alias": "champion", "weight": 1.0}
    registry.set_rollout("arrival_delay", Rollout.model_validate({"kind": "canary", "arms": [arm]}))
    registry.close()
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$0" -m api {redirection}', sys.executable],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        wait_until_ready(url)
        process.stderr.close()  # Whoever writes to it meets a broken pipe.
        mend = break_registry(tmp_path / "zeroskew.db")
        wait_until(lambda: "it fails again and again" in httpx.get(f"{url}/readyz").text)
        mend()
        wait_until_ready(url)
        answer = httpx.post(f"{url}/v1/models/arrival_delay:predict", json={"instances": [EXAMPLE]})
        assert answer.status_code == 200
    finally:
        process.kill()
        process.wait()
