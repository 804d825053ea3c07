"""Both images, built from the Dockerfile as it is, and the serving one as it is to be run."""

import io
import json
import re
import tarfile
import threading
import time
from ast import literal_eval
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import docker
import httpx
import pytest
from docker.models.containers import Container

from tests.support.databases import open_database_url
from tests.support.docker_engine import BASE_IMAGE, open_engine
from tests.support.manifests import EXAMPLE
from tests.support.online_stores import EVENT_TIME, make_store
from tests.support.redis_servers import RedisServer, free_port
from tests.support.waiting import PATIENCE_SEC, PATIENT_SERVICE, wait_until
from tests.support.whole_service import VIEWS, fill_views, publish_every_kind
from training.new_project.write_project import write_project
from zeroskew.contract.scope import Scope
from zeroskew.records.access.access_store import AccessStore

ROOT: Final = Path(__file__).parents[2]
MAX_BYTES: Final = 350e6
HARDENED: Final[dict[str, Any]] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "pids_limit": 256,
    "mem_limit": "1g",
    "network_mode": "host",
    "tmpfs": {"/tmp": "size=64m"},  # noqa: S108 - in the container
}
LIST_INSTALLED: Final = """
import importlib.metadata, json
print(json.dumps(sorted((one.name, one.version) for one in importlib.metadata.distributions())))
"""
TRY_TO_WRITE: Final = """
import os
print(os.getuid(), os.getgid(), open("/proc/self/status").read().split("CapEff:")[1].split()[0])
for path in ("/srv/zeroskew/x", "/opt/zeroskew/x", "/etc/x"):
    try:
        open(path, "w")
    except OSError as error:
        print(error.errno)
"""
IMPORT: Final = """
import importlib.util, sys
print([name for name in sys.argv[1:] if importlib.util.find_spec(name)])
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    with open_engine() as client:
        yield client


def python(
    engine: docker.DockerClient, image: str, program: str, *arguments: str, **options: Any
) -> str:
    return run(engine, image, ["-c", program, *arguments], entrypoint="python", **options)


def run(engine: docker.DockerClient, image: str, arguments: list[str], **options: Any) -> str:
    """Return what a container printed, read once it has ended: a stream may be cut short."""
    container = engine.containers.run(image, arguments, detach=True, **HARDENED | options)
    try:
        status = container.wait()["StatusCode"]
        printed: bytes = container.logs(stdout=True, stderr=False)
        assert status == 0, container.logs()
    finally:
        container.remove(force=True, v=True)
    return printed.decode()


def normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def list_in_bill(engine: docker.DockerClient, image: str) -> set[tuple[str, str]]:
    container = engine.containers.create(image)
    try:
        packed, _ = container.get_archive("/opt/zeroskew/sbom.cdx.json")
        with tarfile.open(fileobj=io.BytesIO(b"".join(packed))) as archive:
            found = archive.extractfile("sbom.cdx.json")
            assert found is not None
            bill = json.load(found)
    finally:
        container.remove(force=True, v=True)
    assert bill["bomFormat"] == "CycloneDX"
    return {(normalize(one["name"]), one["version"]) for one in bill["components"]}


class Stores:
    """A database with models and a key, model files, and a Redis with features."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.url = stack.enter_context(open_database_url("postgres", folder))
        self.redis = stack.enter_context(RedisServer(folder / "redis"))
        config = {"type": "redis", "connection_string": f"127.0.0.1:{self.redis.port}"}
        fill_views(make_store(folder / "repo", VIEWS, config))
        publish_every_kind(folder, self.url)
        registry = AccessStore.open(self.url)
        self.key = registry.create_key("test", [Scope.PREDICT]).text
        registry.close()
        self.artifacts = folder / "artifacts"
        # The image's user is nobody of this machine.
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)

    @contextmanager
    def serve(self, engine: docker.DockerClient, image: str) -> Iterator[tuple[Container, str]]:
        port = free_port()
        container = engine.containers.run(
            image,
            detach=True,
            environment=PATIENT_SERVICE
            | {
                "ZEROSKEW_PORT": str(port),
                "ZEROSKEW_DATABASE_URL": self.url,
                "ZEROSKEW_ONLINE_STORE": self.redis.url,
                "ZEROSKEW_ARTIFACTS_DIR": "/models",
                "ZEROSKEW_CLOCK": EVENT_TIME.isoformat(),
            },
            volumes={str(self.artifacts): {"bind": "/models", "mode": "ro"}},
            **HARDENED,
        )
        try:
            yield container, f"http://127.0.0.1:{port}"
        finally:
            container.remove(force=True, v=True)


