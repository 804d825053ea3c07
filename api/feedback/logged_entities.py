"""Tells whether the log has a prediction for an entity, as far as it may be searched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from api.models.model_catalog import ModelCatalog
from api.predictions.prediction_log import PredictionLog
from zeroskew.contract.errors.service import ServiceError
from zeroskew.contract.manifest import Manifest
from zeroskew.records.prediction_log.log_mask import HASHED

__all__ = ["LoggedEntities"]

_MAX_ANSWERS: Final = 1_000


class LoggedEntities:
    """Searches the log's newest answers for an entity key. Its calls block.

    Parameters
    ----------
    log
        Is searched.
    catalog
        Knows which fields of a version's request are its keys.
    """

    def __init__(self, *, log: PredictionLog, catalog: ModelCatalog) -> None:
        self._log = log
        self._catalog = catalog

    def find(self, model: str, entity_key: Mapping[str, object], until: datetime) -> bool | None:
        """Tell whether a prediction for an entity was logged at `until` or before.

        Returns
        -------
        bool or None
            ``None`` where that is not known: the log cannot be read, its policy hides the keys,
            or it has more answers after the last one for this entity than are searched.
        """
        places: dict[int, list[tuple[int, object]] | None] = {}
        is_known = True
        try:
            answers = self._log.read_requests(model, until, _MAX_ANSWERS)
            for version, request in answers:
                if version not in places:
                    manifest = self._catalog.get_version(model, version).manifest
                    places[version] = _place_keys(manifest, entity_key)
                wanted = places[version]
                if wanted is None:
                    continue
                rows = json.loads(request)
                if any(all(_is_same(row[at], value) for at, value in wanted) for row in rows):
                    return True
                is_known = is_known and not any(_is_hidden(rows[0][at]) for at, _ in wanted)
        except ServiceError:
            return None
        return False if is_known and len(answers) < _MAX_ANSWERS else None


def _place_keys(
    manifest: Manifest, entity_key: Mapping[str, object]
) -> list[tuple[int, object]] | None:
    """Return where a version's request has the keys, and the value of each; ``None`` if others."""
    if sorted(entity_key) != manifest.plan.list_key_fields():
        return None
    names = [field.name for field in manifest.request]
    return [(names.index(name), value) for name, value in entity_key.items()]


def _is_same(logged: Any, value: object) -> bool:
    return type(logged) is type(value) and bool(logged == value)


def _is_hidden(logged: object) -> bool:
    return str(logged).startswith(HASHED)
