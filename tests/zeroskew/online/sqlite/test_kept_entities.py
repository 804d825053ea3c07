"""An entity that is kept is what the file has: always, whoever writes to it, and however."""

from __future__ import annotations

import asyncio
import gc
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from weakref import ref

from zeroskew.online.reader import (
    EntityKeys,
    EntityLookup,
    EntityRow,
    ReadLayout,
    StoredFeatures,
    StoredView,
)
from zeroskew.online.sqlite.layout import SqliteLayout
from zeroskew.online.sqlite.reader import SqliteFeatureReader
from zeroskew.online.values.kept_entities import KeptBytes

VIEWS = ("gate", "wait")
FEATURES = ("a", "b")
KNOWN = [b"one", b"two", b"three"]
N_STEPS = 800


def make_layout() -> ReadLayout:
    lookups = [EntityLookup((StoredView(name, f"trial_{name}", FEATURES),)) for name in VIEWS]
    return ReadLayout("trial", tuple(lookups))


def make_file(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        for view in VIEWS:
            database.execute(
                f"CREATE TABLE trial_{view} (entity_key BLOB, feature_name TEXT, value BLOB, "
                "event_ts timestamp, PRIMARY KEY (entity_key, feature_name))"
            )


def put(path: Path, view: str, key: bytes, value: bytes, second: int) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            f"INSERT OR REPLACE INTO trial_{view} VALUES (?, ?, ?, ?)",
            [(key, feature, value, second) for feature in FEATURES],
        )


async def read(
    reader: SqliteFeatureReader, layout: ReadLayout, *keys: EntityKeys
) -> StoredFeatures:
    """Read by each lookup's keys."""
    return await reader.read(layout, keys)


def change(path: Path, rng: random.Random) -> None:
    """Write, erase, or do to the file what people and tools do to one."""
    kind = rng.random()
    view, key = rng.choice(VIEWS), rng.choice(KNOWN)
    if kind < 0.7:
        put(path, view, key, rng.randbytes(3), rng.randrange(10))
    elif kind < 0.8:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute(f"DELETE FROM trial_{view} WHERE entity_key = ?", (key,))
    elif kind < 0.85:
        with closing(sqlite3.connect(path)) as database:
            database.execute("VACUUM")
    elif kind < 0.9:
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode = wal")
    else:
        # A copy has the counts of what it is a copy of.
        copy = path.with_suffix(".copy")
        copy.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as database:
            database.execute("VACUUM INTO ?", (str(copy),))
        put(copy, view, key, b"new", 3)
        for left in (f"{path}-wal", f"{path}-shm"):
            Path(left).unlink(missing_ok=True)
        copy.replace(path)


def test_a_reader_that_keeps_entities_reads_what_a_new_one_reads(tmp_path: Path) -> None:
    path, rng, layout = tmp_path / "online.db", random.Random(7), make_layout()  # noqa: S311 - a seed
    make_file(path)

    async def trial() -> int:
        keeping = SqliteFeatureReader(path, timeout_sec=5)
        n_kept = 0
        last: set[EntityRow] = set()
        for _ in range(N_STEPS):
            if rng.random() < 0.08:
                change(path, rng)
            n_rows = rng.choice([1, 1, 2, 5])
            keys = [[rng.choice([*KNOWN, None]) for _ in range(n_rows)] for _ in VIEWS]
            fresh = SqliteFeatureReader(path, timeout_sec=5)
            got = await read(keeping, layout, *keys)
            expected = await read(fresh, make_layout(), *keys)
            assert got.cells == expected.cells
            assert got.event_us.tolist() == expected.event_us.tolist()
            assert got.rows is not None
            entities = {one for row in got.rows for one in row if one.cells[0] is not None}
            n_kept += bool(entities & last)
            last |= entities
            await fresh.close()
        await keeping.close()
        return n_kept

    assert asyncio.run(trial()) > N_STEPS // 4


