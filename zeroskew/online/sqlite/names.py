"""Names of tables in SQL."""

from __future__ import annotations

__all__ = ["quote"]


def quote(name: str) -> str:
    """Return a name as SQL takes it, whatever is in it.

    >>> print(quote('new "gates" of 2013'))
    "new ""gates"" of 2013"
    """
    return '"' + name.replace('"', '""') + '"'
