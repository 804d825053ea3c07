"""What the live commands' options have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from training.live.logged_predictions import Span

__all__ = ["AsOf", "End", "Models", "Start", "as_utc", "span"]

Models = Annotated[list[str] | None, typer.Argument(help="Models; all registered ones by default.")]
Start = Annotated[
    datetime | None, typer.Option("--from", help="Predictions from this time on; UTC.")
]
End = Annotated[datetime | None, typer.Option("--until", help="Predictions before it; UTC.")]
AsOf = Annotated[
    datetime | None,
    typer.Option(help="Labels observed until this time count; now by default. UTC."),
]


def as_utc(moment: datetime | None) -> datetime | None:
    """Return a moment as an aware one; one without a zone is in UTC."""
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def span(start: datetime | None, end: datetime | None) -> Span:
    """Return the span of two options."""
    from training.live.logged_predictions import Span

    return Span(as_utc(start), as_utc(end))
