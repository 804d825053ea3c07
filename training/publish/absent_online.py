"""Whether the online store has a value of each feature that a model was trained with."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import polars as pl

from zeroskew.contract.errors.project import StepError
from zeroskew.contract.errors.sentences import first_line
from zeroskew.contract.manifest import FeaturePlan, ViewPlan
from zeroskew.declarations.model_spec import ModelSpec
from zeroskew.features.plans.compile_plan import make_golden_keys
from zeroskew.online.reader import StoredView
from zeroskew.online.redis.hash_fields import name_hash_fields

__all__ = ["refuse_absent_online"]

_MOST_KEYS: Final = 256
"""How many entities are asked for: the latest in the label table with a value of the feature."""
_MOST_SCANNED: Final = 20_000
"""How many of a Redis server's keys are looked at where none of those has one."""
_MOST_NAMED: Final = 3
_CHANCE: Final = 1e-6
"""How unlikely it must be that so many entities are all null by chance."""


@dataclass
class Seen:
    """What the online store has of a feature: entities with a null written, and any value."""

    n_null: int = 0
    has_value: bool = False

    def is_absent(self, share: float) -> bool:
        """Tell whether values are missing that ``share`` of the training rows had.

        Where nothing is written, they are. Where only nulls are, they are unless that many
        entities may well be null at one moment.
        """
        return not self.has_value and (self.n_null == 0 or (1 - share) ** self.n_null < _CHANCE)


Find = Callable[[ViewPlan, Sequence[str]], dict[str, Seen]]
"""Returns what is online of each of a view's features."""


def refuse_absent_online(
    spec: ModelSpec,
    plan: FeaturePlan,
    rows: pl.DataFrame,
    inputs: Mapping[str, pl.Series],
    *,
    sqlite_path: Path | None,
    open_store: Callable[[], Any],
) -> None:
    """Raise if a feature has values in training and none online, where it is to be served from.

    A SQLite store is looked through. A server is asked for the latest entities of the label table
    that had a value, then Redis for some of whatever it has. Nulls that were written are not
    absence, as long as so many may be null at one moment by the share of nulls in training.

    Parameters
    ----------
    rows
        The data set's rows, in order of time.
    inputs
        What `training.dataset.empty_inputs.list_inputs` returned, of the same rows.
    sqlite_path
        The online store, where it is a SQLite file.
    open_store
        Opens Feast's ``FeatureStore``; called only where the online store is a server.

    Raises
    ------
    StepError
        If there is one that ``spec.may_be_empty`` does not name, or the store cannot be read.
    """
    wanted = {
        view.name: [
            feature
            for name, feature in plan.list_stored_features()
            if name == view.name
            and (reference := f"{name}:{feature}") not in spec.may_be_empty
            and not inputs[reference].is_nan().all()
        ]
        for view in plan.views
    }
    if not any(wanted.values()):
        return
    if sqlite_path:
        find = _sqlite_finder(sqlite_path)
    else:
        with _say_store_errors():
            store = open_store()
        find = _server_finder(store, plan, rows, inputs)
    absent: list[str] = []
    for view in plan.views:
        seen = find(view, wanted[view.name]) if wanted[view.name] else {}
        for name, one in seen.items():
            values = inputs[f"{view.name}:{name}"]
            if one.is_absent(int(values.is_not_nan().sum()) / len(values)):
                absent.append(f"{view.name}:{name}")
    if absent:
        named = ", ".join(absent[:_MOST_NAMED])
        more = f" and {len(absent) - _MOST_NAMED} more" if len(absent) > _MOST_NAMED else ""
        raise StepError(
            f"Got no value of {named}{more} online, but expected some, as training had them; run "
            "`zeroskew materialize`, or name what may be absent in may_be_empty"
        )


@contextlib.contextmanager
def _say_store_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Of whatever client the store has.
        raise StepError(
            f"Got {type(error).__name__} ({first_line(error)}) from the online store, but expected "
            "to see there what the model is to be served with"
        ) from error


