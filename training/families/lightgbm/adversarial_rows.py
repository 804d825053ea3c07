"""Feature rows made to break an export: at the edges of every split, and of float32 itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from training.families.lightgbm.model_text import TextModel, Tree

__all__ = ["adversarial_rows"]

Float32Array = npt.NDArray[np.float32]

_DIRECTED_SHARE: Final = 0.75
_ROWS_PER_SPLIT: Final = 5
_REPLACED_SHARE: Final = 0.5
_ANY_FLOATS: Final = (
    *(np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 1e-40, -1e-40, 1.2e-38, 1e-20, 1e-6),
    *(1e-35, -1e-35, 1.0000001e-35, -1.0000001e-35, 9.9999994e-36, -9.9999994e-36),
    *(0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 30.0, 31.0, 32.0, 63.0, 64.0, 65.0, 1e5, 1.4e9, -1e9),
    *(2.0**24 + 2, 2.0**31, 2.0**31 - 128, 2.0**32, 2.0**32 + 512, -(2.0**31), 2.0**63),
    *(1e19, 1e30, -1e30, 3.4028235e38, -3.4028235e38),
)


@dataclass(frozen=True)
class _Reach:
    """Which values of one feature lead to a split: an interval, or a set of codes."""

    above: float = -np.inf
    up_to: float = np.inf
    inside: frozenset[int] | None = None
    outside: frozenset[int] = field(default_factory=frozenset)

    def value(self) -> float:
        """Return a value of the interval or set; NaN where it is all numbers or unknown codes."""
        if self.inside is not None:
            return min(self.inside - self.outside, default=np.nan)
        if self.up_to < np.inf:
            return float(_float32_at_most(self.up_to))
        if self.above > -np.inf:
            return float(np.nextafter(_float32_at_most(self.above), np.float32(np.inf)))
        return np.nan


_Path = tuple[Mapping[int, _Reach], int, tuple[float, ...]]
"""What leads to a split, the split's feature, and the values at its edges."""


def adversarial_rows(
    model: TextModel, rows: Float32Array, *, n_rows: int, seed: int
) -> Float32Array:
    """Make rows on which a wrong export of `model` would show.

    At most three quarters are directed, five for each split (of all splits, or of a sample
    where there are more): the features along the path are set so that the row reaches the
    split, and its own feature is the float32 at the threshold, one unit in the last place to
    either side, NaN or zero; or, of a categorical split, its lowest and highest code, a
    fraction above, an unknown code or NaN. In the others every cell is, with a chance of a
    half, any float32 next to a threshold of its feature, any of its codes, or a special
    value: NaN, infinities, zeros, denormals, the edges of LightGBM's zero, codes out of
    range, large magnitudes. All else comes from `rows`.

    Parameters
    ----------
    model : TextModel
        The model under test.
    rows : numpy.ndarray
        float32 ``(n, n_features)``, of any values; zeros stand in where it is empty.
    n_rows : int
        Number of rows to make.
    seed : int
        Equal seeds give equal rows.

    Returns
    -------
    numpy.ndarray
        float32 ``(n_rows, n_features)``.
    """
    rng = np.random.default_rng(seed)
    base = rows if len(rows) else np.zeros((1, model.n_features), np.float32)
    result: Float32Array = base[rng.integers(0, len(base), n_rows)]
    paths = [path for tree in model.trees for path in _paths(tree)]
    n_directed = min(len(paths), int(_DIRECTED_SHARE * n_rows) // _ROWS_PER_SPLIT)
    chosen = np.sort(rng.permutation(len(paths))[:n_directed])
    row = 0
    for path, feature, edges in (paths[index] for index in chosen):
        rows_of_split = result[row : row + _ROWS_PER_SPLIT]
        for other, reach in path.items():
            if not np.isnan(value := reach.value()):
                rows_of_split[:, other] = value
        rows_of_split[:, feature] = edges
        row += _ROWS_PER_SPLIT
    _replace_cells(result[row:], _edge_values(model, paths), rng)
    return result


def _paths(tree: Tree) -> Iterator[_Path]:
    waiting: list[tuple[int, dict[int, _Reach]]] = [(0, {})] if tree.n_splits else []
    while waiting:
        split, path = waiting.pop()
        feature = int(tree.split_feature[split])
        yield path, feature, _edges(tree, split)
        before = path.get(feature, _Reach())
        left, right = _sides(tree, split, before)
        for child, reach in [(tree.left_child[split], left), (tree.right_child[split], right)]:
            if child >= 0:
                waiting.append((int(child), {**path, feature: reach}))


def _sides(tree: Tree, split: int, before: _Reach) -> tuple[_Reach, _Reach]:
    if tree.is_categorical[split]:
        codes = frozenset(tree.categories[split].tolist())
        inside = codes if before.inside is None else codes & before.inside
        return (
            _Reach(before.above, before.up_to, inside, before.outside),
            _Reach(before.above, before.up_to, before.inside, before.outside | codes),
        )
    threshold = float(tree.decision_threshold[split])
    return (
        _Reach(before.above, min(before.up_to, threshold), before.inside, before.outside),
        _Reach(max(before.above, threshold), before.up_to, before.inside, before.outside),
    )


def _edges(tree: Tree, split: int) -> tuple[float, ...]:
    if tree.is_categorical[split]:
        lowest, highest = int(tree.categories[split][0]), int(tree.categories[split][-1])
        return lowest, highest, highest + 0.5, highest + 1, np.nan
    at = _float32_at_most(float(tree.threshold[split]))
    below = np.nextafter(at, np.float32(-np.inf))
    above = np.nextafter(at, np.float32(np.inf))
    return float(below), float(at), float(above), np.nan, 0.0


def _edge_values(model: TextModel, paths: list[_Path]) -> list[Float32Array]:
    values: list[list[float]] = [[] for _ in range(model.n_features)]
    for _, feature, edges in paths:
        values[feature].extend(edges)
    return [np.array(of_feature, np.float32) for of_feature in values]


def _replace_cells(
    rows: Float32Array, edge_values: list[Float32Array], rng: np.random.Generator
) -> None:
    for feature, edges in enumerate(edge_values):
        special = rng.choice(np.array(_ANY_FLOATS, np.float32), len(rows))
        near = rng.choice(edges, len(rows)) if len(edges) else special
        value = np.where(rng.random(len(rows)) < 0.5, near, special)
        replaced = rng.random(len(rows)) < _REPLACED_SHARE
        rows[replaced, feature] = value[replaced]


def _float32_at_most(value: float) -> np.float32:
    """Return the largest float32 that is not above `value`; infinity beyond their range."""
    with np.errstate(over="ignore"):
        nearest = np.float32(value)
    return nearest if float(nearest) <= value else np.nextafter(nearest, np.float32(-np.inf))
