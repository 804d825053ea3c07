"""Importing a feature repo's modules by their bare names, as Feast does."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

__all__ = ["repo_modules"]


@contextlib.contextmanager
def repo_modules(repo: Path) -> Iterator[None]:
    """Let the repo's modules be imported by their bare names, and forget them afterwards.

    Others of the same name, from another repo that this process works on, come back.
    """
    root = str(repo.resolve())
    names = {path.stem for path in repo.iterdir()} if repo.is_dir() else set()
    names -= sys.stdlib_module_names
    kept = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in names and not _is_installed(module)
    }
    for name in kept:
        del sys.modules[name]
    written = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # As Feast does: a file may change within one second.
    sys.path.insert(0, root)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(root)
        sys.dont_write_bytecode = written
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in names and _lies_in(module, root):
                del sys.modules[name]
        sys.modules.update(kept)


def _lies_in(module: ModuleType, root: str) -> bool:
    return str(getattr(module, "__file__", None) or "").startswith(f"{root}/")


def _is_installed(module: ModuleType) -> bool:
    return "site-packages" in str(getattr(module, "__file__", None) or "site-packages")
