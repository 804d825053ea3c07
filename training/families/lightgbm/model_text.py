"""The text that LightGBM writes of a model, parsed and checked.

LightGBM itself aborts the process on a truncated text; here every error is a `ModelTextError`.
The format is what ``GBDT::SaveModelToString`` and ``Tree::ToString`` of LightGBM 4 write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeroskew.contract.errors.project import TrainingError

__all__ = [
    "ZERO_THRESHOLD",
    "MissingType",
    "ModelTextError",
    "TextModel",
    "Tree",
    "parse_model_text",
]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

ZERO_THRESHOLD: Final = float(np.float32(1e-35))
"""LightGBM's ``kZeroThreshold``: numbers that are not larger count as zero."""

_CATEGORICAL_BIT: Final = 1
_DEFAULT_LEFT_BIT: Final = 2
_MISSING_TYPE_SHIFT: Final = 2


class ModelTextError(TrainingError):
    """A model text is not one that can be read completely."""


class MissingType(IntEnum):
    """Which values of a numerical feature take a split's default direction.

    ``NONE``: no value does, and NaN counts as 0. ``ZERO``: NaN and ``|x| <= 1e-35`` (as
    float32) do. ``NAN``: NaN does.
    """

    NONE = 0
    ZERO = 1
    NAN = 2


@dataclass(frozen=True)
class Tree:
    """One tree of ``n_splits`` splits and ``n_splits + 1`` leaves; split 0 is the root.

    A child that is not negative is a split, and a negative one is leaf ``-1 - child``. A row
    goes left where its value is at most `threshold`, or is one of `categories`.

    Attributes
    ----------
    split_feature, left_child, right_child : numpy.ndarray
        int64 ``(n_splits,)``.
    threshold : numpy.ndarray
        float64 ``(n_splits,)``; meaningless for categorical splits.
    default_left, is_categorical : numpy.ndarray
        bool ``(n_splits,)``.
    missing_type : numpy.ndarray
        int64 ``(n_splits,)``, values of `MissingType`; meaningless for categorical splits.
    categories : mapping of int to numpy.ndarray
        For each categorical split the codes that go left, int64, ascending.
    leaf_value : numpy.ndarray
        float64 ``(n_splits + 1,)``.
    """

    split_feature: IntArray
    threshold: FloatArray
    is_categorical: BoolArray
    default_left: BoolArray
    missing_type: IntArray
    left_child: IntArray
    right_child: IntArray
    categories: Mapping[int, IntArray]
    leaf_value: FloatArray

    @property
    def n_splits(self) -> int:
        """Number of splits; 0 for a constant tree."""
        return len(self.split_feature)

    @property
    def decision_threshold(self) -> FloatArray:
        """Thresholds that give LightGBM's predictions, float64 ``(n_splits,)``.

        Its predictor reads ``|x| <= 1e-35`` (the float32 next to it) as 0, so a threshold
        inside that interval acts as one below it or at its upper end.
        """
        below = (self.threshold >= -ZERO_THRESHOLD) & (self.threshold < 0)
        above = (self.threshold >= 0) & (self.threshold < ZERO_THRESHOLD)
        moved = np.where(below, np.nextafter(-ZERO_THRESHOLD, -np.inf), self.threshold)
        return np.where(above, ZERO_THRESHOLD, moved)


@dataclass(frozen=True)
class TextModel:
    """What a model text says.

    Attributes
    ----------
    objective : str or None
        Name of the objective; ``None`` where the text has none (a custom objective).
    objective_options : mapping of str to str
        What follows the name: ``{"sigmoid": "1"}``, or ``{"sqrt": ""}`` for a bare word.
    n_features : int
        Number of feature columns.
    n_outputs : int
        Number of raw scores a row, which is the number of trees an iteration.
    averages_trees : bool
        Whether raw scores are divided by the number of iterations (random forest).
    trees : tuple of Tree
        Tree ``t`` belongs to output ``t % n_outputs``.
    """

    objective: str | None
    objective_options: Mapping[str, str]
    n_features: int
    n_outputs: int
    averages_trees: bool
    trees: tuple[Tree, ...]

    @property
    def n_iterations(self) -> int:
        """Number of boosting iterations."""
        return len(self.trees) // self.n_outputs


def parse_model_text(text: str) -> TextModel:
    """Parse a LightGBM model text.

    Parameters
    ----------
    text : str
        What ``Booster.model_to_string`` returns or ``save_model`` writes.

    Returns
    -------
    TextModel
        The model, its trees checked: every split and leaf is reached exactly once, every
        feature exists, every number is as many as announced, no threshold or value is NaN.

    Raises
    ------
    ModelTextError
        If the text is cut off, is not of format version 4, contains linear trees or is
        malformed.
    """
    head, separator, _ = text.partition("\nend of trees")
    if not head.startswith("tree\n") or not separator:
        raise ModelTextError(
            "Got a text without 'tree' at its start or 'end of trees' after the last tree, "
            "but expected a complete LightGBM model text."
        )
    header_text, *tree_texts = head.split("\nTree=")
    header = _key_values(header_text)
    if header.get("version") != "v4":
        raise ModelTextError(f"Got version {header.get('version')!r}, but expected 'v4'.")
    n_features = _integer(header, "max_feature_idx") + 1
    n_outputs = _integer(header, "num_tree_per_iteration")
    sizes = header.get("tree_sizes", "").split()
    if not tree_texts or len(tree_texts) != len(sizes) or n_outputs < 1 or len(sizes) % n_outputs:
        raise ModelTextError(
            f"Got {len(tree_texts)} trees of {len(sizes)} for {n_outputs} outputs, "
            "but expected all of them and at least one an output."
        )
    name, *options = header.get("objective", "").split() or [""]
    return TextModel(
        objective=name or None,
        objective_options=dict(option.partition(":")[::2] for option in options),
        n_features=n_features,
        n_outputs=n_outputs,
        averages_trees="average_output" in header,
        trees=tuple(
            _parse_tree(index, tree_text, n_features) for index, tree_text in enumerate(tree_texts)
        ),
    )


