"""The `zeroskew` command."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from training.cli.commands import COMMANDS
from training.project.settings_file import read_settings_file
from zeroskew.contract.errors.project import TrainingError
from zeroskew.contract.errors.service import ServiceError
from zeroskew.contract.time.utc_process import live_in_utc

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """Imports a command when it is run; help is made of what the table says."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - as typer calls it
        """Return the names in the order of help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - as above
        """Return the command, which imports its module."""
        if (entry := COMMANDS.get(cmd_name)) is None:
            return None
        module = importlib.import_module(f"training.cli.{entry.module}")
        found = getattr(module, entry.attribute)
        if isinstance(found, typer.Typer):
            return typer.main.get_command(found)
        alone = typer.Typer(
            add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False
        )
        alone.command(cmd_name)(found)
        return typer.main.get_command(alone)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as above
        """Write what can be done, group by group."""
        for group in dict.fromkeys(entry.group for entry in COMMANDS.values()):
            with formatter.section(group):
                formatter.write_dl(
                    [(name, one.summary) for name, one in COMMANDS.items() if one.group == group],
                    col_spacing=3,
                )


app = typer.Typer(
    name="zeroskew",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def describe() -> None:
    """From tables to a served score, with the same numbers at every step.

    The order of the line: prepare the tables, apply the feature definitions, materialize the
    online store, train and publish a model, serve it. `zeroskew up` does all of it and skips
    what already stands.

    Folders are set by ZEROSKEW_FEATURE_REPO, ZEROSKEW_MODELS and ZEROSKEW_HOME; ZEROSKEW_LAKE
    is where the tables are, if not in the last: a folder, or an address as s3://bucket/lake.
    """


def main() -> None:
    """Run the command line; an expected failure is one clear line and exit status 1."""
    live_in_utc()
    try:
        if not {"--help", "new"} & set(sys.argv[1:2]):
            read_settings_file(Path())
        app()
    except (TrainingError, ServiceError, OSError) as error:
        _leave(str(error))
    except Exception as error:
        from zeroskew.records.database.database_errors import describe_database_error

        if (said := describe_database_error(error)) is None:
            raise
        _leave(said)


def _leave(sentence: str) -> NoReturn:
    from rich.console import Console
    from rich.markup import escape

    Console().print(f"[red]✗[/] {escape(sentence)}", highlight=False, soft_wrap=True)
    sys.exit(1)
