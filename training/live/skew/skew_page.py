"""The page of a skew report: what was found, a table by feature, and two figures."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from training.live.skew.find_skew import FAULTS, FeatureSkew, SkewReport, Verdict
from training.live.skew.skew_findings import SkewFinding
from zeroskew.contract.time.epoch import EPOCH

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["write_skew_page"]

_COLORS: Final = {
    Verdict.EQUAL: "#2da44e",
    Verdict.LATE: "#8ddb8c",
    Verdict.BEHIND: "#d4a72c",
    Verdict.AHEAD: "#bc8cff",
    Verdict.WRONG: "#cf222e",
    Verdict.MISSING_ONLINE: "#fa7a18",
    Verdict.MISSING_OFFLINE: "#953800",
    Verdict.NOT_READ: "#8c959f",
}
_STYLE: Final = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
       color: #1f2328; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { padding: .25rem .5rem; border-bottom: 1px solid #d1d9e0; text-align: right; }
th:first-child, td:first-child { text-align: left; font-family: ui-monospace, monospace; }
li.fault::marker { color: #cf222e; content: "✗ "; }
li.note::marker { color: #9a6700; content: "! "; }
.fine { color: #1a7f37; } .bad { color: #cf222e; font-weight: 600; }
svg { max-width: 100%; height: auto; }
"""


def write_skew_page(path: Path, report: SkewReport, findings: Sequence[SkewFinding]) -> None:
    """Write the page, which needs nothing beside it."""
    features = sorted(
        report.features.values(), key=lambda one: (-one.n_faults, one.view, one.feature)
    )
    versions = ", ".join(map(str, sorted(report.versions)))
    title = f"Skew of {html.escape(report.model)}"
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>",
        f"<style>{_STYLE}</style><h1>{title}</h1>",
        f"<p>{report.n_rows:,} logged predictions of version {versions or 'none'}, "
        f"{_say_span(report)}; {len(features)} stored features. Each is compared with the "
        "point-in-time join as of the prediction.</p>",
        _describe(findings),
        "<h2>By feature</h2>",
        _draw_features(features) if features else "",
        f"<h2>When</h2>{_draw_hours(features)}" if report.n_faults else "",
        "<h2>In numbers</h2>",
        _table(features),
        _examples(features),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts))


def _describe(findings: Sequence[SkewFinding]) -> str:
    if not findings:
        return "<p class=fine>Nothing differs.</p>"
    lines = [
        f"<li class={'fault' if one.is_fault else 'note'}><b>{html.escape(one.kind)}</b>, "
        f"<code>{html.escape(one.subject)}</code>: {html.escape(one.text)}</li>"
        for one in findings
    ]
    return f"<ul>{''.join(lines)}</ul>"


def _table(features: Sequence[FeatureSkew]) -> str:
    heads = "".join(f"<th>{verdict.label}</th>" for verdict in Verdict)
    rows = []
    for one in features:
        cells = "".join(
            f"<td{' class=bad' if verdict in FAULTS and one.count(verdict) else ''}>"
            f"{one.count(verdict):,}</td>"
            for verdict in Verdict
        )
        rows.append(f"<tr><td>{html.escape(f'{one.view}:{one.feature}')}</td>{cells}</tr>")
    return f"<table><tr><th>feature</th>{heads}</tr>{''.join(rows)}</table>"


def _examples(features: Sequence[FeatureSkew]) -> str:
    rows = [
        f"<tr><td>{html.escape(f'{one.view}:{one.feature}')}</td><td>{example.answer_id} "
        f"{example.number}</td><td>{example.time:%Y-%m-%d %H:%M}</td><td>{example.online:.9g}</td>"
        f"<td>{example.offline:.9g}</td><td>{_say_time(example.online_event)}</td>"
        f"<td>{_say_time(example.offline_event)}</td></tr>"
        for one in features
        for example in one.examples
    ]
    if not rows:
        return ""
    heads = ("feature", "prediction", "time", "online", "offline", "event online", "event offline")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<h2>Examples</h2><table><tr>{head}</tr>{''.join(rows)}</table>"


def _draw_features(features: Sequence[FeatureSkew]) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.2 + 0.21 * len(features)), layout="constrained")
    axes = figure.subplots()
    names = [f"{one.view}:{one.feature}" for one in reversed(features)]
    left = np.zeros(len(features))
    for verdict in Verdict:
        shares = np.array([one.count(verdict) / one.n_rows for one in reversed(features)])
        if shares.any():
            axes.barh(names, shares, left=left, color=_COLORS[verdict], label=verdict.label)
            left += shares
    axes.set(xlim=(0, 1), xlabel="share of predictions")
    axes.tick_params(axis="y", labelsize=7)
    axes.margins(y=0.01)
    axes.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8)
    return _to_svg(figure)


def _draw_hours(features: Sequence[FeatureSkew]) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3), layout="constrained")
    axes: Axes = figure.subplots()
    # Versions may read other features, each at its own hours.
    hours = sorted(set().union(*(one.rows_by_hour for one in features)))
    places = {hour: place for place, hour in enumerate(hours)}
    times = [EPOCH + timedelta(hours=hour) for hour in hours]
    for one in [one for one in features if one.n_faults][:6]:
        shares = np.zeros(len(hours))
        for hour, count in one.by_hour.items():
            shares[places[hour]] = count / one.rows_by_hour[hour]
        axes.plot(times, shares, marker=".", label=f"{one.view}:{one.feature}")  # type: ignore[arg-type]  # matplotlib takes dates
    axes.legend(frameon=False, fontsize=7)
    axes.set(ylim=(-0.02, 1.02), ylabel="share of faulty inputs")
    axes.set_xlim(times[0], times[-1] + timedelta(hours=1))  # type: ignore[arg-type]  # as above
    figure.autofmt_xdate()
    return _to_svg(figure)


def _to_svg(figure: object) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})  # type: ignore[attr-defined]
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _say_span(report: SkewReport) -> str:
    start = _say_time(report.span.start) if report.span.start else "the beginning"
    end = _say_time(report.span.end) if report.span.end else "the end"
    return f"from {start} to {end}"


def _say_time(moment: datetime | None) -> str:
    return "—" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
