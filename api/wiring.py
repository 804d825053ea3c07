"""The one place that builds: opens what the service consists of, in named steps, and closes it.

Each part is known to `Application.parts` by its type, and a route takes those that it needs.
"""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Final

from fastapi import FastAPI

from api.access.open_access_guard import open_access_guard
from api.feast.feast_interface import open_feast_interface
from api.feast.feature_catalogs import FeatureCatalogs
from api.feedback.feedback import Feedback
from api.feedback.logged_entities import LoggedEntities
from api.health.readiness import Readiness
from api.http.application import Application
from api.http.gate import RequestGate
from api.http.tracing import open_tracer
from api.metrics.sampler import PAUSE_SEC, MetricsSampler
from api.metrics.service_metrics import ServiceMetrics
from api.models.active_models import ActiveModels
from api.models.loaded_models import LoadedModels
from api.models.model_catalog import ModelCatalog
from api.models.registry_follower import RegistryFollower
from api.predict.answering import Answering
from api.predict.predictor import Predictor
from api.predict.shadow_runner import ShadowRunner
from api.predict.wide_work import TurningReader, WideWork
from api.predictions.prediction_log import open_prediction_log
from api.registry.registry_changes import RegistryChanges
from zeroskew.contract.errors.service import ServiceError
from zeroskew.contract.settings import Settings
from zeroskew.contract.time.clock import Clock, FixedClock, SystemClock
from zeroskew.contract.time.moved_clock import MovedClock
from zeroskew.model.requests.field_types import InstanceLimits
from zeroskew.online.schemes import open_store
from zeroskew.records.artifacts.open_artifacts import open_artifacts
from zeroskew.records.background_work import BackgroundTask, BackgroundWork
from zeroskew.records.blocking_calls import BlockingCalls
from zeroskew.records.labels.label_store import LabelStore, open_label_store
from zeroskew.records.labels.label_writer import LabelWriter
from zeroskew.records.places.place_store import NOTE_SEC, note_places, open_place_store
from zeroskew.records.registry.open_registry import open_registry
from zeroskew.records.registry.registry_executor import RegistryExecutor

__all__ = ["run_service"]

_LABEL_PATIENCE: Final = 3
"""How many calls to the database a label waits for: another batch's, its own, and one for room."""

_LOADING_PATIENCE_SEC: Final = 300.0
"""How long a look at the registry may take, which may load several large models."""

_PREPARE_SEC: Final = 0.5
_REPAIR_SEC: Final = 1.0


@asynccontextmanager
async def run_service(app: FastAPI) -> AsyncIterator[None]:
    """Open the parts of a service, let it run, and close them: the application's lifespan."""
    assert isinstance(app, Application)
    async with AsyncExitStack() as stack:
        wiring = _Wiring(app, stack)
        wiring.open_metrics()
        wiring.open_storage()
        await wiring.open_models()
        await wiring.open_gate()
        wiring.open_feast()
        wiring.open_predicting()
        wiring.open_feedback()
        wiring.open_health()
        # What stands now stays. Collections that need not look at it again are short ones.
        gc.collect()
        gc.freeze()
        await wiring.follow()
        await wiring.note_places()
        yield