def _parse_tree(index: int, text: str, n_features: int) -> Tree:
    try:
        tree = _read_tree(index, _key_values(f"Tree={text}"))
        _check_structure(tree, n_features)
    except ModelTextError as error:
        raise ModelTextError(f"Tree {index}: {error}") from error
    return tree


def _read_tree(index: int, fields: Mapping[str, str]) -> Tree:
    if _integer(fields, "Tree") != index:
        raise ModelTextError(f"Got number {fields['Tree']}, but expected {index}.")
    if _integer(fields, "is_linear"):
        raise ModelTextError("Got linear leaves (linear_tree), but expected constant ones.")
    n_leaves = _integer(fields, "num_leaves")
    n_splits = n_leaves - 1
    decision_type = _integers(fields, "decision_type", n_splits)
    is_categorical = decision_type & _CATEGORICAL_BIT != 0
    threshold = _floats(fields, "threshold", n_splits)
    return Tree(
        split_feature=_integers(fields, "split_feature", n_splits),
        threshold=threshold,
        is_categorical=is_categorical,
        default_left=decision_type & _DEFAULT_LEFT_BIT != 0,
        missing_type=decision_type >> _MISSING_TYPE_SHIFT,
        left_child=_integers(fields, "left_child", n_splits),
        right_child=_integers(fields, "right_child", n_splits),
        categories=_read_categories(fields, np.flatnonzero(is_categorical), threshold),
        leaf_value=_floats(fields, "leaf_value", n_leaves),
    )


def _read_categories(
    fields: Mapping[str, str], splits: IntArray, threshold: FloatArray
) -> dict[int, IntArray]:
    """Decode the bit sets of categorical splits, whose threshold is the number of their set."""
    if not len(splits):
        return {}
    n_sets = _integer(fields, "num_cat")
    boundaries = _integers(fields, "cat_boundaries", n_sets + 1)
    words = _integers(fields, "cat_threshold", int(boundaries[-1])).astype(np.uint32)
    categories = {}
    for split in splits.tolist():
        number = int(threshold[split])
        if not 0 <= number < n_sets:
            raise ModelTextError(f"Got category set {number}, but expected one of {n_sets}.")
        set_words = words[boundaries[number] : boundaries[number + 1]]
        bits = np.unpackbits(set_words.astype("<u4").view(np.uint8), bitorder="little")
        categories[split] = np.flatnonzero(bits)
        if not len(categories[split]):
            raise ModelTextError(f"Got no category at split {split}, but expected some.")
    return categories


def _check_structure(tree: Tree, n_features: int) -> None:
    n_splits = tree.n_splits
    children = np.concatenate([tree.left_child, tree.right_child])
    # A split's children are numbered above it: LightGBM adds splits as the tree grows.
    grows = children[children >= 0] > np.tile(np.arange(n_splits), 2)[children >= 0]
    reached = np.sort(np.append(children, 0))
    expected = np.arange(-n_splits - 1, n_splits) if n_splits else np.zeros(1, np.int64)
    if not np.array_equal(reached, expected) or not grows.all():
        raise ModelTextError("Got children that do not form a binary tree, but expected one.")
    if n_splits and not 0 <= tree.split_feature.min() <= tree.split_feature.max() < n_features:
        raise ModelTextError(f"Got a split feature beyond {n_features} features.")
    if not np.isin(tree.missing_type, list(MissingType)).all():
        raise ModelTextError("Got an unknown missing type, but expected none, zero or NaN.")
    if np.isnan(tree.threshold).any() or not np.isfinite(tree.leaf_value).all():
        raise ModelTextError("Got a NaN threshold or a non-finite leaf, but expected numbers.")


def _key_values(text: str) -> dict[str, str]:
    return {key: value for key, _, value in (line.partition("=") for line in text.split("\n"))}


def _integer(fields: Mapping[str, str], key: str) -> int:
    return int(_integers(fields, key, 1)[0])


def _integers(fields: Mapping[str, str], key: str, count: int) -> IntArray:
    return _numbers(fields, key, count, np.int64)


def _floats(fields: Mapping[str, str], key: str, count: int) -> FloatArray:
    return _numbers(fields, key, count, np.float64)


def _numbers(fields: Mapping[str, str], key: str, count: int, dtype: type[Any]) -> npt.NDArray[Any]:
    words = fields.get(key, "").split()
    try:
        values = np.array(words, dtype=dtype)
    except ValueError as error:
        raise ModelTextError(f"Got {error} in {key!r}, but expected numbers.") from error
    if len(values) != count:
        raise ModelTextError(f"Got {len(values)} numbers in {key!r}, but expected {count}.")
    return values
