"""Feast's Redis online store, but the order of event times holds among concurrent writers too.

Feast's own store reads an entity's event time and writes in a second step, so of two writers at
once the older may come last; and it drops a row whose event time stands already, so a corrected
value never gets online, while training takes the one that was created last. Here the write
happens only if the event time that was compared still stands. The hashes are Feast's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from feast import FeatureView, RepoConfig
from feast.infra.online_stores.helpers import _mmh3, _redis_key, compute_versioned_name
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from google.protobuf.timestamp_pb2 import Timestamp

from api.contract.write_order import REDIS_WRITE_IF_STANDING, keep_newest, to_epoch_us
from training.online_store.online_row import OnlineRow, event_us_of

__all__ = ["NewestRedisOnlineStore", "NewestRedisOnlineStoreConfig"]

_BATCH: Final = 1000
_Rows: TypeAlias = list[OnlineRow]


class NewestRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """The ``online_store`` section of ``feature_store.yaml``; other options are Feast's."""

    type: Literal["training.online_store.newest_redis.NewestRedisOnlineStore"] = (
        "training.online_store.newest_redis.NewestRedisOnlineStore"
    )
    skip_dedup: Literal[False] = False


class NewestRedisOnlineStore(RedisOnlineStore):
    """Keeps each entity's newest row of a view; among equal event times the last write stands."""

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
        view = compute_versioned_name(table, versioning)
        rows = keep_newest(
            data, lambda row: bytes(_redis_key(config.project, row[0], 3)), event_us_of
        )
        keys = list(rows)
        for start in range(0, len(keys), _BATCH):
            waiting = {key: rows[key] for key in keys[start : start + _BATCH]}
            while waiting:
                waiting = self._write_newer(config, view, waiting)
        if progress is not None:
            progress(len(data))

    async def online_write_batch_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: _Rows,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Do the same in a thread.

        Parameters
        ----------
        config, table, data, progress
            As Feast documents them.
        """
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    def _write_newer(
        self, config: RepoConfig, view: str, rows: Mapping[bytes, OnlineRow]
    ) -> dict[bytes, OnlineRow]:
        """Write what is not older than what stands; return what another writer came between."""
        client = self._get_client(config.online_store)
        time_field = f"_ts:{view}"
        ttl_seconds = config.online_store.key_ttl_seconds or 0
        with client.pipeline(transaction=False) as pipeline:
            for key in rows:
                pipeline.hget(key, time_field)
            standing = dict(zip(rows, pipeline.execute(), strict=True))
        newer = {
            key: row
            for key, row in rows.items()
            if standing[key] is None or event_us_of(row) >= _read_time(standing[key])
        }
        with client.pipeline(transaction=False) as pipeline:
            for key, row in newer.items():
                fields = _hash_fields(view, time_field, row)
                compared = (key, time_field, standing[key] or b"", ttl_seconds)
                pipeline.eval(REDIS_WRITE_IF_STANDING, 1, *compared, *fields)
            written = pipeline.execute()
        return {
            key: row for (key, row), done in zip(newer.items(), written, strict=True) if not done
        }


def _hash_fields(view: str, time_field: str, row: OnlineRow) -> list[str | bytes]:
    _, values, event_time, _ = row
    time = Timestamp()
    time.FromMicroseconds(to_epoch_us(event_time))
    fields: list[str | bytes] = [time_field, time.SerializeToString()]
    for feature, value in values.items():
        fields += [_mmh3(f"{view}:{feature}"), value.SerializeToString()]
    return fields


def _read_time(raw: bytes) -> int:
    time = Timestamp()
    time.ParseFromString(raw)
    return int(time.ToMicroseconds())
