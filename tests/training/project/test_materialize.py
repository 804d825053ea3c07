"""What cannot be written online as it is declared ends in one sentence that names it."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.support.redis_servers import free_port
from tests.support.shop_project import CLOCK, ShopProject
from zeroskew.contract.errors.project import StepError, TrainingError

ROWS: dict[str, Any] = {"customer_id": [7, 8], "spent": [12.5, 1.0], "orders": [3, 1]}
BIG = 2**63 + 1


def declared(kind: str) -> str:
    return f'view(fields=(("spent", Float64), ("orders", {kind})))'


@pytest.mark.parametrize(
    ("changed", "kind", "told"),
    [
        ({"spent": ["abc", "1"]}, "Int64", "Got String in column 'spent'"),
        ({"orders": [2**40, 1]}, "Int32", "Got 1099511627776 among Int64 in column 'orders'"),
        ({"orders": [1.5, 2.0]}, "Int64", "Got 1.5 among Float64 in column 'orders'"),
        (
            {"orders": pl.Series(["1.5", "2"]).cast(pl.Decimal(9, 1))},
            "Int64",
            "Got 1.5 among Decimal",
        ),
        ({"orders": [1, 2]}, "Bool", "Got Int64 in column 'orders', but expected .* Boolean"),
        ({"orders": [1, 2]}, "String", "Got Int64 in column 'orders', but expected .* String"),
        ({"customer_id": ["a", "b"]}, "Int64", "Got String in column 'customer_id'"),
        ({"spent": [[1.0], [2.0]]}, "Int64", r"Got List\(Float64\) in column 'spent'"),
        ({"spent": [{"a": 1}, {"a": 2}]}, "Int64", r"Got Struct.* in column 'spent'"),
        (
            {"orders": pl.Series([BIG, None], dtype=pl.UInt64)},
            "Int64",
            f"Got {BIG} among UInt64 in column 'orders'",
        ),
        ({"orders": pl.Series([1, 2]).cast(pl.Date)}, "Int64", "Got Date in column 'orders'"),
    ],
)
def test_a_value_that_does_not_fit_is_named(
    tmp_path: Path, changed: dict[str, Any], kind: str, told: str
) -> None:
    shop = ShopProject(tmp_path / "shop")
    shop.declare(declared(kind))
    shop.apply()
    shop.write_table("spending", ROWS | changed)
    with pytest.raises(TrainingError, match=f"^View 'spending': {told}") as refused:
        shop.materialize()
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"orders": [1.0, None]}, "Int64"),
        ({"orders": pl.Series([1, 2], dtype=pl.Int8)}, "Int64"),
        ({"spent": pl.Series(["1.5", "2.5"]).cast(pl.Decimal(10, 2))}, "Int64"),
        ({"spent": pl.Series([None, None], dtype=pl.Null)}, "Int64"),
        ({"orders": pl.Series(["a", "b"], dtype=pl.Categorical)}, "String"),
    ],
)
def test_a_value_that_loses_nothing_is_written(
    tmp_path: Path, changed: dict[str, Any], kind: str
) -> None:
    shop = ShopProject(tmp_path / "shop")
    shop.declare(declared(kind))
    shop.write_table("spending", ROWS | changed)
    shop.apply()
    assert shop.materialize() == {"spending": 2}


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_without_room_is_said(tmp_path: Path) -> None:
    shop = ShopProject(tmp_path / "shop")
    shop.declare("view()")
    shop.apply()
    shop.materialize()
    path = shop.online_path
    many = np.arange(2000)
    rows = {"customer_id": many, "spent": many / 2, "orders": many}
    shop.write_table("spending", rows, moment=CLOCK - timedelta(minutes=1))
    with (
        files_of_at_most(path.stat().st_size + 4096),
        pytest.raises(StepError, match=r"^View 'spending': the online store cannot be written: "),
    ):
        shop.materialize()
    # What was there is there, and room is all that was missing.
    assert shop.materialize() == {"spending": 2000}


def test_a_store_that_does_not_answer_is_said(tmp_path: Path) -> None:
    port = free_port()
    shop = ShopProject(
        tmp_path / "shop",
        "type: zeroskew.features.online_store.newest_redis.NewestRedisOnlineStore\n"
        f"  connection_string: 127.0.0.1:{port}",
    )
    shop.declare("view()")
    with pytest.raises(StepError, match=str(port)):
        shop.apply()


def test_a_store_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    shop = ShopProject(tmp_path / "shop")
    shop.declare("view()")
    shop.apply()
    path = shop.online_path
    path.unlink()
    path.mkdir()
    with pytest.raises(StepError, match=r"^View 'spending': the online store cannot be written: "):
        shop.materialize()
