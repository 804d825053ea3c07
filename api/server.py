"""Runs the application under uvicorn: one event loop a process, one or several processes."""

from __future__ import annotations

import sys
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from api.http.protocol import GuardedHttpProtocol
from api.log_config import configure_logging
from api.quick_imports import quick_imports
from zeroskew.contract.settings import Settings

if TYPE_CHECKING:
    from api.http.application import Application

__all__ = ["serve"]

# A thread that loads a model gives the event loop its turn after this long; by default it would
# be ten times as long, and every answer meanwhile as much later.
_SWITCH_INTERVAL_SEC: Final = 0.0005
_log: Final = structlog.get_logger(__name__)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests under way.

    With more than one worker, this process only watches: it binds the port, whose connections
    the workers share, and replaces a worker that dies or no longer answers. A worker that
    cannot start, for instance because a model is refused, ends the service with status 3, as
    it does without workers.
    """
    configure_logging(settings.log_format, settings.log_level)
    with ExitStack() as stack:
        if settings.workers > 1:
            folder = stack.enter_context(_make_metrics_folder(settings.metrics_dir))
            settings = settings.model_copy(update={"metrics_dir": Path(folder)})
        _run(settings)


def _make_metrics_folder(parent: Path | None) -> TemporaryDirectory[str]:
    """Make a folder for this run: counts of an earlier one would be added to it."""
    try:
        if parent is not None:
            parent.mkdir(parents=True, exist_ok=True)
        return TemporaryDirectory(prefix="zeroskew-metrics-", dir=parent)
    except OSError as error:
        sys.stderr.write(
            f"ZEROSKEW_METRICS_DIR: Got {parent} ({error.strerror}), but expected a folder that "
            "can be written to\n"
        )
        sys.exit(2)


def _run(settings: Settings) -> None:
    config = uvicorn.Config(
        partial(_make_app, settings),
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http=GuardedHttpProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # Nothing here depends on the client's address, and the protocol wants the application.
        proxy_headers=False,
        timeout_graceful_shutdown=settings.shutdown_grace_sec,
    )
    if settings.workers > 1:
        _supervise(config)
        return
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):  # It is raised again once all is closed.
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILURE)


class _Supervisor(Multiprocess):
    def terminate_all(self) -> None:
        """Let nobody connect any more to where soon nobody will answer, then stop the workers."""
        for listening in self.sockets:
            listening.close()
        super().terminate_all()

    def keep_subprocess_alive(self) -> None:
        """Replace a worker that died; where the system gives none, the next look tries again."""
        try:
            super().keep_subprocess_alive()
        except OSError as error:  # No more files, processes or memory. The other workers go on.
            _log.error("worker_not_started", reason=repr(error))


def _supervise(config: uvicorn.Config) -> None:
    supervisor = _Supervisor(config, [config.bind_socket()])
    supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        sys.exit(STARTUP_FAILURE)


def _make_app(settings: Settings) -> Application:
    configure_logging(settings.log_format, settings.log_level)
    sys.setswitchinterval(_SWITCH_INTERVAL_SEC)
    # Imported in the process that serves, so that one that only watches stays small.
    with quick_imports():
        from api.main import create_app

        return create_app(settings)
