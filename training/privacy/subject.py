"""Whom a request about personal data is about: the values of some entity keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from api.contract.manifest import Manifest
from api.prediction_log.log_mask import hash_text
from training.errors import StepError

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

    def with_aliases(self, manifests: Iterable[Manifest]) -> Subject:
        """Add the names that models have for the same: a request's field and Feast's join key."""
        names = {key: set(known) for key, known in self.names.items()}
        for manifest in manifests:
            for view in manifest.plan.views:
                for join_key in view.join_keys:
                    pair = {join_key.name, join_key.field}
                    for known in names.values():
                        if known & pair:
                            known.update(pair)
        return Subject(self.values, {key: frozenset(known) for key, known in names.items()})

    def is_known_by(self, columns: Iterable[str]) -> bool:
        """Whether records with these columns can be about a subject of this kind."""
        given = set(columns)
        return all(known & given for known in self.names.values())

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether a record is the subject's."""
        return all(
            any(name in record and _is(record[name], self.values[key]) for name in known)
            for key, known in self.names.items()
        )

    def condition(self, columns: Sequence[str], *, prefix: str = "") -> pl.Expr | None:
        """Return what is true of the subject's rows, ``None`` where no row can be its."""
        condition = pl.lit(value=True)
        for key, known in self.names.items():
            found = [prefix + name for name in sorted(known) if prefix + name in columns]
            if not found:
                return None
            # As text, whatever the column's type: 7 is 7 in an integer as in a string.
            condition &= pl.any_horizontal(
                [
                    pl.col(name).cast(pl.String, strict=False).is_in(self.values[key])
                    for name in found
                ]
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
        hashed = () if hash_key is None else (hash_text(value, hash_key.encode()),)
        values[name] = (value, *hashed)
    if not values:
        raise StepError("Got no entity key, but expected at least one as name=value")
    return Subject(values, {name: frozenset({name}) for name in values})


def _is(value: Any, spellings: tuple[str, ...]) -> bool:
    return value is not None and not isinstance(value, bool) and str(value) in spellings
