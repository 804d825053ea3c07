"""How a layout is asked of Feast's SQLite file, and how the rows found become cells.

The table of a view has one row for each entity key and feature; ``event_ts`` is whole
seconds since the epoch. Feast cuts the fraction off when it writes, so an event time is
known here only to the second below it.

One statement a view joins the features side by side, so that an entity is one row of the
answer: a Python object for each cell and its time, and nothing else. Of few rows the entities are
kept until somebody writes to the file; where none of a single row's is, one statement reads them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zeroskew.contract.errors.service import OnlineStoreUnavailableError
from zeroskew.online.reader import (
    Cell,
    EntityKeys,
    EntityLookup,
    EntityRow,
    ReadLayout,
    StoredFeatures,
    StoredView,
)
from zeroskew.online.sqlite.found_rows import (
    FoundRow,
    check_types,
    fits_layout,
    make_entity,
    to_microseconds,
)
from zeroskew.online.sqlite.names import quote
from zeroskew.online.values.entity_table import EntityTable, distinct_keys, place_rows
from zeroskew.online.values.kept_entities import KeptBytes, KeptEntities

__all__ = ["CACHED_STATEMENTS", "SqliteLayout", "probe_tables"]

CACHED_STATEMENTS: Final = 512
"""How many prepared statements a connection should keep."""

_KEYS_A_STATEMENT: Final = 512
# Other numbers of keys take the statement of the next of these, with nulls as its last keys.
_SIZES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
# SQLite joins at most 64 tables.
_FEATURES_A_STATEMENT: Final = 48
_MOST_REMEMBERED: Final = 4096
"""How many keys whose values have several event times are remembered before they are forgotten."""


class SqliteLayout:
    """A layout, prepared once for all reads of it.

    Parameters
    ----------
    layout
        What is read. It is not kept, so that its owner decides how long it lives.
    kept_bytes
        Counts what the reader keeps.
    """

    def __init__(self, layout: ReadLayout, kept_bytes: KeptBytes) -> None:
        self._lookups = [[_ViewTable(view) for view in lookup.views] for lookup in layout.lookups]
        self._times = EntityTable.by_lookup([lookup.n_features for lookup in layout.lookups])
        self._kept = KeptEntities(layout, kept_bytes)
        self._of_several_times: set[tuple[int, bytes]] = set()
        self._kept_of: tuple[sqlite3.Connection, int] | None = None
        self._row_statement = (
            _write_row_statement(layout.lookups)
            if 0 < layout.n_features <= _FEATURES_A_STATEMENT
            else None
        )

    def read(
        self, connection: sqlite3.Connection, layout: ReadLayout, keys: Sequence[EntityKeys]
    ) -> StoredFeatures:
        """Return what is stored, as of one state of the file.

        Parameters
        ----------
        connection
            An open connection in autocommit mode.
        layout
            The layout that this one was made for.
        keys
            For each of its lookups the keys of all rows.

        Raises
        ------
        sqlite3.Error
            If the file cannot be read now.
        OnlineStoreUnavailableError
            If a view's table is missing.
        OnlineValueError
            If a stored row is not in Feast's layout.
        """
        n_rows = len(keys[0]) if keys else 0
        if 0 < n_rows <= self._kept.most_rows:
            self._forget_if_changed(connection)
            try:
                found = [
                    [kept[key] for key in of_lookup]
                    for kept, of_lookup in zip(self._kept.by_lookup, keys, strict=True)
                ]
            except KeyError:
                found = self._read_few(connection, layout, keys)
            if found:
                return StoredFeatures(layout, rows=list(zip(*found, strict=True)))
        distinct = [distinct_keys(row_keys) for row_keys in keys]
        places = place_rows([places for _, places in distinct], n_rows)
        connection.execute("BEGIN")
        try:
            rows = [self._read_lookup(connection, i, of) for i, (of, _) in enumerate(distinct)]
        finally:
            connection.execute("ROLLBACK")
        return self._collect_rows(layout, rows, places)

    def _forget_if_changed(self, connection: sqlite3.Connection) -> None:
        """Let go of what is kept unless the file is the same: SQLite counts others' commits."""
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if self._kept_of != (connection, version):
            self._kept.clear()
            self._of_several_times.clear()
            self._kept_of = (connection, version)

    def _read_few(
        self, connection: sqlite3.Connection, layout: ReadLayout, keys: Sequence[EntityKeys]
    ) -> list[list[EntityRow]]:
        """Return for each lookup the entity of each row.

        Returns none at all where the values of one of a view's rows have several event times.
        """
        connection.execute("BEGIN")
        try:
            self._forget_if_changed(connection)  # The file may be in another state by now.
            found = [
                {key: kept[key] for key in of_lookup if key in kept}
                for kept, of_lookup in zip(self._kept.by_lookup, keys, strict=True)
            ]
            missing = [
                [key for key in dict.fromkeys(of_lookup) if key is not None and key not in known]
                for known, of_lookup in zip(found, keys, strict=True)
            ]
            places = [(i, key) for i, of_lookup in enumerate(missing) for key in of_lookup]
            if not self._of_several_times.isdisjoint(places):
                return []
            rows = self._read_missing(connection, layout, missing)
        finally:
            connection.execute("ROLLBACK")
        for number, (of_lookup, of_views) in enumerate(zip(missing, rows, strict=True)):
            # Behind the views' rows stands the null key's, where several keys were read.
            for key, *of_key in zip(of_lookup, *of_views, strict=False):
                entity = make_entity(of_key)
                if entity is None:
                    if len(self._of_several_times) >= _MOST_REMEMBERED:
                        self._of_several_times.clear()
                    self._of_several_times.add((number, key))
                    return []
                found[number][key] = entity
                self._kept.put(number, key, entity)
        return [
            [of_lookup[key] for key in row_keys]
            for of_lookup, row_keys in zip(found, keys, strict=True)
        ]

    def _read_missing(
        self,
        connection: sqlite3.Connection,
        layout: ReadLayout,
        missing: Sequence[Sequence[bytes]],
    ) -> list[list[list[FoundRow]]]:
        """Return for each lookup and view the rows of its keys."""
        if self._row_statement is not None and all(len(keys) == 1 for keys in missing):
            keys = [key for (key,) in missing]
            return _read_row(connection, self._row_statement, layout.lookups, keys)
        return [self._read_lookup(connection, i, keys) for i, keys in enumerate(missing)]

    def _read_lookup(
        self, connection: sqlite3.Connection, number: int, keys: Sequence[bytes]
    ) -> list[list[FoundRow]]:
        """Return for each view of a lookup the rows of its keys, and one for the null key."""
        return [table.read(connection, keys) for table in self._lookups[number]]

    def _collect_rows(
        self,
        layout: ReadLayout,
        found: Sequence[Sequence[Sequence[FoundRow]]],
        places: NDArray[np.intp],
    ) -> StoredFeatures:
        cells: list[list[tuple[Cell, ...]]] = []
        seconds: list[int | None] = []
        for of_views in found:
            rows = list(zip(*of_views, strict=True))
            cells.append([tuple(chain.from_iterable(row[1::2] for row in rs)) for rs in rows])
            seconds += chain.from_iterable(row[2::2] for rs in rows for row in rs)
        event_us = to_microseconds(seconds)
        index = self._times.index([len(of_lookup) for of_lookup in cells], places)
        return StoredFeatures(layout, cells, places, event_us.take(index))