def score(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/models/is_late:predict", json={"instances": [EXAMPLE]})


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/livez").status_code == 200
    except httpx.TransportError:
        return False


def call_until_refused(url: str, key: str, outcomes: Counter[str]) -> None:
    with httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=PATIENCE_SEC) as client:
        while True:
            try:
                outcomes[str(score(client).status_code)] += 1
            except httpx.ConnectError:
                return
            except httpx.HTTPError as error:
                outcomes[type(error).__name__] += 1
            time.sleep(0.02)


def check_what_is_in_them(engine: docker.DockerClient, serving: str, training: str) -> None:
    sizes = {name: engine.images.get(name).attrs["Size"] for name in (serving, BASE_IMAGE)}
    assert sizes[serving] - sizes[BASE_IMAGE] < MAX_BYTES
    training_alone = ("feast", "lightgbm", "pandas", "polars", "sklearn", "training", "pip")
    assert python(engine, serving, IMPORT, "api", *training_alone).strip() == "['api']"
    assert "lightgbm" in python(engine, training, "import lightgbm, feast; print(lightgbm)")
    for image in (serving, training):
        installed = json.loads(python(engine, image, LIST_INSTALLED))
        assert {(normalize(name), version) for name, version in installed} == list_in_bill(
            engine, image
        )
        assert python(engine, image, TRY_TO_WRITE).split() == [
            *("10001", "10001", "0000000000000000", "30", "30", "30"),
        ]
    assert "materialize" in run(engine, training, ["--help"])


def check_a_project_on_top(engine: docker.DockerClient, folder: Path) -> None:
    """Build a new project's images by its own Dockerfile, and have its job at work."""
    write_project(folder)
    for target in ("serving", "training"):
        engine.images.build(
            path=str(folder),
            target=target,
            tag=f"shop-{target}:test",
            buildargs={"ZEROSKEW": "test"},
            rm=True,
            forcerm=True,
        )
    listed = python(engine, "shop-training:test", "import os; print(sorted(os.listdir()))")
    assert literal_eval(listed) == ["data", "feature_repo", "models", "var"]
    steps = "zeroskew migrate && zeroskew prepare && zeroskew apply && zeroskew materialize"
    said = run(engine, "shop-training:test", ["-c", steps], entrypoint="sh")
    assert "entities online: customer_orders" in said
    assert python(engine, "shop-serving:test", IMPORT, "api", "training").strip() == "['api']"


def test_the_images_are_small_closed_and_quick(engine: docker.DockerClient, tmp_path: Path) -> None:
    images = {}
    for target in ("serving", "training"):
        tag = images[target] = f"zeroskew-{target}:test"
        engine.images.build(
            path=str(ROOT), target=target, tag=tag, network_mode="host", rm=True, forcerm=True
        )
    check_what_is_in_them(engine, images["serving"], images["training"])
    check_a_project_on_top(engine, tmp_path / "shop")
    with ExitStack() as stack:
        stores = Stores(tmp_path / "stores", stack)
        container, url = stack.enter_context(stores.serve(engine, images["serving"]))
        client = stack.enter_context(
            httpx.Client(base_url=url, headers={"X-API-Key": stores.key}, timeout=PATIENCE_SEC)
        )
        wait_until(lambda: _answers(client), what="a container that answers")
        answer = score(client)
        assert answer.status_code == 200, answer.text
        assert client.get("/readyz").status_code == 200
        assert (
            httpx.post(
                f"{url}/v1/models/is_late:predict", json={}, timeout=PATIENCE_SEC
            ).status_code
            == 401
        )
        outcomes: Counter[str] = Counter()
        threads = [
            threading.Thread(target=call_until_refused, args=(url, stores.key, outcomes))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: outcomes["200"] > 50)
        container.stop(timeout=int(PATIENCE_SEC))
        for thread in threads:
            thread.join()
        assert container.wait()["StatusCode"] == 0
        assert set(outcomes) == {"200"}
        lines = [json.loads(line) for line in container.logs().splitlines()]
        assert all(stores.key not in str(line) for line in lines)
