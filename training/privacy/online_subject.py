"""What the online store has of a subject: every entity whose keys are the subject's."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key
from feast.infra.online_stores.helpers import compute_table_id
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type

from training.privacy.subject import Subject
from training.project.online_store import open_store_of
from zeroskew.online.store import OnlineStore, StoredEntity

__all__ = ["OnlineSubject", "open_online_subject"]


class OnlineSubject:
    """Looks through all entities of a project for those of a subject.

    Parameters
    ----------
    store
        The online store.
    project
        Feast's project.
    tables
        The project's tables, as Feast names them.

    Raises
    ------
    NotSupportedError
        If a store of this kind cannot be looked through.
    """

    def __init__(self, store: OnlineStore, project: str, tables: Collection[str]) -> None:
        self.name = store.name
        """What the store is called, as services call it."""
        self._entities = store.open_entities(project, tables)

    def find(self, subject: Subject) -> list[dict[str, Any]]:
        """Return the entities that are the subject's, with their values."""
        return [_describe(one) for one in self._entities.find(lambda key: _is(subject, key))]

    def forget(self, subject: Subject) -> int:
        """Erase them, and return how many there were.

        Raises
        ------
        StepError
            If what was deleted cannot be overwritten, because a reader holds the file.
        """
        return self._entities.erase(lambda key: _is(subject, key))


def open_online_subject(store: Any, tables: Collection[str] = ()) -> OnlineSubject:
    """Return what looks through the online store of a Feast ``FeatureStore``.

    Parameters
    ----------
    store
        Its views say which tables are the project's.
    tables
        Further tables of the project, of views that it has no more.

    Raises
    ------
    StepError
        If the store is none that is known.
    NotSupportedError
        If it cannot be looked through.
    """
    known = {*_list_tables(store), *tables}
    return OnlineSubject(open_store_of(store), store.project, known)


def _list_tables(store: Any) -> list[str]:
    versioning = store.config.registry.enable_online_feature_view_versioning
    views = [*store.list_batch_feature_views(), *store.list_stream_feature_views()]
    return [compute_table_id(store.project, view, versioning) for view in views]


def _is(subject: Subject, key: bytes) -> bool:
    named = _read_key(key)
    return named is not None and subject.matches(named)


def _describe(entity: StoredEntity) -> dict[str, Any]:
    values = entity.values
    return ({} if entity.view is None else {"view": entity.view}) | {
        "keys": _read_key(entity.key),
        "values": {name: _to_python(one) for name, one in values.items()}
        if isinstance(values, Mapping)
        else [_to_python(one) for one in values],
    }


def _read_key(content: bytes) -> dict[str, Any] | None:
    """Return the names and values of a serialised entity key, ``None`` where it is none."""
    try:
        key = deserialize_entity_key(content, entity_key_serialization_version=3)
        # Feast's own reading takes what comes behind a key for nothing.
        if serialize_entity_key(key, entity_key_serialization_version=3) != content:
            return None
    except Exception:
        return None
    return {
        name: feast_value_type_to_python_type(value)
        for name, value in zip(key.join_keys, key.entity_values, strict=False)
    }


def _to_python(content: bytes) -> Any:
    value = Value()
    value.ParseFromString(bytes(content))
    return feast_value_type_to_python_type(value)
