"""A million cells of windows, by the kernel and by states, against exact arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.window_checks import check_kernel, check_states

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("check", [check_kernel, check_states])
def test_a_million_cells_equal_exact_arithmetic(check: Callable[[int], int]) -> None:
    n_cells, seed = 0, 1_000
    while n_cells < 1_000_000:
        n_cells += check(seed)
        seed += 1
    print(f"{check.__name__}: {n_cells:,} cells of {seed - 1_000} cases")  # noqa: T201 - the trial's result
