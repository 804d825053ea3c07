"""Which request-time functions were traced before, and have not changed since.

Tracing imports what makes graphs, which costs a quarter of a check's time. A check is a first
look: training and publishing trace anew, whatever stands here.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Final

import zeroskew.features
from zeroskew.features.request_function import RequestFunction

__all__ = ["TracedFunctions"]

_TOOLS: Final = ("ndonnx", "numpy", "onnx", "onnxruntime")


class TracedFunctions:
    """Remembers functions that were traced, as long as no code changes.

    Parameters
    ----------
    home
        The folder of all that is made. Where there is none yet, nothing is kept.
    feature_repo
        The folder whose Python files, with our own and the versions of what traces, tell
        whether anything has changed.
    """

    def __init__(self, home: Path, feature_repo: Path) -> None:
        self._file = home / "checks" / "traced.json"
        self._home = home
        self._state = _hash_code(feature_repo)
        self._known: set[str] = set()
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            kept = json.loads(self._file.read_text())
            if kept["state"] == self._state:
                self._known = {str(one) for one in kept["functions"]}

    def __contains__(self, function: RequestFunction) -> bool:
        return _describe(function) in self._known

    def add(self, function: RequestFunction) -> None:
        """Remember a function that can be traced."""
        self._known.add(_describe(function))
        if not self._home.is_dir():
            return
        unfinished = self._file.with_suffix(".part")
        # A folder that may only be read is no reason for a check to fail.
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(exist_ok=True)
            unfinished.write_text(
                json.dumps({"state": self._state, "functions": sorted(self._known)})
            )
            unfinished.replace(self._file)


def _describe(function: RequestFunction) -> str:
    return json.dumps([function.name, function.input_names, function.output_names])


def _hash_code(feature_repo: Path) -> str:
    digest = hashlib.sha256(platform.python_version().encode())
    for tool in _TOOLS:
        digest.update(f"{tool} {importlib.metadata.version(tool)}\n".encode())
    for root in (feature_repo, *map(Path, zeroskew.features.__path__)):
        for path in sorted(root.rglob("*.py")):
            place = path.relative_to(root)
            if not path.is_file() or any(part.startswith(".") for part in place.parts):
                continue
            digest.update(f"{place}\n".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
