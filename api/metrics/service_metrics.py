"""What the service measures: names, labels and buckets, all of them bounded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from api.metrics.instruments import Counter, Gauge, Histogram, Instrument
from api.metrics.metric_book import MetricBook

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["ServiceMetrics", "Stage"]

Stage = Literal["parse", "features", "model", "log"]

_SECONDS: Final = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
_STAGE_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.25, 1)
_AGES: Final = (60, 600, 3600, 21_600, 86_400, 259_200, 604_800, 2_592_000)
_SHARES: Final = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_VALUES: Final = (-1000, -100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100, 1000)
_MODEL: Final = ("model", "version")


class ServiceMetrics:
    """The instruments of the service.

    Labels are routes as declared, and models, versions, arms, views and aliases as the registry
    has them: nothing that a client sends becomes one.

    Parameters
    ----------
    folder
        Where the service's processes tell one another their values; see `MetricBook`.
    tracer
        Makes a span of each stage, where there is one.
    """

    def __init__(self, folder: Path | None = None, tracer: Tracer | None = None) -> None:
        self.tracer = tracer
        self.requests = Counter(
            "zeroskew_requests_total", "Answered requests.", ("method", "route", "status")
        )
        self.request_seconds = Histogram(
            "zeroskew_request_seconds", "From headers to answer.", ("route",), bounds=_SECONDS
        )
        self.refused_early = Counter(
            "zeroskew_requests_refused_early_total",
            "Requests that got 429 before the application saw them.",
        )
        self.stage_seconds = Histogram(
            "zeroskew_stage_seconds",
            "Parts of a prediction; features and model once for requests that are read together.",
            ("stage",),
            bounds=_STAGE_SECONDS,
        )
        self.predictions = Counter(
            "zeroskew_predictions_total", "Scored requests.", (*_MODEL, "arm")
        )
        self.rows = Counter("zeroskew_predicted_rows_total", "Scored instances.", _MODEL)
        self.failures = Counter(
            "zeroskew_predictions_failed_total", "Requests that got no score.", ("model", "code")
        )
        self.degraded = Counter(
            "zeroskew_predictions_degraded_total",
            "Requests scored from defaults while the online store was down.",
            ("model",),
        )
        self.prediction_seconds = Histogram(
            "zeroskew_prediction_seconds", "From body to score.", ("model",), bounds=_SECONDS
        )
        self.probabilities = Histogram(
            "zeroskew_score_probability", "Predicted probabilities.", _MODEL, bounds=_SHARES
        )
        self.values = Histogram("zeroskew_score_value", "Predicted values.", _MODEL, bounds=_VALUES)
        self.classes = Counter(
            "zeroskew_score_class_total", "Likeliest classes.", (*_MODEL, "class")
        )
        self.feature_values = Counter(
            "zeroskew_feature_values_sampled_total",
            "Stored features by status, in up to ten predictions a second.",
            ("view", "status"),
        )
        self.feature_age = Histogram(
            "zeroskew_feature_age_seconds",
            "Age of a view's rows, in up to ten predictions a second.",
            ("view",),
            bounds=_AGES,
        )
        self.store_reads = Counter(
            "zeroskew_online_reads_total", "Reads of the online store.", ("outcome",)
        )
        self.rate_limited = Counter(
            "zeroskew_rate_limited_total", "Requests beyond a key's limits.", ("bound",)
        )
        self.gauges = ServiceGauges()
        self.labels = Counter("zeroskew_labels_total", "Labels on disk.")
        own = [one for one in vars(self).values() if isinstance(one, Instrument)]
        self.book = MetricBook([*own, *vars(self.gauges).values()], folder)

    def note_stages(self, stages: Sequence[Stage], times: Sequence[float]) -> None:
        """Observe how long parts of a prediction took, and make spans of them where those are made.

        Parameters
        ----------
        stages
            The parts, in their order; of one that failed there is none behind it.
        times
            When the first began and when each ended, as ``time.perf_counter`` says.
        """
        for stage, (began, ended) in zip(stages, pairwise(times), strict=False):
            self.stage_seconds.observe(ended - began, (stage,))
            if self.tracer is not None:
                # The difference between the two clocks.
                origin_ns = time.time_ns() - time.perf_counter_ns()
                span = self.tracer.start_span(stage, start_time=origin_ns + int(began * 1e9))
                span.end(end_time=origin_ns + int(ended * 1e9))


class ServiceGauges:
    """What is looked at once a second, and counts that other parts of the service keep."""

    def __init__(self) -> None:
        self.processes = Gauge("zeroskew_processes", "Processes that answer.")
        self.resident = Gauge("zeroskew_resident_bytes", "Memory of the processes.")
        self.cpu = Counter("zeroskew_cpu_seconds_total", "Processor time of the processes.")
        self.under_way = Gauge("zeroskew_requests_under_way", "Requests that are being answered.")
        self.bound = Gauge("zeroskew_requests_bound", "How many may be, as load lets it.")
        self.lag = Gauge(
            "zeroskew_event_loop_lag_seconds",
            "The longest of the last second or two.",
            together="max",
        )
        self.store_up = Gauge(
            "zeroskew_online_store_up",
            "Whether the last read of the online store worked.",
            together="min",
        )
        self.registry_away = Gauge(
            "zeroskew_registry_away_seconds",
            "For how long the registry could not be read.",
            together="max",
        )
        self.limits_up = Gauge(
            "zeroskew_rate_limit_store_up",
            "Whether requests are counted for all replicas.",
            together="min",
        )
        self.loaded = Gauge("zeroskew_models_loaded", "Versions in memory, of all processes.")
        self.alias = Gauge(
            "zeroskew_alias_version",
            "The version that answers for an alias.",
            ("model", "alias"),
            together="max",
        )
        self.swaps = Counter("zeroskew_swaps_total", "Versions that came to serve.", ("model",))
        self.refused = Counter(
            "zeroskew_models_refused_total", "Loads that the load gate refused.", ("model",)
        )
        self.log_rows = Counter("zeroskew_log_rows_total", "Rows of the log.", ("outcome",))
        self.log_waiting = Gauge("zeroskew_log_waiting_rows", "Rows that wait to be written.")
        self.spool = Gauge("zeroskew_log_spool_bytes", "Size of the spool.", together="max")
        self.spool_bound = Gauge(
            "zeroskew_log_spool_bound_bytes", "How large the spool may become.", together="max"
        )
        self.shadows = Counter("zeroskew_shadows_total", "Answers with a shadow.", ("outcome",))
        self.work_failures = Counter(
            "zeroskew_background_failures_total",
            "Turns of background work that failed, and came again.",
            ("work",),
        )
        self.work_stopped = Gauge(
            "zeroskew_background_stopped", "Background work that does not go on, of all processes."
        )
        self.keys = Gauge("zeroskew_keys_valid", "Valid API keys.", together="max")
