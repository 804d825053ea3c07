"""A windowed view as the events that wait for its table are added to it."""

from __future__ import annotations

from dataclasses import dataclass

from zeroskew.contract.manifest import ViewPlan
from zeroskew.contract.pushed_rows import PushedRows
from zeroskew.online.windows.add_events import StateWriter, add_events, waiting_events

__all__ = ["EventView"]


@dataclass(frozen=True, slots=True)
class EventView:
    """A windowed view that is kept online, as a table's pushed events are added to it.

    Parameters
    ----------
    project
        Feast's.
    source
        The name of the table.
    plan
        How the view is stored.
    has_created
        Whether the table says when events were created.
    key_ttl_seconds
        How long an entity lives after a write, where the store ends it.
    """

    project: str
    source: str
    plan: ViewPlan
    has_created: bool
    key_ttl_seconds: int | None

    async def add(
        self, writer: StateWriter, rows: PushedRows, identity: str, *, now_us: int
    ) -> int:
        """Add a push's events; return how many changed something.

        Raises
        ------
        StateFullError, StateBytesError
            As `add_events`.
        """
        return await add_events(
            writer,
            self.project,
            self.plan,
            waiting_events(self.plan, rows, identity, has_created=self.has_created),
            now_us=now_us,
            key_ttl_seconds=self.key_ttl_seconds,
        )