def _read_row(
    connection: sqlite3.Connection,
    statement: str,
    lookups: Sequence[EntityLookup],
    keys: Sequence[bytes],
) -> list[list[list[FoundRow]]]:
    """Return for each of some lookups and each of its views the row of the lookup's key."""
    try:
        (found,) = connection.execute(statement, keys).fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR:
            for view in chain.from_iterable([lookup.views for lookup in lookups]):
                _probe_table(connection, view)  # It says which one is missing.
        raise
    start = 0
    rows: list[list[list[FoundRow]]] = []
    for lookup in lookups:
        of_views: list[list[FoundRow]] = []
        for view in lookup.views:
            stop = start + 2 * len(view.features)
            of_views.append([(0, *found[start:stop])])
            start = stop
        rows.append(of_views)
    if not fits_layout(found[::2], found[1::2]):
        for lookup, of_lookup in zip(lookups, rows, strict=True):
            for view, row in zip(lookup.views, of_lookup, strict=True):
                check_types(view, row)
    return rows


class _ViewTable:
    """A view's table and the statements that read it."""

    def __init__(self, view: StoredView) -> None:
        self._view = view
        step = _FEATURES_A_STATEMENT
        self._parts = [view.features[i : i + step] for i in range(0, len(view.features), step)]
        self._statements: dict[int, list[str]] = {}
        self._absent: FoundRow = (0, *(None, None) * len(view.features))

    def read(self, connection: sqlite3.Connection, keys: Sequence[bytes]) -> list[FoundRow]:
        """Return a row for each key, and one for the null key behind them."""
        found: list[FoundRow] = []
        for start in range(0, len(keys), _KEYS_A_STATEMENT):
            found += self._read_some(connection, keys[start : start + _KEYS_A_STATEMENT])
        check_types(self._view, found)
        found.append(self._absent)
        return found

    def _read_some(self, connection: sqlite3.Connection, keys: Sequence[bytes]) -> list[FoundRow]:
        size = next(size for size in _SIZES if size >= len(keys))
        statements = self._statements.get(size)
        if statements is None:
            statements = self._statements[size] = [self._write(part, size) for part in self._parts]
        values = [*keys, *(None,) * (size - len(keys))]
        try:
            parts = [connection.execute(statement, values).fetchall() for statement in statements]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR:
                raise _no_table(self._view) from error
            raise
        for part in parts:
            part.sort(key=itemgetter(0))
        rows = parts[0]
        for part in parts[1:]:
            rows = [(*row, *more[1:]) for row, more in zip(rows, part, strict=True)]
        return rows[: len(keys)]

    def _write(self, features: Sequence[str], size: int) -> str:
        keys = ", ".join(f"({number}, ?)" for number in range(size))
        columns = ", ".join(f"f{i}.value, f{i}.event_ts" for i in range(len(features)))
        table = quote(self._view.table)
        joins = " ".join(
            f"LEFT JOIN {table} f{i} ON f{i}.entity_key = k.e AND f{i}.feature_name = {_text(name)}"
            for i, name in enumerate(features)
        )
        return f"WITH k(i, e) AS (VALUES {keys}) SELECT i, {columns} FROM k {joins}"  # noqa: S608 - the names are quoted


