"""Old events of all entities at once come to what they come to one by one."""

from __future__ import annotations

import dataclasses

from tests.support.window_draws import draw_windows, event_frame
from zeroskew.features.offline_store.asof_join import CREATED, EVENT
from zeroskew.features.windows.event_rows import ENTITY, input_columns
from zeroskew.features.windows.old_events import fold_old_events
from zeroskew.windows.state import EntityState, Event
from zeroskew.windows.state_codec import StateCodec


def test_states_are_the_same_to_the_byte() -> None:
    n_folded = 0
    for seed in range(150):
        draw = draw_windows(seed)
        plan = draw.plan.model_copy(
            update={
                "hop_us": None,
                "features": tuple(
                    one
                    for one in draw.plan.features
                    if one.window_us is not None
                    or one.function not in ("count_distinct", "most_frequent")
                ),
            }
        )
        if plan.event_id is not None or not draw.events:
            continue
        codec = StateCodec(plan)
        rows = event_frame(draw.events, plan.inputs[0].type).with_columns(input_columns(plan))
        earliest_us = sorted(event.created_us for event in draw.events)[len(draw.events) // 2]
        old = fold_old_events(rows, [ENTITY], plan, earliest_us)
        n_folded += len(old.states)
        for (entity,), expected_rows in rows.group_by(ENTITY):
            expected = EntityState.empty(plan)
            expected.add(map(_event, expected_rows.rows(named=True)), plan, earliest_us)
            state = old.states.get((entity,)) or EntityState.empty(plan)
            left = old.rows.filter(old.rows[ENTITY] == entity)
            state.add(map(_event, left.rows(named=True)), plan, earliest_us)
            assert codec.encode(state) == codec.encode(expected), (seed, entity)
    assert n_folded > 10


def _event(row: dict[str, object]) -> Event:
    event = Event(row[EVENT], row[CREATED])  # type: ignore[arg-type]  # whole numbers
    return dataclasses.replace(event, values=(row["input:0"],))  # type: ignore[arg-type]  # a value
