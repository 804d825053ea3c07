"""What commands have in common: options, how a group is made, and how a table is printed."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from training.project.service_clock import as_utc, read_clock
from zeroskew.contract.errors.project import SpecError

if TYPE_CHECKING:
    from training.live.logged_predictions import Span
    from zeroskew.records.registry.model_registry import ModelRegistry

__all__ = [
    "MOST_DAYS",
    "AsOf",
    "End",
    "Models",
    "Start",
    "make_group",
    "named_models",
    "or_now",
    "print_table",
    "span",
]

MOST_DAYS: Final = 36_500
"""A hundred years; some thousands more and there is no calendar."""

Models = Annotated[list[str] | None, typer.Argument(help="Models; all registered ones by default.")]
Start = Annotated[
    datetime | None, typer.Option("--from", help="Predictions from this time on; UTC.")
]
End = Annotated[datetime | None, typer.Option("--until", help="Predictions before it; UTC.")]
AsOf = Annotated[
    datetime | None,
    typer.Option(help="Labels observed until this time count; the clock's time by default. UTC."),
]


def make_group(name: str, said: str) -> typer.Typer:
    """Return a group of commands under one name; ``said`` is its line in the list of commands."""
    return typer.Typer(
        name=name,
        help=said,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="markdown",
    )


def print_table(table: Table) -> None:
    """Print a table of texts as they are, in a narrow terminal over several lines."""
    for column in table.columns:
        column.overflow = "fold"
    Console().print(table, markup=False)


def or_now(moment: datetime | None) -> datetime:
    """Return a moment in UTC, or what the service's clock says where none is given."""
    return read_clock() if moment is None else as_utc(moment)


def named_models(registry: ModelRegistry, names: list[str] | None) -> list[str]:
    """Return the models that are named, or else all registered ones.

    Raises
    ------
    SpecError
        If one of them is not registered.
    """
    known = registry.list_models()
    if unknown := sorted(set(names or ()) - set(known)):
        raise SpecError(
            f"Got model {unknown[0]!r}, but expected one of those that are registered: "
            f"{', '.join(known) or 'there are none yet'}"
        )
    return names or known


def span(start: datetime | None, end: datetime | None) -> Span:
    """Return the span of two options."""
    from training.live.logged_predictions import Span

    return Span(_as_utc_or_none(start), _as_utc_or_none(end))


def _as_utc_or_none(moment: datetime | None) -> datetime | None:
    return None if moment is None else as_utc(moment)
