"""What value a label gets: one hand-derived case for each rule."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest

from tests.support.feast_repos import at
from tests.zeroskew.features.offline_store.conftest import Ask

HOUR = timedelta(hours=1)
NO_CUTOFF = {"filter_by_created_timestamp": False}


def test_a_value_counts_at_its_very_event_time(ask: Ask) -> None:
    assert ask([("a", 1.0, at(10), at(10))], [("a", at(10))]) == [1.0]


def test_a_value_does_not_count_a_microsecond_before_its_event_time(ask: Ask) -> None:
    assert ask([("a", 1.0, at(10), at(0))], [("a", at(10, microseconds=-1))]) == [None]


def test_a_value_counts_until_the_last_microsecond_of_its_ttl(ask: Ask) -> None:
    labels = [("a", at(60)), ("a", at(60, microseconds=1))]
    assert ask([("a", 1.0, at(0), at(0))], labels, ttl=HOUR) == [1.0, None]


def test_without_a_ttl_a_value_never_expires(ask: Ask) -> None:
    assert ask([("a", 1.0, at(0), at(0))], [("a", at(60 * 24 * 3650))]) == [1.0]


def test_a_ttl_of_zero_means_no_ttl(ask: Ask) -> None:
    assert ask([("a", 1.0, at(0), at(0))], [("a", at(60))], ttl=timedelta(0)) == [1.0]


def test_a_ttl_longer_than_time_itself_is_no_limit(ask: Ask) -> None:
    assert ask([("a", 1.0, at(0), at(0))], [("a", at(60))], ttl=timedelta.max) == [1.0]


def test_the_latest_event_wins_over_file_order(ask: Ask) -> None:
    rows = [("a", 2.0, at(20), at(20)), ("a", 1.0, at(10), at(10))]
    assert ask(rows, [("a", at(30)), ("a", at(15))]) == [2.0, 1.0]


def test_among_equal_events_the_latest_created_wins(ask: Ask) -> None:
    rows = [("a", 2.0, at(10), at(12)), ("a", 1.0, at(10), at(11))]
    assert ask(rows, [("a", at(12)), ("a", at(11))]) == [2.0, 1.0]


def test_among_equal_events_a_null_created_is_the_earliest_without_the_cutoff(ask: Ask) -> None:
    rows = [("a", 1.0, at(10), None), ("a", 2.0, at(10), at(5))]
    assert ask(rows, [("a", at(10))], options=NO_CUTOFF) == [2.0]


def test_rows_equal_in_both_times_are_told_apart_by_value_not_by_order(ask: Ask) -> None:
    tied = [("a", 2.0, at(10), at(10)), ("a", 3.0, at(10), at(10)), ("a", None, at(10), at(10))]
    assert ask(tied, [("a", at(10))]) == ask(tied[::-1], [("a", at(10))]) == [3.0]


def test_a_value_created_after_the_label_is_unknown(ask: Ask) -> None:
    rows = [("a", 1.0, at(10), at(10)), ("a", 2.0, at(20), at(40))]
    assert ask(rows, [("a", at(39)), ("a", at(40))]) == [1.0, 2.0]


def test_a_value_created_after_the_label_counts_without_the_cutoff(ask: Ask) -> None:
    rows = [("a", 1.0, at(10), at(10)), ("a", 2.0, at(20), at(40))]
    assert ask(rows, [("a", at(30))], options=NO_CUTOFF) == [2.0]


def test_a_late_correction_of_an_older_event_does_not_shadow_a_newer_event(ask: Ask) -> None:
    rows = [("a", 1.0, at(10), at(10)), ("a", 2.0, at(20), at(20)), ("a", 9.0, at(10), at(30))]
    assert ask(rows, [("a", at(15)), ("a", at(30)), ("a", at(31))]) == [1.0, 2.0, 2.0]


def test_a_late_correction_counts_where_its_event_is_the_latest(ask: Ask) -> None:
    rows = [("a", 1.0, at(10), at(10)), ("a", 9.0, at(10), at(30))]
    assert ask(rows, [("a", at(29)), ("a", at(30))]) == [1.0, 9.0]


def test_the_ttl_counts_from_the_event_not_from_its_late_creation(ask: Ask) -> None:
    rows = [("a", 1.0, at(0), at(50))]
    labels = [("a", at(50)), ("a", at(60)), ("a", at(61))]
    assert ask(rows, labels, ttl=HOUR) == [1.0, 1.0, None]


def test_a_null_created_is_never_known_under_the_cutoff(ask: Ask) -> None:
    rows = [("a", 1.0, at(0), at(0)), ("a", 2.0, at(10), None)]
    assert ask(rows, [("a", at(60))]) == [1.0]


def test_a_newer_null_wins_over_an_older_number(ask: Ask) -> None:
    rows = [("a", 1.0, at(0), at(0)), ("a", None, at(10), at(10))]
    assert ask(rows, [("a", at(20))]) == [None]


def test_nan_stays_nan_and_null_stays_null(ask: Ask) -> None:
    rows = [("a", float("nan"), at(0), at(0)), ("b", None, at(0), at(0))]
    nan, null = ask(rows, [("a", at(1)), ("b", at(1))])
    assert nan != nan
    assert null is None


def test_null_keys_match_nothing_not_even_each_other(ask: Ask) -> None:
    rows = [(None, 1.0, at(0), at(0)), ("a", 2.0, at(0), at(0))]
    assert ask(rows, [(None, at(1)), ("a", at(1))]) == [None, 2.0]


def test_labels_that_are_all_null_match_nothing(ask: Ask) -> None:
    assert ask([("a", 1.0, at(0), at(0))], [(None, at(1))]) == [None]


def test_an_empty_key_is_a_key(ask: Ask) -> None:
    rows = [("", 1.0, at(0), at(0)), ("a", 2.0, at(0), at(0))]
    assert ask(rows, [("", at(1))]) == [1.0]


def test_duplicate_labels_in_no_order_of_time_all_stay_in_place(ask: Ask) -> None:
    rows = [("a", 1.0, at(10), at(10)), ("a", 2.0, at(20), at(20))]
    labels = [("a", at(25)), ("b", at(25)), ("a", at(5)), ("a", at(25)), ("a", at(10))]
    assert ask(rows, labels) == [2.0, None, None, 2.0, 1.0]


def test_rows_with_a_null_event_time_are_never_known(ask: Ask) -> None:
    rows = [("a", 1.0, at(0), at(0)), ("a", 9.0, None, at(0))]
    assert ask(rows, [("a", at(1))]) == [1.0]


def test_a_table_without_rows_gives_nulls(ask: Ask) -> None:
    assert ask([], [("a", at(1))], ttl=HOUR) == [None]


@pytest.mark.parametrize("ttl", [None, HOUR])
def test_no_labels_give_no_rows(ask: Ask, ttl: timedelta | None) -> None:
    assert ask([("a", 1.0, at(0), at(0))], [], ttl=ttl) == []


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_a_source_may_write_time_in_any_unit_and_zone(
    ask: Ask, unit: str, zone: str | None
) -> None:
    # 2013-01-01 00:10 UTC; a naive column holds UTC, New York's clock shows five hours less.
    wall = datetime(2013, 1, 1, 0, 10)  # noqa: DTZ001 -- naive on purpose.
    if zone is not None:
        wall = at(10)
    dtype = pl.Datetime(unit, zone)  # type: ignore[arg-type]  # The parameters above are its literals.
    rows = [("a", 1.0, wall, wall)]
    labels = [("a", at(10)), ("a", at(10, microseconds=-1)), ("a", at(70)), ("a", at(71))]
    schema = {"event_timestamp": dtype, "created": dtype}
    assert ask(rows, labels, schema=schema, ttl=HOUR) == [1.0, None, 1.0, None]
    assert ask(rows, [("a", at(70))], schema=schema, ttl=HOUR) == [1.0]


def test_a_part_below_the_microsecond_is_cut_off(ask: Ask) -> None:
    nanoseconds = int(at(10).timestamp()) * 1_000_000_000 + 999
    schema = {"event_timestamp": pl.Datetime("ns", "UTC")}
    assert ask([("a", 1.0, nanoseconds, at(0))], [("a", at(10))], schema=schema) == [1.0]


def test_a_slice_of_time_carries_what_becomes_known_later(ask: Ask) -> None:
    month = 31 * 24 * 60
    rows = [("a", 1.0, at(0), at(0)), ("a", 2.0, at(10), at(2 * month))]
    labels = [("a", at(month)), ("a", at(2 * month)), ("a", at(3 * month))]
    assert ask(rows, labels, options={"max_slice_rows": 1}) == [1.0, 2.0, 2.0]
