"""Compares what the service gave its models with what the offline store says it should have.

For each logged prediction the point-in-time join is done as of its moment, and each stored input
of the model compared to the bit after the model's own rounding and coding. That is the number that
training is given for a label at that moment, so what differs here is skew.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from training.families.progress import Progress
from training.live.logged_predictions import LoggedRows, Span, count_logged, read_logged
from training.live.offline_values import OfflineInput, look_up
from training.live.open_log import LiveLog
from zeroskew.contract.feature_status import FeatureStatus
from zeroskew.contract.time.epoch import NEVER_US, from_epoch_us
from zeroskew.features.stored_features import find_views

__all__ = ["Example", "FeatureSkew", "SkewReport", "Verdict", "find_skew"]

_MAX_EXAMPLES: Final = 5
_HOUR_US: Final = 3_600_000_000
_SECOND_US: Final = 1_000_000

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]


class Verdict(IntEnum):
    """What became of one input of one prediction.

    ``EQUAL`` to what training is given. ``LATE``: equal, but rows of that moment were created
    after the prediction, so that a join without the created cutoff finds another value.
    ``BEHIND``: the online store still had an older row. ``AHEAD``: it had a newer row than the
    table had. ``WRONG``: another value at the same event time. ``MISSING_ONLINE`` and
    ``MISSING_OFFLINE``: a null on that side alone. ``NOT_READ``: the caller's own value, or a
    default because the store was down.
    """

    EQUAL = 0
    LATE = 1
    BEHIND = 2
    AHEAD = 3
    WRONG = 4
    MISSING_ONLINE = 5
    MISSING_OFFLINE = 6
    NOT_READ = 7

    @property
    def label(self) -> str:
        """What reports call it."""
        return self.name.lower().replace("_", " ")


FAULTS: Final = (
    Verdict.AHEAD,
    Verdict.WRONG,
    Verdict.MISSING_ONLINE,
    Verdict.MISSING_OFFLINE,
)
"""The verdicts of which a healthy service has none."""


@dataclass(frozen=True)
class Example:
    """One input that differs: of which answer and instance, and both sides of it."""

    answer_id: str
    number: int
    time: datetime
    online: float
    offline: float
    online_event: datetime | None
    offline_event: datetime | None


@dataclass
class FeatureSkew:
    """The verdicts on one stored feature of a model.

    ``counts`` are by verdict. ``by_hour`` are the faults in each hour since the Unix epoch, among
    ``rows_by_hour``. Where both sides have an event time, ``n_same_event`` are equal, and
    ``shifts_min`` counts by how many minutes the online one is later. ``n_offline`` is for how many
    predictions the offline store has a row, ``n_only_offline`` for how many the online store had
    none then. ``late_sec`` is how late the latest late row was.
    """

    view: str
    feature: str
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(Verdict), np.int64))
    by_hour: dict[int, int] = field(default_factory=dict)
    rows_by_hour: dict[int, int] = field(default_factory=dict)
    shifts_min: dict[int, int] = field(default_factory=dict)
    late_sec: float = 0.0
    n_offline: int = 0
    n_only_offline: int = 0
    n_same_event: int = 0
    examples: list[Example] = field(default_factory=list)

    @property
    def n_rows(self) -> int:
        """How many predictions were compared."""
        return int(self.counts.sum())

    @property
    def n_faults(self) -> int:
        """How many of them are faulty."""
        return int(self.counts[list(FAULTS)].sum())

    def count(self, verdict: Verdict) -> int:
        """Return how many predictions have a verdict."""
        return int(self.counts[verdict])


@dataclass
class SkewReport:
    """The verdicts on all stored features of a model's logged predictions.

    ``n_masked`` more could not be judged: their entity keys are masked in the log.
    """

    model: str
    span: Span
    n_rows: int = 0
    n_masked: int = 0
    versions: set[int] = field(default_factory=set)
    features: dict[tuple[str, str], FeatureSkew] = field(default_factory=dict)

    @property
    def n_faults(self) -> int:
        """How many inputs are faulty."""
        return sum(one.n_faults for one in self.features.values())

    def share(self, *verdicts: Verdict) -> float:
        """Return the share of all inputs that have one of some verdicts."""
        total = sum(one.n_rows for one in self.features.values())
        counted = sum(one.count(verdict) for one in self.features.values() for verdict in verdicts)
        return counted / total if total else 0.0


def find_skew(
    log: LiveLog,
    store: Any,
    model: str,
    span: Span,
    progress: Progress,
) -> SkewReport:
    """Compare what was logged of a model with the offline store.

    Parameters
    ----------
    store
        Feast's ``FeatureStore``, over this project's offline store.

    Raises
    ------
    StepError
        If Feast's registry no longer has what the model needs.
    """
    report = SkewReport(model, span)
    views: dict[int, Any] = {}
    total, done = count_logged(log, model, span), 0
    for logged in read_logged(log, model, span, with_inputs=True):
        # What is not known of cannot be looked up.
        rows = logged.with_legible_keys()
        done += len(logged.parts)
        report.n_masked += logged.n_rows - rows.n_rows
        if not rows.n_rows:
            continue
        if rows.version not in views:
            views[rows.version] = find_views(store, rows.manifest.plan)
        offline = look_up(store, rows.manifest, views[rows.version], rows.requests, rows.times)
        for one in offline:
            key = (one.view, one.feature)
            skew = report.features.setdefault(key, FeatureSkew(one.view, one.feature))
            _compare(rows, one, skew)
        report.versions.add(rows.version)
        report.n_rows += rows.n_rows
        progress(done, total)
    return report


def _compare(rows: LoggedRows, offline: OfflineInput, skew: FeatureSkew) -> None:
    place = rows.manifest.plan.list_stored_features().index((offline.view, offline.feature))
    status, online_us = rows.statuses[:, place], rows.event_us[:, place]
    offline = replace(offline, known_us=_cut_off(offline.known_us, online_us))
    online = _find_input(rows, offline)
    verdicts = _judge(online, status, online_us, offline)
    skew.counts += np.bincount(verdicts, minlength=len(Verdict))
    times_us = rows.times.dt.epoch("us").to_numpy()
    is_late = (verdicts == Verdict.LATE) & (offline.created_us != NEVER_US)
    if is_late.any():
        lateness = (offline.created_us - times_us)[is_late].max() / 1e6
        skew.late_sec = max(skew.late_sec, float(lateness))
    _count_times(skew, verdicts, online_us, offline, times_us)
    faults = np.flatnonzero(np.isin(verdicts, FAULTS))
    for row in faults[: _MAX_EXAMPLES - len(skew.examples)]:
        skew.examples.append(
            Example(
                answer_id=rows.ids[row],
                number=rows.numbers[row],
                time=rows.times[int(row)],
                online=float(online[row]),
                offline=float(offline.known[row]),
                online_event=_to_time(online_us[row]),
                offline_event=_to_time(offline.known_us[row]),
            )
        )


def _cut_off(known_us: Times, online_us: Times) -> Times:
    """Return the table's event times as the online store has them.

    SQLite, and Feast's own Redis, keep whole seconds, cut off towards 1970; ours in Redis all.
    """
    is_cut = (online_us % _SECOND_US == 0) & (known_us != NEVER_US)
    return np.where(is_cut, known_us - np.fmod(known_us, _SECOND_US), known_us)


def _judge(
    online: Floats, status: npt.NDArray[np.uint8], online_us: Times, offline: OfflineInput
) -> npt.NDArray[np.int64]:
    """Return the `Verdict` on each prediction's input; the first that holds."""
    known, known_us = offline.known, offline.known_us
    both = ~np.isnan(online) & ~np.isnan(known)
    is_equal = _same(online, known)
    is_late = ~_same(known, offline.eventual)
    has_online = online_us != NEVER_US
    return np.select(
        [
            np.isin(status, (FeatureStatus.OVERRIDE, FeatureStatus.DEFAULT)),
            is_equal & is_late,
            is_equal,
            has_online & (online_us < known_us),
            both & (online_us > known_us),
            both,
            np.isnan(online),
        ],
        [
            Verdict.NOT_READ,
            Verdict.LATE,
            Verdict.EQUAL,
            Verdict.BEHIND,
            Verdict.AHEAD,
            Verdict.WRONG,
            Verdict.MISSING_ONLINE,
        ],
        Verdict.MISSING_OFFLINE,
    )


