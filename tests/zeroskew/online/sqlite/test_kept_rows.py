"""A row that is kept is what the file has: always, whoever writes to it, and however."""

from __future__ import annotations

import asyncio
import gc
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from weakref import ref

from zeroskew.online.reader import EntityLookup, KeptRow, ReadLayout, StoredFeatures, StoredView
from zeroskew.online.sqlite.layout import SqliteLayout
from zeroskew.online.sqlite.reader import SqliteFeatureReader

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
    reader: SqliteFeatureReader, layout: ReadLayout, keys: tuple[bytes | None, ...]
) -> StoredFeatures:
    return await reader.read(layout, [[key] for key in keys])


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


def test_a_reader_that_keeps_rows_reads_what_a_new_one_reads(tmp_path: Path) -> None:
    path, rng, layout = tmp_path / "online.db", random.Random(7), make_layout()  # noqa: S311 - a seed
    make_file(path)

    async def trial() -> int:
        keeping = SqliteFeatureReader(path, timeout_sec=5)
        n_kept = 0
        last: dict[tuple[bytes | None, ...], KeptRow | None] = {}
        for _ in range(N_STEPS):
            if rng.random() < 0.08:
                change(path, rng)
            keys = tuple(rng.choice([*KNOWN, None]) for _ in VIEWS)
            fresh = SqliteFeatureReader(path, timeout_sec=5)
            got, expected = (
                await read(keeping, layout, keys),
                await read(fresh, make_layout(), keys),
            )
            assert got.cells == expected.cells
            assert got.event_us.tolist() == expected.event_us.tolist()
            n_kept += got.kept is not None and got.kept is last.get(keys)
            last[keys] = got.kept
            await fresh.close()
        await keeping.close()
        return n_kept

    assert asyncio.run(trial()) > N_STEPS // 4


def test_a_commit_between_the_count_and_the_read_is_not_missed(tmp_path: Path) -> None:
    path, layout = tmp_path / "online.db", make_layout()
    make_file(path)
    put(path, "gate", b"one", b"old", 1)
    coming = [b"mid", b"new"]

    class Beaten(sqlite3.Connection):
        """Another connection commits between the count and the read, twice."""

        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if sql.startswith("SELECT") and coming:
                put(path, "gate", b"one", coming.pop(0), 2)
            return super().execute(sql, *parameters)

    prepared = SqliteLayout(layout)
    with closing(sqlite3.connect(path, isolation_level=None, factory=Beaten)) as connection:
        read = [prepared.read_row(connection, layout, (b"one", b"one")) for _ in range(4)]
    assert [row.cells[0][0] for row in read] == [b"mid", b"new", b"new", b"new"]
    assert read[2].kept is read[3].kept


def test_a_layout_that_nobody_has_any_more_is_let_go(tmp_path: Path) -> None:
    path, layout = tmp_path / "online.db", make_layout()
    make_file(path)
    put(path, "gate", b"one", b"old", 1)
    seen = ref(layout)

    async def trial(layout: ReadLayout) -> SqliteFeatureReader:
        reader = SqliteFeatureReader(path, timeout_sec=5)
        assert (await read(reader, layout, (b"one", None))).kept is not None
        return reader

    reader = asyncio.run(trial(layout))
    del layout
    gc.collect()
    assert seen() is None
    asyncio.run(reader.close())


def test_more_rows_than_are_kept_are_read(tmp_path: Path) -> None:
    path, layout = tmp_path / "online.db", make_layout()
    make_file(path)
    keys = [str(number).encode() for number in range(5000)]
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            "INSERT INTO trial_gate VALUES (?, 'a', ?, 1)", [(key, key) for key in keys]
        )

    async def trial() -> None:
        reader = SqliteFeatureReader(path, timeout_sec=5)
        for key in (*keys, *keys[:5]):
            assert (await read(reader, layout, (key, None))).cells == [[key, None, None, None]]
        await reader.close()

    asyncio.run(trial())
