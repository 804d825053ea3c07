"""A Docker engine: the one of this machine, or one that root starts for the tests."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NoReturn

import docker
import pytest
from docker.errors import DockerException, ImageNotFound

from tests.support.base_image import make_base_image
from tests.support.debian_programs import need_program
from tests.support.waiting import PATIENCE_SEC

__all__ = ["BASE_IMAGE", "open_engine"]

BASE_IMAGE: Final = "python:3.11-slim-bookworm"
"""What the Dockerfile builds from."""


@contextmanager
def open_engine() -> Iterator[docker.DockerClient]:
    """Yield a client of an engine that has the base image; without one the test is skipped.

    An engine that was started here has no bridge and changes no rule of the machine's network:
    what runs in it uses the machine's own. It ends with the block; its images go with it.
    """
    with (Path(tempfile.gettempdir()) / "zeroskew-docker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        client = _find_engine()
        if client is not None:
            with closing(client):
                _provide_base_image(client)
                yield client
            return
        if os.geteuid() != 0:
            _give_up("Got no Docker engine, and only root may start one.")
        with _run_engine() as client:
            _provide_base_image(client)
            yield client


def _find_engine() -> docker.DockerClient | None:
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not _is_listening(address):
        return None
    try:
        client = docker.from_env()
        client.ping()
    except DockerException:
        return None
    return client


@contextmanager
def _run_engine() -> Iterator[docker.DockerClient]:
    program = need_program("docker.io", ["dockerd", "/usr/sbin/dockerd"])
    # Not below /tmp where that is in memory; an overlay needs a real disk under it.
    folder = Path(tempfile.mkdtemp(prefix="zeroskew-docker-", dir="/var/tmp"))
    address = f"unix://{folder}/docker.sock"
    command = [program, "--iptables=false", "--ip6tables=false", "--bridge=none"]
    command += ["--storage-driver=overlay2", "--default-ulimit", "nofile=1024:1024"]
    command += ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    command += ["--pidfile", str(folder / "pid"), "-H", address]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with closing(_connect(address, process, folder / "log")) as client:
            yield client
    finally:
        process.terminate()
        process.wait(PATIENCE_SEC)
        # A hundred thousand files.
        subprocess.run(["rm", "-rf", str(folder)], check=False)


def _connect(address: str, process: subprocess.Popen[bytes], log: Path) -> docker.DockerClient:
    deadline = time.monotonic() + PATIENCE_SEC
    while True:
        try:
            if not _is_listening(address):
                raise DockerException("Nobody listens yet.")  # noqa: TRY301 - as the client would say
            return docker.DockerClient(base_url=address, timeout=600)
        except DockerException:
            if process.poll() is not None or time.monotonic() > deadline:
                _give_up(f"The Docker engine did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)


def _is_listening(address: str) -> bool:
    """Ask before the client does: it leaves a socket open whose connection is refused."""
    if not address.startswith("unix://"):
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(address.removeprefix("unix://")) == 0


def _provide_base_image(client: docker.DockerClient) -> None:
    try:
        client.images.get(BASE_IMAGE)
    except ImageNotFound:
        repository, _, tag = BASE_IMAGE.partition(":")
        with tempfile.TemporaryDirectory(prefix="zeroskew-base-", dir="/var/tmp") as folder:
            archive = make_base_image(Path(folder))
            client.api.import_image_from_file(str(archive), repository=repository, tag=tag)


def _give_up(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
