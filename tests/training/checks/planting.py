"""A copy of the README's shop, and how a mistake is planted in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

DEFINITIONS = "feature_repo/definitions.py"
SETTINGS = "feature_repo/feature_store.yaml"
MODEL = "models/will_return.py"
ORDERS = "orders"
HISTORY = "customer_orders"
VIEW = "definitions.py:8: view 'customer_orders'"


@dataclass
class Shop:
    """A copy of the project, and the environment that it is checked in."""

    folder: Path
    environment: dict[str, str]

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that must be there."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, (file, old)
        path.write_text(text.replace(old, new))

    def append(self, file: str, text: str) -> None:
        """Add to the end of a file, which need not be there."""
        path = self.folder / file
        path.write_text((path.read_text() if path.exists() else "") + text)

    def table(self, name: str) -> Path:
        """Return a table's one part, after its folder is this copy's own."""
        lake = self.folder / "var" / "lake"
        if lake.is_symlink():
            shared = lake.resolve()
            lake.unlink()
            shutil.copytree(shared, lake)
        return lake / name / "part-0.parquet"

    def rewrite(self, name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        """Write a table anew."""
        path = self.table(name)
        change(pl.read_parquet(path)).write_parquet(path)


@dataclass(frozen=True)
class Mistake:
    """What is planted; ``place`` begins the sentence, which has ``says`` in it."""

    name: str
    plant: Callable[[Shop], Any]
    place: str
    says: str


def edit(file: str, old: str, new: str) -> Callable[[Shop], None]:
    return lambda shop: shop.edit(file, old, new)


def append(file: str, text: str) -> Callable[[Shop], None]:
    return lambda shop: shop.append(file, text)


def rewrite(name: str, *expressions: pl.Expr) -> Callable[[Shop], None]:
    return lambda shop: shop.rewrite(name, lambda table: table.with_columns(*expressions))