def _write_row_statement(lookups: Sequence[EntityLookup]) -> str:
    """Return the statement that gives all cells of one row and their times, side by side."""
    names = [
        (number, view.table, name)
        for number, lookup in enumerate(lookups)
        for view in lookup.views
        for name in view.features
    ]
    keys = ", ".join(f"? AS e{number}" for number in range(len(lookups)))
    columns = ", ".join(f"f{i}.value, f{i}.event_ts" for i in range(len(names)))
    joins = " ".join(
        f"LEFT JOIN {quote(table)} f{i} ON f{i}.entity_key = k.e{number} "
        f"AND f{i}.feature_name = {_text(name)}"
        for i, (number, table, name) in enumerate(names)
    )
    return f"SELECT {columns} FROM (SELECT {keys}) k {joins}"  # noqa: S608 - the names are quoted


def probe_tables(connection: sqlite3.Connection, layout: ReadLayout) -> None:
    """Read nothing of any view, to see that their tables are there.

    Raises
    ------
    OnlineStoreUnavailableError
        If one is not; the message names its view.
    """
    for view in layout.views:
        _probe_table(connection, view)


def _probe_table(connection: sqlite3.Connection, view: StoredView) -> None:
    try:
        connection.execute(f"SELECT 1 FROM {quote(view.table)} LIMIT 1").fetchall()  # noqa: S608 - quoted
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR:
            raise _no_table(view) from error
        raise


def _no_table(view: StoredView) -> OnlineStoreUnavailableError:
    return OnlineStoreUnavailableError(
        f"The online store has no table for feature view {view.name!r}; apply and materialize it."
    )


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
