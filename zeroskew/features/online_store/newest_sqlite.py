"""Feast's SQLite online store, but a row that is older than what stands is not written.

Feast's own store writes whatever comes last, so a late push, or a materialization of the past,
puts old values online. Here each entity's event time is compared under the write lock. The
tables are Feast's: any Feast client reads them, and one that writes is not kept from it.

Feast's code makes a naive time of each instant and counts its seconds in the zone of the host, on
the way in and on the way out. Here the table holds seconds since the Unix epoch in every zone.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from feast import Entity, FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import compute_table_id
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig

from zeroskew.contract.manifest import ViewPlan
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.features.online_store.online_row import OnlineRow, event_us_of
from zeroskew.online.sqlite.event_times import (
    create_event_times,
    forget_event_times,
    note_event_times,
    read_standing_us,
    whole_seconds,
)
from zeroskew.online.sqlite.names import quote
from zeroskew.online.sqlite.removed_tables import forget_removed, list_removed, note_removed
from zeroskew.online.write_order import keep_newest

__all__ = ["NewestSqliteOnlineStore", "NewestSqliteOnlineStoreConfig"]

_Rows: TypeAlias = list[OnlineRow]


class NewestSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    """The ``online_store`` section of ``feature_store.yaml``; options are Feast's."""

    type: Literal["zeroskew.features.online_store.newest_sqlite.NewestSqliteOnlineStore"] = (
        "zeroskew.features.online_store.newest_sqlite.NewestSqliteOnlineStore"
    )


class NewestSqliteOnlineStore(SqliteOnlineStore):
    """Keeps each entity's newest row of a view; among equal event times the last write stands.

    Event times are compared to the microsecond, in a transaction that no other writer enters.
    """

    def __init__(self) -> None:
        super().__init__()
        self._write_lock = threading.Lock()

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[Any],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        """Return the event time, in UTC, and the values of each entity key.

        Parameters
        ----------
        config, table, entity_keys, requested_features
            As Feast documents them.
        """
        rows = super().online_read(config, table, entity_keys, requested_features)
        return [(None if said is None else _from_host_zone(said), values) for said, values in rows]

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: _Rows,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write the rows that are not older than what stands.

        Parameters
        ----------
        config, table, data, progress
            As Feast documents them; a naive time is UTC.
        """
        versioning = config.registry.enable_online_feature_view_versioning
        name = compute_table_id(config.project, table, versioning)
        with self._write_lock, _write_transaction(self._get_conn(config)) as connection:
            create_event_times(connection)
            newer = [
                (key, row)
                for key, row in keep_newest(data, _serialize, event_us_of).items()
                if event_us_of(row) >= read_standing_us(connection, name, key)
            ]
            note_event_times(connection, name, [(key, event_us_of(row)) for key, row in newer])
            # Feast's code ends the transaction.
            rows = [_in_host_zone(row) for _, row in newer]
            super().online_write_batch(config, table, rows, None)
        if progress is not None:
            progress(len(data))

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Create tables as Feast does; those to delete stay, as `removed_views` explains.

        Parameters
        ----------
        config, tables_to_delete, tables_to_keep, entities_to_delete, entities_to_keep, partial
            As Feast documents them.
        """
        super().update(config, [], tables_to_keep, entities_to_delete, entities_to_keep, partial)
        with self._write_lock, self._get_conn(config) as connection:
            note_removed(connection, config.project, _name_tables(config, tables_to_delete))
            forget_removed(connection, config.project, _name_tables(config, tables_to_keep))

    def drop_removed_views(self, config: RepoConfig, needed: Collection[ViewPlan]) -> list[str]:
        """Drop the tables of removed views; see `KeepsRemovedViews`.

        Parameters
        ----------
        config, needed
            As `KeepsRemovedViews` documents them.
        """
        kept = {view.table for view in needed}
        with self._write_lock, self._get_conn(config) as connection:
            removed = list_removed(connection, config.project)
            dropped = [table for table in removed if table not in kept]
            for table in dropped:
                connection.execute(f"DROP TABLE IF EXISTS {quote(table)}")
            create_event_times(connection)
            forget_event_times(connection, dropped)
            forget_removed(connection, config.project, dropped)
        return dropped


@contextmanager
def _write_transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    finally:
        if connection.in_transaction:
            connection.rollback()


def _name_tables(config: RepoConfig, views: Sequence[FeatureView]) -> list[str]:
    versioning = config.registry.enable_online_feature_view_versioning
    return [compute_table_id(config.project, view, versioning) for view in views]


def _serialize(row: OnlineRow) -> bytes:
    return bytes(serialize_entity_key(row[0], entity_key_serialization_version=3))


def _in_host_zone(row: OnlineRow) -> OnlineRow:
    """Return a row whose times Feast's code stores as the seconds since the epoch that they are."""
    key, values, event_time, created = row
    return key, values, _host_time(event_time), None if created is None else _host_time(created)


def _host_time(moment: datetime) -> datetime:
    """Return an instant as a naive time of the host's zone, cut off below the second."""
    return datetime.fromtimestamp(whole_seconds(to_epoch_us(moment)))  # noqa: DTZ006 - as Feast reads it


def _from_host_zone(said: datetime) -> datetime:
    """Return the instant of a naive time of the host's zone that Feast has taken for UTC."""
    return said.replace(tzinfo=None).astimezone(UTC)
