"""Reads features through Feast's SDK, from stores that the service does not speak to itself.

The one module of the service that imports Feast, and only where the online store's address is
``feast:///<path of feature_store.yaml>``. It makes the store's client from the ``online_store``
section and asks it by entity key. Feast's registry stays closed: opening it runs the code of
on-demand views (https://github.com/feast-dev/feast/issues/6827).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from zeroskew.contract.errors.service import (
    OnlineStoreUnavailableError,
    OnlineValueError,
    ServiceError,
)
from zeroskew.contract.time.epoch import NEVER_US, to_epoch_us
from zeroskew.online.feast_sdk.client_threads import ClientThreads, ThreadsBusyError
from zeroskew.online.reader import EntityKeys, ReadLayout, StoredFeatures, StoredView
from zeroskew.online.values.entity_table import distinct_keys
from zeroskew.online.values.view_rows import ViewRow, place_view_rows

try:
    import yaml
    from feast import FeatureView, Field, RepoConfig
    from feast.infra.key_encoding_utils import deserialize_entity_key
    from feast.infra.online_stores.helpers import compute_table_id, get_online_store_from_config
    from feast.types import String
except ImportError as error:
    raise ValueError(
        "Got a feast:// address in ZEROSKEW_ONLINE_STORE without Feast, but expected it to be "
        "installed: pip install 'zeroskew[feast-store]'."
    ) from error

__all__ = ["FeastFeatureReader", "load_config"]

_KEY_VERSION: Final = 3
_NO_ENTITY: Final = bytes(4)
_N_THREADS: Final = 4
# Stores keep their connection under one of these names; Feast itself never closes it.
_CONNECTIONS: Final = ("_conn", "_conn_pool", "_client", "_session")
_ViewKeys: TypeAlias = tuple[StoredView, Any, list[bytes]]


class FeastFeatureReader:
    """A reader over any online store of Feast's, on threads.

    Few of Feast's store clients may be used by two threads at a time, so each thread has one
    of its own. Views are asked one after another.

    Parameters
    ----------
    config
        What `load_config` returned.
    timeout_sec
        How long a read may take, the wait for a thread included.
    """

    def __init__(self, config: Any, *, timeout_sec: float) -> None:
        # The SDK does its work beside the event loop, and much of it for each call.
        self.cells_at_once: Final = 8192
        self._config = config
        self._timeout_sec = timeout_sec
        self._stubs: WeakKeyDictionary[StoredView, Any] = WeakKeyDictionary()
        self._threads: ClientThreads[Any, list[dict[bytes, ViewRow]]] = ClientThreads(
            lambda: get_online_store_from_config(self._config.online_store),
            _close_store,
            n_threads=_N_THREADS,
        )

    async def read(self, layout: ReadLayout, keys: Sequence[EntityKeys]) -> StoredFeatures:
        """Return the stored features of some request rows.

        Parameters
        ----------
        layout
            What to read.
        keys
            For each of ``layout.lookups`` the keys of all rows, in the order of the rows.

        Raises
        ------
        OnlineStoreUnavailableError
            If the store cannot be read, or does not answer in time.
        OnlineValueError
            If the store gives a value without an event time.
        """
        distinct = [distinct_keys(row_keys) for row_keys in keys]
        views = [
            (view, self._stub(layout, view), entities)
            for lookup, (entities, _) in zip(layout.lookups, distinct, strict=True)
            for view in lookup.views
        ]
        found = await self._ask(views)
        return place_view_rows(layout, distinct, len(keys[0]) if keys else 0, found)

    async def check(self, layout: ReadLayout) -> None:
        """Check that every view of a layout can be read.

        Raises
        ------
        OnlineStoreUnavailableError
            If one cannot; the message names it.
        """
        await self.read(layout, [(_NO_ENTITY,)] * len(layout.lookups))

    async def close(self) -> None:
        """Let the threads close their clients."""
        self._threads.close()

    async def _ask(self, views: Sequence[_ViewKeys]) -> list[dict[bytes, ViewRow]]:
        try:
            call = self._threads.submit(lambda store: [self._read(store, *view) for view in views])
        except ThreadsBusyError as error:
            raise OnlineStoreUnavailableError("The online store is far too slow.") from error
        try:
            async with asyncio.timeout(self._timeout_sec):
                return await asyncio.wrap_future(call.future)
        except TimeoutError as error:
            raise OnlineStoreUnavailableError("The online store did not answer in time.") from error
        finally:
            self._threads.give_up(call)

    def _read(
        self, store: Any, view: StoredView, stub: Any, keys: Sequence[bytes]
    ) -> dict[bytes, ViewRow]:
        """Return what the store has for some distinct keys; runs in a thread."""
        if not keys:
            return {}
        try:
            entity_keys = [deserialize_entity_key(key, _KEY_VERSION) for key in keys]
            found = store.online_read(self._config, stub, entity_keys, list(view.features))
            rows = zip(keys, found, strict=True)
            return {key: _to_row(view, event_time, values) for key, (event_time, values) in rows}
        except ServiceError:
            raise
        except Exception as error:
            # Each store's client has errors of its own.
            raise OnlineStoreUnavailableError(
                f"The online store cannot be read for feature view {view.name!r}."
            ) from error

    def _stub(self, layout: ReadLayout, view: StoredView) -> Any:
        """Return a feature view with all that a store's client wants to know of it."""
        stub = self._stubs.get(view)
        if stub is None:
            stub = self._stubs[view] = _make_stub(layout.project, view, self._config)
        return stub


