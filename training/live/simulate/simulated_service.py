"""A service whose time a simulation moves, and what the simulation asks of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import httpx

from zeroskew.contract.errors.project import StepError

__all__ = ["SimulatedService"]

_HOST: Final = "127.0.0.1"
_PATIENCE_SEC: Final = 60.0
_MAX_INSTANCES: Final = 100
_MAX_LABELS: Final = 100


class SimulatedService:
    """A process of ``python -m api``, used as a context manager.

    Parameters
    ----------
    folder
        Gets its log.
    settings
        Its environment variables, on top of this process's.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.log = folder / "service.log"
        self._settings = settings
        self._port = _free_port()

    def __enter__(self) -> Self:
        settings = {
            "ZEROSKEW_HOST": _HOST,
            "ZEROSKEW_PORT": str(self._port),
            "ZEROSKEW_LOG_LEVEL": "warning",
        }
        # It has the simulation's clock.
        others = {name: value for name, value in os.environ.items() if name != "ZEROSKEW_CLOCK"}
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "api"],
                env=others | settings | dict(self._settings),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._client = httpx.Client(base_url=f"http://{_HOST}:{self._port}", timeout=30)
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait()

    def predict(self, model: str, instances: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
        """Ask for predictions, and return the answer's id and the number of each instance.

        Raises
        ------
        StepError
            If the service refuses them.
        """
        found: list[tuple[str, int]] = []
        for start in range(0, len(instances), _MAX_INSTANCES):
            some = instances[start : start + _MAX_INSTANCES]
            answer = self._post(f"/v1/models/{model}:predict", {"instances": some})
            found += [(answer["id"], number) for number in range(len(some))]
        return found

    def send_labels(self, labels: Sequence[Mapping[str, Any]]) -> None:
        """Send labels; the service has them on disk when this returns.

        Raises
        ------
        StepError
            If it refuses them.
        """
        for start in range(0, len(labels), _MAX_LABELS):
            self._post("/v1/feedback", {"labels": labels[start : start + _MAX_LABELS]})

    def _post(self, path: str, body: Any) -> Any:
        response = self._client.post(path, json=body)
        if response.status_code != httpx.codes.OK:
            raise StepError(f"Got {response.status_code} from {path}: {response.text[:1000]}")
        return response.json()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SEC
        while True:
            try:
                if self._client.get("/readyz").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                pass
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise StepError(f"The service does not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
