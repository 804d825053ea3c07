"""Projects drawn at random: what is published answers exactly, the rest is refused by name."""

from pathlib import Path

import pytest

from tests.support.project_trial import try_project


@pytest.mark.parametrize("seed", range(1_000, 1_010))
def test_no_drawn_project_is_wrong_in_silence(seed: int, tmp_path: Path) -> None:
    try_project(seed, tmp_path)
