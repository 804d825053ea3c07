"""Pushed events, added to the states of their entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from api.feast.catalog_index import CatalogIndex
from zeroskew.contract.errors.service import InvalidRequestError, OnlineValueError
from zeroskew.contract.feature_catalog import CatalogView
from zeroskew.online.lazy_writer import LazyWriter
from zeroskew.online.windows.add_events import add_events
from zeroskew.windows.state import Event, StateFullError
from zeroskew.windows.state_codec import StateBytesError

__all__ = ["add_pushed_events"]


async def add_pushed_events(
    writer: LazyWriter,
    catalog: CatalogIndex,
    view: CatalogView,
    events: Mapping[bytes, Sequence[Event]],
    now_us: int,
) -> int:
    """Add events to the states of their entities; return how many changed something.

    Raises
    ------
    InvalidRequestError
        If an entity has more events than its state may hold.
    OnlineValueError
        If a state is damaged, or of other windows.
    """
    try:
        return await add_events(
            writer,
            catalog.project,
            view,
            events,
            now_us=now_us,
            key_ttl_seconds=catalog.key_ttl_seconds,
        )
    except StateFullError as error:
        raise InvalidRequestError(
            f"View {view.name}: {error}; the rows are on their way to the lake, and not online."
        ) from error
    except StateBytesError as error:
        raise OnlineValueError(f"View {view.name}: {error}.") from error
