"""The oracle of the windows of flights, by hand, and against a reference in plain Python."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rolling_tables import (
    count_over,
    latest,
    mean_over,
    rolling_statistics,
    total,
)

NOON = datetime(2013, 6, 14, 12, tzinfo=UTC)
Event = tuple[str | None, int, int | None]

STATISTICS = {
    "mean": mean_over("delay", "1h"),
    "count": count_over("delay", "1h"),
    "latest": latest("delay"),
    "total": total("delay"),
}


def compute(*events: Event) -> pl.DataFrame:
    frame = pl.DataFrame(
        [(key, NOON + timedelta(minutes=minute), delay) for key, minute, delay in events],
        schema={"key": pl.String, "event_timestamp": pl.Datetime("us", "UTC"), "delay": pl.Int64},
        orient="row",
    )
    return rolling_statistics(frame, keys=["key"], statistics=STATISTICS)


def test_the_window_includes_its_end_and_not_its_start() -> None:
    rows = compute(("UA", 0, 10), ("UA", 59, 20), ("UA", 60, 60))
    assert rows["mean"].to_list() == [10.0, 15.0, 40.0]
    assert rows["count"].to_list() == [1, 2, 2]


def test_events_of_one_moment_share_a_row_and_the_last_is_the_latest() -> None:
    rows = compute(("UA", 0, 10), ("UA", 0, 30), ("UA", 0, 20))
    assert rows.select("mean", "count", "latest", "total").rows() == [(20.0, 3, 20, 60)]


def test_keys_do_not_mix_and_null_keys_are_left_out() -> None:
    rows = compute(("UA", 0, 10), (None, 1, 99), ("AA", 2, 30))
    assert rows.select("key", "mean").rows() == [("UA", 10.0), ("AA", 30.0)]


def test_nothing_known_is_null_and_not_zero() -> None:
    rows = compute(("UA", 0, None), ("UA", 10, 5), ("UA", 90, None))
    assert rows["mean"].to_list() == [None, 5.0, None]
    assert rows["count"].to_list() == [0, 1, 0]
    assert rows["latest"].to_list() == [None, 5, 5]
    assert rows["total"].to_list() == [0, 5, 5]


def test_no_events_give_no_rows() -> None:
    assert compute().is_empty()


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["UA", "AA", None]),
            st.integers(0, 200),
            st.none() | st.integers(-90, 1500),
        ),
        min_size=1,
    )
)
def test_windows_equal_a_plain_reference(events: list[Event]) -> None:
    rows = compute(*events)
    moments = {(key, minute) for key, minute, _ in events if key is not None}
    assert rows.height == len(moments)
    for key, moment, mean, count, last, sum_of_all in rows.iter_rows():
        minute = (moment - NOON) // timedelta(minutes=1)
        known = [
            (at, order, delay)
            for order, (of, at, delay) in enumerate(events)
            if of == key and at <= minute and delay is not None
        ]
        window = [delay for at, _, delay in known if at > minute - 60]
        expected = sum(window) / len(window) if window else None
        assert mean == (None if expected is None else pl.Series([expected], dtype=pl.Float32)[0])
        assert count == len(window)
        assert last == (max(known)[2] if known else None)
        assert sum_of_all == sum(delay for _, _, delay in known)