def _count_times(
    skew: FeatureSkew,
    verdicts: npt.NDArray[np.int64],
    online_us: Times,
    offline: OfflineInput,
    times_us: Times,
) -> None:
    """Note when faults were, and how the event times of both sides differ."""
    is_fault = np.isin(verdicts, FAULTS)
    for counted, mask in ((skew.by_hour, is_fault), (skew.rows_by_hour, np.ones_like(is_fault))):
        hours, counts = np.unique(times_us[mask] // _HOUR_US, return_counts=True)
        for hour, count in zip(hours.tolist(), counts.tolist(), strict=True):
            counted[hour] = counted.get(hour, 0) + count
    has_both = (online_us != NEVER_US) & (offline.known_us != NEVER_US)
    shift_sec = (online_us[has_both] - offline.known_us[has_both]) // _SECOND_US
    skew.n_same_event += int((shift_sec == 0).sum())
    minutes, counts = np.unique(shift_sec[shift_sec != 0] // 60, return_counts=True)
    for minute, count in zip(minutes.tolist(), counts.tolist(), strict=True):
        skew.shifts_min[minute] = skew.shifts_min.get(minute, 0) + count
    is_offline = offline.known_us != NEVER_US
    skew.n_offline += int(is_offline.sum())
    skew.n_only_offline += int((is_offline & (online_us == NEVER_US)).sum())


def _find_input(rows: LoggedRows, offline: OfflineInput) -> Floats:
    """Return what the model was given of a stored feature, as float64."""
    plan, key = rows.manifest.plan, (offline.view, offline.feature)
    for place, column in enumerate(plan.columns):
        if (column.view, column.feature) == key:
            return rows.features[:, place].astype(np.float64)
    for place, source in enumerate(plan.request_inputs):
        if (source.view, source.feature) == key:
            return rows.request[:, place]
    raise AssertionError(key)


def _same(one: Floats, other: Floats) -> npt.NDArray[np.bool_]:
    return (one == other) | (np.isnan(one) & np.isnan(other))


def _to_time(micros: int) -> datetime | None:
    return None if micros == NEVER_US else from_epoch_us(int(micros))
