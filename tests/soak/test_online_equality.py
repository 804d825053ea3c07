"""A million cells as the SDK reads them, and reads for a minute beside writes, on each store."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.support.online_equality import VIEWS, compare_with_sdk
from tests.support.online_stores import NEWEST_STORES, make_store, open_online
from tests.support.write_race import race
from zeroskew.online.schemes import open_store

pytestmark = pytest.mark.soak

N_CELLS = 1_000_000
RACE_SECONDS = 60.0


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_million_cells_equal_the_sdk(tmp_path: Path, kind: str) -> None:
    with open_online(kind, tmp_path / "online") as online:
        store = make_store(tmp_path, VIEWS, online.config)
        reader = open_store(online.url).open_reader(timeout_sec=5)
        draw = random.Random(17)  # noqa: S311 - test data
        compared = asyncio.run(
            compare_with_sdk(store, reader, draw, N_CELLS, tells_missing=kind == "sqlite")
        )
    print(kind, compared)  # noqa: T201 - the trial's result
    assert compared.n_cells >= N_CELLS


@pytest.mark.parametrize("store", ["feast's own", "this project's"])
@pytest.mark.parametrize(("kind", "n_workers"), [("sqlite", 2), ("redis", 1)])
def test_64_connections_see_no_wrong_cell_beside_writes(
    tmp_path: Path, kind: str, n_workers: int, store: str
) -> None:
    with open_online(kind, tmp_path / "online") as online:
        newest = {"type": NEWEST_STORES[kind]} if store == "this project's" else {}
        observed = race(
            tmp_path, online.config | newest, online.url, n_workers=n_workers, seconds=RACE_SECONDS
        )
    print(kind, store, observed.n_cells, observed.n_generations)  # noqa: T201 - as above
    assert observed.n_cells > 100_000
    assert len(observed.generations) > 50
