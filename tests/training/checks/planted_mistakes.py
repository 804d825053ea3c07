"""Mistakes to plant in the README's shop, and where `zeroskew check` must find each."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import polars as pl

from tests.training.checks.planted_values import REQUEST_TIME, VALUES
from tests.training.checks.planting import (
    DEFINITIONS,
    HISTORY,
    MODEL,
    ORDERS,
    SETTINGS,
    VIEW,
    Mistake,
    Shop,
    append,
    edit,
    rewrite,
)

__all__ = ["MISTAKES"]

NOBODY = 1  # A port of loopback where nothing listens, and nobody but root may.


def drop(name: str, column: str) -> Callable[[Shop], None]:
    return lambda shop: shop.rewrite(name, lambda table: table.drop(column))


def setting(**variables: str) -> Callable[[Shop], None]:
    return lambda shop: shop.environment.update(variables)


def second_part(**columns: pl.Expr) -> Callable[[Shop], None]:
    def plant(shop: Shop) -> None:
        path = shop.table(HISTORY)
        part = pl.read_parquet(path).head(5).with_columns(**columns)
        part.write_parquet(path.with_name("part-1.parquet"))

    return plant


def garbage(name: str) -> Callable[[Shop], object]:
    return lambda shop: shop.table(name).write_bytes(b"PAR1 or so")


def other_source(module: str, name: str) -> Callable[[Shop], None]:
    def plant(shop: Shop) -> None:
        path = f"feast.infra.offline_stores.contrib.{module}"
        shop.edit(DEFINITIONS, "from feast import", f"from {path} import {name}\nfrom feast import")
        shop.edit(
            DEFINITIONS,
            'FileSource(\n        path="../var/lake/customer_orders",',
            f'{name}(\n        name="history", query="SELECT 1",',
        )

    return plant


def on_redis(shop: Shop) -> None:
    text = (shop.folder / SETTINGS).read_text()
    begin, end = text.index("online_store:"), text.index("offline_store:")
    section = (
        "online_store:\n"
        "  type: zeroskew.features.online_store.newest_redis.NewestRedisOnlineStore\n"
        f"  connection_string: 127.0.0.1:{NOBODY}\n"
    )
    (shop.folder / SETTINGS).write_text(text[:begin] + section + text[end:])
    shop.environment["ZEROSKEW_ONLINE_STORE"] = f"redis://127.0.0.1:{NOBODY}/0"


@contextmanager
def taken_port(shop: Shop) -> Iterator[None]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        shop.environment["ZEROSKEW_PORT"] = str(listener.getsockname()[1])
        yield


def home_is_a_file(shop: Shop) -> None:
    (shop.folder / "file").touch()
    shop.environment["ZEROSKEW_HOME"] = str(shop.folder / "file" / "var")
    shop.environment["ZEROSKEW_LAKE"] = str(shop.folder / "var" / "lake")


def foreign_database(shop: Shop) -> None:
    path = shop.folder / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE invoices (number INTEGER)")
    shop.environment["ZEROSKEW_DATABASE_URL"] = f"sqlite:///{path}"


def newer_database(shop: Shop) -> None:
    path = shop.folder / "newer.db"
    with sqlite3.connect(path) as newer:
        newer.execute("CREATE TABLE alembic_version (version_num TEXT)")
        newer.execute("INSERT INTO alembic_version VALUES ('0999_later')")
    shop.environment["ZEROSKEW_DATABASE_URL"] = f"sqlite:///{path}"


def broken_database(shop: Shop) -> None:
    path = shop.folder / "broken.db"
    path.write_bytes(b"not a database at all" * 100)
    shop.environment["ZEROSKEW_DATABASE_URL"] = f"sqlite:///{path}"


OWN = "will_return.py"
LABELS = "will_return.py: labels"
SERVICE = "will_return.py: returns_v1"

ENVIRONMENT = [
    Mistake("port taken", taken_port, "ZEROSKEW_HOST, ZEROSKEW_PORT", "but expected a free port"),
    Mistake("port no number", setting(ZEROSKEW_PORT="eighty"), "ZEROSKEW_PORT", "Got eighty"),
    Mistake("port too high", setting(ZEROSKEW_PORT="70000"), "ZEROSKEW_PORT", "Got 70000"),
    Mistake(
        "host of another machine",
        setting(ZEROSKEW_HOST="203.0.113.9", ZEROSKEW_REQUIRE_KEYS="true"),
        "ZEROSKEW_HOST, ZEROSKEW_PORT",
        "expected an address to listen on",
    ),
    Mistake(
        "host unknown",
        setting(ZEROSKEW_HOST="no such host", ZEROSKEW_REQUIRE_KEYS="true"),
        "ZEROSKEW_HOST, ZEROSKEW_PORT",
        "Got ZEROSKEW_HOST=no such host",
    ),
    Mistake("clock", setting(ZEROSKEW_CLOCK="yesterday"), "ZEROSKEW_CLOCK", "Got yesterday"),
    Mistake(
        "clock without offset",
        setting(ZEROSKEW_CLOCK="2024-06-15T00:00:00"),
        "ZEROSKEW_CLOCK",
        "Got 2024-06-15T00:00:00",
    ),
    Mistake("setting refused", setting(ZEROSKEW_WORKERS="0"), "ZEROSKEW_WORKERS", "Got 0"),
    Mistake(
        "settings contradict",
        setting(ZEROSKEW_HOST="0.0.0.0", ZEROSKEW_REQUIRE_KEYS="false"),  # noqa: S104
        "settings",
        "ZEROSKEW_REQUIRE_KEYS=false",
    ),
    Mistake(
        "setting mistyped",
        setting(ZEROSKEW_LOG_LEVLE="debug"),
        "ZEROSKEW_LOG_LEVLE",
        "expected ZEROSKEW_LOG_LEVEL",
    ),
    Mistake("home is a file", home_is_a_file, "ZEROSKEW_HOME", "which is a file"),
    Mistake(
        "home cannot be written",
        setting(ZEROSKEW_ARTIFACTS_DIR="/proc/sys/artifacts"),
        "ZEROSKEW_ARTIFACTS_DIR",
        "but expected a folder that this user can write to",
    ),
    Mistake(
        "database away",
        setting(ZEROSKEW_DATABASE_URL=f"postgresql://a:secret@127.0.0.1:{NOBODY}/a"),
        "ZEROSKEW_DATABASE_URL",
        "but expected a database that can be reached",
    ),
    Mistake("database foreign", foreign_database, "ZEROSKEW_DATABASE_URL", "something else (inv"),
    Mistake("database newer", newer_database, "ZEROSKEW_DATABASE_URL", "step '0999_later'"),
    Mistake("database broken", broken_database, "ZEROSKEW_DATABASE_URL", "file is not a database"),
    Mistake("redis away", on_redis, "feature_store.yaml: online_store", "but expected a Redis"),
    Mistake(
        "online store unknown",
        setting(ZEROSKEW_ONLINE_STORE="mongodb://a"),
        "ZEROSKEW_ONLINE_STORE",
        "Got an unknown kind of address",
    ),
    Mistake(
        "no feature store file",
        lambda shop: (shop.folder / SETTINGS).unlink(),
        "feature_store.yaml",
        "Got no feature_store.yaml",
    ),
    Mistake(
        "feature store file no YAML",
        append(SETTINGS, "\n  a: [1\n"),
        "feature_store.yaml",
        "that is no YAML",
    ),
    Mistake(
        "unknown online store type",
        edit(SETTINGS, "NewestSqliteOnlineStore", "OldestSqliteOnlineStore"),
        "feature_store.yaml",
        "that Feast refuses",
    ),
    Mistake(
        "other entity keys",
        edit(SETTINGS, "key_serialization_version: 3", "key_serialization_version: 4"),
        "feature_store.yaml",
        "but expected",
    ),
]
DEFINED = [
    Mistake(
        "definitions no Python", append(DEFINITIONS, "x = (\n"), "definitions.py:19", "SyntaxError"
    ),
    Mistake(
        "definitions import what is not there",
        append(DEFINITIONS, "import no_such_module\n"),
        "definitions.py:19",
        "No module named 'no_such_module'",
    ),
    Mistake(
        "selection of an unknown feature",
        edit(DEFINITIONS, "features=[customer_orders]", 'features=[customer_orders[["orders"]]]'),
        "definitions.py:18",
        "orders",
    ),
    Mistake(
        "source whose library is not there",
        other_source("trino_offline_store.trino_source", "TrinoSource"),
        "definitions.py:3",
        "Got a source of a kind that is not read (No module named 'trino')",
    ),
    Mistake(
        "source of PostgreSQL",
        other_source("postgres_offline_store.postgres_source", "PostgreSQLSource"),
        "definitions.py:9: view 'customer_orders'",
        "Got PostgreSQLSource as a batch source, but expected a FileSource",
    ),
    Mistake(
        "view without entity", edit(DEFINITIONS, "entities=[customer],", ""), VIEW, "Got no entity"
    ),
    Mistake(
        "unknown entity",
        edit(
            DEFINITIONS,
            "entities=[customer]",
            'entities=[Entity(name="client", value_type=ValueType.INT64)]',
        ),
        VIEW,
        "Got entities client, but expected some of customer",
    ),
    Mistake(
        "ttl beyond the calendar",
        edit(DEFINITIONS, "days=30", "days=999_999_999"),
        VIEW,
        "Got a ttl of 999,999,999 days",
    ),
    Mistake("ttl negative", edit(DEFINITIONS, "days=30", "days=-1"), VIEW, "Got a ttl of -1 days"),
    Mistake(
        "view offline alone",
        edit(DEFINITIONS, "days=30),", "days=30), online=False,"),
        SERVICE,
        "online=False",
    ),
    Mistake(
        "two views of one name",
        append(
            DEFINITIONS,
            'b = FeatureView(name="Customer_Orders", entities=[customer], '
            'schema=[Field(name="orders_30d", dtype=Int64)], '
            "source=customer_orders.batch_source)\n",
        ),
        "definitions.py:19: view 'Customer_Orders'",
        "Got the name of another view",
    ),
    Mistake(
        "feature that is no number",
        edit(DEFINITIONS, "dtype=Int64", "dtype=__import__('feast').types.Map"),
        SERVICE,
        "Got feature customer_orders:orders_30d of type MAP",
    ),
    Mistake(
        "key of a type that no store has",
        edit(DEFINITIONS, "ValueType.INT64", "ValueType.DOUBLE"),
        VIEW,
        "join key 'customer_id' of type DOUBLE",
    ),
    Mistake(
        "table missing",
        edit(DEFINITIONS, "lake/customer_orders", "lake/costumer_orders"),
        VIEW,
        "Got no Parquet file",
    ),
    Mistake(
        "table without a feature",
        edit(DEFINITIONS, "spent_30d", "spent_90d"),
        VIEW,
        "Got a table without feature 'spent_90d'",
    ),
    Mistake(
        "table without its event time",
        edit(DEFINITIONS, '"event_timestamp"', '"happened"'),
        VIEW,
        "without event timestamp 'happened'",
    ),
    Mistake(
        "table without its created time",
        edit(DEFINITIONS, '"created"', '"written"'),
        VIEW,
        "without created timestamp 'written'",
    ),
    Mistake(
        "event time is text",
        rewrite(HISTORY, pl.col("event_timestamp").cast(pl.String)),
        VIEW,
        "event timestamp 'event_timestamp' of type String",
    ),
    Mistake(
        "feature of another type",
        rewrite(HISTORY, pl.col("orders_30d").cast(pl.String)),
        VIEW,
        "feature 'orders_30d' of type String",
    ),
    Mistake("table without the key", drop(HISTORY, "customer_id"), VIEW, "join key 'customer_id'"),
    Mistake("table is no Parquet", garbage(HISTORY), VIEW, "part-0.parquet"),
    Mistake(
        "parts differ in type",
        second_part(orders_30d=pl.lit("many")),
        VIEW,
        "Got column 'orders_30d' of type String in file 'part-1.parquet'",
    ),
    Mistake(
        "part without a feature",
        lambda shop: (
            pl.read_parquet(shop.table(HISTORY))
            .head(5)
            .drop("spent_30d")
            .write_parquet(shop.table(HISTORY).with_name("part-1.parquet"))
        ),
        VIEW,
        "Got file 'part-1.parquet'",
    ),
]
MODELS = [
    Mistake("model no Python", append(MODEL, "x = (\n"), "will_return.py:19", "SyntaxError"),
    Mistake("model undeclared", edit(MODEL, "MODEL =", "OTHER ="), OWN, "Got no MODEL"),
    Mistake("model no spec", append(MODEL, "MODEL = 1\n"), OWN, "Got a int as MODEL"),
    Mistake(
        "model of another name",
        edit(MODEL, 'name="will_return"', 'name="returns"'),
        OWN,
        "Got a model named 'returns', but expected 'will_return'",
    ),
    Mistake(
        "unknown argument",
        edit(MODEL, "description=", "note=1, description="),
        "will_return.py:",
        "note: Got an unknown name",
    ),
    Mistake(
        "forgotten argument",
        edit(MODEL, 'feature_service="returns_v1",', ""),
        "will_return.py:",
        "feature_service: Got nothing",
    ),
    Mistake(
        "unknown feature service",
        edit(MODEL, '"returns_v1"', '"returns_v2"'),
        "will_return.py: feature_service",
        "Got 'returns_v2', but expected one of returns_v1",
    ),
    Mistake(
        "key that no field carries",
        edit(MODEL, 'name="customer_id"', 'name="customer"'),
        SERVICE,
        "join key 'customer_id', but expected a request field",
    ),
    Mistake(
        "key of another type",
        edit(MODEL, "type=FieldType.INTEGER", "type=FieldType.NUMBER"),
        SERVICE,
        "Got request field 'customer_id' of type number",
    ),
    Mistake(
        "column that is no field",
        edit(MODEL, 'columns=("amount",)', 'columns=("amounts",)'),
        "will_return.py:",
        "Got column 'amounts'",
    ),
    Mistake(
        "column twice",
        edit(MODEL, 'columns=("amount",)', 'columns=("amount", "amount")'),
        "will_return.py: columns",
        "Got amount more than once",
    ),
    Mistake(
        "policy for an unknown view",
        edit(MODEL, "columns=", 'when_stale={"orders": "reject"}, columns='),
        "will_return.py: feature_service",
        "Got when_stale for ['orders']",
    ),
    Mistake(
        "default of another type",
        edit(
            MODEL,
            "columns=",
            'when_store_down="defaults", defaults={"customer_orders:orders_30d": 1.5}, columns=',
        ),
        "will_return.py: feature_service",
        "Got default 1.5 for feature customer_orders:orders_30d",
    ),
    Mistake(
        "example outside of the choices",
        edit(
            MODEL,
            "    ),\n    columns",
            '        RequestField(name="size", type=FieldType.STRING, description="", example="x", '
            'choices=("s", "m")),\n    ),\n    columns',
        ),
        "will_return.py: request.size",
        "Got example 'x', but expected one of its choices m, s",
    ),
    Mistake(
        "parameters without objective",
        edit(MODEL, '"objective": "binary", ', ""),
        "will_return.py:",
        "without an objective",
    ),
    Mistake(
        "split backwards",
        edit(MODEL, "2024-07-01", "2024-01-01"),
        "will_return.py:15",
        "but expected each to be later",
    ),
    Mistake(
        "split no date",
        edit(MODEL, "2024-07-01", "2024-13-01"),
        "will_return.py:15",
        "month must be in 1..12",
    ),
    Mistake(
        "split outside of the table",
        edit(
            MODEL,
            '"2024-01-01", "2024-05-01", "2024-06-01", "2024-07-01"',
            '"2023-01-01", "2023-05-01", "2023-06-01", "2023-07-01"',
        ),
        LABELS,
        "Got no labelled row in the split's train span",
    ),
    Mistake(
        "label table missing",
        edit(MODEL, 'table="orders"', 'table="returns"'),
        LABELS,
        "Got no Parquet file",
    ),
    Mistake("label table no Parquet", garbage(ORDERS), LABELS, "part-0.parquet"),
    Mistake(
        "label table without a field", drop(ORDERS, "amount"), LABELS, "without columns ['amount']"
    ),
    Mistake(
        "label that is no column",
        edit(MODEL, '"returned"', '"sent"'),
        LABELS,
        "without columns ['sent']",
    ),
    Mistake(
        "known_at that is no column",
        edit(MODEL, 'known_at="decided_at"', 'known_at="decided"'),
        LABELS,
        "without columns ['decided']",
    ),
    Mistake(
        "field of another type",
        rewrite(ORDERS, pl.col("amount").cast(pl.String)),
        LABELS,
        "Got column 'amount' of type String",
    ),
    Mistake(
        "integer field beyond 64 bits",
        rewrite(ORDERS, pl.col("customer_id").cast(pl.UInt64) + 2**63),
        LABELS,
        "among UInt64 in column 'customer_id', but expected whole numbers that Int64 holds",
    ),
    Mistake(
        "known_at is text",
        rewrite(ORDERS, pl.col("decided_at").cast(pl.String)),
        LABELS,
        "Got column 'decided_at' of type String",
    ),
    *(
        Mistake(
            f"labels {name}",
            rewrite(ORDERS, label.alias("returned")),
            LABELS,
            says,
        )
        for name, label, says in (
            ("are -1 and 1", pl.col("returned").cast(pl.Int8) * 2 - 1, "Got label -1"),
            ("are 1 and 2", pl.col("returned").cast(pl.Int8) + 1, "Got label 2"),
            ("are dollars", pl.col("amount"), "but expected true or false, or 0 and 1"),
            ("have NaN", pl.when("returned").then(1.0).otherwise(float("nan")), "Got label nan"),
            ("are of one class", pl.lit(value=True), "but expected positives and negatives"),
            ("are text", pl.lit("yes"), "Got labels of type String"),
        )
    ),
    Mistake(
        "objective against output",
        edit(MODEL, '"objective": "binary"', '"objective": "regression"'),
        OWN,
        "Got output kind 'probability' for objective 'regression'",
    ),
    Mistake(
        "unknown parameter",
        edit(MODEL, "num_leaves", "num_leafs"),
        OWN,
        "num_leafs",
    ),
    Mistake(
        "parameter of another type",
        edit(MODEL, '"num_leaves": 15', '"num_leaves": "many"'),
        OWN,
        "num_leaves",
    ),
    Mistake(
        "gate on an unknown metric",
        edit(MODEL, "columns=", 'gates=[{"metric": "rmse", "at_most": 1.0}], columns='),
        OWN,
        "Got a gate for 'rmse'",
    ),
    Mistake(
        "reserved field",
        edit(MODEL, 'name="amount"', 'name="as_of"'),
        OWN,
        "Got request field 'as_of'",
    ),
    Mistake(
        "no label at all",
        rewrite(ORDERS, pl.lit(None, pl.Boolean).alias("returned")),
        LABELS,
        "Got no labelled row",
    ),
    Mistake(
        "no model",
        lambda shop: (shop.folder / MODEL).unlink(),
        "",
        "Got no model, but expected at least one file",
    ),
]
MISTAKES = [*ENVIRONMENT, *DEFINED, *VALUES, *REQUEST_TIME, *MODELS]
