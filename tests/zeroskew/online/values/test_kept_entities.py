"""What is kept of entities is bounded, for all layouts of a reader together."""

from __future__ import annotations

import gc

import pytest

from zeroskew.online.reader import EntityLookup, EntityRow, ReadLayout, StoredView
from zeroskew.online.values.kept_entities import KeptBytes, KeptEntities

MAX_BYTES = 100_000


def make_layout(n_features: int = 2, n_lookups: int = 2) -> ReadLayout:
    names = tuple(f"f{number}" for number in range(n_features))
    views = [StoredView(f"v{i}", f"trial_v{i}", names) for i in range(n_lookups)]
    return ReadLayout("trial", tuple(EntityLookup((view,)) for view in views))


def entity(size: int) -> EntityRow:
    return EntityRow([b"x" * size, None], [0])


def count_kept(kept: KeptEntities) -> list[int]:
    return [len(of_lookup) - 1 for of_lookup in kept.by_lookup]


def test_those_of_the_lookup_that_takes_most_are_let_go() -> None:
    together = KeptBytes(MAX_BYTES)
    one, other = (KeptEntities(make_layout(), together) for _ in range(2))
    other.put(0, b"few", entity(10))
    for number in range(1000):
        one.put(number % 2, str(number).encode(), entity(number % 50))
        taken = sum(one.sizes) + sum(other.sizes)
        assert taken == together.n_bytes <= MAX_BYTES
    assert count_kept(other) == [1, 0]
    assert 0 < sum(count_kept(one)) < 120


def test_one_that_takes_another_ones_place_is_counted_once() -> None:
    together = KeptBytes(MAX_BYTES)
    kept = KeptEntities(make_layout(), together)
    for size in (10, 5_000, 0, 5_000, 1) * 50:
        kept.put(0, b"same", entity(size))
    assert count_kept(kept) == [1, 0]
    assert together.n_bytes == sum(kept.sizes) < 2_000


def test_one_too_large_is_not_kept_and_drives_nothing_out() -> None:
    kept = KeptEntities(make_layout(), KeptBytes(MAX_BYTES))
    kept.put(0, b"one", entity(10))
    kept.put(1, b"large", entity(MAX_BYTES))
    kept.put(0, b"one", entity(MAX_BYTES))
    assert count_kept(kept) == [0, 0]
    assert kept.sizes == [0, 0]


def test_what_a_layout_took_that_is_gone_is_free_again() -> None:
    together = KeptBytes(MAX_BYTES)
    kept = KeptEntities(make_layout(), together)
    for number in range(50):
        kept.put(0, str(number).encode(), entity(10))
    del kept
    gc.collect()
    fresh = KeptEntities(make_layout(), together)
    for number in range(90):
        fresh.put(0, str(number).encode(), entity(10))
    assert count_kept(fresh) == [90, 0]


def test_the_null_key_is_always_there() -> None:
    kept = KeptEntities(make_layout(), KeptBytes(MAX_BYTES))
    kept.put(0, b"one", entity(10))
    kept.clear()
    assert [list(of_lookup) for of_lookup in kept.by_lookup] == [[None], [None]]


@pytest.mark.parametrize(
    ("n_features", "n_lookups", "most_rows"),
    [(2, 2, 16), (100, 2, 5), (128, 1, 8), (129, 1, 0), (100, 20, 0), (0, 1, 0)],
)
def test_wide_rows_are_left_to_arrays(n_features: int, n_lookups: int, most_rows: int) -> None:
    layout = make_layout(n_features, n_lookups)
    assert KeptEntities(layout, KeptBytes()).most_rows == most_rows
