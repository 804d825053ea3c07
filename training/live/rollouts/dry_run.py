"""Shows whom a rollout would give to which arm, by the keys that were logged."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from training.live.logged_predictions import LoggedRows, Span, read_logged
from training.live.open_log import LiveLog
from zeroskew.contract.arm_choice import ArmChooser, encode_json, list_sticky_fields
from zeroskew.contract.rollout import Rollout

__all__ = ["DealtKeys", "deal_logged"]


@dataclass
class DealtKeys:
    """How many logged instances and distinct keys would fall to each arm.

    ``n_moved`` keys would have another arm than under the rollout that stands.
    """

    n_rows: dict[str, int] = field(default_factory=dict)
    n_keys: dict[str, int] = field(default_factory=dict)
    n_moved: int = 0


def deal_logged(
    log: LiveLog, model: str, rollout: Rollout, standing: Rollout | None, span: Span
) -> DealtKeys:
    """Deal the keys of a model's logged predictions by a rollout that does not stand yet.

    Where none stands, every key is with the first arm.
    """
    names = [arm.name for arm in rollout.arms]
    dealt = DealtKeys(dict.fromkeys(names, 0), dict.fromkeys(names, 0))
    chooser = ArmChooser(rollout)
    before = None if standing is None else ArmChooser(standing)
    seen: dict[str, str] = {}
    for rows in read_logged(log, model, span):
        old_keys = _keys(rows, standing or rollout)
        for key, old_key in zip(_keys(rows, rollout), old_keys, strict=True):
            if key not in seen:
                seen[key] = names[chooser.choose(key)]
                dealt.n_keys[seen[key]] += 1
                was = names[0]
                if before is not None and standing is not None:
                    was = standing.arms[before.choose(old_key)].name
                dealt.n_moved += was != seen[key]
            dealt.n_rows[seen[key]] += 1
    return dealt


def _keys(rows: LoggedRows, rollout: Rollout) -> list[str]:
    """Return the text that the service hashes for each instance."""
    names = list_sticky_fields(rollout, rows.manifest)
    chosen = rows.requests.select(
        # As the service has parsed it: seconds since the Unix epoch.
        pl.col(name).dt.epoch("us") / 1_000_000
        if rows.requests.schema[name] == pl.Datetime("us", "UTC")
        else pl.col(name)
        for name in names
    )
    return [encode_json(values) for values in chosen.iter_rows(named=True)]
