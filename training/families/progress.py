"""How long work tells how far it is; a fit's own process imports this, so it imports nothing."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress"]

Progress = Callable[[int, int], None]
"""Called with what is done and the most there can be."""
