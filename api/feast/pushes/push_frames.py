"""A request's columns as each view has them, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.feast.column_values import RefusedFields, parse_column, parse_instants
from api.feast.entity_columns import EntityColumns
from api.feast.online_read import store_view, value_kind
from api.feast.request_bodies import Columns, FeastLimits
from zeroskew.contract.errors.fields import json_pointer
from zeroskew.contract.errors.service import InvalidRequestError
from zeroskew.contract.feature_catalog import CatalogView, SourceColumns
from zeroskew.contract.manifest import OnlineFeature
from zeroskew.contract.time.epoch import FIRST_SECOND, LAST_SECOND
from zeroskew.online.values.decode import Value, ValueType
from zeroskew.online.windows.add_events import EventRows, group_events
from zeroskew.online.writer import OnlineRow, ViewRows
from zeroskew.windows.state import Event

__all__ = ["ReadView", "read_rows"]

# What Feast's client calls the times of the rows it writes, whatever the source calls them.
_CLIENT_TIMESTAMP: Final = "event_timestamp"
_CLIENT_CREATED: Final = "created"


@dataclass(frozen=True, slots=True)
class ReadView:
    """A request's rows as one view has them.

    ``columns`` is all of the request by the view's names, ``given`` what of it the view reads.
    """

    view: CatalogView
    columns: Mapping[str, list[Any]]
    event_us: Sequence[int]
    created_us: Sequence[int | None]
    keys: Sequence[bytes | None]
    given: Mapping[str, Sequence[Any]]

    def rows(self) -> ViewRows:
        """Return the rows of a view that is not windowed."""
        features = self.view.features
        values = list(zip(*self.given.values(), strict=True)) or [()] * len(self.keys)
        return ViewRows(
            view=store_view(self.view, features),
            kinds=tuple(value_kind(self.view, one, "/df") for one in features),
            rows=[
                OnlineRow(key, row, us, created)
                for key, row, us, created in zip(
                    self.keys, values, self.event_us, self.created_us, strict=True
                )
                if key is not None
            ],
        )

    def events(self, identity: str, received_us: int) -> dict[bytes, list[Event]]:
        """Return the rows of a windowed view as events by entity key."""
        rows = EventRows(identity, self.given, self.event_us, self.created_us, received_us)
        source = self.view.source
        has_created = source is not None and source.created is not None
        return group_events(self.view, self.keys, rows, has_created=has_created)


def read_rows(
    views: Sequence[CatalogView],
    frame: Columns,
    n_rows: int,
    limits: FeastLimits,
    now_us: int,
) -> list[ReadView]:
    """Return the rows of all views.

    Raises
    ------
    InvalidRequestError
        With the places of the frame that fit none of the views, or not all of them.
    """
    findings = RefusedFields()
    frames = [_ViewFrame(view, _source_of(view), frame, n_rows, findings, now_us) for view in views]
    known = set().union(*(one.known_columns for one in frames))
    for column in frame:
        if column not in known and not findings.are_enough:
            expected = f"one of {', '.join(sorted(known))}"
            findings.add(json_pointer("/df", column), "a column of that name", expected)
    rows = [one.read(limits.max_text_length) for one in frames]
    findings.raise_any()
    return [one for one in rows if one is not None]


def _source_of(view: CatalogView) -> SourceColumns:
    if view.source is None:
        raise InvalidRequestError(
            f"Got view {view.name!r}, but expected one with a source that has event times."
        )
    return view.source


@dataclass(frozen=True, slots=True)
class _ViewFrame:
    """A request's columns as one view sees them."""

    view: CatalogView
    source: SourceColumns
    frame: Columns
    n_rows: int
    findings: RefusedFields
    now_us: int

    @property
    def known_columns(self) -> set[str]:
        """The columns that the view takes or its source renames."""
        times = {self.source.timestamp, self.source.created, _CLIENT_TIMESTAMP, _CLIENT_CREATED}
        known = self._own_names | set(self.source.field_mapping) | times
        return {name for name in known if name is not None}

    @property
    def _own_names(self) -> set[str | None]:
        keys = {key.name for key in self.view.join_keys}
        return {*keys, *(feature.name for feature in self._given)}

    @property
    def _given(self) -> Sequence[OnlineFeature]:
        """What a row says: the features, or of an event what they are computed of."""
        windows = self.view.windows
        if windows is None:
            return self.view.features
        return [OnlineFeature(name=name, type=kind) for name, kind in windows.columns.items()]

    def _rename_columns(self) -> dict[str, list[Any]]:
        """Return the columns under the names that the view has for them."""
        columns: dict[str, list[Any]] = {}
        for name, values in self.frame.items():
            own_name = self.source.field_mapping.get(name, name)
            if own_name in columns:
                got = f"a second column for {own_name!r}"
                self.findings.add(json_pointer("/df", name), got, "one")
            columns[own_name] = values
        return columns

    def read(self, max_text_length: int) -> ReadView | None:
        """Return the view's rows, or ``None`` and findings."""
        columns = self._rename_columns()
        keys = [key.model_copy(update={"field": key.name}) for key in self.view.join_keys]
        # An event of a nobody is one of other views' entities.
        nullable = self.view.windows is not None
        entities = EntityColumns(
            columns, keys, "/df", max_text_length, self.findings, nullable=nullable
        )
        given = self._given
        values = [self._read_feature(columns, feature) for feature in given]
        event_us = self._read_times(columns, self.source.timestamp, _CLIENT_TIMESTAMP)
        created_us = self._read_times(columns, self.source.created, _CLIENT_CREATED)
        if self.view.windows is not None:
            # Whoever has an event knows of it, whatever a clock elsewhere says.
            created_us = [None if us is None else min(us, self.now_us) for us in created_us]
        if self.findings.are_any:
            return None
        return ReadView(
            self.view,
            columns,
            event_us,  # type: ignore[arg-type]  # not nullable
            created_us,
            entities.serialize_keys(keys),
            dict(zip((one.name for one in given), values, strict=True)),
        )

    def _read_feature(
        self, columns: dict[str, list[Any]], feature: OnlineFeature
    ) -> list[Value | None]:
        pointer = json_pointer("/df", feature.name)
        kind = value_kind(self.view, feature, pointer)
        if feature.name not in columns:
            self.findings.add(pointer, "nothing", f"a list of values of type {kind.name}")
            return []
        values = parse_column(columns[feature.name], kind, pointer, self.findings)
        if self.view.windows is not None and kind is ValueType.UNIX_TIMESTAMP:
            for place, seconds in enumerate(values):
                if seconds is not None and not FIRST_SECOND <= seconds <= LAST_SECOND:
                    expected = "an instant of the years 1 to 9999"
                    self.findings.add(f"{pointer}/{place}", f"{seconds} seconds", expected)
        return values

    def _read_times(
        self, columns: dict[str, list[Any]], name: str | None, client_name: str
    ) -> list[int | None]:
        """Return a column of times, by the source's name or else by that of Feast's client.

        Event times must be there, in every row.
        """
        is_event = client_name == _CLIENT_TIMESTAMP
        if name not in columns and client_name not in self._own_names:
            name = client_name
        if name in columns:
            pointer = json_pointer("/df", name)
            return parse_instants(columns[name], pointer, self.findings, nullable=not is_event)
        if is_event:
            pointer = json_pointer("/df", self.source.timestamp)
            self.findings.add(pointer, "nothing", "a list of event times")
        return [None] * self.n_rows
