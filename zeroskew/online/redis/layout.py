"""How a layout is asked of Redis, and how the answers become cells.

Feast keeps an entity in one hash. Its key is the serialised entity key and the project; the
fields are the features and the event time of each view. One ``HMGET`` for each distinct key
of a lookup names the features of all its views, then their event times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TypeAlias
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from zeroskew.contract.errors.service import OnlineValueError
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.online.reader import (
    EntityKeys,
    EntityLookup,
    EntityRow,
    ReadLayout,
    StoredFeatures,
)
from zeroskew.online.redis.hash_fields import name_hash_fields
from zeroskew.online.redis.timestamps import EventTimes
from zeroskew.online.values.entity_table import EntityTable, distinct_keys, place_rows
from zeroskew.online.values.kept_entities import KeptBytes, KeptEntities

__all__ = ["HashReply", "RedisLayout", "RedisQuestion"]

HashReply: TypeAlias = list[bytes | None]
"""The reply to one ``HMGET``: a value or ``None`` for each field."""


@dataclass(slots=True)
class RedisQuestion:
    """What one read asks.

    ``commands`` are packed ``HMGET`` commands, ``widths`` how many values each reply must
    have, ``hash_keys`` the hash that each one reads, if the layout names them. ``distinct`` has
    for each lookup the keys of its commands, and ``positions`` which of them a row takes, as
    `distinct_keys` does. ``expected`` are the bytes of all replies if they are those of the last
    time, and ``entities`` what they mean then, lookup by lookup.
    """

    n_rows: int
    commands: list[bytes]
    widths: list[int]
    distinct: list[Sequence[bytes]]
    positions: list[list[int] | None]
    hash_keys: list[bytes]
    expected: bytes | None = None
    entities: Sequence[Sequence[EntityRow]] = ()


class _PackedLookup:
    """The parts of a lookup's commands that are the same for every key."""

    def __init__(self, lookup: EntityLookup, project: str) -> None:
        named = [name_hash_fields(project, view) for view in lookup.views]
        features = [field for fields in named for field in fields.features]
        times = [fields.event_time for fields in named]
        self.sizes = [len(fields.features) for fields in named]
        self.n_features = len(features)
        self.width = len(features) + len(times)
        suffix = project.encode()
        self.suffix_length = len(suffix)
        self.head = b"*%d\r\n$5\r\nHMGET\r\n$" % (self.width + 2)
        fields = b"".join(b"$%d\r\n%b\r\n" % (len(f), f) for f in (*features, *times))
        self.tail = suffix + b"\r\n" + fields

    def pack(self, keys: Sequence[bytes]) -> list[bytes]:
        """Return the command for each key."""
        head, tail, suffix_length = self.head, self.tail, self.suffix_length
        return [b"%b%d\r\n%b%b" % (head, len(key) + suffix_length, key, tail) for key in keys]


