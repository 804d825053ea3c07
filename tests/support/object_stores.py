"""An object store that speaks S3, in a process of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
from pyarrow import fs

from tests.support.client_environments import MOTO, client_programs
from tests.support.redis_servers import free_port
from tests.support.waiting import PATIENCE_SEC, wait_until

__all__ = ["BUCKET", "ObjectStore", "run_object_store"]

BUCKET: Final = "tables"


class ObjectStore:
    """A bucket, and the variables by which programs find it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.environment: Mapping[str, str] = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_REGION": "us-east-1",
        }

    def upload(self, folder: Path, name: str) -> str:
        """Copy a folder into the bucket, and return its address there."""
        store = fs.S3FileSystem(
            access_key="tests",
            secret_key="tests",  # noqa: S106 - nobody looks at it
            region="us-east-1",
            endpoint_override=f"http://127.0.0.1:{self._port}",
            allow_bucket_creation=True,
        )
        store.create_dir(BUCKET)
        fs.copy_files(
            str(folder),
            f"{BUCKET}/{name}",
            source_filesystem=fs.LocalFileSystem(),
            destination_filesystem=store,
        )
        return f"s3://{BUCKET}/{name}"


@contextmanager
def run_object_store() -> Iterator[ObjectStore]:
    """Run an empty object store; what it has is in its memory."""
    port = free_port()
    program = client_programs("moto", MOTO) / "moto_server"
    command = [str(program), "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(port), what="an object store that answers")
        yield ObjectStore(port)
    finally:
        process.terminate()
        process.wait(PATIENCE_SEC)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=PATIENCE_SEC).status_code == 200
    except httpx.TransportError:
        return False