def test_commits_right_before_and_after_a_read_are_not_missed(tmp_path: Path) -> None:
    path, layout = tmp_path / "online.db", make_layout()
    make_file(path)
    put(path, "gate", b"one", b"old", 1)
    coming = {"BEGIN": b"mid", "ROLLBACK": b"new"}

    class Beaten(sqlite3.Connection):
        """Another connection commits between the count and the read, and when it is done."""

        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if sql == "BEGIN" and sql in coming:
                put(path, "gate", b"one", coming.pop(sql), 2)
            done = super().execute(sql, *parameters)
            if sql == "ROLLBACK" and sql in coming:
                put(path, "gate", b"one", coming.pop(sql), 3)
            return done

    prepared = SqliteLayout(layout, KeptBytes())
    with closing(sqlite3.connect(path, isolation_level=None, factory=Beaten)) as connection:
        read = [prepared.read(connection, layout, [[b"one"], [b"one"]]) for _ in range(3)]
    assert [row.cells[0][0] for row in read] == [b"mid", b"new", b"new"]
    assert read[1].rows == read[2].rows


def test_what_is_kept_and_what_is_read_are_of_one_state(tmp_path: Path) -> None:
    """Both views are always written together: no answer may have one of them older."""
    path, layout = tmp_path / "online.db", make_layout()
    make_file(path)

    def put_both(value: bytes) -> None:
        with closing(sqlite3.connect(path)) as database, database:
            for view in VIEWS:
                database.executemany(
                    f"INSERT OR REPLACE INTO trial_{view} VALUES (?, 'a', ?, 1)",
                    [(key, value) for key in KNOWN],
                )

    put_both(b"old")
    coming = [b"new"]

    class Beaten(sqlite3.Connection):
        """Another connection commits when it is known that something is to be read."""

        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if sql == "BEGIN" and coming and armed:
                put_both(coming.pop())
            return super().execute(sql, *parameters)

    prepared, armed = SqliteLayout(layout, KeptBytes()), False
    with closing(sqlite3.connect(path, isolation_level=None, factory=Beaten)) as connection:
        prepared.read(connection, layout, [[b"one"], [b"one"]])
        armed = True
        mixed = prepared.read(connection, layout, [[b"one"], [b"two"]])
    assert mixed.cells == [[b"new", None, b"new", None]]


def test_values_of_several_times_are_read_each_time(tmp_path: Path) -> None:
    path, layout = tmp_path / "online.db", make_layout()
    make_file(path)
    put(path, "gate", b"one", b"old", 1)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE trial_gate SET event_ts = 2 WHERE feature_name = 'b'")

    async def trial() -> None:
        reader = SqliteFeatureReader(path, timeout_sec=5)
        for _ in range(2):
            got = await read(reader, layout, [b"one", None], [None, b"one"])
            assert got.rows is None
            assert got.event_us[0, :2].tolist() == [1_000_000, 2_000_000]
        put(path, "gate", b"one", b"new", 3)
        got = await read(reader, layout, [b"one", None], [None, b"one"])
        assert got.rows is not None
        assert got.cells[0][:2] == [b"new", b"new"]
        await reader.close()

    asyncio.run(trial())


def test_a_layout_that_nobody_has_any_more_is_let_go(tmp_path: Path) -> None:
    path, layout = tmp_path / "online.db", make_layout()
    make_file(path)
    put(path, "gate", b"one", b"old", 1)
    seen = ref(layout)

    async def trial(layout: ReadLayout) -> SqliteFeatureReader:
        reader = SqliteFeatureReader(path, timeout_sec=5)
        assert (await read(reader, layout, [b"one"], [None])).rows is not None
        return reader

    reader = asyncio.run(trial(layout))
    del layout
    gc.collect()
    assert seen() is None
    asyncio.run(reader.close())


def test_more_entities_than_are_kept_are_read(tmp_path: Path) -> None:
    path, layout = tmp_path / "online.db", make_layout()
    make_file(path)
    keys = [str(number).encode() for number in range(5000)]
    long = b"x" * 2000
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            "INSERT INTO trial_gate VALUES (?, 'a', ?, 1)", [(key, long + key) for key in keys]
        )

    async def trial() -> None:
        reader = SqliteFeatureReader(path, timeout_sec=5)
        for number in (*range(0, 5000, 10), *range(5)):
            some = keys[number : number + 10]
            got = await read(reader, layout, some, [None] * len(some))
            assert got.cells == [[long + key, None, None, None] for key in some]
        await reader.close()

    asyncio.run(trial())
