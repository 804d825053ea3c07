"""Brings the values of all processes together, and writes them as Prometheus reads them."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from api.metrics.instruments import Counter, Gauge, Histogram, Instrument, Labels, Snapshot

__all__ = ["MEDIA_TYPE", "MetricBook"]

MEDIA_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

_GAUGES_LIVE_SEC: Final = 10.0


class MetricBook(Collector):
    """The instruments of a service.

    Parameters
    ----------
    instruments
        What is measured, under different names.
    folder
        Where the processes of this service tell one another their values; ``None`` where there
        is one process. Counts of a process that has ended stay; its gauges end with it.
    """

    def __init__(self, instruments: Sequence[Instrument], folder: Path | None = None) -> None:
        self._instruments = {one.name: one for one in instruments}
        self._folder = folder
        self._file = None if folder is None else folder / f"{os.getpid()}-{time.time_ns()}.json"
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def share(self) -> None:
        """Tell the other processes this one's values. It takes well below a millisecond."""
        if self._file is None:
            return
        whole = self._file.with_suffix(".new")
        # A folder that is full or gone must not stop the service; the next time tells it all.
        with contextlib.suppress(OSError):
            whole.write_text(json.dumps(self._read_own()))
            whole.replace(self._file)

    def render(self) -> bytes:
        """Return what Prometheus reads, in its text format of version 0.0.4."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Tell the registry nothing in advance."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return the values of all processes together."""
        snapshots = [(self._read_own(), True), *self._read_others()]
        for name, instrument in self._instruments.items():
            values: defaultdict[Labels, list[Any]] = defaultdict(list)
            for snapshot, is_live in snapshots:
                if is_live or not isinstance(instrument, Gauge):
                    for labels, value in snapshot.get(name, ()):
                        values[tuple(labels)].append(value)
            merged = {labels: instrument.merge(found) for labels, found in sorted(values.items())}
            yield _describe(instrument, merged)

    def _read_own(self) -> Snapshot:
        return {
            name: [(list(labels), value) for labels, value in instrument.read()]
            for name, instrument in self._instruments.items()
        }

    def _read_others(self) -> Iterator[tuple[Snapshot, bool]]:
        if self._folder is None:
            return
        for path in sorted(self._folder.glob("*.json")):
            if path != self._file:
                age_sec = time.time() - path.stat().st_mtime
                yield json.loads(path.read_text()), age_sec < _GAUGES_LIVE_SEC


def _describe(instrument: Instrument, values: dict[Labels, Any]) -> Metric:
    arguments = (instrument.name, instrument.description)
    names = list(instrument.labels)
    if isinstance(instrument, Histogram):
        bounds = [*(str(float(bound)) for bound in instrument.bounds), "+Inf"]
        histogram = HistogramMetricFamily(*arguments, labels=names)
        for labels, counts in values.items():
            buckets, n_so_far = [], 0.0
            for bound, count in zip(bounds, counts, strict=False):
                n_so_far += count
                buckets.append((bound, n_so_far))
            histogram.add_metric(list(labels), buckets, sum_value=counts[-1])
        return histogram
    kind = CounterMetricFamily if isinstance(instrument, Counter) else GaugeMetricFamily
    family = kind(*arguments, labels=names)
    for labels, value in values.items():
        family.add_metric(list(labels), value)
    return family
