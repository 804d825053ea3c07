"""Windowed views through Feast: declared, registered, joined with labels."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast import FeatureService, FeatureStore, FeatureView, FileSource, ValueType
from feast.aggregation import Aggregation
from feast.types import Bool, Float64, Int64, String

from tests.support.feast_repos import at, entity, feature_store, write_table
from zeroskew import Window, windowed_view
from zeroskew.contract.errors.project import PlanError

CUSTOMER = entity("customer", ValueType.INT64)
SHOP = entity("shop")
COLUMNS = {"amount": Float64, "returned": Bool, "category": String, "order": Int64}

ORDERS = pl.DataFrame(
    {
        "customer": [1, 1, 1, 2, None, 1],
        "shop": ["a", "a", "b", "a", "a", "a"],
        "order": [10, 11, 12, 13, 14, 11],
        "amount": [5.0, 0.1, 0.2, 7.0, 9.0, 100.0],
        "returned": [True, False, None, False, False, False],
        "category": ["x", "y", "y", "x", "x", "x"],
        "event_timestamp": [at(0), at(10), at(20), at(5), at(5), at(10)],
        "created": [at(1), at(11), at(21), at(90), at(6), at(50)],
    }
)


def orders(folder: Path, rows: pl.DataFrame = ORDERS) -> FileSource:
    write_table(folder / "orders" / "part-0.parquet", rows)
    return FileSource(
        name="orders",
        path=str(folder / "orders"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )


def of_customers(source: FileSource, *windows: Any, **options: Any) -> FeatureView:
    given = {"name": "purchases", "entities": [CUSTOMER], "columns": COLUMNS} | options
    return windowed_view(source=source, windows=windows, **given)


def ask(store: FeatureStore, view: str, *features: str, rows: pl.DataFrame) -> list[Any]:
    names = [f"{view}:{feature}" for feature in features]
    table = store.get_historical_features(rows.to_pandas(), names).to_arrow()
    return list(zip(*(table[name].to_pylist() for name in features), strict=True))


def labels(*rows: tuple[int | None, float]) -> pl.DataFrame:
    customers = pl.Series([customer for customer, _ in rows], dtype=pl.Int64)
    times = [at(minutes) for _, minutes in rows]
    return pl.DataFrame({"customer": customers, "event_timestamp": times})


def test_a_window_ends_at_the_label_and_knows_what_was_known(tmp_path: Path) -> None:
    source = orders(tmp_path)
    view = of_customers(
        source,
        Window("n_15m", "count", over="15m"),
        Window("spent", "sum", "amount"),
        Window("returned_share", "share", "returned"),
        Window("last_category", "last", "category", over=timedelta(hours=1)),
        Window("idle_seconds", "seconds_since_last"),
    )
    store = feature_store(tmp_path, [source, CUSTOMER, view])
    asked = labels(
        (1, 0.5), (1, 1), (1, 11), (1, 24.5), (1, 25), (2, 60), (2, 90), (3, 90), (None, 90)
    )
    names = ("n_15m", "spent", "returned_share", "last_category", "idle_seconds")
    found = ask(store, "purchases", *names, rows=asked)
    assert found == [
        (None, None, None, None, None),
        (1, 5.0, 1.0, "x", 60.0),
        (2, 5.1, 0.5, "y", 60.0),
        (2, 5.3, 0.5, "y", 270.0),
        (1, 5.3, 0.5, "y", 300.0),
        (None, None, None, None, None),
        (0, 7.0, 0.0, None, 5100.0),
        (None, None, None, None, None),
        (None, None, None, None, None),
    ]


def test_conditions_ids_and_hops(tmp_path: Path) -> None:
    source = orders(tmp_path)
    view = of_customers(
        source,
        Window("kept", "count", where=[("returned", "==", False)]),
        Window("large", "sum", "amount", where=[("amount", ">=", 1), ("category", "in", ["x"])]),
        Window("unknown", "count", where=[("returned", "is_null")]),
        Window("spent_20m", "sum", "amount", over="20m"),
        event_id="order",
        hop="10m",
    )
    store = feature_store(tmp_path, [source, CUSTOMER, view])
    found = ask(
        store,
        "purchases",
        "kept",
        "large",
        "unknown",
        "spent_20m",
        rows=labels((1, 30), (1, 49), (1, 50)),
    )
    # Order 11 is corrected at minute 50; the window of 20 minutes begins at a full ten.
    assert found == [(1, 5.0, 1, 0.2), (1, 5.0, 1, 0.0), (1, 105.0, 1, 0.0)]


def test_entities_of_several_keys_and_a_ttl(tmp_path: Path) -> None:
    source = orders(tmp_path)
    view = windowed_view(
        name="visits",
        source=source,
        entities=[CUSTOMER, SHOP],
        windows=[Window("n", "count")],
        ttl=timedelta(minutes=15),
    )
    store = feature_store(tmp_path, [source, CUSTOMER, SHOP, view])
    rows = labels((1, 25), (1, 25), (1, 26)).with_columns(shop=pl.Series(["a", "b", "a"]))
    assert ask(store, "visits", "n", rows=rows) == [(2,), (1,), (None,)]


def test_feasts_own_aggregations_are_taken(tmp_path: Path) -> None:
    source = orders(tmp_path)
    view = of_customers(
        source,
        Aggregation(column="amount", function="sum", time_window=timedelta(minutes=30)),
        Aggregation(column="category", function="count_distinct", name="categories"),
    )
    store = feature_store(tmp_path, [source, CUSTOMER, view])
    found = ask(store, "purchases", "sum_amount_1800s", "categories", rows=labels((1, 22)))
    assert found == [(5.3, 2)]


def test_a_large_table_is_joined_in_parts(tmp_path: Path) -> None:
    source = orders(tmp_path)
    view = windowed_view(
        name="visits",
        source=source,
        entities=[CUSTOMER, SHOP],
        windows=[Window("n", "count"), Window("spent", "sum", "amount")],
        columns=COLUMNS,
    )
    rows = labels(*((customer, 100) for customer in (2, None, 1, 1, 7))).with_columns(
        shop=pl.Series(["a", "a", "b", "a", "a"])
    )
    found = []
    for limit in (1, 1000):
        options = {"max_slice_rows": limit}
        folder = tmp_path / str(limit)
        folder.mkdir()
        store = feature_store(folder, [source, CUSTOMER, SHOP, view], offline_store=options)
        found.append(ask(store, "visits", "n", "spent", rows=rows))
    assert found == [[(1, 7.0), (None, None), (1, 0.2), (3, 105.1), (None, None)]] * 2


@pytest.mark.parametrize(
    ("window", "said"),
    [
        (Window("w", "median", "amount"), "Got function 'median', but expected one of count"),
        (Window("w", "sum", "price"), "Got column 'price', but expected one of columns="),
        (Window("w", "sum"), "Got no column for 'sum', but expected one"),
        (Window("w", "mean", "category"), "Got 'mean' of a column of type STRING"),
        (Window("w", "share", "amount"), "Got 'share' of a column of type DOUBLE"),
        (Window("w", "count", over="3 days"), "Got a span of '3 days', but expected a number"),
        (Window("w", "count", over=timedelta(0)), "greater than 0"),
        (Window("w", "count", where=[("amount", "~", 1)]), "Input should be '=='"),
        (Window("w", "count", where=[("amount", "==", "1")]), "Got '1' for column 'amount'"),
        (Window("w", "count", where=[("amount", "==")]), "expected one value"),
    ],
)
def test_what_cannot_be_computed_is_refused(tmp_path: Path, window: Window, said: str) -> None:
    with pytest.raises(PlanError) as refused:
        of_customers(orders(tmp_path), window)
    assert said in str(refused.value)
    assert "'purchases'" in str(refused.value)


def test_two_windows_of_one_name_are_refused(tmp_path: Path) -> None:
    """Feast names aggregations by whole seconds."""
    spans = [timedelta(milliseconds=1000), timedelta(milliseconds=1500)]
    windows = [Aggregation(column="amount", function="sum", time_window=span) for span in spans]
    with pytest.raises(PlanError, match="Got two features 'sum_amount_1s', but expected"):
        of_customers(orders(tmp_path), *windows)


def test_a_service_has_the_features_of_several_views_and_not_their_states(tmp_path: Path) -> None:
    source = orders(tmp_path)
    spent = of_customers(source, Window("spent", "sum", "amount"))
    bought = of_customers(source, Window("n", "count"), name="bought")
    service = FeatureService(name="both_v1", features=[spent, bought])
    store = feature_store(tmp_path, [source, CUSTOMER, spent, bought, service])
    stored = store.get_feature_service("both_v1")
    chosen = [one.name for view in stored.feature_view_projections for one in view.features]
    assert chosen == ["spent", "n"]
    table = store.get_historical_features(labels((1, 11)).to_pandas(), stored).to_arrow()
    assert (table["spent"].to_pylist(), table["n"].to_pylist()) == ([5.1], [2])
