"""Imports without looks for garbage, of which imports leave next to none."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quick_imports"]


@contextmanager
def quick_imports() -> Iterator[None]:
    """Let nothing be looked through for garbage within, nor later what was made within.

    The modules of a service are 160,000 objects, of which 1,200 are garbage when all are there;
    to look through them again and again is an eighth of the CPU of its start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
