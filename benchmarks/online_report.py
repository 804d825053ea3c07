"""The page that a run becomes: tables of ratios and medians, and one figure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.http_measures import CONNECTIONS, find_measure
from benchmarks.online_targets import count_failures, find_targets, our_label, peak
from benchmarks.sides.empty import EmptyFastApi

__all__ = ["PAGE", "render_report", "write_report"]

PAGE: Final = "benchmarks.md"
FIGURE: Final = "benchmarks.svg"

INTRODUCTION: Final = """\
# Benchmarks

`make bench` writes this page. It starts everything that stands here, compares the answers with
LightGBM on the features that Feast's SDK reads, and then measures all sides in turn in one run,
so that whatever slows the machine slows all of them. Trust the ratios, not the times.
"""

METHOD: Final = """\
## How it is measured

- The example's flights, each request about others. Every side answers the same ones; before it is
  measured, its first answers of each size are compared with what is right.
- Ours does not keep what it predicts, as no other side does; docs/prediction_log.md has the cost.
- One worker each. Servers on one core; the load tool and Redis on another. A side that waits for
  its turn runs, and has nothing to do.
- Full load: wrk over keep-alive connections, each always busy. Its latencies are those of a server
  that is never idle. A failed request is listed, and fails the run.
- Fixed rate: the load tool (benchmarks/load/flood.py) sends when the time has come, whatever the
  server does, so a stall shows in every request that it holds up. The empty endpoint at the same
  rate shows what the tool adds: k6 adds up to 15 ms at the 99th percentile there, for it needs a
  core of its own at such rates.
- CPU of a request: the server's processes, threads and children included, from `/proc`.
- Medians over the rounds; every round measures every side once.
- *FastAPI + SDK + LightGBM* asks the SDK for the feature service, as Feast's documentation does.
  *Tuned* spares the SDK's on-demand transformations, which go through pandas, and computes the
  request-time features itself. Both take the fastest of three ways to call the SDK: in a thread,
  in the event loop, awaited.
- `feast serve` looks the same feature service up and predicts nothing; its worker is kept from
  restarting after 1,000 requests, as it does by default. MLServer infers in its own process, which
  is its fastest. MLServer and BentoML get the matrix in the request: no feature is looked up.
