"""How a layout is asked of Redis, and how the answers become cells.

Feast keeps an entity in one hash. Its key is the serialised entity key and the project; the
fields are the features and the event time of each view. One ``HMGET`` for each distinct key
of a lookup names the features of all its views, then their event times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from zeroskew.contract.errors.service import OnlineValueError
from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.online.reader import (
    EntityKeys,
    EntityLookup,
    KeptRow,
    ReadLayout,
    StoredFeatures,
)
from zeroskew.online.redis.hash_fields import name_hash_fields
from zeroskew.online.redis.timestamps import EventTimes
from zeroskew.online.values.entity_table import EntityTable, distinct_keys, place_rows

__all__ = ["HashReply", "RedisLayout", "RedisQuestion"]

HashReply: TypeAlias = list[bytes | None]
"""The reply to one ``HMGET``: a value or ``None`` for each field."""


@dataclass(slots=True)
class RedisQuestion:
    """What one read asks.

    ``commands`` are packed ``HMGET`` commands, ``widths`` how many values each reply must
    have, ``hash_keys`` the hash that each one reads, if the layout names them. ``counts`` is how
    many commands each lookup has. ``positions`` says for each lookup which of its replies a
    row takes, as `distinct_keys` does. ``row`` has the keys of a single row that has all of them;
    its replies are one for each lookup, and the two before are empty.
    """

    n_rows: int
    commands: list[bytes]
    widths: list[int]
    counts: list[int]
    positions: list[list[int] | None]
    hash_keys: list[bytes]
    row: tuple[bytes, ...] | None = None


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
    names_hashes
        Whether a question says which hash each of its commands reads.
    """

    def __init__(
        self, layout: ReadLayout, event_times: EventTimes, *, names_hashes: bool = False
    ) -> None:
        self._layout = ref(layout)
        self._names_hashes = names_hashes
        self._project = layout.project.encode()
        self._lookups = [_PackedLookup(lookup, layout.project) for lookup in layout.lookups]
        self._widths = [lookup.width for lookup in self._lookups]
        self._n_rows_kept = layout.n_rows_kept
        self._rows: dict[tuple[bytes, ...], KeptRow] = {}
        self._event_times = event_times
        self._one_row = np.zeros((1, len(self._lookups)), np.intp)
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
        if n_rows == 1 and not self._names_hashes:
            row = tuple([row_keys[0] for row_keys in keys])
            if None not in row:
                return self._pack_row(row)  # type: ignore[arg-type]  # none of them is None
        question = RedisQuestion(n_rows, [], [], [], [], [])
        for lookup, row_keys in zip(self._lookups, keys, strict=True):
            distinct, positions = distinct_keys(row_keys)
            question.commands += lookup.pack(distinct)
            question.widths += [lookup.width] * len(distinct)
            question.counts.append(len(distinct))
            question.positions.append(positions)
            if self._names_hashes:
                question.hash_keys += [key + self._project for key in distinct]
        return question

    def _pack_row(self, row: tuple[bytes, ...]) -> RedisQuestion:
        commands = [
            b"%b%d\r\n%b%b" % (lookup.head, len(key) + lookup.suffix_length, key, lookup.tail)
            for lookup, key in zip(self._lookups, row, strict=True)
        ]
        return RedisQuestion(1, commands, self._widths, [], [], [], row)

    def unpack(self, question: RedisQuestion, replies: list[HashReply]) -> StoredFeatures:
        """Return what the rows asked for.

        Parameters
        ----------
        question
            What was asked.
        replies
            The reply to each of its commands, each as wide as the question says.

        Raises
        ------
        OnlineValueError
            If an event time is damaged, or a value has none.
        """
        layout = self._layout()
        assert layout is not None
        if question.row is not None:
            return self._unpack_row(layout, question.row, replies)
        entities: list[list[HashReply]] = []
        start = 0
        for lookup, count, positions in zip(
            self._lookups, question.counts, question.positions, strict=True
        ):
            found = replies[start : start + count]
            start += count
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

    def _unpack_row(
        self, layout: ReadLayout, keys: tuple[bytes, ...], replies: list[HashReply]
    ) -> StoredFeatures:
        """Do the same for the replies of one row; equal ones are not looked at again."""
        entities = [(reply,) for reply in replies]
        row = self._rows.get(keys)
        if row is None or row.entities != entities:
            row = KeptRow(entities, self._decode_row_times(replies))
            if len(self._rows) >= self._n_rows_kept:
                self._rows.clear()
            self._rows[keys] = row
        return StoredFeatures(
            layout, row.entities, self._one_row, view_times=row.view_times, kept=row
        )

    def _decode_row_times(self, replies: Sequence[HashReply]) -> list[int]:
        raw_times: list[bytes | None] = []
        for lookup, reply in zip(self._lookups, replies, strict=True):
            raw_times += reply[lookup.n_features :]
        if None in raw_times:
            for lookup, reply in zip(self._lookups, replies, strict=True):
                _refuse_values_without_time(lookup, [reply])
        return list(map(self._event_times.__getitem__, raw_times))


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
