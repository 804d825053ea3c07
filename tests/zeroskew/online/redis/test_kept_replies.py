"""Replies that are equal to the last are not looked at again; all others are."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from weakref import ref

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from zeroskew.contract.errors.service import OnlineValueError
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.online.reader import (
    EntityLookup,
    EntityRow,
    ReadLayout,
    StoredFeatures,
    StoredView,
)
from zeroskew.online.redis.layout import HashReply, RedisLayout
from zeroskew.online.redis.timestamps import EventTimes
from zeroskew.online.values.kept_entities import KeptBytes

KEYS = (b"one", b"two")


def make_layout() -> ReadLayout:
    views = [StoredView(name, f"trial_{name}", ("a", "b")) for name in ("gate", "wait")]
    return ReadLayout("trial", tuple(EntityLookup((view,)) for view in views))


def reply(value: bytes | None, second: int | None) -> HashReply:
    """Return a new reply, of equal bytes that are other objects."""
    time = None if second is None else Timestamp(seconds=second).SerializeToString()
    return [None if value is None else bytes([*value]), value, time]


def read(
    prepared: RedisLayout, *replies: HashReply, keys: tuple[bytes, ...] = KEYS
) -> StoredFeatures:
    return prepared.unpack(prepared.pack([[key] for key in keys]), list(replies))


def entities_of(stored: StoredFeatures) -> Sequence[EntityRow]:
    assert stored.rows is not None
    return stored.rows[0]


def test_equal_replies_are_one_entity_and_others_are_not() -> None:
    layout = make_layout()
    prepared = RedisLayout(layout, EventTimes(), KeptBytes())
    first = read(prepared, reply(b"x", 5), reply(None, None))
    assert first.cells == [[b"x", b"x", None, None]]
    again = read(prepared, reply(b"x", 5), reply(None, None))
    assert entities_of(again) == entities_of(first)
    assert (again.cells, again.event_us.tolist()) == (first.cells, first.event_us.tolist())
    for newer in (reply(b"y", 5), reply(b"x", 6), [b"x", None, reply(b"", 5)[2]]):
        row = read(prepared, newer, reply(None, None))
        assert entities_of(row)[0] is not entities_of(first)[0]
        assert entities_of(row)[1] is entities_of(first)[1]
        assert row.cells == [[newer[0], newer[1], None, None]]
        assert row.event_us[0, 0] == EventTimes()[newer[2]]
    other = read(prepared, reply(b"z", 7), reply(None, None), keys=(b"one", b"other"))
    assert other.cells == [[b"z", b"z", None, None]]


def test_damaged_replies_are_refused_each_time() -> None:
    layout = make_layout()
    prepared = RedisLayout(layout, EventTimes(), KeptBytes())
    for _ in range(2):
        with pytest.raises(OnlineValueError):
            read(prepared, reply(b"x", None), reply(None, None))


def test_more_entities_than_are_kept_are_read() -> None:
    layout = make_layout()
    prepared = RedisLayout(layout, EventTimes(), KeptBytes())
    for number in [*range(5000), *range(5)]:
        key = str(number).encode()
        row = read(prepared, reply(key, number), reply(None, None), keys=(key, b"two"))
        assert row.cells == [[key, key, None, None]]


def test_a_layout_that_nobody_has_any_more_is_let_go() -> None:
    layout = make_layout()
    prepared, seen = RedisLayout(layout, EventTimes(), KeptBytes()), ref(layout)
    assert read(prepared, reply(b"x", 5), reply(None, None)).rows is not None
    del layout
    gc.collect()
    assert seen() is None


def test_rows_share_what_they_ask_for_and_null_keys_have_nothing() -> None:
    layout = make_layout()
    prepared = RedisLayout(layout, EventTimes(), KeptBytes())
    keys: list[list[bytes | None]] = [[b"one", b"one", None], [b"two", b"three", b"two"]]
    question = prepared.pack(keys)
    assert len(question.commands) == 3
    replies = [reply(b"x", 5), reply(b"y", 6), reply(b"z", 7)]
    stored = prepared.unpack(question, replies)
    assert stored.cells == [
        [b"x", b"x", b"y", b"y"],
        [b"x", b"x", b"z", b"z"],
        [None, None, b"y", b"y"],
    ]
    assert stored.event_us[:, [0, 2]].tolist() == [
        [5_000_000, 6_000_000],
        [5_000_000, 7_000_000],
        [NEVER_US, 6_000_000],
    ]
