"""Any online store that Feast's SDK speaks to: ``feast:///<path of feature_store.yaml>``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from zeroskew.contract.errors.service import NotSupportedError
from zeroskew.online.store import NOT_COPIED, EmptyCopy

if TYPE_CHECKING:
    from zeroskew.online.reader import OnlineFeatureReader
    from zeroskew.online.store import OnlineStore, StoredEntities
    from zeroskew.online.writer import OnlineFeatureWriter

__all__ = ["FeastSdkStore", "find_address", "open_store"]

_SCHEME: Final = "feast:///"
_TIMEOUT_SEC: Final = 1.0


def open_store(address: str) -> OnlineStore:
    """Return the store that Feast's configuration at the address describes, see `StoreFolder`.

    Raises
    ------
    ValueError
        If Feast or the store's own client is not installed, or the file is not such a file.
    """
    path = address.removeprefix(_SCHEME)
    if path in ("", address):
        raise ValueError(
            f"Got no path in ZEROSKEW_ONLINE_STORE, but expected {_SCHEME}<path of "
            "feature_store.yaml>."
        )
    # Feast takes seconds to import, and need not be installed.
    from zeroskew.online.feast_sdk.reader import load_config

    return FeastSdkStore(Path(path), load_config(Path(path)))


def find_address(section: Mapping[str, Any], repo: Path) -> str | None:  # noqa: ARG001
    """Return nothing: whoever wants Feast's SDK to read says so, see `StoreFolder`."""
    return None


class FeastSdkStore:
    """The store that a configuration of Feast's describes, see `OnlineStore`.

    Parameters
    ----------
    path
        The configuration's file.
    config
        What stands there of the store.
    """

    def __init__(self, path: Path, config: Any) -> None:
        self._path = path
        self._config = config

    @property
    def name(self) -> str:
        """The configuration's path, in full."""
        return f"{_SCHEME}{self._path.resolve()}"

    def open_reader(self, *, timeout_sec: float | None) -> OnlineFeatureReader:
        """Return a reader on threads, which waits for a second if unsaid."""
        from zeroskew.online.feast_sdk.reader import FeastFeatureReader

        return FeastFeatureReader(self._config, timeout_sec=timeout_sec or _TIMEOUT_SEC)

    def open_writer(self, *, timeout_sec: float) -> OnlineFeatureWriter:  # noqa: ARG002 - refused
        """Refuse: a write is compared with what stands, which Feast's SDK cannot."""
        raise NotSupportedError(
            "The service writes Redis and SQLite; write this online store with Feast itself."
        )

    def open_entities(self, project: str, tables: Collection[str]) -> StoredEntities:  # noqa: ARG002 - refused
        """Refuse: Feast cannot tell which entities there are."""
        raise NotSupportedError(
            "Zeroskew looks through SQLite and Redis; look through this online store, and erase "
            "there, by the store's own means."
        )

    def ping(self, *, timeout_sec: float) -> str | None:  # noqa: ARG002 - as below
        """Say nothing: Feast has no question that all of its stores answer."""
        return None

    def measure(self) -> None:
        """Count nothing: a server has too much."""

    def make_empty_copy(self, folder: Path) -> EmptyCopy:  # noqa: ARG002 - there is no file
        """Refuse: nothing is made on a server."""
        raise NotSupportedError(NOT_COPIED)
