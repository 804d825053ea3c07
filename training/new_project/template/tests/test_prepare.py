"""The features, computed by hand."""

from datetime import UTC, datetime

import polars as pl
from pipelines.prepare import sum_up


def test_the_30_days_up_to_an_order_count() -> None:
    days = [datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 31, tzinfo=UTC)]
    days.append(datetime(2024, 2, 1, tzinfo=UTC))
    orders = pl.DataFrame({"customer_id": 7, "ordered_at": days, "amount": [10.0, 20.0, 40.0]})
    known = sum_up(orders).sort("event_timestamp")
    # A window is open at its old end: exactly 30 days ago is out.
    assert known["orders_30d"].to_list() == [1, 1, 2]
    assert known["spent_30d"].to_list() == [10.0, 20.0, 60.0]
