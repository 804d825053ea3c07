"""All that answers under ``/feast``, opened together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from api.feast.feature_catalogs import FeatureCatalogs
from api.feast.feature_lookups import FeatureLookups
from api.feast.pushes.event_repair import EventRepair
from api.feast.pushes.feature_pushes import FeaturePushes
from api.feast.request_bodies import FeastLimits
from zeroskew.contract.settings import Settings
from zeroskew.contract.time.clock import Clock
from zeroskew.online.lazy_writer import LazyWriter
from zeroskew.online.reader import OnlineFeatureReader
from zeroskew.online.store import OnlineStore
from zeroskew.records.pushes.push_store import open_push_store
from zeroskew.records.pushes.push_writer import PushWriter

__all__ = ["FeastInterface", "open_feast_interface"]


@dataclass(frozen=True, slots=True)
class FeastInterface:
    """What the routes call, and the writers that must be closed."""

    catalogs: FeatureCatalogs
    lookups: FeatureLookups
    pushes: FeaturePushes
    writer: LazyWriter
    lake: PushWriter
    repair: EventRepair

    async def close(self) -> None:
        """End what is under way and close the writers."""
        await self.catalogs.close()
        await self.lake.close()
        await self.repair.close()
        await self.writer.close()


def open_feast_interface(
    settings: Settings,
    online: OnlineStore,
    *,
    catalogs: FeatureCatalogs,
    reader: OnlineFeatureReader,
    clock: Clock,
) -> FeastInterface:
    """Return the interface; it reads no catalog and opens no writer before it is asked.

    Parameters
    ----------
    settings
        For the database's address and the limits.
    online
        What pushes write to.
    catalogs
        Where the project's views are known; the interface closes it.
    reader, clock
        What predictions are made with too.
    """
    limits = FeastLimits(
        max_rows=settings.feast_max_rows,
        max_cells=settings.feast_max_cells,
        max_text_length=settings.max_text_length,
    )
    write_limits = FeastLimits(
        max_rows=settings.feast_max_write_rows,
        max_cells=settings.feast_max_write_cells,
        max_text_length=settings.max_text_length,
    )
    timeout_sec = settings.online_write_timeout_sec
    writer = LazyWriter(lambda: online.open_writer(timeout_sec=timeout_sec))
    open_pushes = partial(
        open_push_store, settings.database_url, timeout_sec=settings.feedback_timeout_sec
    )
    lake = PushWriter(open_pushes())
    repair = EventRepair(catalogs=catalogs, pushes=open_pushes(), writer=writer, clock=clock)
    return FeastInterface(
        catalogs=catalogs,
        lookups=FeatureLookups(catalogs=catalogs, reader=reader, clock=clock, limits=limits),
        pushes=FeaturePushes(
            catalogs=catalogs,
            lake=lake,
            writer=writer,
            repair=repair,
            clock=clock,
            limits=write_limits,
        ),
        writer=writer,
        lake=lake,
        repair=repair,
    )
