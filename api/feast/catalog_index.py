"""A feature catalog, checked and looked up by name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from api.feast.on_demand import OnDemandGraph
from api.feast.online_read import AskedComputation, AskedFeature, OnlineRead
from zeroskew.contract.errors.fields import describe, json_pointer, shorten
from zeroskew.contract.errors.not_found import (
    UnknownFeatureError,
    UnknownFeatureServiceError,
    UnknownFeatureViewError,
    UnknownPushSourceError,
)
from zeroskew.contract.errors.service import (
    FeatureCatalogRefusedError,
    FieldError,
    InvalidRequestError,
)
from zeroskew.contract.feature_catalog import CatalogView, FeatureCatalog
from zeroskew.contract.manifest import OnlineFeature
from zeroskew.online.values.decode import encode_key_prefix

__all__ = ["CatalogIndex"]

_MAX_READS: Final = 256
"""How many different lists of features are kept compiled."""

_ReadKey: TypeAlias = str | tuple[str, ...]


class CatalogIndex:
    """What a project has online.

    Parameters
    ----------
    catalog
        As it was published.

    Raises
    ------
    FeatureCatalogRefusedError
        If it contradicts itself.
    """

    def __init__(self, catalog: FeatureCatalog) -> None:
        self.project = catalog.project
        self.key_ttl_seconds = catalog.key_ttl_seconds
        self._views = {view.name: view for view in catalog.views}
        self._services = {service.name: service for service in catalog.services}
        self._push_sources = {source.name: source.views for source in catalog.push_sources}
        self.tables = {table.name: table for table in catalog.tables}
        """The tables of the lake that rows can be added to, by name."""
        self.event_views: dict[str, list[CatalogView]] = {}
        """The windowed views over each table of the lake."""
        for view in catalog.views:
            if view.windows is not None and view.source is not None and view.source.table:
                self.event_views.setdefault(view.source.table, []).append(view)
        self._unserved = {view.name: view.reason for view in catalog.unserved}
        self._graphs = {view.name: OnDemandGraph(view) for view in catalog.on_demand}
        self.join_keys = {entity.name: entity.join_key for entity in catalog.entities}
        """The join key of each entity, by the entity's name."""
        self._reads: OrderedDict[_ReadKey, OnlineRead] = OrderedDict()
        for view in (*catalog.views, *(v for s in catalog.services for v in s.views)):
            _check_prefix(view)
        for graph in self._graphs.values():
            for one in graph.view.inputs:
                if one.view is not None and _find(self._views.get(one.view), one.name) is None:
                    raise FeatureCatalogRefusedError(
                        f"Got a feature catalog whose on-demand view {graph.view.name!r} reads "
                        "what it does not have; run `zeroskew apply`."
                    )
        for source, names in self._push_sources.items():
            if not self._views.keys() >= set(names):
                raise FeatureCatalogRefusedError(
                    f"Got a feature catalog whose push source {source!r} feeds a view that it "
                    "does not have; run `zeroskew apply`."
                )

    def view(self, name: str, pointer: str) -> CatalogView:
        """Return the view of that name; `pointer` is where the request names it.

        Raises
        ------
        UnknownFeatureViewError
            If there is none.
        InvalidRequestError
            If there is one that the service cannot read.
        """
        found = self._views.get(name)
        if found is not None:
            return found
        field = FieldError(pointer, describe(name), f"a feature view of project {self.project!r}")
        if name in self._graphs:
            raise InvalidRequestError(
                f"Got {describe(name)} at {pointer}, which is computed when it is asked for, but "
                "expected a view that is stored.",
                (field,),
            )
        if name in self._unserved:
            raise InvalidRequestError(
                f"Got {describe(name)} at {pointer}, which this service cannot serve: "
                f"{self._unserved[name]}.",
                (field,),
            )
        sentence = f"Feature view {shorten(name)} does not exist in project {self.project}"
        raise UnknownFeatureViewError(field, sentence)

    def fed_views(self, push_source: str) -> list[CatalogView]:
        """Return the views that a push source feeds.

        Raises
        ------
        UnknownPushSourceError
            If it feeds none.
        """
        names = self._push_sources.get(push_source)
        if names is None:
            expected = f"a push source that feeds a view of project {self.project!r}"
            field = FieldError("/push_source_name", describe(push_source), expected)
            raise UnknownPushSourceError(
                field, f"Unable to find push source '{shorten(push_source)}'"
            )
        return [self._views[name] for name in names]

    def fed_event_views(self, source: str) -> list[CatalogView]:
        """Return the windowed views over a push source, or over a table of that name.

        Raises
        ------
        UnknownPushSourceError
            If there is none.
        """
        fed = [self._views[name] for name in self._push_sources.get(source, ())]
        views = [view for view in fed if view.windows] or self.event_views.get(source)
        if not views:
            expected = f"a source of windowed views in project {self.project!r}"
            field = FieldError("the source in the address", describe(source), expected)
            raise UnknownPushSourceError(field)
        return self.with_siblings(views)

    def with_siblings(self, views: Sequence[CatalogView]) -> list[CatalogView]:
        """Return some views, and the windowed views over the tables of those among them.

        An event that is in a table counts in all of them.
        """
        found = {view.name: view for view in views}
        for view in views:
            if view.windows is not None and view.source is not None and view.source.table:
                found |= {one.name: one for one in self.event_views[view.source.table]}
        return list(found.values())

    def read_of_service(self, name: str) -> OnlineRead:
        """Return what a feature service reads.

        Raises
        ------
        UnknownFeatureServiceError
            If there is none of that name.
        InvalidRequestError
            If it has features that are not stored, or of a type that cannot be read.
        """
        read = self._recall(name)
        return read or self._remember(name, self._service_features(name))

    def read_of_features(self, references: Sequence[str]) -> OnlineRead:
        """Return what a list of ``view:feature`` reads.

        Raises
        ------
        UnknownFeatureViewError, UnknownFeatureError
            If there is no such view or feature.
        InvalidRequestError
            If one is not a reference, given twice, or of a type that cannot be read.
        """
        key = tuple(references)
        read = self._recall(key)
        return read or self._remember(key, self._listed_features(references))

    def _recall(self, key: _ReadKey) -> OnlineRead | None:
        read = self._reads.get(key)
        if read is not None:
            self._reads.move_to_end(key)
        return read

    def _remember(
        self, key: _ReadKey, features: Iterator[AskedFeature | AskedComputation]
    ) -> OnlineRead:
        asked = list(features)
        read = self._reads[key] = OnlineRead(self.project, asked, self._inputs_of(asked))
        if len(self._reads) > _MAX_READS:
            self._reads.popitem(last=False)
        return read

    def _inputs_of(self, asked: Sequence[AskedFeature | AskedComputation]) -> list[AskedFeature]:
        """Return the stored features that graphs take, each once."""
        found = {}
        for one in asked:
            if isinstance(one, AskedComputation):
                for taken in one.graph.view.inputs:
                    view = self._views.get(taken.view or "")
                    feature = _find(view, taken.name)
                    if view is not None and feature is not None:
                        found[view.name, feature.name] = AskedFeature(view, feature, one.pointer)
        return list(found.values())

    def _service_features(self, name: str) -> Iterator[AskedFeature | AskedComputation]:
        pointer = "/feature_service"
        service = self._services.get(name)
        if service is None:
            expected = f"a feature service of project {self.project!r}"
            raise UnknownFeatureServiceError(
                FieldError(pointer, describe(name), expected),
                f"Feature service {shorten(name)} does not exist in project {self.project}",
            )
        if service.unserved:
            reference = service.unserved[0]
            reason = self._unserved.get(reference.partition(":")[0], "it is not in the catalog")
            more = f" and {len(service.unserved) - 1} more" if len(service.unserved) > 1 else ""
            got = f"feature service {shorten(name)} with {reference}{more}"
            field = FieldError(pointer, got, "features that can be read here")
            raise InvalidRequestError(
                f"{field.message} Of that view, {reason}. Ask for the others by name.", (field,)
            )
        for view in service.views:
            for feature in view.features:
                yield AskedFeature(view, feature, pointer)
        for pick in service.on_demand:
            graph = self._graphs[pick.view]
            for computed in graph.view.features:
                if computed.name in pick.features:
                    yield AskedComputation(graph, pick.name, computed, pointer)

    def _listed_features(
        self, references: Sequence[str]
    ) -> Iterator[AskedFeature | AskedComputation]:
        seen: set[str] = set()
        for number, reference in enumerate(references):
            pointer = json_pointer("/features", number)
            name, colon, feature_name = reference.partition(":")
            if not colon or reference in seen:
                got = f"{describe(reference)} again" if colon else describe(reference)
                field = FieldError(pointer, got, "view:feature, each once")
                raise InvalidRequestError(field.message, (field,))
            seen.add(reference)
            unknown = UnknownFeatureError(
                FieldError(pointer, describe(reference), f"a feature of view {shorten(name)!r}")
            )
            if name in self._graphs:
                graph = self._graphs[name]
                found = [one for one in graph.view.features if one.name == feature_name]
                if not found:
                    raise unknown
                yield AskedComputation(graph, name, found[0], pointer)
                continue
            view = self.view(name, pointer)
            stored = _find(view, feature_name)
            if stored is None:
                raise unknown
            yield AskedFeature(view, stored, pointer)


def _find(view: CatalogView | None, name: str) -> OnlineFeature | None:
    return next((one for one in view.features if one.name == name), None) if view else None


def _check_prefix(view: CatalogView) -> None:
    names = [key.name for key in view.join_keys]
    if (
        not names
        or names != sorted(set(names))
        or bytes.fromhex(view.key_prefix) != encode_key_prefix(names)
    ):
        raise FeatureCatalogRefusedError(
            f"Got a feature catalog with other entity keys in view {view.name!r} than the service "
            "writes; run `zeroskew apply` of this release."
        )
