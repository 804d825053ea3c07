"""A mistake that was found before it could cost time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["LONGEST_SENTENCE", "Finding", "join_names", "shorten"]

LONGEST_SENTENCE: Final = 199
_ELLIPSIS: Final = " … "


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
        return f"{shorten(f'{self.place}: {message}', LONGEST_SENTENCE - 1)}."


def shorten(text: str, length: int) -> str:
    """Return ``text`` with as much of its middle left out as brings it down to ``length``.

    Both ends are kept: an error begins with the place and ends with what to do.

    >>> shorten("Got 'aaaaaaaaaaaaaaaaaaaaaa', but expected 'b'", 30)
    "Got 'aaaaaaaaa …  expected 'b'"
    """
    if len(text) <= length:
        return text
    kept = length - len(_ELLIPSIS)
    return text[: kept - kept // 2] + _ELLIPSIS + text[len(text) - kept // 2 :]


def join_names(names: Iterable[object], most: int = 5) -> str:
    """Return names for a sentence, the first of them where there are many.

    >>> join_names(["b", "a"]), join_names(range(9), most=2)
    ('a, b', '0, 1 and 7 more')
    """
    known = sorted(map(str, names))
    listed = ", ".join(known[:most])
    return listed if len(known) <= most else f"{listed} and {len(known) - most} more"
