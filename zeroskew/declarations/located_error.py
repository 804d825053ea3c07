"""Where an error in a user's own file arose, and what it says, for one line each."""

from __future__ import annotations

import traceback
from pathlib import Path

from pydantic import ValidationError

from zeroskew.contract.errors.project import TrainingError
from zeroskew.contract.errors.sentences import first_line

__all__ = ["describe_error", "locate_error"]

_ADVICE = {
    "extra_forbidden": "Got an unknown name, but expected one that is declared",
    "missing": "Got nothing, but expected a value",
}


def locate_error(error: BaseException, folder: Path, file: Path) -> str:
    """Return the file below ``folder`` and the line that an error came from: ``orders.py:12``.

    Parameters
    ----------
    error
        As raised while ``file`` ran.
    folder
        Whose files are the user's; the innermost of their lines is told.
    file
        The file to name where the traceback knows none.
    """
    root = folder.resolve()
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_below(Path(error.filename), root) or file.name}:{error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if name := _below(Path(frame.filename), root):
            return f"{name}:{frame.lineno}"
    return file.name


def describe_error(error: BaseException) -> list[str]:
    """Return a sentence for each thing that an error complains of.

    >>> describe_error(SyntaxError("invalid syntax"))
    ['Got SyntaxError (invalid syntax), but expected a file that runs']
    """
    if isinstance(error, ValidationError):
        return [_describe_field(one) for one in error.errors(include_url=False)]
    if isinstance(error, TrainingError) or str(error).startswith("Got "):
        return [str(error)]
    said = error.msg if isinstance(error, SyntaxError) else first_line(error)
    return [f"Got {type(error).__name__} ({said}), but expected a file that runs"]


def _describe_field(one: object) -> str:
    assert isinstance(one, dict)
    place = ".".join(map(str, one["loc"]))
    message = str(one["msg"]).removeprefix("Value error, ")
    if not message.startswith("Got "):
        message = _ADVICE.get(one["type"]) or f"Got {one['input']!r}: {message}"
    return f"{place}: {message}" if place else message


def _below(path: Path, root: Path) -> str | None:
    resolved = path.resolve()
    return str(resolved.relative_to(root)) if resolved.is_relative_to(root) else None
