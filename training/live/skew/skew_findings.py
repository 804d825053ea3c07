"""Names what is behind the verdicts of a skew report: which fault would look like this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from training.live.skew.find_skew import FeatureSkew, SkewReport, Verdict

__all__ = ["SkewFinding", "list_findings"]

_NEARLY_ALL: Final = 0.95
_MOST: Final = 0.5
_ENOUGH: Final = 20
"""How many predictions a finding about most of them needs."""

_QUARTER_MIN: Final = 15


@dataclass(frozen=True)
class SkewFinding:
    """A fault by its likely cause.

    ``kind`` is ``lost view``, ``shifted time``, ``changed definition``, ``wrong values``,
    ``missing values``, ``ahead``, ``late data`` or ``behind``. ``is_fault`` says whether a healthy
    service has none of it.
    """

    kind: str
    subject: str
    text: str
    is_fault: bool


def list_findings(report: SkewReport) -> list[SkewFinding]:
    """Return what a report comes to, faults first, view by view."""
    views: dict[str, list[FeatureSkew]] = {}
    for one in report.features.values():
        views.setdefault(one.view, []).append(one)
    found = [finding for features in views.values() for finding in _judge_view(features)]
    return sorted(found, key=lambda finding: not finding.is_fault)


def _judge_view(features: Sequence[FeatureSkew]) -> Iterator[SkewFinding]:
    view, n_rows = features[0].view, features[0].n_rows
    yield from _tell_late_and_behind(view, features)
    shift = _find_shift(features[0])
    if shift is not None:
        minutes, count = shift
        yield SkewFinding(
            "shifted time",
            view,
            f"the event times online are {_say_minutes(minutes)} those offline in "
            f"{count:,} of {n_rows:,} predictions: has a time zone been mistaken?",
            is_fault=True,
        )
        return
    first = features[0]
    if first.n_offline >= _ENOUGH and first.n_only_offline >= _NEARLY_ALL * first.n_offline:
        yield SkewFinding(
            "lost view",
            view,
            f"nothing of it was online for {first.n_only_offline:,} of the {first.n_offline:,} "
            "predictions for which the offline store has a row",
            is_fault=True,
        )
        return
    for one in features:
        yield from _judge_feature(one)


def _judge_feature(one: FeatureSkew) -> Iterator[SkewFinding]:
    subject = f"{one.view}:{one.feature}"
    n_wrong = one.count(Verdict.WRONG)
    if n_wrong >= max(_ENOUGH, _MOST * one.n_same_event):
        yield SkewFinding(
            "changed definition",
            subject,
            f"{n_wrong:,} of {one.n_same_event:,} values differ at the same event time: is it "
            "computed in another way than it was?",
            is_fault=True,
        )
    elif n_wrong:
        yield SkewFinding(
            "wrong values",
            subject,
            f"{n_wrong:,} of {one.n_same_event:,} values differ at the same event time",
            is_fault=True,
        )
    for verdict, text in (
        (Verdict.MISSING_ONLINE, "are null online and known offline"),
        (Verdict.MISSING_OFFLINE, "are known online and null offline"),
    ):
        if count := one.count(verdict):
            yield SkewFinding(
                "missing values", subject, f"{count:,} of {one.n_rows:,} {text}", is_fault=True
            )
    if count := one.count(Verdict.AHEAD):
        yield SkewFinding(
            "ahead",
            subject,
            f"{count:,} of {one.n_rows:,} were newer online than the table knew then",
            is_fault=True,
        )


def _tell_late_and_behind(view: str, features: Sequence[FeatureSkew]) -> Iterator[SkewFinding]:
    n_late = max(one.count(Verdict.LATE) for one in features)
    if n_late:
        late_sec = max(one.late_sec for one in features)
        yield SkewFinding(
            "late data",
            view,
            f"for {n_late:,} of {features[0].n_rows:,} predictions a row was created afterwards, "
            f"up to {_say_seconds(late_sec)} later: training without the created cutoff would "
            "see what serving could not",
            is_fault=False,
        )
    n_behind = max(one.count(Verdict.BEHIND) for one in features)
    if n_behind:
        yield SkewFinding(
            "behind",
            view,
            f"for {n_behind:,} of {features[0].n_rows:,} predictions the online store still had "
            "an older row than the table: materialize more often, or push",
            is_fault=False,
        )


def _find_shift(one: FeatureSkew) -> tuple[int, int] | None:
    """Return by how many minutes nearly all event times differ, if by the same whole quarters."""
    counts = Counter(one.shifts_min)
    if not counts:
        return None
    (minutes, count) = counts.most_common(1)[0]
    total = counts.total() + one.n_same_event
    is_shift = minutes % _QUARTER_MIN == 0 and count >= max(_ENOUGH, _MOST * total)
    return (minutes, count) if is_shift else None


def _say_minutes(minutes: int) -> str:
    hours, rest = divmod(abs(minutes), 60)
    amount = f"{hours} h" if not rest else f"{hours} h {rest} min"
    return f"{amount} after" if minutes > 0 else f"{amount} before"


def _say_seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
