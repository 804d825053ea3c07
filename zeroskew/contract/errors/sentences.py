"""Parts of sentences that say what came and what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

__all__ = ["first_line", "join_names", "nearest_name", "shorten_middle"]

_ELLIPSIS: Final = " … "


def shorten_middle(text: str, length: int) -> str:
    """Return ``text`` with as much of its middle left out as brings it down to ``length``.

    Both ends are kept: an error begins with the place and ends with what to do.

    >>> shorten_middle("Got 'aaaaaaaaaaaaaaaaaaaaaa', but expected 'b'", 30)
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


def first_line(error: BaseException) -> str:
    r"""Return the first line of what another library's error says, or else its type.

    >>> first_line(ValueError("no such column\nin a long plan")), first_line(OSError())
    ('no such column', 'OSError')
    """
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


def nearest_name(given: str, names: Iterable[str]) -> str | None:
    """Return the name most like ``given``, ``None`` where none is.

    >>> nearest_name("num_leafs", ["num_leaves", "max_depth"])
    'num_leaves'
    """
    lowered = {name.lower(): name for name in names}
    found = difflib.get_close_matches(given.lower(), lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else None
