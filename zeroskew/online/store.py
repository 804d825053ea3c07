"""The seam to an online store as a whole: what its folder offers to the service and to commands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from zeroskew.online.reader import OnlineFeatureReader, StoredView
    from zeroskew.online.writer import OnlineFeatureWriter

__all__ = [
    "NOT_COPIED",
    "EmptyCopy",
    "OnlineStore",
    "StoreFolder",
    "StoredEntities",
    "StoredEntity",
    "TableSize",
]


NOT_COPIED: Final = (
    "Got an online store that is a server, but expected one in a SQLite file, of which time can "
    "pass in a copy."
)
"""Why there is no empty copy of a store."""


class StoreFolder(Protocol):
    """The module by which `zeroskew.online.schemes` knows a store; it imports little."""

    def open_store(self, address: str) -> OnlineStore:
        """Return the store at an address of one of the module's schemes.

        Raises
        ------
        ValueError
            If it is no such address. The message names the setting, and shows nothing of the
            address that may be secret.
        """
        ...

    def find_address(self, section: Mapping[str, Any], repo: Path) -> str | None:
        """Return the address of the store that Feast's configuration describes.

        Parameters
        ----------
        section
            ``online_store`` in ``feature_store.yaml``, with its ``type``.
        repo
            The folder of that file, which paths in it are relative to.

        Returns
        -------
        str or None
            ``None`` if it is of another type than this folder reads.

        Raises
        ------
        ValueError
            If it is of this type and has no address.
        """
        ...


class OnlineStore(Protocol):
    """An online store at an address; it connects when it is first asked for something."""

    @property
    def name(self) -> str:
        """Where it is, without users and passwords, so that two can be compared.

        A store that only its own machine reaches has an address without a host.
        """
        ...

    def open_reader(self, *, timeout_sec: float | None) -> OnlineFeatureReader:
        """Return what reads it; ``None`` is the time that suits it."""
        ...

    def open_writer(self, *, timeout_sec: float) -> OnlineFeatureWriter:
        """Return what writes it.

        Raises
        ------
        NotSupportedError
            If the service does not write a store of this kind.
        """
        ...

    def open_entities(self, project: str, tables: Collection[str]) -> StoredEntities:
        """Return what looks through all entities of a Feast project.

        Parameters
        ----------
        project
            The project.
        tables
            Feast's names of the project's tables: what begins with its name may be another's, for
            ``shop_eu_users`` is the view ``users`` of ``shop_eu`` as well as ``eu_users`` of
            ``shop``.

        Raises
        ------
        NotSupportedError
            If a store of this kind cannot be looked through.
        """
        ...

    def ping(self, *, timeout_sec: float) -> str | None:
        """Say why a server does not answer; ``None`` if it does, or if there is no server."""
        ...

    def measure(self) -> Mapping[str, TableSize] | None:
        """Return how much each table holds; ``None`` for a server, which holds too much to count.

        A store that is not there, or is damaged, holds nothing.
        """
        ...

    def make_empty_copy(self, folder: Path) -> EmptyCopy:
        """Make an empty store of this kind in a folder, in place of one that is there.

        Raises
        ------
        NotSupportedError
            If a store of this kind is not in a file.
        """
        ...


class TableSize(NamedTuple):
    """How many entities and values a table of a view holds."""

    n_entities: int
    n_values: int


class EmptyCopy(NamedTuple):
    """An empty store: its address, and what Feast's ``online_store`` says to write it."""

    address: str
    section: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoredEntity:
    """What a store has of an entity.

    ``values`` are serialised values by feature, or without names where the store keeps none.
    ``view`` is Feast's name of the table without the project, ``None`` where the values are those
    of all views.
    """

    key: bytes
    values: Mapping[str, bytes] | Sequence[bytes]
    view: str | None = None


class StoredEntities(Protocol):
    """All entities of a project, for commands: its calls block.

    No store can be asked for a part of a key, so each call looks through all there are.
    """

    def list_keys(self, view: StoredView, key_prefix: bytes) -> Iterator[bytes]:
        """Yield serialised entity keys of a view, of a server not all of them.

        Parameters
        ----------
        view
            The view; a key may be one of another view of the same entity.
        key_prefix
            What its keys begin with.
        """
        ...

    def find(self, is_meant: Callable[[bytes], bool]) -> list[StoredEntity]:
        """Return the entities whose serialised key is meant."""
        ...

    def erase(self, is_meant: Callable[[bytes], bool]) -> int:
        """Erase those entities and return how many there were.

        Raises
        ------
        StepError
            If what was deleted cannot be overwritten, because a reader holds it.
        """
        ...
