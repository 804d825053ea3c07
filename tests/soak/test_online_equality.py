"""A million cells of every readable type, on each store, as the SDK reads them."""

import asyncio
import random
from pathlib import Path

import pytest

from api.prediction.open_reader import open_reader
from tests.support.online_equality import VIEWS, compare_with_sdk
from tests.support.online_stores import make_store, open_online

pytestmark = pytest.mark.soak

N_CELLS = 1_000_000


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_million_cells_equal_the_sdk(tmp_path: Path, kind: str) -> None:
    with open_online(kind, tmp_path / "online") as online:
        store = make_store(tmp_path, VIEWS, online.config)
        reader = open_reader(online.url, timeout_sec=5)
        draw = random.Random(17)  # noqa: S311 - test data
        compared = asyncio.run(
            compare_with_sdk(store, reader, draw, N_CELLS, tells_missing=kind == "sqlite")
        )
    print(kind, compared)  # noqa: T201 - the trial's result
    assert compared.n_cells >= N_CELLS
