"""What the online store holds of an entity: its recent events, and what the older ones come to.

An event is kept as it came for as long as a window may begin behind it. Older ones are gone, but
for windows without a beginning: those know them as a `Partial`. So every later moment finds in the
state what it needs, and nothing has to be written when time passes.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from zeroskew.contract.time.epoch import NEVER_US
from zeroskew.contract.window_plan import WindowFunction, WindowPlan
from zeroskew.windows.hops import hop_from, hop_until
from zeroskew.windows.partial import InputValue, Partial, order_of

__all__ = ["COUNTED", "GRACE_US", "EntityState", "Event", "StateFullError", "empty_tile"]

GRACE_US: Final = 60_000_000
"""How long before a write a prediction may have been begun, or another machine's clock be late."""

COUNTED: Final = (WindowFunction.COUNT_DISTINCT, WindowFunction.MOST_FREQUENT)
"""The functions that ask how often each value was there."""


class StateFullError(ValueError):
    """An entity has more events within its windows than its state may hold."""


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """An event of an entity; in order of their event time, created time and id.

    Parameters
    ----------
    event_us, created_us
        When it happened, and from when on it counts: microseconds since the Unix epoch.
    event_id
        Its id, empty where it has none.
    values
        What it gives to each input of the plan, ``None`` where nothing.
    """

    event_us: int
    created_us: int
    event_id: bytes = b""
    values: tuple[InputValue | None, ...] = field(default=(), compare=False)

    @property
    def known_us(self) -> int:
        """From when on it counts."""
        return max(self.event_us, self.created_us)

    @property
    def version(self) -> tuple[object, ...]:
        """Of several events with one id, the one whose version is the greatest stands."""
        values = ((one is not None, None if one is None else order_of(one)) for one in self.values)
        return (self.created_us, self.event_us, *values)


