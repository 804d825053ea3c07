"""Five hundred projects drawn at random: what is published answers exactly, the rest is refused."""

import pytest

from tests.support.project_trial import try_project

N_DRAWS = 500
PART = 25


@pytest.mark.soak
@pytest.mark.parametrize("part", range(N_DRAWS // PART))
def test_no_drawn_project_is_wrong_in_silence(
    part: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for seed in range(part * PART, (part + 1) * PART):
        outcome = try_project(seed, tmp_path_factory.mktemp(f"project{seed}"))
        print(f"{seed}: {outcome}")  # noqa: T201 - a trial tells its numbers
