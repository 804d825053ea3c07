"""Commands around the service: `up`, which does all before it, `serve` and `settings`."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from training.cli.check import refuse_mistakes
from training.cli.data import BreakLive, apply, materialize, prepare
from training.cli.registry import AllowRequestChange, migrate
from training.cli.training import declared_models, publish_models, train_models
from training.project import standing
from training.project.service_address import ServiceAddress
from training.project.service_clock import clock_text
from training.project.workspace import Workspace
from zeroskew.declarations.model_spec import ModelSpec, load_model_spec

__all__ = ["keygen", "serve", "settings", "up"]

_console = Console()


def serve() -> None:
    """Serve the registered models over HTTP; settings come from ZEROSKEW_... variables."""
    _become_service()


def settings() -> None:
    """Tell what the service can be set to and is, or which settings it refuses."""
    _become_service("settings")


def _become_service(*arguments: str) -> None:
    sys.stdout.flush()
    environment = Workspace().service_environment() | os.environ
    command = [sys.executable, "-P", "-m", "api", *arguments]
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell


def keygen(
    path: Annotated[Path, typer.Argument(help="The new file of the private key.")],
) -> None:
    """Make a key that signs what is published, and print its public half.

    `publish` signs with the file that ZEROSKEW_SIGNING_KEY_FILE names. A service with the
    public half in ZEROSKEW_TRUSTED_KEYS refuses every version that is not signed by it.
    """
    from training.publish.signing import make_signing_key

    typer.echo(make_signing_key(path))


def up(
    serve_after: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Start the service at the end.")
    ] = True,
    break_live: BreakLive = False,
    allow_request_change: AllowRequestChange = False,
) -> None:
    """Do all that is needed to serve every declared model, and serve.

    What stands is reused: the steps run again only after a change to the tables, the feature
    repo, the models, the clock or Zeroskew itself, or when something of theirs is gone. On the
    system clock, and for an online store that is a server, the latest values are written every
    time.
    """
    workspace = Workspace()
    address = ServiceAddress.read()
    if serve_after:
        address.require_free()
    with _alone_in(workspace.home):
        names = declared_models()
        failed: list[str] = []
        if (stamp := _find_standing(workspace, names)) is not None:
            _console.print("[green]✓[/] tables, online store and models stand")
            if clock_text() == "system" or stamp.n_cells is None:
                materialize()
        else:
            failed = _make_all(workspace, names, break_live, allow_request_change)
    made = [name for name in names if name not in failed]
    if failed:
        _console.print(
            f"[red]✗[/] {len(failed)} of {len(names)} models did not get through: "
            f"{', '.join(failed)}",
            highlight=False,
            soft_wrap=True,
        )
    if not made or (failed and not serve_after):
        raise typer.Exit(1)
    _print_first_request(load_model_spec(workspace.models, made[0]), address, serve_after)
    if serve_after:
        address.require_free()
        serve()


def _find_standing(workspace: Workspace, names: list[str]) -> standing.Stamp | None:
    """Return the stamp of what stands, ``None`` where something has to be done."""
    stamp = standing.Stamp.read(workspace)
    if (
        stamp is None
        or stamp.code != standing.digest_code(workspace, clock_text())
        or stamp.tables != standing.digest_tables(workspace)
    ):
        return None
    missing = standing.find_missing(workspace, stamp, names)
    if missing is None:
        return stamp
    _console.print(f"[yellow]![/] {escape(missing)}", highlight=False, soft_wrap=True)
    return None


def _make_all(
    workspace: Workspace, names: list[str], break_live: bool, allow_request_change: bool
) -> list[str]:
    """Run all steps and return the models that failed, which stops none of the others.

    The stamp is of what was there before each was first read.
    """
    makes_tables = workspace.prepare_file is not None
    refused = refuse_mistakes(workspace, "up", names, before_tables=makes_tables or None)
    standing.Stamp.remove(workspace)
    code = standing.digest_code(workspace, clock_text())
    migrate()
    if isinstance(workspace.lake, Path):
        prepare()
    if makes_tables:
        # What was declared of them is true of those that stand now, or of none.
        refused |= refuse_mistakes(workspace, "up", names, before_tables=False)
    tables = standing.digest_tables(workspace)
    apply(break_live=break_live)
    able = [name for name in names if name not in refused]
    failed = train_models(able)
    # Where a feature changed its type the plan that serves cannot read what is written now, so
    # it is written as late as can be.
    materialize()
    failed += publish_models(
        [name for name in able if name not in failed], allow_request_change=allow_request_change
    )
    standing.stamp_of(workspace, code, tables).write(workspace)
    if (code, tables) != (
        standing.digest_code(workspace, clock_text()),
        standing.digest_tables(workspace),
    ):
        _console.print(
            "[yellow]![/] something was changed while this ran: what stands is of before, and the "
            "next `zeroskew up` works again",
            highlight=False,
            soft_wrap=True,
        )
    return [name for name in names if name in {*refused, *failed}]


def _print_first_request(spec: ModelSpec, address: ServiceAddress, serve_after: bool) -> None:
    url = address.url
    body = json.dumps({"instances": [spec.example]})
    if serve_after:
        _console.print(f"\nThe service answers at {url}, its pages at {url}/docs. Ask it:\n")
    else:
        _console.print(f"\nAll is ready: `zeroskew serve` will answer at {url}. Then ask it:\n")
    # Written without Rich, so that a narrow terminal does not break the line.
    sys.stdout.write(
        f"curl -s {url}/v1/models/{spec.name}:predict "
        f"-H 'Content-Type: application/json' -d '{body}'\n\n"
    )


@contextlib.contextmanager
def _alone_in(home: Path) -> Iterator[None]:
    """Wait until no other `zeroskew up` works in ``home``; a killed one lets go of it."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _console.print("another `zeroskew up` is at work here; waiting for it …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
