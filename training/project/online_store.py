"""The project's online store, by the one address that is read for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from training.project.workspace import Workspace
from zeroskew.contract.errors.project import StepError
from zeroskew.online.schemes import find_address, open_store
from zeroskew.online.store import OnlineStore

__all__ = ["open_online_store", "open_store_at", "open_store_of"]

_SETTING = "ZEROSKEW_ONLINE_STORE"


def open_online_store(workspace: Workspace) -> OnlineStore:
    """Return the store that Feast writes to.

    Where only Feast knows its kind, the service's setting says where it is, or Feast's SDK reads.

    Raises
    ------
    StepError
        If its address is none that is known.
    """
    return open_store_at(
        workspace.online_store_address
        or os.environ.get(_SETTING)
        or f"feast:///{workspace.feature_store_yaml.resolve()}"
    )


def open_store_of(store: Any) -> OnlineStore:
    """Return the store that an open Feast ``FeatureStore`` writes to.

    Raises
    ------
    StepError
        If its address is none that is known, or only Feast knows its kind and
        ``ZEROSKEW_ONLINE_STORE`` does not say where it is.
    """
    section = store.config.online_store.model_dump(mode="json")
    try:
        address = find_address(section, Path(store.repo_path or "."))
    except ValueError as error:
        raise StepError(str(error)) from error
    if address is None and (address := os.environ.get(_SETTING)) is None:
        raise StepError(
            f"Got an online store of type {section['type']}, but expected one that Zeroskew reads; "
            f"say with {_SETTING} where it is"
        )
    return open_store_at(address)


def open_store_at(address: str) -> OnlineStore:
    """Return the store at an address, or refuse it as commands do.

    Raises
    ------
    StepError
        If it is none that is known.
    """
    try:
        return open_store(address)
    except ValueError as error:
        raise StepError(str(error)) from error
