"""What lies outside the project: port, settings, clock, folders, database, online store."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from training.checks.finding import Finding
from training.checks.project import ProjectView
from training.project.service_address import ServiceAddress
from training.project.settings_file import OTHER_SETTINGS
from training.project.workspace import Workspace
from zeroskew.contract.errors.project import StepError, TrainingError
from zeroskew.contract.errors.sentences import first_line
from zeroskew.online.schemes import open_store

if TYPE_CHECKING:
    from zeroskew.contract.settings import Settings

__all__ = [
    "check_address",
    "check_database",
    "check_folders",
    "check_online_store",
    "check_settings",
]

_PREFIX: Final = "ZEROSKEW_"
_ONLINE_STORE: Final = "ZEROSKEW_ONLINE_STORE"
# Read by what ships with Zeroskew, but a setting of neither the service nor the workspace.
_OTHER_VARIABLES: Final = {"ROOT", "BENCHMARK_RUN", "URL", "API_KEY"} | {
    name.upper() for name in OTHER_SETTINGS
}
_TIMEOUT_SEC: Final = 2.0


def check_settings(project: ProjectView) -> Iterator[Finding]:
    """Ask the service which settings it would refuse, and name those that nobody reads."""
    from pydantic import ValidationError

    from zeroskew.contract.settings_page import describe_refusals

    try:
        settings = read_settings(project)
    except ValidationError as error:
        for variable, sentence in describe_refusals(error):
            yield Finding(variable or "settings", sentence)
    except TrainingError:
        pass  # The feature store's file is unreadable, which is a finding of its own.
    else:
        yield from _check_online_address(settings)
    yield from _check_names(project)


def check_address(project: ProjectView) -> Iterator[Finding]:
    """Listen where the service will, for a moment."""
    try:
        address = ServiceAddress.read(project.environment)
    except StepError:
        return  # The settings say so.
    try:
        address.require_free()
    except StepError as error:
        yield Finding("ZEROSKEW_HOST, ZEROSKEW_PORT", str(error))


def check_folders(project: ProjectView) -> Iterator[Finding]:
    """Look whether what is made can be written."""
    yield from _check_writable("ZEROSKEW_HOME", project.workspace.home)
    artifacts = project.workspace.artifacts_dir
    if isinstance(artifacts, Path) and not artifacts.is_relative_to(project.workspace.home):
        yield from _check_writable("ZEROSKEW_ARTIFACTS_DIR", artifacts)


def check_database(project: ProjectView) -> Iterator[Finding]:
    """Connect to the database, if there is one yet, and read which release its tables are of."""
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    from zeroskew.records.database.open_database import describe_database

    place = "ZEROSKEW_DATABASE_URL"
    if (path := project.workspace.database_file) is not None:
        if not path.exists():
            yield from _check_writable(place, path.parent)
            return
        if not path.is_file() or not os.access(path, os.W_OK):
            yield Finding(place, f"Got {path} that cannot be written, but expected a file")
            return
    try:
        reason = describe_database(project.workspace.database_url, timeout_sec=_TIMEOUT_SEC)
    except (ArgumentError, NoSuchModuleError, ImportError):
        reason = (
            "Got an address of no database that is known, but expected sqlite:/// or postgresql://"
        )
    except (SQLAlchemyError, OSError) as error:
        said = first_line(getattr(error, "orig", None) or error)
        reason = f"Got no answer ({said}), but expected a database that can be reached"
    if reason:
        yield Finding(place, reason)


def check_online_store(project: ProjectView) -> Iterator[Finding]:
    """Ping the store that Feast writes to, and the one that the service reads."""
    place = f"{project.workspace.feature_store_file}: online_store"
    given = project.environment.get(_ONLINE_STORE)
    try:
        address = project.workspace.online_store_address
    except StepError as error:
        if project.config is not None:  # Else the file cannot be read, which is another finding.
            yield Finding(place, str(error))
        return
    if project.config is not None and address is None and given is None:
        yield Finding(
            place,
            f"Got a store that only Feast knows, but expected {_ONLINE_STORE} to say where the "
            "service finds it",
        )
    for where, one in ((place, address), (_ONLINE_STORE, given)):
        if one is not None:
            yield from _ping_store(where, one)


def read_settings(project: ProjectView) -> Settings:
    """Return the service's settings as `zeroskew serve` would start it.

    Raises
    ------
    pydantic.ValidationError
        If the service would refuse them.
    StepError
        If the feature store's file cannot be read.
    """
    from zeroskew.contract.settings import Settings

    # What the workspace says stands only where no variable does.
    given = {
        variable.removeprefix(_PREFIX).lower(): value
        for variable, value in project.workspace.service_environment().items()
        if variable not in project.environment
    }
    return Settings(**given)  # type: ignore[arg-type]


def _check_online_address(settings: Settings) -> Iterator[Finding]:
    try:
        open_store(settings.online_store)
    except ValueError as error:
        yield Finding(_ONLINE_STORE, str(error))


def _check_names(project: ProjectView) -> Iterator[Finding]:
    from zeroskew.contract.settings_page import describe_misspelt

    others = {name.upper() for name in Workspace.model_fields} | _OTHER_VARIABLES
    for variable, sentence in describe_misspelt(project.environment, others):
        yield Finding(variable, sentence)


def _check_writable(variable: str, folder: Path) -> Iterator[Finding]:
    standing = next(one for one in (folder, *folder.parents) if one.exists())
    if not standing.is_dir():
        yield Finding(variable, f"Got {standing}, which is a file, but expected a folder")
        return
    try:
        # The rights alone do not tell: root has them all, and yet cannot write everywhere.
        with tempfile.TemporaryFile(dir=standing):
            pass
    except OSError as error:
        yield Finding(
            variable,
            f"Got {standing} ({error.strerror}), but expected a folder that this user can write to",
        )


def _ping_store(where: str, address: str) -> Iterator[Finding]:
    try:
        said = open_store(address).ping(timeout_sec=_TIMEOUT_SEC)
    except ValueError as error:
        # What is wrong with the setting is a finding of the settings.
        said = None if where == _ONLINE_STORE else str(error)
    if said is not None:
        yield Finding(where, said)
