"""Writes features into the Redis of Feast's online store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    ReadOnlyError,
    RedisClusterException,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from zeroskew.contract.errors.service import (
    OnlineStoreUnavailableError,
    OnlineValueError,
    ServiceError,
)
from zeroskew.online.redis.address import RedisAddress
from zeroskew.online.redis.client import FAILURES, open_client
from zeroskew.online.redis.hash_fields import HashFields, name_hash_fields
from zeroskew.online.redis.timestamps import decode_timestamp
from zeroskew.online.redis.write_script import WRITE_IF_STANDING
from zeroskew.online.values.decode import ValueType, decode_value
from zeroskew.online.values.encode import encode_timestamp
from zeroskew.online.values.encode_nested import encode_feature
from zeroskew.online.values.nested_values import FeatureType
from zeroskew.online.writer import OnlineRow, OnlineWrite, StateChange, ViewRows

__all__ = ["RedisFeatureWriter"]


class RedisFeatureWriter:
    """Writes a row only if the event time that it was compared with still stands.

    Parameters
    ----------
    address
        The address of the store: a server, a cluster, or the sentinels of a server.
    timeout_sec
        How long a write may take.
    """

    def __init__(self, address: RedisAddress, *, timeout_sec: float) -> None:
        self._timeout_sec = timeout_sec
        self._client, self._closers = open_client(address, timeout_sec=timeout_sec)

    async def write(self, write: OnlineWrite) -> list[int]:
        """Write the rows of one view after another; see `OnlineFeatureWriter`."""
        with _say_failures():
            async with asyncio.timeout(self._timeout_sec):
                return [await self._write_view(write, one) for one in write.views]

    async def change_states(self, change: StateChange) -> int:
        """Write each state if the one that it was made of still stands, and else try again."""
        suffix = change.project.encode()
        fields = name_hash_fields(change.project, change.view)
        n_changed, waiting = 0, list(dict.fromkeys(change.keys))
        with _say_failures():
            async with asyncio.timeout(self._timeout_sec):
                while waiting:
                    standing = await self._read_states(fields, [key + suffix for key in waiting])
                    changed = [
                        (key, state, row)
                        for key, state in zip(waiting, standing, strict=True)
                        if (row := change.change(key, _read_bytes(state))) is not None
                    ]
                    waiting = await self._swap_states(change, fields, changed)
                    n_changed += len(changed) - len(waiting)
        return n_changed

    async def _read_states(
        self, fields: HashFields, keys: Sequence[bytes]
    ) -> Sequence[bytes | None]:
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.hget(key, fields.features[0])
        found: Sequence[bytes | None] = await pipeline.execute()
        return found

    async def _swap_states(
        self,
        change: StateChange,
        fields: HashFields,
        changed: Sequence[tuple[bytes, bytes | None, OnlineRow]],
    ) -> list[bytes]:
        """Write states; return the keys whose state is another by now."""
        if not changed:
            return []
        pipeline = self._client.pipeline(transaction=False)
        for key, state, row in changed:
            pipeline.eval(
                WRITE_IF_STANDING,
                1,
                key + change.project.encode(),
                fields.features[0],
                state or b"",
                change.key_ttl_seconds or 0,
                fields.event_time,
                encode_timestamp(row.event_us),
                *_pair_fields(fields, (ValueType.BYTES,), row),
            )
        written = await pipeline.execute()
        return [key for (key, _, _), done in zip(changed, written, strict=True) if not done]

    async def close(self) -> None:
        """Close all connections."""
        for close in self._closers:
            await close()

    async def _write_view(self, write: OnlineWrite, view_rows: ViewRows) -> int:
        suffix = write.project.encode()
        fields = name_hash_fields(write.project, view_rows.view)
        waiting = {key + suffix: row for key, row in view_rows.newest().items()}
        n_written = 0
        while waiting:
            standing = await self._read_standing(fields.event_time, waiting)
            newer = {
                key: row
                for key, row in waiting.items()
                if standing[key] is None or row.event_us >= decode_timestamp(standing[key])
            }
            lost = await self._write_if_standing(write, view_rows.kinds, fields, newer, standing)
            n_written += len(newer) - len(lost)
            # Another writer came between: compare those again.
            waiting = lost
        return n_written

    async def _read_standing(
        self, time_field: bytes, rows: Mapping[bytes, OnlineRow]
    ) -> dict[bytes, Any]:
        pipeline = self._client.pipeline(transaction=False)
        for key in rows:
            pipeline.hget(key, time_field)
        return dict(zip(rows, await pipeline.execute(), strict=True))

    async def _write_if_standing(
        self,
        write: OnlineWrite,
        kinds: Sequence[FeatureType],
        fields: HashFields,
        rows: Mapping[bytes, OnlineRow],
        standing: Mapping[bytes, bytes | None],
    ) -> dict[bytes, OnlineRow]:
        """Write rows; return those whose entity has another event time by now."""
        if not rows:
            return {}
        pipeline = self._client.pipeline(transaction=False)
        for key, row in rows.items():
            pipeline.eval(
                WRITE_IF_STANDING,
                1,
                key,
                fields.event_time,
                standing[key] or b"",
                write.key_ttl_seconds or 0,
                fields.event_time,
                encode_timestamp(row.event_us),
                *_pair_fields(fields, kinds, row),
            )
        written = await pipeline.execute()
        return {
            key: row for (key, row), done in zip(rows.items(), written, strict=True) if not done
        }


@contextmanager
def _say_failures() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise OnlineStoreUnavailableError("The online store did not answer in time.") from error
    except FAILURES as error:
        raise _translate(error) from error


def _read_bytes(cell: bytes | None) -> bytes | None:
    value = decode_value(cell, ValueType.BYTES) if cell else None
    assert value is None or isinstance(value, bytes)
    return value


def _pair_fields(fields: HashFields, kinds: Sequence[FeatureType], row: OnlineRow) -> list[bytes]:
    pairs = []
    for field, kind, value in zip(fields.features, kinds, row.values, strict=True):
        pairs += [field, encode_feature(value, kind)]
    return pairs


def _translate(error: Exception) -> ServiceError:
    """Return the service's error; redis-py puts words of its own before those of the server."""
    if "WRONGTYPE" in str(error):
        return OnlineValueError(
            "Got an entity in the online store that is not a hash, but expected what Feast writes."
        )
    message = "The online store refused the write."
    if isinstance(error, AuthenticationError):
        message = "The online store refuses the service's user or password."
    elif isinstance(error, NoPermissionError | ReadOnlyError):
        message = "The online store does not let the service write."
    elif isinstance(
        error, RedisConnectionError | RedisClusterException | RedisTimeoutError | OSError
    ):
        message = "The online store cannot be reached."
    return OnlineStoreUnavailableError(message)