@dataclass(slots=True)
class EntityState:
    """The events of an entity.

    Parameters
    ----------
    since_us
        The earliest moment that the state answers for.
    cut_us
        Events up to then are kept no more.
    newest_cut_us
        The latest event time of those, ``NEVER_US`` where there is none.
    events
        The others, in their order.
    folded
        What the former give to each input that a window without a beginning reads.
    tiles
        Where there is a hop, what events give to each input in each span of a hop, by its end,
        which belongs to it. `events` are then those after the earliest moment of a prediction.
    folded_ids
        The ids of events that are in `folded` or `tiles`, as far as they are remembered.
    """

    since_us: int = NEVER_US
    cut_us: int = NEVER_US
    newest_cut_us: int = NEVER_US
    events: list[Event] = field(default_factory=list)
    folded: list[Partial | None] = field(default_factory=list)
    tiles: dict[int, list[Partial]] = field(default_factory=dict)
    folded_ids: dict[bytes, None] = field(default_factory=dict)

    @classmethod
    def empty(cls, plan: WindowPlan) -> EntityState:
        """Return the state of an entity without events."""
        endless = {one.input for one in plan.features if one.window_us is None}
        counted = {
            one.input for one in plan.features if one.window_us is None and one.function in COUNTED
        }
        return cls(
            folded=[
                Partial(times=Counter() if place in counted else None) if place in endless else None
                for place in range(len(plan.inputs))
            ]
        )

    @property
    def newest_us(self) -> int:
        """The latest event time, ``NEVER_US`` before the first event."""
        return max(self.newest_cut_us, self.events[-1].event_us if self.events else NEVER_US)

    def add(self, events: Iterable[Event], plan: WindowPlan, earliest_us: int) -> int:
        """Add events, and fold what no later window begins behind.

        To add an event again changes nothing where events have ids.

        Parameters
        ----------
        events
            The new ones, in any order.
        plan
            The view's windows.
        earliest_us
            No later prediction is made before this moment.

        Returns
        -------
        int
            How many of the events were repeats, or older versions than what stands.

        Raises
        ------
        StateFullError
            If too many are left to be kept; the state is then not to be used.
        """
        n_repeated = 0
        by_id = {one.event_id: one for one in self.events if one.event_id}
        # With more ids summed up than are remembered, an old event cannot be told from a repeat.
        forgotten_us = NEVER_US
        if len(self.folded_ids) >= plan.max_events:
            forgotten_us = self.cut_us if plan.hop_us is None else self.since_us
        for event in events:
            standing = by_id.get(event.event_id)
            if (
                event.event_id in self.folded_ids
                or (event.event_id and event.event_us <= forgotten_us)
                or (standing is not None and event.version <= standing.version)
            ):
                n_repeated += 1
                continue
            if standing is not None:
                self.events.remove(standing)
                # Before the new one was known, what it replaced would have counted.
                self.since_us = max(self.since_us, event.created_us)
            if event.event_id:
                by_id[event.event_id] = event
            self._keep(event, plan, earliest_us)
        self._fold(plan, earliest_us)
        n_kept = len(self.events) + sum(map(_size_of, self.tiles.values()))
        if n_kept > plan.max_events:
            raise StateFullError(
                f"Got {n_kept:,} events of an entity within its windows, but expected at most "
                f"{plan.max_events:,}"
            )
        return n_repeated

    def _keep(self, event: Event, plan: WindowPlan, earliest_us: int) -> None:
        """Keep an event; one that says nothing, and has happened, leaves its time alone."""
        is_told = any(value is not None for value in event.values)
        if not is_told and plan.event_id is None and event.known_us <= earliest_us:
            self.newest_cut_us = max(self.newest_cut_us, event.event_us)
            self.since_us = max(self.since_us, earliest_us)
            return
        insort(self.events, event)

    def _fold(self, plan: WindowPlan, earliest_us: int) -> None:
        """Let go of events that no window begins behind, and of those that tiles can stand for."""
        hop_us = plan.hop_us
        cut = earliest_us
        if plan.longest_us is not None:
            cut = hop_until(cut - plan.longest_us, hop_us)
        self.cut_us = max(self.cut_us, cut)
        # Each later window holds all or nothing of what a tile has up to then.
        closed_us = self.cut_us if hop_us is None else max(self.cut_us, earliest_us)
        n_old = bisect_right(self.events, closed_us, key=lambda event: event.event_us)
        old = [event for event in self.events[:n_old] if event.created_us <= earliest_us]
        if old:
            self.events[:n_old] = [
                one for one in self.events[:n_old] if one.created_us > earliest_us
            ]
            self.since_us = max(self.since_us, earliest_us)
            self.newest_cut_us = max(self.newest_cut_us, old[-1].event_us)
            for event in old:
                self._fold_one(event, plan)
            while len(self.folded_ids) > plan.max_events:
                del self.folded_ids[next(iter(self.folded_ids))]
        for end_us in [end for end in self.tiles if end <= self.cut_us]:
            for partial, of_tile in zip(self.folded, self.tiles.pop(end_us), strict=True):
                if partial is not None:
                    partial.merge(of_tile)
            self.since_us = max(self.since_us, earliest_us)

    def _fold_one(self, event: Event, plan: WindowPlan) -> None:
        partials: Sequence[Partial | None] = self.folded
        if event.event_us > self.cut_us:
            assert plan.hop_us is not None
            end_us = hop_from(event.event_us, plan.hop_us)
            if end_us not in self.tiles:
                self.tiles[end_us] = empty_tile(plan)
            partials = self.tiles[end_us]
        event_id = event.event_id if plan.event_id is not None else b""
        order = (event.event_us, event.created_us, event_id)
        for partial, value in zip(partials, event.values, strict=True):
            if partial is not None and value is not None:
                partial.add(order, value)
        if event.event_id and any(partial is not None for partial in partials):
            self.folded_ids[event.event_id] = None


def _size_of(tile: Sequence[Partial]) -> int:
    """Return how much a tile counts for: one, and each distinct value that is counted."""
    return 1 + sum(len(partial.times) for partial in tile if partial.times is not None)


def empty_tile(plan: WindowPlan) -> list[Partial]:
    """Return what no event gives to each input."""
    counted = {one.input for one in plan.features if one.function in COUNTED}
    return [
        Partial(times=Counter() if place in counted else None) for place in range(len(plan.inputs))
    ]
