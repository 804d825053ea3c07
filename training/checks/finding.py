"""A mistake that was found before it could cost time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from zeroskew.contract.errors.sentences import shorten_middle

__all__ = ["LONGEST_SENTENCE", "Finding"]

LONGEST_SENTENCE: Final = 199


@dataclass(frozen=True)
class Finding:
    """One thing that would fail later.

    Attributes
    ----------
    place
        File, model, view, field or variable, from the outside in: ``orders.py: request.amount``.
    message
        What came, what was expected and, where that does not say it, what to do.
    model
        The one model that it stops; ``None`` where it stops everything.
    """

    place: str
    message: str
    model: str | None = None

    def __str__(self) -> str:
        """Return one line of less than 200 characters.

        >>> str(Finding("will_return.py", "Got no MODEL, but expected one"))
        'will_return.py: Got no MODEL, but expected one.'
        """
        message = " ".join(self.message.split()).rstrip(".")
        return f"{shorten_middle(f'{self.place}: {message}', LONGEST_SENTENCE - 1)}."