def _sqlite_finder(path: Path) -> Find:
    def find(view: ViewPlan, features: Sequence[str]) -> dict[str, Seen]:
        seen = {name: Seen() for name in features}
        if not path.exists():
            return seen
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with (
            _say_store_errors(),
            contextlib.closing(sqlite3.connect(uri, uri=True)) as online,
        ):
            tables = {name for (name,) in online.execute("SELECT name FROM sqlite_master")}
            if view.table not in tables:
                return seen
            quoted = view.table.replace('"', '""')
            entries = f'FROM "{quoted}" WHERE feature_name = ?'
            for name, one in seen.items():
                a_value = f"SELECT 1 {entries} AND length(value) LIMIT 1"
                one.has_value = online.execute(a_value, (name,)).fetchone() is not None
                if not one.has_value:
                    nulls = f"SELECT count(*) {entries}"
                    (one.n_null,) = online.execute(nulls, (name,)).fetchone()
        return seen

    return find


def _server_finder(
    store: Any, plan: FeaturePlan, rows: pl.DataFrame, inputs: Mapping[str, pl.Series]
) -> Find:
    def find(view: ViewPlan, features: Sequence[str]) -> dict[str, Seen]:
        keys = _latest_keys(plan, view, rows, [inputs[f"{view.name}:{one}"] for one in features])
        with _say_store_errors():
            if hasattr(store.config.online_store, "connection_string"):
                return _find_in_redis(store, view, features, keys)
            return _find_by_feast(store, plan, view, features, keys)

    return find


def _latest_keys(
    plan: FeaturePlan, view: ViewPlan, rows: pl.DataFrame, values: Sequence[pl.Series]
) -> list[bytes]:
    """Return the serialised keys of the latest rows that have a value of one of some features."""
    fields = [key.field for key in view.join_keys]
    instances: list[dict[str, Any]] = []
    for series in values:
        having = rows.filter(~series.is_nan()).select(fields).reverse()
        instances += (
            having.unique(maintain_order=True).head(_MOST_KEYS).to_dicts() if fields else []
        )
    one_view = plan.model_copy(update={"views": (view,)})
    golden = make_golden_keys(one_view, instances if fields else [{}])
    return [bytes.fromhex(key.serialized) for key in golden]


def _find_in_redis(
    store: Any, view: ViewPlan, features: Sequence[str], keys: Sequence[bytes]
) -> dict[str, Seen]:
    client = store._get_provider().online_store._get_client(store.config.online_store)
    project = store.project.encode()
    prefix = bytes.fromhex(view.key_prefix)
    names = tuple(one.name for one in view.features)
    stored = StoredView(view.name, view.table, names)
    fields = dict(zip(names, name_hash_fields(store.project, stored).features, strict=True))
    seen = {name: Seen() for name in features}
    _read_hashes(client, [key + project for key in keys], seen, fields)
    if not all(one.has_value for one in seen.values()):
        scanned = islice(client.scan_iter(count=1000, _type="hash"), _MOST_SCANNED)
        asked = {key + project for key in keys}
        others = [k for k in scanned if k.startswith(prefix) and k.endswith(project)]
        _read_hashes(client, [key for key in others if key not in asked], seen, fields)
    return seen


def _read_hashes(
    client: Any, keys: Sequence[bytes], seen: dict[str, Seen], fields: Mapping[str, bytes]
) -> None:
    for some in _batches(keys):
        with client.pipeline(transaction=False) as pipeline:
            for key in some:
                pipeline.hmget(key, [fields[name] for name in seen])
            for values in pipeline.execute():
                for one, value in zip(seen.values(), values, strict=True):
                    one.has_value |= bool(value)
                    one.n_null += value == b""
        if all(one.has_value for one in seen.values()):
            break


def _batches(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), _MOST_KEYS):
        yield keys[start : start + _MOST_KEYS]


def _find_by_feast(
    store: Any, plan: FeaturePlan, view: ViewPlan, features: Sequence[str], keys: Sequence[bytes]
) -> dict[str, Seen]:
    from feast.infra.key_encoding_utils import deserialize_entity_key

    service = store.get_feature_service(plan.feature_service)
    names = {one.name_to_use(): one.name for one in service.feature_view_projections}
    table = store.registry.get_any_feature_view(names.get(view.name, view.name), store.project)
    answers = store._get_provider().online_store.online_read(
        store.config, table, [deserialize_entity_key(key, 3) for key in keys], list(features)
    )
    seen = {name: Seen() for name in features}
    for _, values in answers:
        for name, value in (values or {}).items():
            seen[name].has_value |= value.WhichOneof("val") is not None
            seen[name].n_null += value.WhichOneof("val") is None
    return seen
