"""The join against a brute force over every pair, on hostile little tables."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from feast import FileSource
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.feast_repos import at, write_table
from tests.zeroskew.features.offline_store.brute_force import Row, chosen_row
from zeroskew.features.offline_store.entity_rows import read_entity_rows
from zeroskew.features.offline_store.historical_view import HistoricalView
from zeroskew.features.offline_store.parquet.parquet_source import open_parquet_table
from zeroskew.features.offline_store.point_in_time import TimeOrder, join_view
from zeroskew.features.offline_store.time_slices import SliceLimits
from zeroskew.features.offline_store.view_columns import KeyColumn, RequestedFeature

_MONTH = 31 * 24 * 60

# Few distinct values, so that ties, shadowed rows and meeting bounds are common. The times
# lie around the beginnings of months, where slices meet.
_TIMES = st.integers(0, 3).flatmap(
    lambda month: st.integers(-3, 3).map(lambda near: month * _MONTH + near)
)
_KEYS = st.sampled_from(
    [("a", "x"), ("a", "x"), ("a", "x"), ("a", ""), ("b", "x"), (None, "x"), ("a", None)]
)
_ROWS = st.lists(
    st.builds(
        Row,
        keys=_KEYS,
        event=_TIMES,
        created=st.none() | _TIMES,
        value=st.none() | st.sampled_from([1.0, 2.0, 3.0]),
    ),
    max_size=25,
)
_LABELS = st.lists(st.tuples(_KEYS, _TIMES), max_size=15)
_TTLS = st.none() | st.sampled_from([1, 2, 4, _MONTH, 2 * _MONTH])


def _plan(folder: Path, rows: list[Row], ttl: int | None) -> HistoricalView:
    table = pl.DataFrame(
        [
            (*row.keys, row.value, at(row.event), None if row.created is None else at(row.created))
            for row in rows
        ],
        schema={
            "first": pl.String,
            "second": pl.String,
            "value": pl.Float64,
            "event_timestamp": pl.Datetime("us", "UTC"),
            "created": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )
    path = write_table(folder / "rows.parquet", table)
    return HistoricalView(
        name="view",
        table=open_parquet_table(FileSource(path=str(path), timestamp_field="event"), None),
        keys=(KeyColumn("first", "first"), KeyColumn("second", "second")),
        features=(RequestedFeature("value", "value", None),),
        event_column="event_timestamp",
        created_column="created",
        ttl_us=None if ttl is None else ttl * 60_000_000,
        tie_breakers=("value",),
    )


@settings(max_examples=150)
@given(rows=_ROWS, labels=_LABELS, ttl=_TTLS, cutoff=st.booleans(), sliced=st.booleans())
def test_the_join_equals_brute_force(
    rows: list[Row],
    labels: list[tuple[tuple[str | None, ...], int]],
    ttl: int | None,
    cutoff: bool,
    sliced: bool,
) -> None:
    limits = SliceLimits(max_rows=1 if sliced else 1_000, months=1)
    frame = pl.DataFrame(
        [(*keys, at(time)) for keys, time in labels],
        schema={
            "first": pl.String,
            "second": pl.String,
            "event_timestamp": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )
    read = read_entity_rows(frame)
    with TemporaryDirectory() as folder:
        plan = _plan(Path(folder), rows, ttl)
        got = join_view(read, TimeOrder.of(read.instants), plan, limits, cutoff=cutoff)

    expected = [chosen_row(rows, keys, time, ttl=ttl, cutoff=cutoff) for keys, time in labels]
    assert got["feature:value"].to_list() == [
        None if row is None else row.value for row in expected
    ]
