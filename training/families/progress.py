"""How a fit tells how far it is; imported by what a fit's own process may import, and no more."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress"]

Progress = Callable[[int, int], None]
"""Called with what is done and the most there can be."""
