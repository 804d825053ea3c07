"""Two windowed views over one table of events, which is empty at first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl
from feast import Entity, FeatureStore, FileSource, PushSource, ValueType
from feast.types import Float64, Int64, String, UnixTimestamp

from tests.support.feast_repos import ASOF_STORE
from tests.support.feast_service import open_trial_store
from zeroskew import Window, windowed_view

__all__ = ["make_events_store"]

COLUMNS: Final = {"ticket": Int64, "euros": Float64, "kind": String, "paid_at": UnixTimestamp}


def make_events_store(folder: Path, online_store: Mapping[str, Any]) -> FeatureStore:
    """Apply two views over one table of events, one of a guest and one of a desk."""
    store = open_trial_store(folder, online_store, {"type": ASOF_STORE})
    guest = Entity(name="guest", join_keys=["guest"], value_type=ValueType.STRING)
    desk = Entity(name="desk", join_keys=["desk"], value_type=ValueType.INT64)
    table = FileSource(
        name="sales",
        path="lake/sales",
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )
    source = PushSource(name="sales_push", batch_source=table)
    guests = windowed_view(
        name="guests",
        source=source,
        entities=[guest],
        columns=COLUMNS,
        event_id="ticket",
        windows=[
            Window("n_1h", "count", over="1h"),
            Window("spent", "sum", "euros", over="30d"),
            Window("spread", "std", "euros", over="30d"),
            Window("kinds", "count_distinct", "kind", over="30d"),
            Window("last_paid_at", "last", "paid_at", over="30d"),
            Window("idle_seconds", "seconds_since_last", over="30d"),
        ],
    )
    desks = windowed_view(
        name="desks",
        source=source,
        entities=[desk],
        columns=COLUMNS,
        windows=[Window("n", "count"), Window("least", "min", "euros", over="1h")],
        max_events=3,
    )
    instants = dict.fromkeys(("paid_at", "event_timestamp", "created"), pl.Datetime("us", "UTC"))
    schema = {"guest": pl.String, "desk": pl.Int64, "ticket": pl.Int64, "euros": pl.Float64}
    empty = pl.DataFrame(schema={**schema, "kind": pl.String, **instants})
    (folder / "lake" / "sales").mkdir(parents=True)
    empty.write_parquet(folder / "lake" / "sales" / "part-0.parquet")
    store.apply([guest, desk, guests, desks])
    return store
