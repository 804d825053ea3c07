"""Real Redis servers, one process each, on ports of their own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.waiting import wait_until

__all__ = [
    "RedisServer",
    "free_port",
    "make_certificate",
    "make_cluster",
    "need_redis",
    "start_sentinel",
]

HOST = "127.0.0.1"


def need_redis() -> None:
    """Skip the test where no Redis is installed; in CI that is a failure."""
    if shutil.which("redis-server") is None:
        message = "Got no redis-server on PATH, but expected Debian's package redis-server."
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


def free_port() -> int:
    """Return a port that nobody listens on; below 55536, for a cluster bus lies 10000 above."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port: int = probe.getsockname()[1]
        if port < 55_536:
            return port


class RedisServer:
    """A Redis server that keeps its data across kills; use it as a context manager."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        need_redis()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = port or free_port()
        # A socket's path may have some hundred characters; a test's folder may have more.
        self.socket_path = f"{tempfile.gettempdir()}/zs-redis-{os.getpid()}-{self.port}.sock"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address over TCP."""
        return f"redis://{HOST}:{self.port}"

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def client(self, **options: object) -> redis.Redis:
        """Return a client over the unix socket, which no fault on TCP touches."""
        return redis.Redis(
            unix_socket_path=self.socket_path,
            retry=Retry(NoBackoff(), 0),
            **options,  # type: ignore[arg-type]  # redis-py checks them
        )

    def call(self, *command: object) -> Any:
        """Send one command and return its reply."""
        with self.client() as client:
            return client.execute_command(*command)

    def launch(self) -> None:
        """Start the process without waiting for it."""
        command = ["redis-server", "--bind", HOST, "--port", str(self.port)]
        command += ["--unixsocket", self.socket_path, "--dir", str(self.folder)]
        command += ["--save", "", "--appendonly", "yes", "--loglevel", "warning"]
        log = (self.folder / "redis.log").open("ab")
        with log:
            self._process = subprocess.Popen([*command, *self._options], stdout=log, stderr=log)

    def start(self) -> None:
        """Start the process and wait until it answers."""
        self.launch()
        wait_until(self._answers, what="an answer of redis-server")

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop the process where it is; its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the process for good."""
        self.kill()
        Path(self.socket_path).unlink(missing_ok=True)

    def covers_slots(self) -> bool:
        """Whether the server, a node of a cluster, knows an owner of every slot."""
        return bool(self.call("CLUSTER INFO")["cluster_state"] == "ok")

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError((self.folder / "redis.log").read_text())
        with self.client() as client:
            try:
                return bool(client.ping())
            except redis.AuthenticationError:
                return True
            except redis.ConnectionError:
                return False


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that vouches for itself; return it and its key."""
    certificate, key = folder / "redis.crt", folder / "redis.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=zeroskew test"]
    command += ["-addext", f"subjectAltName=IP:{HOST}"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def make_cluster(servers: list[RedisServer]) -> None:
    """Join running servers, started with ``--cluster-enabled yes``, into one cluster."""
    nodes = [f"{HOST}:{server.port}" for server in servers]
    command = ["redis-cli", "--cluster", "create", *nodes, "--cluster-yes"]
    subprocess.run(command, check=True, capture_output=True)
    for server in servers:
        wait_until(server.covers_slots, what="a cluster that covers all slots")


def start_sentinel(folder: Path, master: RedisServer, name: str) -> RedisServer:
    """Start a sentinel that watches one master and fails over by itself within a second."""
    config = folder / "sentinel.conf"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"sentinel monitor {name} {HOST} {master.port} 1"]
    lines += [f"sentinel down-after-milliseconds {name} 300"]
    lines += [f"sentinel failover-timeout {name} 2000"]
    config.write_text("\n".join(lines) + "\n")
    return _Sentinel(folder, config)


class _Sentinel(RedisServer):
    def __init__(self, folder: Path, config: Path) -> None:
        super().__init__(folder)
        self._config = config

    def launch(self) -> None:
        command = ["redis-server", str(self._config), "--sentinel", "--port", str(self.port)]
        command += ["--unixsocket", self.socket_path, "--dir", str(self.folder)]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
