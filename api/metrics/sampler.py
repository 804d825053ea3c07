"""Looks once a second at what the parts of the service count, and tells the other processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from api.access.access_guard import AccessGuard
from api.http.gate import RequestGate
from api.metrics.service_metrics import ServiceMetrics
from api.models.loaded_models import LoadedModels
from api.models.registry_follower import RegistryFollower
from api.predict.predictor import Predictor
from api.predict.shadow_runner import ShadowRunner
from api.predictions.prediction_log import PredictionLog
from zeroskew.contract.settings import Settings
from zeroskew.records.background_work import BackgroundWork

__all__ = ["PAUSE_SEC", "MetricsSampler"]

PAUSE_SEC: Final = 1.0
"""How long to wait between two looks."""

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class MetricsSampler:
    """Looks at what counts for itself.

    Parameters
    ----------
    metrics
        Where it goes.
    settings
        Say how large the spool may become.
    gate, access, loaded, follower, predictor, log, shadows, work
        What is looked at.
    """

    def __init__(
        self,
        metrics: ServiceMetrics,
        *,
        settings: Settings,
        gate: RequestGate,
        access: AccessGuard,
        loaded: LoadedModels,
        follower: RegistryFollower,
        predictor: Predictor,
        log: PredictionLog,
        shadows: ShadowRunner,
        work: BackgroundWork,
    ) -> None:
        self._metrics = metrics
        self._gate = gate
        self._access = access
        self._settings = settings
        self._loaded = loaded
        self._follower = follower
        self._predictor = predictor
        self._log = log
        self._shadows = shadows
        self._work = work

    async def follow(self) -> None:
        """Look, one of many times, and tell the other processes."""
        try:
            self.sample()
        finally:
            self._metrics.book.share()

    def sample(self) -> None:
        """Look once."""
        metrics, gauges = self._metrics, self._metrics.gauges
        gauges.processes.set(1)
        gauges.resident.set(_read_resident_bytes())
        times = os.times()
        gauges.cpu.set_total((), times.user + times.system)
        gauges.under_way.set(self._gate.n_under_way)
        gauges.bound.set(self._gate.bound)
        gauges.lag.set(self._gate.longest_lag_sec)
        metrics.refused_early.set_total((), self._gate.n_refused)
        for name, number in self._work.count_failures().items():
            gauges.work_failures.set_total((name,), number)
        gauges.work_stopped.set(len(self._work.list_troubles()))
        self._sample_access()
        self._sample_models()
        self._sample_log()
        self._sample_reads()

    def _sample_access(self) -> None:
        gauges = self._metrics.gauges
        gauges.keys.set(self._access.n_keys)
        gauges.limits_up.set(float(not self._access.is_limit_store_down))
        for bound, number in self._access.n_limited.items():
            self._metrics.rate_limited.set_total((bound,), number)

    def _sample_models(self) -> None:
        gauges, follower = self._metrics.gauges, self._follower
        gauges.registry_away.set(follower.registry_away_sec)
        gauges.loaded.set(len(self._loaded.list_loaded()))
        gauges.alias.clear()
        for labels, version in follower.table.list_aliases().items():
            gauges.alias.set(version, labels)
        for name, number in follower.n_swaps.items():
            gauges.swaps.set_total((name,), number)
        for name, number in self._loaded.n_refused.items():
            gauges.refused.set_total((name,), number)

    def _sample_log(self) -> None:
        gauges, log = self._metrics.gauges, self._log
        counters = log.counters
        for outcome in ("recorded", "written", "spooled", "drained", "dropped"):
            gauges.log_rows.set_total((outcome,), getattr(counters, outcome))
        gauges.log_waiting.set(log.n_waiting)
        gauges.spool.set(log.measure_spool_bytes())
        gauges.spool_bound.set(self._settings.log_spool_max_bytes)
        shadows = self._shadows.counters
        for outcome in ("scored", "failed", "dropped"):
            gauges.shadows.set_total((outcome,), getattr(shadows, outcome))

    def _sample_reads(self) -> None:
        for outcome, number in self._predictor.n_reads.items():
            self._metrics.store_reads.set_total((outcome,), number)
        if self._predictor.is_store_up is not None:
            self._metrics.gauges.store_up.set(float(self._predictor.is_store_up))


def _read_resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
