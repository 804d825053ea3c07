"""States that hold much: what is summed up, what is forgotten, what is refused."""

from __future__ import annotations

import pytest

from zeroskew.contract.window_plan import EventInput, WindowFeature, WindowFunction, WindowPlan
from zeroskew.windows.moment import MomentReader
from zeroskew.windows.state import EntityState, Event, StateFullError
from zeroskew.windows.state_codec import StateCodec

_NOW = 10**15


def plan_of(*, hop_us: int | None = None, window_us: int | None = None) -> WindowPlan:
    feature = WindowFeature(
        name="n", function=WindowFunction.COUNT, input=0, window_us=window_us, type="INT64"
    )
    given = EventInput(column=None, type="BOOL")
    return WindowPlan(
        columns={}, inputs=(given,), features=(feature,), hop_us=hop_us, max_events=100
    )


def event(number: int, event_us: int) -> Event:
    return Event(event_us, event_us, str(number).encode(), (1,))


@pytest.mark.parametrize(
    "plan", [plan_of(), plan_of(hop_us=3_600_000_000, window_us=86_400_000_000)]
)
def test_what_was_summed_up_is_not_counted_again(plan: WindowPlan) -> None:
    codec, reader = StateCodec(plan), MomentReader(plan)
    events = [event(number, _NOW - 1_000_000 * number) for number in range(150)]
    state = EntityState.empty(plan)
    for one in reversed(events):
        state.add([one], plan, one.event_us)
    for _ in range(2):
        state = codec.open(codec.encode(state))
        assert state.add(events, plan, _NOW) == len(events)
    assert reader.read(reader.open(codec.encode(state)), _NOW).values == [150]


def test_a_state_that_would_hold_too_much_is_refused() -> None:
    plan = plan_of(window_us=86_400_000_000)
    state = EntityState.empty(plan)
    state.add([event(number, _NOW - number) for number in range(100)], plan, _NOW)
    with pytest.raises(StateFullError, match="Got 101 events of an entity within its windows"):
        state.add([event(200, _NOW)], plan, _NOW)
