"""Whether the online store has a value of each feature that a model was trained with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import polars as pl

from zeroskew.contract.errors.project import StepError
from zeroskew.contract.errors.sentences import first_line
from zeroskew.contract.errors.service import NotSupportedError
from zeroskew.contract.manifest import FeaturePlan, ViewPlan
from zeroskew.contract.window_plan import STATE
from zeroskew.declarations.model_spec import ModelSpec
from zeroskew.features.plans.compile_plan import make_golden_keys
from zeroskew.online.reader import EntityLookup, ReadLayout, StoredView
from zeroskew.online.store import OnlineStore

__all__ = ["refuse_absent_online"]

_MOST_KEYS: Final = 256
"""How many entities are asked for: the latest in the label table with a value of the feature."""
_MOST_NAMED: Final = 3
_TIMEOUT_SEC: Final = 5.0
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


@dataclass(frozen=True)
class _AskedView:
    """The features that are looked for in a view, and the keys that are asked for first."""

    plan: ViewPlan
    names: tuple[str, ...]
    keys: Sequence[bytes]


def refuse_absent_online(
    spec: ModelSpec,
    plan: FeaturePlan,
    rows: pl.DataFrame,
    inputs: Mapping[str, pl.Series],
    *,
    online: Callable[[], OnlineStore],
) -> None:
    """Raise if a feature has values in training and none online, where it is to be served from.

    The store is asked for the latest entities of the label table that had a value, then, where it
    can be looked through, for whatever it has. Nulls that were written are not absence, as long as
    so many may be null at one moment by the share of nulls in training.

    Parameters
    ----------
    rows
        The data set's rows, in order of time.
    inputs
        What `training.dataset.empty_inputs.list_inputs` returned, of the same rows.
    online
        Opens the online store.

    Raises
    ------
    StepError
        If there is one that ``spec.may_be_empty`` does not name, or the store cannot be read.
    """
    wanted = _list_wanted(spec, plan, inputs)
    if not any(wanted.values()):
        return
    asked = [
        _AskedView(view, tuple(names), _latest_keys(plan, view, names, rows, inputs))
        for view in plan.views
        if (names := wanted[view.name])
    ]
    seen: dict[str, Seen] = {}
    with _say_store_errors():
        store = online()
        for one in asked:
            seen |= _look(store, plan.project, one)
    absent = [
        reference
        for reference, found in seen.items()
        if found.is_absent(int(inputs[reference].is_not_nan().sum()) / len(rows))
    ]
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


def _list_wanted(
    spec: ModelSpec, plan: FeaturePlan, inputs: Mapping[str, pl.Series]
) -> dict[str, list[str]]:
    """Return the features of each view that had a value in training and must have one online."""
    return {
        view.name: [
            feature
            for name, feature in plan.list_stored_features()
            if name == view.name
            and (reference := f"{name}:{feature}") not in spec.may_be_empty
            and not inputs[reference].is_nan().all()
        ]
        for view in plan.views
    }


def _look(store: OnlineStore, project: str, view: _AskedView) -> dict[str, Seen]:
    """Return what is online of each feature, by ``view:feature``."""
    # Whoever has a state has all that is computed of it.
    names = view.names if view.plan.windows is None else (STATE,)
    seen = [Seen() for _ in names]
    stored = StoredView(view.plan.name, view.plan.table, names)
    layout = ReadLayout(project, (EntityLookup((stored,)),))
    asyncio.run(_read(store, layout, iter(view.keys), seen))
    if not all(one.has_value for one in seen):
        with contextlib.suppress(NotSupportedError):  # Then the latest keys must do.
            entities = store.open_entities(project, [stored.table])
            keys = entities.list_keys(stored, bytes.fromhex(view.plan.key_prefix))
            known = set(view.keys)
            others = (key for key in keys if key not in known)
            asyncio.run(_read(store, layout, others, seen))
    if view.plan.windows is not None:
        seen *= len(view.names)
    return dict(zip((f"{view.plan.name}:{name}" for name in view.names), seen, strict=True))


async def _read(
    store: OnlineStore, layout: ReadLayout, keys: Iterator[bytes], seen: Sequence[Seen]
) -> None:
    """Read entities until each feature has a value of one of them."""
    reader = store.open_reader(timeout_sec=_TIMEOUT_SEC)
    try:
        for some in _batches(keys):
            for cells in (await reader.read(layout, [some])).cells:
                for one, cell in zip(seen, cells, strict=True):
                    one.has_value |= bool(cell)
                    one.n_null += cell == b""
            if all(one.has_value for one in seen):
                return
    finally:
        await reader.close()


def _batches(keys: Iterator[bytes]) -> Iterator[list[bytes]]:
    while some := list(islice(keys, _MOST_KEYS)):
        yield some


def _latest_keys(
    plan: FeaturePlan,
    view: ViewPlan,
    names: Sequence[str],
    rows: pl.DataFrame,
    inputs: Mapping[str, pl.Series],
) -> list[bytes]:
    """Return the serialised keys of the latest rows that have a value of one of some features."""
    fields = [key.field for key in view.join_keys]
    instances: list[dict[str, Any]] = []
    for name in names:
        having = rows.filter(~inputs[f"{view.name}:{name}"].is_nan()).select(fields).reverse()
        instances += (
            having.unique(maintain_order=True).head(_MOST_KEYS).to_dicts() if fields else []
        )
    one_view = plan.model_copy(update={"views": (view,)})
    golden = make_golden_keys(one_view, instances if fields else [{}])
    return list(dict.fromkeys(bytes.fromhex(key.serialized) for key in golden))
