"""What a Feast project has online, as plain data: the registry, but without its code.

``zeroskew apply`` compiles it from Feast's registry, because opening a registry runs code, which
the service must not. It is what the endpoints under ``/feast`` know of views, services and push
sources. Everything here is plain data; nothing in it is executed, imported or opened.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from zeroskew.contract.frozen_model import FrozenModel
from zeroskew.contract.manifest import PLAN_LAYOUT, ViewPlan

__all__ = [
    "FEATURE_CATALOG_FORMAT",
    "CatalogService",
    "CatalogView",
    "Entity",
    "FeatureCatalog",
    "LakeColumn",
    "LakeTable",
    "OnDemandFeature",
    "OnDemandInput",
    "OnDemandPick",
    "OnDemandView",
    "PushSource",
    "SourceColumns",
    "UnservedView",
]

FEATURE_CATALOG_FORMAT: Final = "zeroskew.feature_catalog/2"


class SourceColumns(FrozenModel):
    """The columns of a view's source besides keys and features.

    ``field_mapping`` renames columns of a source to names that the view knows, ``timestamp``
    and ``created`` among them. ``table`` names the table of the lake that it is, or else
    ``no_table`` says why rows cannot be added to it.
    """

    timestamp: str
    created: str | None = None
    field_mapping: dict[str, str] = Field(default_factory=dict)
    table: str | None = None
    no_table: str | None = None


class CatalogView(ViewPlan):
    """One view that is online, under its own name.

    ``version`` is Feast's number of it. ``source`` is ``None`` for a view without a batch
    source: rows of it cannot be written.
    """

    version: int = Field(default=0, ge=0)
    source: SourceColumns | None = None


class CatalogService(FrozenModel):
    """A feature service: its views with the chosen features, names and join keys.

    ``unserved`` names the features that cannot be read, as ``view:feature``.
    """

    name: str
    views: tuple[CatalogView, ...]
    on_demand: tuple[OnDemandPick, ...] = ()
    unserved: tuple[str, ...] = ()


class LakeColumn(FrozenModel):
    """A key or a feature of a table of the lake, and Feast's type of it."""

    name: str
    type: str


class LakeTable(FrozenModel):
    """A table of the lake that rows can be added to, by the name of its source.

    ``columns`` are all that views read of it, under the views' names. A row without one of them
    would hide what stood there before.
    """

    name: str
    columns: tuple[LakeColumn, ...]


class OnDemandInput(FrozenModel):
    """What a graph takes: a feature of a stored view, or a field of the request without `view`.

    ``type`` is Feast's. The graph's input has the same name.
    """

    name: str
    type: str
    view: str | None = None


class OnDemandFeature(FrozenModel):
    """A feature that a graph computes, Feast's type of it, and the graph's output."""

    name: str
    type: str
    output: str


class OnDemandView(FrozenModel):
    """A view that is computed when it is asked for.

    ``graph`` is an ONNX model as base64: a float64 input ``(n,)`` for each of ``inputs``, NaN
    where there is no value, and a float64 output ``(n,)`` for each feature.
    """

    name: str
    inputs: tuple[OnDemandInput, ...]
    features: tuple[OnDemandFeature, ...]
    graph: str


class OnDemandPick(FrozenModel):
    """Some features of an on-demand view in a feature service, and its name there."""

    view: str
    name: str
    features: tuple[str, ...]


class Entity(FrozenModel):
    """An entity, which a request may name instead of its join key."""

    name: str
    join_key: str


class PushSource(FrozenModel):
    """A push source and the views that a push to it writes."""

    name: str
    views: tuple[str, ...]


class UnservedView(FrozenModel):
    """A view that is in Feast's registry and cannot be read here, and why."""

    name: str
    reason: str


class FeatureCatalog(FrozenModel):
    """All of a project, in the order of names.

    ``key_ttl_seconds`` is how long an entity lives after a write, where Feast's configuration of
    the online store says so.
    """

    format: Literal["zeroskew.feature_catalog/2"] = FEATURE_CATALOG_FORMAT
    layout: Literal["feast-entity-key-v3"] = PLAN_LAYOUT
    project: str
    views: tuple[CatalogView, ...]
    services: tuple[CatalogService, ...] = ()
    push_sources: tuple[PushSource, ...] = ()
    tables: tuple[LakeTable, ...] = ()
    on_demand: tuple[OnDemandView, ...] = ()
    entities: tuple[Entity, ...] = ()
    unserved: tuple[UnservedView, ...] = ()
    key_ttl_seconds: int | None = Field(default=None, gt=0)
