"""Looks for garbage wait for imports, and go on after them, whatever they end in."""

from __future__ import annotations

import gc

import pytest

from api.quick_imports import quick_imports


def test_looks_for_garbage_go_on_after_imports() -> None:
    frozen = gc.get_freeze_count()
    try:
        with quick_imports():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
        with pytest.raises(ImportError), quick_imports():
            raise ImportError
        assert gc.isenabled()
    finally:
        gc.unfreeze()
