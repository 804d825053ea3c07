"""The service while versions of its model are published, loaded and dropped again."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from typing import Final, Self

from benchmarks.growth import ManyModels
from benchmarks.server_process import ServerError
from benchmarks.sides.side import Context
from training.publish.publish_model import publish_model
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.registry.model_registry import ModelRegistry

__all__ = ["ChangingModels"]

_PAUSE_SEC: Final = 1.0


class ChangingModels(ManyModels):
    """The service whose model gets another version every second, which is asked at once.

    Used as a context manager, it makes the changes meanwhile. A version that was never asked
    for is loaded beside the event loop that answers the others; after some, the oldest makes
    room.
    """

    def __init__(self, context: Context, store: str) -> None:
        super().__init__(context, store, 1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._change_until_stopped)
        self._error: Exception | None = None
        self._batch = next(iter(context.project.batches(1)))
        self.n_changes = 0

    @property
    def label(self) -> str:
        """What happens to it."""
        return f"{self.title}, {self.store}, a new version every second"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        if self._error is not None:
            raise ServerError(f"Got {self._error!r} while versions changed") from self._error

    def _change_until_stopped(self) -> None:
        try:
            while not self._stopped.wait(_PAUSE_SEC):
                self._publish_and_ask()
                self.n_changes += 1
        except Exception as error:
            self._error = error

    def _publish_and_ask(self) -> None:
        project = self.context.project
        artifacts = ArtifactStore(self.folder.resolve() / "artifacts")
        content = artifacts.get(project.manifest.model_file.sha256)
        path, body = self.request(self._batch)
        name = path.split("/")[3].removesuffix(":predict")
        manifest = project.manifest.model_copy(
            update={"model": name, "description": f"Published at {time.time_ns()}."}
        )
        registry = ModelRegistry.open(f"sqlite:///{self.folder.resolve() / 'registry.db'}")
        version = publish_model(manifest, content, artifacts=artifacts, registry=registry).version
        registry.close()
        request = urllib.request.Request(  # noqa: S310 - an address of this machine
            f"{self.base}/v1/models/{name}/versions/{version}:predict",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - as above
            self.check_answer(self._batch, json.load(response))
