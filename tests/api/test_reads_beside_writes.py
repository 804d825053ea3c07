"""No wrong cell, while Feast materializes and pushes what is being read."""

from pathlib import Path

import pytest

from tests.support.online_stores import NEWEST_STORES, open_online
from tests.support.write_race import race


@pytest.mark.parametrize(("kind", "n_workers"), [("sqlite", 2), ("redis", 1)])
def test_64_connections_see_no_cell_of_another_key_or_generation(
    tmp_path: Path, kind: str, n_workers: int
) -> None:
    with open_online(kind, tmp_path / "online") as online:
        config = online.config | {"type": NEWEST_STORES[kind]}
        observed = race(tmp_path, config, online.url, n_workers=n_workers, seconds=3)
    assert observed.is_enough
