"""What a parameter's value may be: its type, its bounds, its length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeGuard

__all__ = ["FRACTION", "Choice", "Flag", "Groups", "PerColumn", "Real", "Values", "Whole", "shown"]

MAX_INT32: Final = 2**31 - 1
_MOST_SHOWN: Final = 40


class Values(Protocol):
    """The values that a parameter can take."""

    @property
    def expected(self) -> str:
        """What a value must be, in words that follow "expected"."""

    def accepts(self, value: object) -> bool:
        """Return whether ``value`` is one of them."""


@dataclass(frozen=True)
class Flag:
    """True or false; ``only`` where no more than one of them makes sense here."""

    only: bool | None = None

    @property
    def expected(self) -> str:
        """What a value must be."""
        return "True or False" if self.only is None else str(self.only)

    def accepts(self, value: object) -> bool:
        """Return whether ``value`` is a bool, a number not being one."""
        return isinstance(value, bool) and self.only in (None, value)


@dataclass(frozen=True)
class Whole:
    """A whole number from ``low`` to ``high``, or ``also``."""

    low: int
    high: int = MAX_INT32
    also: int | None = None

    @property
    def expected(self) -> str:
        """What a value must be."""
        return f"a whole number from {self.low:,} to {self.high:,}" + (
            "" if self.also is None else f", or {self.also}"
        )

    def accepts(self, value: object) -> bool:
        """Return whether ``value`` is an int within the bounds; True is none."""
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and (self.low <= value <= self.high or value == self.also)
        )


@dataclass(frozen=True)
class Real:
    """A finite number from ``low`` to ``high``, without ``low`` itself where it is ``above`` it."""

    low: float = 0.0
    high: float = 1e30
    above: bool = False
    below: bool = False

    @property
    def expected(self) -> str:
        """What a value must be."""
        lower = f"{'above' if self.above else 'of at least'} {self.low:g}"
        return f"a number {lower} and {'below' if self.below else 'at most'} {self.high:g}"

    def accepts(self, value: object) -> bool:
        """Return whether ``value`` is a finite number within the bounds."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if not math.isfinite(value):
            return False
        return (value > self.low if self.above else value >= self.low) and (
            value < self.high if self.below else value <= self.high
        )


FRACTION: Final = Real(0.0, 1.0, above=True)


@dataclass(frozen=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    @property
    def expected(self) -> str:
        """What a value must be."""
        return repr(self.words[0]) if len(self.words) == 1 else f"one of {list(self.words)}"

    def accepts(self, value: object) -> bool:
        """Return whether ``value`` is one of the words, as they are written."""
        return isinstance(value, str) and value in self.words


@dataclass(frozen=True)
class PerColumn:
    """A value for each of the model's columns: a list in their order, or a mapping by name.

    A column that a mapping does not name has the value ``other``.
    """

    each: Values
    other: int | float

    @property
    def expected(self) -> str:
        """What a value must be."""
        return f"a list, one entry a column, or {{column: value}}, each {self.each.expected}"

    def accepts(self, value: object) -> bool:
        """Return whether every entry is fine; how many there are is seen when columns are."""
        if isinstance(value, Mapping):
            return bool(value) and all(
                isinstance(name, str) and self.each.accepts(one) for name, one in value.items()
            )
        return _is_list(value) and bool(value) and all(map(self.each.accepts, value))


@dataclass(frozen=True)
class Groups:
    """Lists of columns, each by its name or its number from 0."""

    expected: str = "lists of columns, such as [['a', 'b'], ['c']]"

    def accepts(self, value: object) -> bool:
        """Return whether ``value`` is a list of lists of names or numbers."""
        return (
            _is_list(value)
            and bool(value)
            and all(
                _is_list(group)
                and bool(group)
                and all(isinstance(one, str) or Whole(0).accepts(one) for one in group)
                for group in value
            )
        )


def shown(value: object) -> str:
    """Return ``value`` for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)
