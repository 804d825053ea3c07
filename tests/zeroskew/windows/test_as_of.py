"""Kernel and states against brute force: each cell equal to the bit, 100,000 and more of each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.window_checks import check_kernel, check_states


@pytest.mark.parametrize("first_seed", range(0, 200, 20))
@pytest.mark.parametrize("check", [check_kernel, check_states])
def test_each_cell_equals_exact_arithmetic(check: Callable[[int], int], first_seed: int) -> None:
    assert sum(map(check, range(first_seed, first_seed + 20))) > 10_000