class RedisLayout:
    """A layout, prepared once for all reads of it.

    Parameters
    ----------
    layout
        What is read. Only a weak reference to it is kept: its owner decides how long it lives.
    event_times
        The decoder of event times.
    kept_bytes
        Counts what the reader keeps.
    names_hashes
        Whether a question says which hash each of its commands reads.
    """

    def __init__(
        self,
        layout: ReadLayout,
        event_times: EventTimes,
        kept_bytes: KeptBytes,
        *,
        names_hashes: bool = False,
    ) -> None:
        self._layout = ref(layout)
        self._names_hashes = names_hashes
        self._project = layout.project.encode()
        self._lookups = [_PackedLookup(lookup, layout.project) for lookup in layout.lookups]
        self._widths = [lookup.width for lookup in self._lookups]
        self._no_positions: list[list[int] | None] = [None] * len(self._lookups)
        self._kept = KeptEntities(layout, kept_bytes)
        self._event_times = event_times
        view_sizes = [len(view.features) for view in layout.views]
        self._times = EntityTable.by_lookup([len(lookup.views) for lookup in layout.lookups])
        self._view_of_cell = np.repeat(np.arange(len(view_sizes)), view_sizes)

    def pack(self, keys: Sequence[EntityKeys]) -> RedisQuestion:
        """Return what to ask for some request rows.

        Parameters
        ----------
        keys
            For each lookup the keys of all rows.
        """
        n_rows = len(keys[0]) if keys else 0
        if n_rows == 1 and not self._names_hashes and None not in [key for (key,) in keys]:
            return self._pack_row(keys)  # type: ignore[arg-type]  # no key is null
        question = RedisQuestion(n_rows, [], [], [], [], [])
        for lookup, row_keys in zip(self._lookups, keys, strict=True):
            distinct, positions = distinct_keys(row_keys)
            question.commands += lookup.pack(distinct)
            question.widths += [lookup.width] * len(distinct)
            question.distinct.append(distinct)
            question.positions.append(positions)
            if self._names_hashes:
                question.hash_keys += [key + self._project for key in distinct]
        if n_rows <= self._kept.most_rows and not self._names_hashes:
            self._expect_the_same(question)
        return question

    def _pack_row(self, keys: Sequence[Sequence[bytes]]) -> RedisQuestion:
        commands = [
            b"%b%d\r\n%b%b" % (lookup.head, len(key) + lookup.suffix_length, key, lookup.tail)
            for lookup, (key,) in zip(self._lookups, keys, strict=True)
        ]
        question = RedisQuestion(1, commands, self._widths, [*keys], self._no_positions, [])
        self._expect_the_same(question)
        return question

    def _expect_the_same(self, question: RedisQuestion) -> None:
        """Say what the replies would be if nothing has changed, where all of it is known."""
        try:
            entities = [
                [kept[key] for key in distinct]
                for kept, distinct in zip(self._kept.by_lookup, question.distinct, strict=True)
            ]
        except KeyError:
            return
        replies = [entity.raw for of_lookup in entities for entity in of_lookup]
        if replies and None not in replies:
            question.expected = b"".join(replies)  # type: ignore[arg-type]  # none of them is None
            question.entities = entities

    def unpack(self, question: RedisQuestion, replies: list[HashReply]) -> StoredFeatures:
        """Return what the rows asked for.

        Parameters
        ----------
        question
            What was asked.
        replies
            The reply to each of its commands, each as wide as the question says; none at all where
            they are the expected ones.

        Raises
        ------
        OnlineValueError
            If an event time is damaged, or a value has none.
        """
        layout = self._layout()
        assert layout is not None
        if 0 < question.n_rows <= self._kept.most_rows:
            is_same = question.expected is not None and not replies
            few = question.entities if is_same else self._collect(question, replies)
            return StoredFeatures(layout, rows=self._place_rows(question, few))
        entities: list[list[HashReply]] = []
        start = 0
        for lookup, distinct, positions in zip(
            self._lookups, question.distinct, question.positions, strict=True
        ):
            found = replies[start : start + len(distinct)]
            start += len(distinct)
            if positions is not None:
                found.append([None] * lookup.width)
            entities.append(found)
        places = place_rows(question.positions, question.n_rows)
        times = self._decode_times(entities)
        index = self._times.index([len(found) for found in entities], places)
        event_us = times.take(index).take(self._view_of_cell, axis=1)
        return StoredFeatures(layout, entities, places, event_us)

    def _decode_times(self, entities: Sequence[list[HashReply]]) -> NDArray[np.int64]:
        """Return the event time of each entity and view in microseconds, lookup by lookup."""
        decode = self._event_times.__getitem__
        times: list[int] = []
        for lookup, found in zip(self._lookups, entities, strict=True):
            n_features = lookup.n_features
            raw_times = chain.from_iterable([reply[n_features:] for reply in found])
            of_lookup = list(map(decode, raw_times))
            if NEVER_US in of_lookup:
                _refuse_values_without_time(lookup, found)
            times += of_lookup
        return np.array(times, np.int64)

    def _collect(
        self, question: RedisQuestion, replies: Sequence[HashReply]
    ) -> list[list[EntityRow]]:
        """Return the entities of each lookup; equal replies are the same entity as before."""
        of_replies = iter(replies)
        found: list[list[EntityRow]] = []
        for number, distinct in enumerate(question.distinct):
            kept = self._kept.by_lookup[number]
            entities: list[EntityRow] = []
            for key, reply in zip(distinct, islice(of_replies, len(distinct)), strict=True):
                entity = kept.get(key)
                if entity is None or entity.cells != reply:
                    entity = EntityRow(reply, self._decode_entity_times(number, reply))
                    self._kept.put(number, key, entity)
                elif entity.raw is None and not self._names_hashes:
                    entity.raw = _encode_reply(reply)  # It has come twice, and may come again.
                entities.append(entity)
            found.append(entities)
        return found

    def _place_rows(
        self, question: RedisQuestion, found: Sequence[Sequence[EntityRow]]
    ) -> list[tuple[EntityRow, ...]]:
        """Return the entities of each row."""
        placed: list[Sequence[EntityRow]] = []
        for number, (entities, positions) in enumerate(zip(found, question.positions, strict=True)):
            if positions is None:
                placed.append(entities)
            else:
                with_null = [*entities, self._kept.by_lookup[number][None]]
                placed.append([with_null[position] for position in positions])
        return list(zip(*placed, strict=True))

    def _decode_entity_times(self, number: int, reply: HashReply) -> list[int]:
        lookup = self._lookups[number]
        raw_times = reply[lookup.n_features :]
        if None in raw_times:
            _refuse_values_without_time(lookup, [reply])
        return list(map(self._event_times.__getitem__, raw_times))


def _encode_reply(reply: HashReply) -> bytes:
    """Return the bytes in which Redis sends a reply."""
    values = [b"$-1\r\n" if one is None else b"$%d\r\n%b\r\n" % (len(one), one) for one in reply]
    return b"*%d\r\n%b" % (len(reply), b"".join(values))


def _refuse_values_without_time(lookup: _PackedLookup, answers: list[HashReply]) -> None:
    for answer in answers:
        raw_times = answer[lookup.n_features :]
        if None not in raw_times:
            continue
        start = 0
        for size, raw_time in zip(lookup.sizes, raw_times, strict=True):
            if raw_time is None and any(answer[start : start + size]):
                raise OnlineValueError(
                    "Got a value without an event time in the online store, but expected both."
                )
            start += size
