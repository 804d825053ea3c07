"""Values that declared types do not hold, and request-time functions that become no graph."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from tests.support.readme_project import request_time_code
from tests.training.checks.planting import (
    DEFINITIONS,
    HISTORY,
    MODEL,
    VIEW,
    Mistake,
    Shop,
    edit,
    rewrite,
)

__all__ = ["REQUEST_TIME", "VALUES"]


def int32_key(values: pl.Expr) -> Callable[[Shop], None]:
    def plant(shop: Shop) -> None:
        shop.edit(DEFINITIONS, "ValueType.INT64", "ValueType.INT32")
        shop.rewrite(HISTORY, lambda table: table.with_columns(values))

    return plant


def declared(dtype: str, values: pl.Expr) -> Callable[[Shop], None]:
    def plant(shop: Shop) -> None:
        shop.edit(DEFINITIONS, "dtype=Int64", f"dtype={dtype}")
        shop.edit(DEFINITIONS, "import Float32, Int64", "import Float32, Int32, Int64")
        shop.rewrite(HISTORY, lambda table: table.with_columns(values.alias("orders_30d")))

    return plant


def request_time(body: str) -> Callable[[Shop], None]:
    """Have the model read the documented request-time feature, with another function body."""

    def plant(shop: Shop) -> None:
        code = request_time_code()
        right = 'return {"days_since_order": (as_of - last_ordered_at) / 86400.0}'
        assert right in code
        shop.append("feature_repo/order_age.py", code.replace(right, body))
        shop.edit(MODEL, "returns_v1", "returns_v2")

    return plant


VALUES = [
    *(
        Mistake(f"key {name}", plant, VIEW, says)
        for name, plant, says in (
            (
                "beyond INT32",
                int32_key(pl.col("customer_id") + 2**31),
                "Got 2147483648 among Int64 in join key 'customer_id', but expected whole "
                "numbers that Int32 holds, as declared",
            ),
            (
                "below INT32",
                int32_key(-pl.col("customer_id") - 2**31),
                "Got -2147483649 among Int64 in join key 'customer_id', but expected whole "
                "numbers that Int32 holds, as declared",
            ),
            (
                "with fractions",
                rewrite(HISTORY, pl.col("customer_id") + 0.5),
                "Got 0.5 among Float64 in join key 'customer_id', but expected whole "
                "numbers that Int64 holds, as declared",
            ),
            (
                "of floats that are as well their neighbours",
                rewrite(HISTORY, pl.col("customer_id") + 2.0**53),
                "among Float64 in join key 'customer_id', but expected whole numbers up to 2^53",
            ),
            (
                "of unsigned numbers beyond INT64",
                rewrite(HISTORY, pl.col("customer_id").cast(pl.UInt64) + 2**63),
                "Got 9223372036854775808 among UInt64 in join key 'customer_id', but expected "
                "whole numbers that Int64 holds, as declared",
            ),
            (
                "INT64 over text",
                rewrite(HISTORY, pl.col("customer_id").cast(pl.String)),
                "Got join key 'customer_id' of type String in the table, but expected Int64",
            ),
            (
                "STRING over integers",
                edit(DEFINITIONS, "ValueType.INT64", "ValueType.STRING"),
                "Got join key 'customer_id' of type Int64 in the table, but expected String",
            ),
        )
    ),
    *(
        Mistake(f"feature {name}", declared(dtype, values), VIEW, says)
        for name, dtype, values, says in (
            (
                "Int64 with fractions",
                "Int64",
                pl.col("orders_30d") + 0.5,
                "in feature 'orders_30d', but expected whole numbers that Int64 holds",
            ),
            (
                "Int32 with one fraction",
                "Int32",
                pl.when(pl.int_range(pl.len()) == 5000).then(1.5).otherwise(float("nan")),
                "Got 1.5 among Float64 in feature "
                "'orders_30d', but expected whole numbers that Int32 holds",
            ),
            (
                "Int32 with integers of 64 bits",
                "Int32",
                pl.col("orders_30d") - 2**40,
                "in feature 'orders_30d', but expected whole numbers that Int32 holds",
            ),
            (
                "Int64 with infinity",
                "Int64",
                pl.lit(float("inf")),
                "Got inf among Float64 in feature",
            ),
            (
                "Int64 with decimals",
                "Int64",
                pl.lit("1.5").cast(pl.Decimal(9, 1)),
                "Got 1.5 among Decimal(precision=9, scale=1) in feature "
                "'orders_30d', but expected whole numbers that Int64 holds",
            ),
            (
                "Float32 with integers rounded twice",
                "Float32",
                pl.lit(2**60 + 2**36 + 1),
                "Got 1152921573326323713 in feature 'orders_30d', declared Float32",
            ),
            (
                "list of Int64 with fractions",
                "__import__('feast').types.Array(Int64)",
                pl.concat_list(pl.lit(1.0), pl.lit(2.5)),
                "Got 2.5 among Float64 in feature "
                "'orders_30d', but expected whole numbers that Int64 holds",
            ),
            (
                "Bool over integers",
                "__import__('feast').types.Bool",
                pl.col("orders_30d"),
                "Got feature 'orders_30d' of type Int64 in the table, but expected Bool",
            ),
            (
                "Float32 over true and false",
                "Float32",
                pl.lit(value=True),
                "Got feature 'orders_30d' of type Boolean in the table, but expected Float32",
            ),
        )
    ),
]
REQUEST_TIME = [
    Mistake(f"request-time function {name}", request_time(body), "will_return.py: returns_v2", says)
    for name, body, says in (
        (
            "branches on a value",
            "if as_of > last_ordered_at:\n        as_of = as_of + 1.0\n"
            "    return {'days_since_order': as_of}",
            "from request-time function 'order_age', but expected array operations",
        ),
        (
            "calls numpy",
            "import numpy\n    return {'days_since_order': numpy.spacing(as_of)}",
            "Got TypeError (ufunc 'spacing' not supported",
        ),
        (
            "calls what is not there",
            "xp = as_of.__array_namespace__()\n    return {'days_since_order': xp.day_of(as_of)}",
            "day_of",
        ),
        (
            "gives a constant",
            "return {'days_since_order': 1.0}",
            "Got float for output 'days_since_order'",
        ),
        (
            "gives whole numbers",
            "xp = as_of.__array_namespace__()\n"
            "    return {'days_since_order': xp.astype(as_of, xp.int64)}",
            "Got int64 of shape",
        ),
        ("gives another name", "return {'days': as_of}", "but expected a mapping of"),
        (
            "takes another argument",
            "return {'days_since_order': as_of - ordered_at}",
            "name 'ordered_at' is not defined",
        ),
        (
            "looks at other rows",
            "xp = as_of.__array_namespace__()\n"
            "    return {'days_since_order': xp.cumulative_sum(as_of)}",
            "but expected numpy's nan (1 of 1 rows differ)",
        ),
    )
]
