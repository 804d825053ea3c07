"""An online store in this process's memory: what a folder of `zeroskew.online` must offer.

A test makes it known by one line: ``SCHEMES["memory"] = "tests.support.memory_store"``.
"""
# ruff: noqa: ARG002 - the arguments are those of the seam

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from zeroskew.contract.errors.service import NotSupportedError, OnlineStoreUnavailableError
from zeroskew.online.reader import EntityKeys, ReadLayout, StoredFeatures, StoredView
from zeroskew.online.store import EmptyCopy, OnlineStore, StoredEntity, TableSize
from zeroskew.online.values.decode import ValueType, decode_value
from zeroskew.online.values.encode_nested import encode_feature
from zeroskew.online.values.entity_table import distinct_keys
from zeroskew.online.values.view_rows import ViewRow, place_view_rows
from zeroskew.online.writer import OnlineWrite, StateChange

__all__ = ["find_address", "open_store"]


@dataclass(frozen=True)
class MemoryRow:
    """An entity's values of a view by feature, and their event time."""

    values: dict[str, bytes]
    event_us: int


Tables = dict[str, dict[bytes, MemoryRow]]
_STORES: Final[dict[str, Tables]] = {}


def open_store(address: str) -> OnlineStore:
    """Return the store at ``memory:///<name>``, the same for all that open it."""
    name = address.removeprefix("memory:///")
    if name in ("", address):
        raise ValueError("Got no name in ZEROSKEW_ONLINE_STORE, but expected memory:///<name>.")
    return MemoryStore(address, _STORES.setdefault(name, {}))


def find_address(section: Mapping[str, Any], repo: Path) -> str | None:
    """Return nothing: no store of Feast's writes here."""
    return None


@dataclass(frozen=True)
class MemoryStore:
    """The store, which is its own reader, writer and entities."""

    name: str
    tables: Tables = field(default_factory=dict)
    cells_at_once: int = 1000

    def open_reader(self, *, timeout_sec: float | None) -> MemoryStore:
        return self

    def open_writer(self, *, timeout_sec: float) -> MemoryStore:
        return self

    def open_entities(self, project: str, tables: Collection[str]) -> MemoryEntities:
        return MemoryEntities({one: self.tables[one] for one in tables if one in self.tables})

    def ping(self, *, timeout_sec: float) -> str | None:
        return None

    def measure(self) -> dict[str, TableSize]:
        return {
            table: TableSize(len(rows), sum(len(row.values) for row in rows.values()))
            for table, rows in self.tables.items()
        }

    def make_empty_copy(self, folder: Path) -> EmptyCopy:
        raise NotSupportedError("Feast does not write this store.")

    async def read(self, layout: ReadLayout, keys: Sequence[EntityKeys]) -> StoredFeatures:
        distinct = [distinct_keys(row_keys) for row_keys in keys]
        found = [
            {key: row for key in entities if (row := self._find(view, key)) is not None}
            for lookup, (entities, _) in zip(layout.lookups, distinct, strict=True)
            for view in lookup.views
        ]
        return place_view_rows(layout, distinct, len(keys[0]) if keys else 0, found)

    def _find(self, view: StoredView, key: bytes) -> ViewRow | None:
        row = self.tables.get(view.table, {}).get(key)
        if row is None:
            return None
        return [row.values.get(feature) for feature in view.features], row.event_us

    async def check(self, layout: ReadLayout) -> None:
        for view in layout.views:
            if view.table not in self.tables:
                raise OnlineStoreUnavailableError(f"There is nothing of view {view.name!r}.")

    async def change_states(self, change: StateChange) -> int:
        table = self.tables.setdefault(change.view.table, {})
        feature, n_changed = change.view.features[0], 0
        for key in dict.fromkeys(change.keys):
            cell = table[key].values[feature] if key in table else b""
            standing = decode_value(cell, ValueType.BYTES) if cell else None
            assert standing is None or isinstance(standing, bytes)
            row = change.change(key, standing)
            if row is not None:
                encoded = encode_feature(row.values[0], ValueType.BYTES)
                table[key] = MemoryRow({feature: encoded}, row.event_us)
                n_changed += 1
        return n_changed

    async def write(self, write: OnlineWrite) -> list[int]:
        n_written = []
        for one in write.views:
            table = self.tables.setdefault(one.view.table, {})
            newer = {
                key: row
                for key, row in one.newest().items()
                if key not in table or row.event_us >= table[key].event_us
            }
            for key, row in newer.items():
                values = zip(one.view.features, one.kinds, row.values, strict=True)
                encoded = {name: encode_feature(value, kind) for name, kind, value in values}
                table[key] = MemoryRow(encoded, row.event_us)
            n_written.append(len(newer))
        return n_written

    async def close(self) -> None:
        """Keep what is written."""


@dataclass(frozen=True)
class MemoryEntities:
    """The entities of some tables."""

    tables: Tables

    def list_keys(self, view: StoredView, key_prefix: bytes) -> Iterator[bytes]:
        return iter(list(self.tables.get(view.table, {})))

    def find(self, is_meant: Callable[[bytes], bool]) -> list[StoredEntity]:
        return [
            StoredEntity(key, row.values, table)
            for table, rows in self.tables.items()
            for key, row in rows.items()
            if is_meant(key)
        ]

    def erase(self, is_meant: Callable[[bytes], bool]) -> int:
        found = self.find(is_meant)
        for one in found:
            assert one.view is not None
            del self.tables[one.view][one.key]
        return len(found)