- The SDK does not compare a value's age with its view's ttl, and we do. Here every value is alive.
"""


def write_report(results: dict[str, Any], folder: Path) -> str:
    """Write the page, and its figure where the sides were measured, into ``folder``.

    Returns
    -------
    page
        What was written.
    """
    page = render_report(results)
    (folder / PAGE).write_text(page)
    if our_label("redis") in {measure["label"] for measure in results["http"]}:
        _draw_peaks(results["http"], folder / FIGURE)
    return page


def render_report(results: dict[str, Any]) -> str:
    """Return the page, in Markdown; what was not measured is left out."""
    parts = [INTRODUCTION]
    if results["quick"]:
        parts.append("**A quick run, to try it out: the figures are inexact.**\n")
    parts += [
        *_facts(results["facts"]),
        *_failures(results),
        *_targets(results),
        *_cpu_of_a_read(results),
        *_full_load(results),
        *_fixed_rate(results),
        *_growth(results),
        METHOD,
    ]
    return "\n".join(parts)


def _facts(facts: dict[str, str]) -> Iterator[str]:
    yield (
        f"{facts['date']}; {facts['machine']}; Python {facts['python']}; {facts['packages']}; "
        f"{facts['servers']}; Redis {facts['redis']}, wrk {facts['wrk']}. "
        f"The model has {facts['model']}; the plan has {facts['plan']}.\n"
    )


def _failures(results: dict[str, Any]) -> Iterator[str]:
    failures = count_failures(results)
    if failures:
        yield "## Failed requests\n"
        yield "These sides' figures at that load are worth nothing: a refusal is cheap.\n"
        yield _table(("", "failed"), ((what, f"{count}") for what, count in failures.items()))


def _targets(results: dict[str, Any]) -> Iterator[str]:
    targets = find_targets(results)
    if targets:
        yield "## Against the targets\n"
        marks = {True: "met", False: "**missed**", None: ""}
        yield _table(
            ("ratio", "measured", "wanted", ""),
            ((t.what, f"{t.ratio:.2f}", t.wanted, marks[t.is_met]) for t in targets),
        )


def _cpu_of_a_read(results: dict[str, Any]) -> Iterator[str]:
    for store, seen in results.get("in_process", {}).items():
        yield f"## CPU of a read, {store}\n"
        yield "Microseconds of CPU in the reading process, and in brackets times ours.\n"
        sizes = sorted(map(int, seen["Zeroskew"]))
        ours = {size: median(seen["Zeroskew"][str(size)]) for size in sizes}
        yield _table(
            ("", *(_count(size, "row") for size in sizes)),
            (
                (name, *(_with_ratio(median(by_size[str(size)]), ours[size]) for size in sizes))
                for name, by_size in seen.items()
            ),
        )


def _with_ratio(value: float, base: float) -> str:
    return f"{value:,.0f} ({value / base:.2f})"


def _full_load(results: dict[str, Any]) -> Iterator[str]:
    measures = results["http"]
    labels = list(dict.fromkeys(measure["label"] for measure in measures))
    base = our_label("redis") if our_label("redis") in labels else None
    if base is not None:
        yield f"![Requests a second at one row]({FIGURE})\n"
    heads = [f"req/s, {connections} conn." for connections in CONNECTIONS]
    heads += ["p50 / p99 ms, 1 conn.", "p50 / p99 ms, 8 conn.", "CPU µs a request", "ours ÷ it"]
    for n_rows in sorted({measure["n_rows"] for measure in measures}):
        yield f"## Full load, {_count(n_rows, 'row')} a request\n"
        yield _table(
            ("", *heads),
            (_full_load_row(measures, label, n_rows, base) for label in labels),
        )
    memory = {measure["label"]: measure["resident_mb"] for measure in measures}
    if memory:
        yield "## Resident memory after the load\n"
        yield _table(("", "MB"), ((label, f"{memory[label]:.0f}") for label in labels))


def _full_load_row(
    measures: Sequence[dict[str, Any]], label: str, n_rows: int, base: str | None
) -> Iterator[str]:
    seen = {n: find_measure(measures, label, n_rows, n) for n in CONNECTIONS}
    yield label
    for connections in CONNECTIONS:
        yield f"{median(seen[connections]['per_sec']):,.0f}"
    for connections in CONNECTIONS[:2]:
        p50, p99 = (median(seen[connections][name]) for name in ("p50_ms", "p99_ms"))
        yield f"{p50:.2f} / {p99:.2f}"
    yield f"{median(seen[CONNECTIONS[1]]['cpu_us']):,.0f}"
    rates = list(measures)
    yield "" if base is None else f"{peak(rates, base, n_rows) / peak(rates, label, n_rows):.2f}"


def _fixed_rate(results: dict[str, Any]) -> Iterator[str]:
    if results.get("latency"):
        yield "## Latency at half of the peak, one row a request\n"
        heads = ("", "peak req/s", "asked req/s", "p50 ms", "p99 ms", "p99 ÷ p50", "max ms")
        yield _table(heads, map(_fixed_rate_row, results["latency"]))


def _fixed_rate_row(measure: dict[str, Any]) -> Iterator[str]:
    seen = measure["seen"]
    yield measure["label"]
    yield f"{measure['peak']:,.0f}"
    yield f"{measure['rate']:,.0f}"
    yield f"{median(one['p50_ms'] for one in seen):.2f}"
    yield f"{median(one['p99_ms'] for one in seen):.2f}"
    yield f"{median(one['p99_ms'] / one['p50_ms'] for one in seen):.1f}"
    yield f"{max(one['max_ms'] for one in seen):.1f}"


def _growth(results: dict[str, Any]) -> Iterator[str]:
    growth = results.get("growth")
    if not growth:
        return
    for store, by_views in growth["rows_and_views"].items():
        yield f"## Growth with rows and views, {store}\n"
        yield "Microseconds of CPU of one read, and in brackets of one row in one view.\n"
        sizes = list(next(iter(by_views.values())))
        yield _table(
            ("", *(_count(int(size), "row") for size in sizes)),
            (
                (_count(int(views), "view"), *_cpu_by_size(int(views), by_size))
                for views, by_size in by_views.items()
            ),
        )
    for title, name in (("stored history", "history"), ("loaded models", "models")):
        yield f"## Growth with {title}\n"
        yield "One row a request, 8 connections.\n"
        yield _table(
            ("", "req/s", "p50 ms", "p99 ms", "CPU µs a request", "resident MB"),
            map(_growth_row, growth[name]),
        )


def _cpu_by_size(n_views: int, by_size: dict[str, float]) -> Iterator[str]:
    for size, cpu_us in by_size.items():
        yield f"{cpu_us:,.0f} ({cpu_us / n_views / int(size):.1f})"


def _growth_row(measure: dict[str, Any]) -> Iterator[str]:
    yield measure["label"]
    yield f"{median(measure['per_sec']):,.0f}"
    yield f"{median(measure['p50_ms']):.2f}"
    yield f"{median(measure['p99_ms']):.2f}"
    yield f"{median(measure['cpu_us']):,.0f}"
    yield f"{measure['resident_mb']:.0f}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("s" if number != 1 else "")


def _table(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * (len(heads) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _draw_peaks(measures: list[dict[str, Any]], path: Path) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    peaks = {measure["label"]: peak(measures, measure["label"], 1) for measure in measures}
    labels = sorted(peaks, key=peaks.__getitem__)
    ours = {our_label("redis"), our_label("sqlite")}
    colors = ["#1f6f8b" if label in ours else "#c9c9c9" for label in labels]
    colors = [
        "#8a8a8a" if label == EmptyFastApi.title else c
        for label, c in zip(labels, colors, strict=True)
    ]
    # Without a salt of the day and a date, the same figures give the same file.
    with rc_context({"svg.hashsalt": "zeroskew", "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 0.4 * len(labels) + 1), layout="constrained")
        axes = figure.add_subplot()
        bars = axes.barh(labels, [peaks[label] for label in labels], color=colors)
        axes.bar_label(bars, fmt="{:,.0f}", padding=3)
        axes.set_xlabel(
            "requests a second, one row each, one worker, at its best number of connections"
        )
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Date": None})
