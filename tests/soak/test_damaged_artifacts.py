"""What the checks behind the sha256 find, when the registry vouches for a damaged file."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.damaged_models import flip_bits, judge_rehashed, make_tree_model

N_FLIPS = 400


@pytest.mark.soak
def test_most_flips_are_found_without_the_sha256(tmp_path: Path) -> None:
    model = make_tree_model(100)
    outcomes = Counter(
        judge_rehashed(tmp_path, model, damaged) for _, damaged in flip_bits(model.content, N_FLIPS)
    )
    print(dict(outcomes))  # noqa: T201 - the trial's result
    assert outcomes["refused"] + outcomes["golden"] > outcomes["wrong"]