def load_config(path: Path) -> Any:
    """Return the configuration of the online store alone.

    What else stands in the file, the offline store above all, may need packages that the
    service does not have.

    Parameters
    ----------
    path
        A ``feature_store.yaml``. Its ``project``, ``online_store`` and
        ``entity_key_serialization_version`` are read, and ``${VARIABLES}`` are filled in.

    Raises
    ------
    ValueError
        If the file is not there or not such a file, or the store's own client is not installed.
        The message shows no value of the file.
    """
    try:
        settings = yaml.safe_load(os.path.expandvars(path.read_text()))
        online_store = settings["online_store"]
        project = settings["project"]
        version = settings.get("entity_key_serialization_version", _KEY_VERSION)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, AttributeError, TypeError):
        raise ValueError(
            "Got no feature_store.yaml with a project and an online_store at the feast:// address "
            "in ZEROSKEW_ONLINE_STORE, but expected one."
        ) from None
    if version != _KEY_VERSION:
        raise ValueError(
            f"Got entity_key_serialization_version {version!r}, but expected {_KEY_VERSION}."
        )
    try:
        config = RepoConfig(
            project=project,
            provider="local",
            registry="unused",
            online_store=online_store,
            entity_key_serialization_version=_KEY_VERSION,
            repo_path=path.parent,
        )
        get_online_store_from_config(config.online_store)
    except Exception as error:
        # Feast's message repeats the section, and the section may hold a password.
        raise ValueError(
            "Got an online_store in feature_store.yaml that Feast cannot open, but expected one "
            f"of its types, with its client installed ({type(error).__name__})."
        ) from None
    return config


def _make_stub(project: str, view: StoredView, config: Any) -> Any:
    """Return a feature view that Feast finds in the same table as the view of the plan.

    Its types are not those of the view: what a key-value store answers does not depend on them.
    """
    if project != config.project:
        raise OnlineStoreUnavailableError(
            f"Got a model of Feast project {project!r}, but expected one of {config.project!r}."
        )
    # The table's name has the view's version in it, where versions are on.
    stub = FeatureView(
        name=view.table.removeprefix(f"{project}_"),
        entities=[],
        schema=[Field(name=feature, dtype=String) for feature in view.features],
    )
    if compute_table_id(project, stub) != view.table:
        raise OnlineStoreUnavailableError(
            f"Got feature view {view.name!r} in a table that Feast would not name so."
        )
    return stub


def _absent_row(view: StoredView) -> ViewRow:
    return [None] * len(view.features), NEVER_US


def _to_row(view: StoredView, event_time: datetime | None, values: Any) -> ViewRow:
    if event_time is None:
        if any(value.WhichOneof("val") for value in (values or {}).values()):
            raise OnlineValueError(
                f"Got a value of view {view.name!r} without an event time, but expected both."
            )
        return _absent_row(view)
    aware = event_time if event_time.tzinfo else event_time.replace(tzinfo=UTC)
    found = values or {}
    cells = [
        found[feature].SerializeToString() if feature in found else None
        for feature in view.features
    ]
    return cells, to_epoch_us(aware)


def _close_store(store: Any) -> None:
    for name in _CONNECTIONS:
        connection: Any = getattr(store, name, None)
        with contextlib.suppress(Exception):
            connection.close()
