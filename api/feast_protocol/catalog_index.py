"""A feature catalog, checked and looked up by name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from api.contract.feature_catalog import CatalogView, FeatureCatalog
from api.errors import (
    FeatureCatalogRefusedError,
    FieldError,
    InvalidRequestError,
    UnknownFeatureError,
    UnknownFeatureServiceError,
    UnknownFeatureViewError,
    UnknownPushSourceError,
)
from api.feast_protocol.online_read import AskedFeature, OnlineRead
from api.field_errors import describe, json_pointer
from api.prediction.value_codec import encode_key_prefix

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
        self.redis_key_ttl_seconds = catalog.redis_key_ttl_seconds
        self._views = {view.name: view for view in catalog.views}
        self._services = {service.name: service for service in catalog.services}
        self._push_sources = {source.name: source.views for source in catalog.push_sources}
        self.tables = {table.name: table for table in catalog.tables}
        """The tables of the lake that rows can be added to, by name."""
        self._unserved = {view.name: view.reason for view in catalog.unserved}
        self._reads: OrderedDict[_ReadKey, OnlineRead] = OrderedDict()
        for view in (*catalog.views, *(v for s in catalog.services for v in s.views)):
            _check_prefix(view)
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
        if name in self._unserved:
            raise InvalidRequestError(
                f"Got {describe(name)} at {pointer}, which this service cannot serve: "
                f"{self._unserved[name]}.",
                (field,),
            )
        raise UnknownFeatureViewError(field)

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
            raise UnknownPushSourceError(field)
        return [self._views[name] for name in names]

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

    def _remember(self, key: _ReadKey, features: Iterator[AskedFeature]) -> OnlineRead:
        read = self._reads[key] = OnlineRead(self.project, list(features))
        if len(self._reads) > _MAX_READS:
            self._reads.popitem(last=False)
        return read

    def _service_features(self, name: str) -> Iterator[AskedFeature]:
        pointer = "/feature_service"
        service = self._services.get(name)
        if service is None:
            expected = f"a feature service of project {self.project!r}"
            raise UnknownFeatureServiceError(FieldError(pointer, describe(name), expected))
        if service.unserved:
            raise InvalidRequestError(
                f"Got feature service {name!r} with features that are not stored and cannot be "
                f"computed here: {', '.join(service.unserved)}. Ask for the others by name."
            )
        for view in service.views:
            for feature in view.features:
                yield AskedFeature(view, feature, pointer)

    def _listed_features(self, references: Sequence[str]) -> Iterator[AskedFeature]:
        seen: set[str] = set()
        for number, reference in enumerate(references):
            pointer = json_pointer("/features", number)
            name, colon, feature_name = reference.partition(":")
            if not colon or reference in seen:
                got = f"{describe(reference)} again" if colon else describe(reference)
                field = FieldError(pointer, got, "view:feature, each once")
                raise InvalidRequestError(field.message, (field,))
            seen.add(reference)
            view = self.view(name, pointer)
            feature = next((one for one in view.features if one.name == feature_name), None)
            if feature is None:
                expected = f"a feature of view {name!r}"
                raise UnknownFeatureError(FieldError(pointer, describe(reference), expected))
            yield AskedFeature(view, feature, pointer)


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
