"""Whom a request about personal data is about: the values of some entity keys."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from zeroskew.contract.errors.project import StepError
from zeroskew.contract.manifest import FeaturePlan
from zeroskew.records.prediction_log.log_mask import hash_text

__all__ = ["Subject", "parse_subject"]


@dataclass(frozen=True)
class Subject:
    """Entity keys with their values, as text, and the other names under which each is known.

    Of each value there are the spellings that a record may have: itself, and the hash of it that a
    log keeps. A record is the subject's where every key has its value under one of its names. A
    record that has none of the names of some key is not: it is about something else.
    """

    values: Mapping[str, tuple[str, ...]]
    names: Mapping[str, frozenset[str]]

    def with_aliases(self, plans: Iterable[FeaturePlan]) -> Subject:
        """Add the names that models have for the same: a request's field and Feast's join key."""
        names = {key: set(known) for key, known in self.names.items()}
        pairs = {
            (join_key.name, join_key.field)
            for plan in plans
            for view in plan.views
            for join_key in view.join_keys
        }
        # A name may be known by another, and that by a third.
        for _ in pairs:
            for known in names.values():
                for pair in pairs:
                    if known & set(pair):
                        known.update(pair)
        return Subject(self.values, {key: frozenset(known) for key, known in names.items()})

    def is_known_by(self, columns: Iterable[str]) -> bool:
        """Whether records with these columns can be about a subject of this kind."""
        given = set(columns)
        return all(known & given for known in self.names.values())

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether a record is the subject's."""
        return all(
            any(_is(record[name], self.values[key]) for name in _choose(key, known, record))
            for key, known in self.names.items()
        )

    def condition(self, schema: Mapping[str, pl.DataType], *, prefix: str = "") -> pl.Expr | None:
        """Return what is true of the subject's rows, ``None`` where no row can be its."""
        condition = pl.lit(value=True)
        columns = {name.removeprefix(prefix) for name in schema if name.startswith(prefix)}
        for key, known in self.names.items():
            found = [prefix + name for name in _choose(key, known, columns)]
            if not found:
                return None
            condition &= pl.any_horizontal(
                [_as_text(name, schema[name]).is_in(self.values[key]) for name in found]
            )
        return condition.fill_null(value=False)


def parse_subject(given: Sequence[str], hash_key: str | None = None) -> Subject:
    """Read ``name=value`` pairs.

    Parameters
    ----------
    hash_key
        The secret with which the service hashes what its log keeps, where it does.

    Raises
    ------
    StepError
        If there is none, one without a name or a value, or a name twice.
    """
    values: dict[str, tuple[str, ...]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise StepError(f"Got {name!r}, but expected an entity key as name=value")
        if name in values:
            raise StepError(f"Got {name} twice, but expected one value of it")
        # A log hashes what it was sent, and a whole number may have been sent as 7.0.
        texts = (value, f"{value}.0") if value.lstrip("-").isdigit() else (value,)
        hashed = () if hash_key is None else [hash_text(one, hash_key.encode()) for one in texts]
        values[name] = (value, *hashed)
    if not values:
        raise StepError("Got no entity key, but expected at least one as name=value")
    return Subject(values, {name: frozenset({name}) for name in values})


def _choose(key: str, known: frozenset[str], given: Collection[str]) -> list[str]:
    """Return the names under which records have a key: its own, and only else the others.

    What is another name of it for one model may be something else beside it.
    """
    return [key] if key in given else sorted(known & set(given))


def _as_text(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return a column as text: 7 is 7 in an integer as in a string, and in 7.0."""
    column = pl.col(name)
    if dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)
        return (
            pl.when(whole == column).then(whole.cast(pl.String)).otherwise(column.cast(pl.String))
        )
    return column.cast(pl.String, strict=False)


def _is(value: Any, spellings: tuple[str, ...]) -> bool:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value is not None and not isinstance(value, bool) and str(value) in spellings
