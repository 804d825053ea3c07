"""A project's own settings, in its folder."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from zeroskew.contract.errors.project import SpecError
from zeroskew.contract.errors.sentences import nearest_name

__all__ = ["FILE", "OTHER_SETTINGS", "read_settings_file"]

FILE: Final = "zeroskew.toml"
OTHER_SETTINGS: Final = ("clock", "code_revision")
"""Read by commands, and no field of the workspace."""


def read_settings_file(folder: Path) -> None:
    """Put what ``zeroskew.toml`` says into the environment, which wins where it says otherwise.

    Commands, and the service that they start, then find each ``ZEROSKEW_...`` variable there.

    Parameters
    ----------
    folder
        The project's folder; without the file nothing is done.

    Raises
    ------
    SpecError
        If it is no file or no TOML, anybody may write it, or it has a name that is no setting, a
        table or a NUL.
    """
    path = folder / FILE
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise SpecError(f"{FILE}: Got what is no file, but expected settings as TOML")
        if mode & stat.S_IWOTH:
            raise SpecError(f"{FILE}: Got a file that anybody may write, but expected its owner's")
        settings = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError(f"{FILE}: Got {error}, but expected settings as TOML") from error
    known = _list_names(settings)
    for name, value in settings.items():
        if name not in known:
            nearest = nearest_name(name, known)
            hint = f"; did you mean {nearest!r}?" if nearest else ""
            raise SpecError(f"{FILE}: Got {name!r}, but expected the name of a setting{hint}")
        os.environ.setdefault(f"ZEROSKEW_{name.upper()}", _as_text(name, value))


def _list_names(asked: Iterable[str]) -> set[str]:
    from training.project.workspace import Workspace

    known = {*Workspace.model_fields, *OTHER_SETTINGS}
    if known.issuperset(asked):
        return known
    # The service's take as long to import as a short command does.
    from zeroskew.contract.settings import Settings

    return known | set(Settings.model_fields)


def _as_text(name: str, value: object) -> str:
    if isinstance(value, list):
        return ",".join(_as_text(name, one) for one in value)
    if isinstance(value, dict):
        raise SpecError(f"{FILE}: Got a table for {name!r}, but expected a value")
    if "\0" in str(value):
        raise SpecError(f"{FILE}: Got a NUL in {name!r}, but expected text without")
    return str(value).lower() if isinstance(value, bool) else str(value)