class _Wiring:
    """The steps, each of which builds on those before it.

    Parameters
    ----------
    app
        Gets the parts.
    stack
        Closes what was opened, the last first.
    """

    def __init__(self, app: Application, stack: AsyncExitStack) -> None:
        self._parts = app.parts
        self._settings: Settings = app.parts[Settings]
        self._stack = stack
        self._work = BackgroundWork()
        self._clock = _make_clock(self._settings)
        self._sampler: MetricsSampler | None = None
        self._changes: RegistryChanges | None = None

    def open_metrics(self) -> None:
        """Make what counts and measures."""
        settings = self._settings
        tracer, close_tracer = open_tracer(settings)
        self._stack.callback(close_tracer)
        folder = settings.metrics_dir if settings.workers > 1 else None
        self._metrics = ServiceMetrics(folder, tracer)
        self._add(self._metrics)

    def open_storage(self) -> None:
        """Open the registry, to read and to change it, the artefacts and the online store."""
        settings, stack = self._settings, self._stack
        url, timeout_sec = settings.database_url, settings.registry_timeout_sec
        self._registry = open_registry(url, busy_timeout_sec=timeout_sec)
        stack.callback(self._registry.close)
        self._artifacts = open_artifacts(
            settings.artifacts_dir,
            cache=settings.artifacts_cache_dir,
            max_bytes=settings.max_model_bytes,
        )
        self._online = open_store(settings.online_store)
        self._reader = self._online.open_reader(timeout_sec=settings.online_store_timeout_sec)
        stack.push_async_callback(self._reader.close)
        # After its threads, which are opened next and may be at a change when all ends.
        stack.callback(self._close_changes)
        # A registry that is slow to answer must not keep threads from scoring.
        self._calls = BlockingCalls(self._open_threads("registry"))
        self._executor = RegistryExecutor(self._calls, failures=self._registry.failures)
        self._catalog = ModelCatalog(registry=self._registry, artifacts=self._artifacts)
        self._add(self._calls, self._executor, self._catalog)

    async def open_models(self) -> None:
        """Load what aliases and rollouts name, and follow what is changed of it."""
        settings = self._settings
        self._loaded = LoadedModels(
            registry=self._registry,
            artifacts=self._artifacts,
            # What is loaded does not wait for a registry that hangs.
            executor=RegistryExecutor(
                BlockingCalls(self._open_threads("loading")), failures=self._registry.failures
            ),
            limits=InstanceLimits(settings.max_instances, settings.max_text_length),
            trusted_keys=settings.trusted_keys,
            max_bytes=settings.max_model_memory_bytes,
        )
        self._follower = RegistryFollower(
            registry=self._registry,
            executor=self._executor,
            loaded=self._loaded,
            timeout_sec=2 * settings.registry_timeout_sec,
        )
        await self._follower.start()
        self._models = ActiveModels(follower=self._follower, loaded=self._loaded)
        self._changes = RegistryChanges(
            settings.database_url,
            busy_timeout_sec=settings.registry_timeout_sec,
            calls=self._calls,
            models=self._models,
        )
        self._add(self._loaded, self._follower, self._models, self._changes)

    async def open_gate(self) -> None:
        """Know who may come in, and how many at a time."""
        settings = self._settings
        self._access = await open_access_guard(settings, self._calls, self._work, self._stack)
        self._gate = RequestGate(
            max_requests=settings.max_requests, max_lag_sec=settings.max_lag_sec
        )
        self._gate.open()
        self._stack.callback(self._gate.close)
        self._add(self._access, self._gate)

    def open_feast(self) -> None:
        """Answer Feast's clients; wide reads of theirs take turns with wide predictions."""
        settings = self._settings
        self._wide = WideWork(
            cells_at_once=self._reader.cells_at_once,
            timeout_sec=settings.request_timeout_sec,
            max_cells=settings.max_cells,
        )
        catalogs = FeatureCatalogs(
            registry=self._registry,
            artifacts=self._artifacts,
            executor=self._executor,
            project=settings.feast_project,
            refresh_sec=settings.feast_refresh_sec,
            timeout_sec=settings.request_timeout_sec,
        )
        reader = TurningReader(self._reader, self._wide)
        feast = open_feast_interface(
            settings, self._online, catalogs=catalogs, reader=reader, clock=self._clock
        )
        self._stack.push_async_callback(feast.close)
        repairing = BackgroundTask("events", feast.repair.turn, every_sec=_REPAIR_SEC)
        self._watch("events", repairing, is_vital=False)
        self._add(self._wide, feast)

    def open_predicting(self) -> None:
        """Score, alone and along, and log it; what the log cannot write at the stop is told."""
        settings, stack = self._settings, self._stack
        stack.callback(self._tell_last)
        self._log = open_prediction_log(settings)
        stack.callback(self._log.close)
        self._predictor = Predictor(
            wide=self._wide,
            reader=self._reader,
            clock=self._clock,
            executor=self._open_threads("scoring"),
            timeout_sec=settings.request_timeout_sec,
            metrics=self._metrics,
        )
        self._shadows = ShadowRunner(
            models=self._models,
            predictor=self._predictor,
            log=self._log,
            max_share=settings.shadow_max_share,
        )
        stack.callback(self._shadows.close)
        answering = Answering(
            predictor=self._predictor, log=self._log, shadows=self._shadows, metrics=self._metrics
        )
        self._add(self._log, self._predictor, self._shadows, answering)

    def open_feedback(self) -> None:
        """Take labels."""
        patience_sec = _LABEL_PATIENCE * self._settings.feedback_timeout_sec
        feedback = Feedback(
            writer=LabelWriter(self._open_labels(), timeout_sec=patience_sec),
            reader=self._open_labels(),
            log=self._log,
            entities=LoggedEntities(log=self._log, catalog=self._catalog),
            models=self._models,
            calls=self._calls,
            executor=self._executor,
            clock=self._clock,
        )
        self._stack.callback(feedback.close)
        self._work.watch("labels", feedback.writing)
        self._add(feedback)

    def open_health(self) -> None:
        """Know whether all of it goes on."""
        self._work.watch("prediction log", self._log)
        self._sampler = MetricsSampler(
            self._metrics,
            settings=self._settings,
            gate=self._gate,
            access=self._access,
            loaded=self._loaded,
            follower=self._follower,
            predictor=self._predictor,
            log=self._log,
            shadows=self._shadows,
            work=self._work,
        )
        readiness = Readiness(
            models=self._models, reader=self._reader, clock=self._clock, work=self._work
        )
        self._add(self._sampler, readiness)

    async def follow(self) -> None:
        """Look at the registry and at what counts for itself, again and again."""
        assert self._sampler is not None
        await self._sampler.follow()
        following = BackgroundTask(
            "registry",
            self._follower.follow,
            every_sec=self._settings.registry_poll_sec,
            patience_sec=_LOADING_PATIENCE_SEC,
        )
        self._watch("registry", following)
        # Its work is no part of the start, nor of a load: the models answer without it.
        preparing = BackgroundTask("models", self._loaded.prepare, every_sec=_PREPARE_SEC)
        self._watch("models", preparing, is_vital=False)
        sampling = BackgroundTask("metrics", self._sampler.follow, every_sec=PAUSE_SEC)
        # A service that cannot be measured answers all the same.
        self._watch("metrics", sampling, is_vital=False)

    async def note_places(self) -> None:
        """Note where this service keeps what an erasure must find, again and again."""
        settings = self._settings
        places = open_place_store(settings.database_url, timeout_sec=settings.registry_timeout_sec)
        self._stack.callback(places.close)
        calls = BlockingCalls(self._open_threads("places"))

        async def note() -> None:
            with suppress(*places.failures):  # The next time does.
                await calls.run(
                    partial(
                        note_places,
                        places,
                        spool_dir=settings.log_spool_dir,
                        online_store=self._online.name,
                    )
                )

        await note()
        noting = BackgroundTask("places", note, every_sec=NOTE_SEC)
        self._watch("places", noting, is_vital=False)

    def _add(self, *parts: object) -> None:
        self._parts |= {type(part): part for part in parts}

    def _watch(self, name: str, task: BackgroundTask, *, is_vital: bool = True) -> None:
        self._stack.push_async_callback(task.close)
        self._work.watch(name, task, is_vital=is_vital)

    def _open_threads(self, name: str) -> ThreadPoolExecutor:
        threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix=name)
        self._stack.callback(threads.shutdown)
        return threads

    def _open_labels(self) -> LabelStore:
        settings = self._settings
        return open_label_store(settings.database_url, timeout_sec=settings.feedback_timeout_sec)

    def _close_changes(self) -> None:
        if self._changes is not None:
            self._changes.close()

    def _tell_last(self) -> None:
        if self._sampler is not None:
            self._sampler.sample()
        self._metrics.book.share()


def _make_clock(settings: Settings) -> Clock:
    if settings.clock_file is not None:
        try:
            return MovedClock(settings.clock_file)
        except ValueError as error:
            raise ServiceError(f"ZEROSKEW_CLOCK_FILE: {error}") from error
    return SystemClock() if settings.clock == "system" else FixedClock(settings.clock)
