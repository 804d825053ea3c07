"""Commands that change the registry, and that show who changed it."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from training.cli.options import print_table
from training.project.service_clock import as_utc
from training.project.user_name import user_name
from training.project.workspace import Workspace
from zeroskew.contract.database_url import BUSY_TIMEOUT_SEC
from zeroskew.contract.errors.project import SpecError

if TYPE_CHECKING:
    from zeroskew.contract.rollout import Rollout
    from zeroskew.records.registry.model_registry import ModelRegistry

__all__ = [
    "AllowRequestChange",
    "alias",
    "deprecate",
    "history",
    "list_models",
    "migrate",
    "reactivate",
    "read_rollout",
    "retire",
    "rollout",
]

_console = Console()

Model = Annotated[str, typer.Argument(help="The model's name.")]
_MOST: Final = 999_999_999
"""What every database counts to."""

Version = Annotated[int, typer.Argument(help="The version's number.", min=1, max=_MOST)]
Reason = Annotated[str, typer.Option(help="Why, for the history.")]
IfMatch = Annotated[
    int | None,
    typer.Option(help="Only if it is at this revision; 0 only if there is none."),
]
AllowRequestChange = Annotated[
    bool,
    typer.Option(
        "--allow-request-change",
        help="Move the alias even if its callers' requests are then refused or answered otherwise.",
    ),
]


def list_models() -> None:
    """List the registered models, their versions and aliases."""
    from zeroskew.records.registry.open_registry import open_registry

    table = Table("model", "version", "aliases", "model sha256", "created")
    opened = open_registry(Workspace().registry_url, busy_timeout_sec=BUSY_TIMEOUT_SEC)
    with closing(opened) as registry:
        for model in registry.list_models():
            aliases = registry.list_aliases(model)
            for row in registry.list_versions(model):
                names = ", ".join(alias for alias in aliases if aliases[alias] == row.version)
                created = f"{row.created_at:%Y-%m-%d %H:%M}"
                table.add_row(model, str(row.version), names, row.model_sha256[:12], created)
    print_table(table)


def alias(
    model: Model,
    name: Annotated[str, typer.Argument(help="The alias, for example champion.")],
    version: Annotated[
        int | None, typer.Argument(help="Where it is to point.", min=1, max=_MOST)
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Take it away.")] = False,
    reason: Reason = "",
    if_match: IfMatch = None,
    allow_request_change: AllowRequestChange = False,
) -> None:
    """Show where an alias points, move it, or take it away.

    A move that its callers' requests would not survive is refused.
    """
    from training.publish.alias_moves import check_alias_move, read_manifest

    with _registry() as registry:
        if delete:
            registry.delete_alias(model, name, actor=user_name(), reason=reason, if_match=if_match)
            _console.print(f"{name} of {model} is gone")
            return
        if version is None:
            found = registry.get_alias(model, name)
        else:
            artifacts = Workspace().open_artifacts()
            sha256 = registry.get_version(model, version).manifest_sha256
            check_alias_move(
                read_manifest(sha256, artifacts),
                name,
                registry=registry,
                artifacts=artifacts,
                allow_request_change=allow_request_change,
            )
            found = registry.set_alias(
                model, name, version, actor=user_name(), reason=reason, if_match=if_match
            )
    _console.print(f"{name} of {model} is version {found.version} (revision {found.revision})")


def rollout(
    model: Model,
    file: Annotated[
        Path | None, typer.Argument(help="A rollout as JSON; without one it is shown.")
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="End it.")] = False,
    reason: Reason = "",
    if_match: IfMatch = None,
) -> None:
    """Show a model's rollout, set it from a file, or end it."""
    with _registry() as registry:
        if delete:
            registry.delete_rollout(model, actor=user_name(), reason=reason, if_match=if_match)
            _console.print(f"the champion of {model} answers everybody")
            return
        found = (
            registry.get_rollout(model)
            if file is None
            else registry.set_rollout(
                model,
                read_rollout(file, model, registry),
                actor=user_name(),
                reason=reason,
                if_match=if_match,
            )
        )
    _console.print(f"revision {found.revision}")
    _console.print_json(found.rollout.model_dump_json(exclude_defaults=True))


def retire(model: Model, version: Version, reason: Reason = "") -> None:
    """Let a version answer no more."""
    with _registry() as registry:
        registry.retire(model, version, actor=user_name(), reason=reason)
    _console.print(f"{model} version {version} is retired")


def reactivate(model: Model, version: Version, reason: Reason = "") -> None:
    """Let a retired, refused or deprecated version answer again as if nothing had been."""
    with _registry() as registry:
        found = registry.reactivate(model, version, actor=user_name(), reason=reason)
    _console.print(f"{model} version {version} is {found.state}")


def deprecate(
    model: Model,
    version: Version,
    sunset: Annotated[
        datetime | None, typer.Option(help="When it is to be retired, in UTC.")
    ] = None,
    reason: Reason = "",
) -> None:
    """Tell the callers of a version that it is on its way out; it goes on answering."""
    sunset_at = None if sunset is None else as_utc(sunset)
    with _registry() as registry:
        found = registry.deprecate(
            model, version, sunset_at=sunset_at, actor=user_name(), reason=reason
        )
    until = "" if found.sunset_at is None else f", to be retired on {found.sunset_at:%Y-%m-%d}"
    _console.print(f"{model} version {version} is deprecated{until}")


def history(
    model: Model,
    limit: Annotated[int, typer.Option(help="How many changes at most.", min=1, max=_MOST)] = 20,
) -> None:
    """Show who changed what of a model, when and why."""
    table = Table("time (UTC)", "who", "what", "of", "before", "after", "why")
    with _registry() as registry:
        for change in registry.list_changes(model, limit=limit):
            states = [
                "" if one is None else json.dumps(one) for one in (change.before, change.after)
            ]
            when = f"{change.time:%Y-%m-%d %H:%M:%S}"
            what = (change.actor, change.action, change.subject)
            table.add_row(when, *what, *states, change.reason)
    print_table(table)


def migrate() -> None:
    """Bring the database's tables to what this release has; again it changes nothing."""
    from zeroskew.records.database.migrate_database import migrate_database
    from zeroskew.records.database.open_database import open_database

    engine = open_database(Workspace().registry_url, check_tables=False)
    try:
        migrate_database(engine)
    finally:
        engine.dispose()
    _console.print("[green]✓[/] the database's tables are those of this release")


def _registry() -> closing[ModelRegistry]:
    from zeroskew.records.registry.model_registry import ModelRegistry  # SQLAlchemy takes its time.

    return closing(ModelRegistry.open(Workspace().registry_url))


def read_rollout(file: Path, model: str, registry: ModelRegistry) -> Rollout:
    """Read a rollout from a JSON file, and check that its versions fit together.

    Raises
    ------
    SpecError
        If it is none, or they do not.
    """
    from pydantic import ValidationError

    from training.publish.alias_moves import read_rollout_manifests
    from zeroskew.contract.arm_choice import check_arms_fit
    from zeroskew.contract.rollout import Rollout

    try:
        found = Rollout.model_validate_json(file.read_bytes())
    except OSError as error:
        raise SpecError(
            f"Got {file}, but expected a file with a rollout: {error.strerror}"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the top"
        said = first["msg"].removeprefix("Value error, ")
        raise SpecError(f"Got {file} with a mistake at {place}: {said}") from error
    try:
        artifacts = Workspace().open_artifacts()
        check_arms_fit(found, dict(read_rollout_manifests(found, model, registry, artifacts)))
    except ValueError as error:
        raise SpecError(f"{file}: {error}") from error
    return found
