"""Feast's Redis online store, but the order of event times holds among concurrent writers too.

Feast's own store reads an entity's event time and writes in a second step, so of two writers at
once the older may come last; and it drops a row whose event time stands already, so a corrected
value never gets online, while training takes the one that was created last. Here the write
happens only if the event time that was compared still stands. The hashes are Feast's.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from feast import Entity, FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key_prefix
from feast.infra.online_stores.helpers import _mmh3, _redis_key, compute_versioned_name
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig

from zeroskew.contract.manifest import ViewPlan
from zeroskew.contract.time.epoch import to_epoch_us
from zeroskew.features.online_store.online_row import OnlineRow, event_us_of
from zeroskew.online.redis.timestamps import decode_timestamp
from zeroskew.online.redis.write_script import WRITE_IF_STANDING
from zeroskew.online.values.encode import encode_timestamp
from zeroskew.online.write_order import keep_newest

__all__ = ["NewestRedisOnlineStore", "NewestRedisOnlineStoreConfig"]

_BATCH: Final = 1000
_Rows: TypeAlias = list[OnlineRow]


class NewestRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """The ``online_store`` section of ``feature_store.yaml``; other options are Feast's."""

    type: Literal["zeroskew.features.online_store.newest_redis.NewestRedisOnlineStore"] = (
        "zeroskew.features.online_store.newest_redis.NewestRedisOnlineStore"
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

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],  # noqa: ARG002 - Feast's signature
        entities_to_keep: Sequence[Entity],  # noqa: ARG002 - as above
        partial: bool,  # noqa: ARG002 - as above
    ) -> None:
        """Note what is to be deleted; it stays, as `removed_views` explains.

        Parameters
        ----------
        config, tables_to_delete, tables_to_keep, entities_to_delete, entities_to_keep, partial
            As Feast documents them.
        """
        versioning = config.registry.enable_online_feature_view_versioning
        client = self._get_client(config.online_store)
        notes = _notes_key(config)
        for view in tables_to_delete:
            name = compute_versioned_name(view, versioning)
            note = {
                "join_keys": sorted(view.join_keys),
                "features": [f.name for f in view.features],
            }
            client.hset(notes, name, json.dumps(note))
        if kept := [compute_versioned_name(view, versioning) for view in tables_to_keep]:
            client.hdel(notes, *kept)

    def drop_removed_views(self, config: RepoConfig, needed: Collection[ViewPlan]) -> list[str]:
        """Drop the fields of removed views; see `KeepsRemovedViews`.

        Parameters
        ----------
        config, needed
            As `KeepsRemovedViews` documents them.
        """
        client = self._get_client(config.online_store)
        kept = {view.table for view in needed}
        dropped = []
        for name, note in sorted(client.hgetall(_notes_key(config)).items()):
            view = name.decode()
            if f"{config.project}_{view}" not in kept:
                removed = json.loads(note)
                fields = [f"_ts:{view}", *(_mmh3(f"{view}:{one}") for one in removed["features"])]
                keys = list(_scan_entities(client, removed["join_keys"], config.project))
                for start in range(0, len(keys), _BATCH):
                    with client.pipeline(transaction=False) as pipeline:
                        for key in keys[start : start + _BATCH]:
                            pipeline.hdel(key, *fields)
                        pipeline.execute()
                client.hdel(_notes_key(config), view)
                dropped.append(view)
        return dropped

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
            if standing[key] is None or event_us_of(row) >= decode_timestamp(standing[key])
        }
        with client.pipeline(transaction=False) as pipeline:
            for key, row in newer.items():
                fields = _hash_fields(view, time_field, row)
                compared = (key, time_field, standing[key] or b"", ttl_seconds)
                pipeline.eval(WRITE_IF_STANDING, 1, *compared, *fields)
            written = pipeline.execute()
        return {
            key: row for (key, row), done in zip(newer.items(), written, strict=True) if not done
        }


def _notes_key(config: RepoConfig) -> str:
    return f"zeroskew:removed_views:{config.project}"


def _scan_entities(client: Any, join_keys: Sequence[str], project: str) -> Iterator[bytes]:
    """Return the hashes of a project's entities with these join keys.

    A pattern alone would take those of another project whose name ends alike.
    """
    prefix = serialize_entity_key_prefix(list(join_keys), 3)
    pattern = re.sub(rb"([\\*?\[\]^-])", rb"\\\1", prefix) + b"*"
    for key in client.scan_iter(match=pattern, count=_BATCH):
        if key[_skip_values(key, len(prefix), len(join_keys)) :] == project.encode():
            yield key


def _skip_values(key: bytes, place: int, n_values: int) -> int:
    """Return where the values of a serialised entity key end: each has a type and a length."""
    for _ in range(n_values):
        place += 8 + int.from_bytes(key[place + 4 : place + 8], "little")
    return place


def _hash_fields(view: str, time_field: str, row: OnlineRow) -> list[str | bytes]:
    _, values, event_time, _ = row
    fields: list[str | bytes] = [time_field, encode_timestamp(to_epoch_us(event_time))]
    for feature, value in values.items():
        fields += [_mmh3(f"{view}:{feature}"), value.SerializeToString()]
    return fields
