"""The application: `create_app` builds it, and its lifespan opens and closes everything."""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI

from api.access.open_access_guard import open_access_guard
from api.access.route_access import require_declared
from api.dependencies import Resources
from api.feast import routes as feast_routes
from api.feast.feast_interface import open_feast_interface
from api.feast.feature_catalogs import FeatureCatalogs
from api.feedback import routes as feedback_routes
from api.feedback.feedback import Feedback
from api.feedback.logged_entities import LoggedEntities
from api.health import routes as health
from api.http.application import Application
from api.http.cross_origin import guard_sites
from api.http.error_responses import answer_service_error, install_error_responses
from api.http.gate import RequestGate
from api.http.guarded_route import GuardedRoute
from api.http.tracing import open_tracer
from api.metrics import routes as metrics
from api.metrics.sampler import PAUSE_SEC, MetricsSampler
from api.metrics.service_metrics import ServiceMetrics
from api.models.active_models import ActiveModels
from api.models.loaded_models import LoadedModels
from api.models.model_catalog import ModelCatalog
from api.models.registry_follower import RegistryFollower
from api.pages.routes import ASSETS, install_documentation
from api.predict.answering import Answering
from api.predict.predictor import Predictor
from api.predict.shadow_runner import ShadowRunner
from api.predict.wide_work import TurningReader, WideWork
from api.predictions import routes as predictions
from api.predictions.prediction_log import PredictionLog, open_prediction_log
from api.registry import routes as registry_routes
from api.registry.registry_changes import RegistryChanges
from api.v1 import models, predict
from api.v2 import model_routes as v2_models
from api.v2 import routes as v2
from zeroskew.contract.errors.service import RegistryUnavailableError
from zeroskew.contract.settings import Settings
from zeroskew.contract.time.clock import Clock, FixedClock, SystemClock
from zeroskew.contract.time.moved_clock import MovedClock
from zeroskew.model.requests.field_types import InstanceLimits
from zeroskew.online.open_reader import open_reader
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.artifacts.open_artifacts import open_artifacts
from zeroskew.records.background_work import BackgroundTask, BackgroundWork
from zeroskew.records.labels.label_store import LabelStore, open_label_store
from zeroskew.records.labels.label_writer import LabelWriter
from zeroskew.records.places.place_store import NOTE_SEC, note_places, open_place_store
from zeroskew.records.registry.open_registry import open_registry
from zeroskew.records.registry.registered_version import RegistryReader
from zeroskew.records.registry.registry_executor import RegistryExecutor

__all__ = ["create_app"]

_LABEL_PATIENCE: Final = 3
"""How many calls to the database a label waits for: another batch's, its own, and one for room."""

_LOADING_PATIENCE_SEC: Final = 300.0
"""How long a look at the registry may take, which may load several large models."""

_DESCRIPTION: Final = """\
Scores from tabular models and the features that are online at this moment.

Send the entity keys and what only the caller knows; the service looks the features up and
runs the model. Below, each loaded model has an operation with its own fields and an example
that works when sent. The operations under **predict** have the same addresses with names
left open; they also reach models that were published after this page was loaded.

Errors are problem details (RFC 9457) with a stable `code` and, for a refused body, a JSON
Pointer to each refused place. Documents have an `ETag`; HEAD and OPTIONS work everywhere.

The operations under `/v2` are those of the Open Inference Protocol, with its own errors.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application.

    Parameters
    ----------
    settings
        From the environment where it is left out.

    Returns
    -------
    FastAPI
        Nothing is opened before its lifespan begins. The lifespan fails, and the service
        does not start, on a registry of another release and on a model with an alias that
        does not pass the load gate.
    """
    settings = Settings() if settings is None else settings
    guard = partial(
        guard_sites,
        origins=settings.cors_origins,
        hosts=None if settings.answers_any_host else settings.allowed_hosts,
        is_loopback=not settings.asks_for_keys,
        answer_error=answer_service_error,
    )
    app = Application(
        direct=(predict.router, v2.infer_router),
        guard_sites=guard,
        title="Zeroskew",
        version=version("zeroskew"),
        description=_DESCRIPTION,
        lifespan=_lifespan,
        redirect_slashes=False,
        openapi_url=None,
        # FastAPI's own would tell addresses with their queries, to whom the environment names.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.settings = settings
    tracer, app.state.close_tracer = open_tracer(settings)
    app.state.metrics = ServiceMetrics(
        settings.metrics_dir if settings.workers > 1 else None, tracer
    )
    app.state.gate = RequestGate(
        max_requests=settings.max_requests, max_lag_sec=settings.max_lag_sec
    )
    install_error_responses(app)
    for router in (
        health.router,
        models.router,
        registry_routes.router,
        predictions.router,
        feedback_routes.router,
        metrics.router,
        v2_models.router,
        v2.router,
        feast_routes.router,
    ):
        app.include_router(router)
    install_documentation(app)
    require_declared(app.routes, GuardedRoute, open_mounts=frozenset({f"/{ASSETS}"}))
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    async with AsyncExitStack() as stack:
        stack.callback(app.state.close_tracer)
        registry = open_registry(
            settings.database_url, busy_timeout_sec=settings.registry_timeout_sec
        )
        stack.callback(registry.close)
        changes = RegistryChanges(
            settings.database_url, busy_timeout_sec=settings.registry_timeout_sec
        )
        stack.callback(changes.close)
        artifacts = open_artifacts(
            settings.artifacts_dir,
            cache=settings.artifacts_cache_dir,
            max_bytes=settings.max_model_bytes,
        )
        reader = open_reader(settings.online_store, timeout_sec=settings.online_store_timeout_sec)
        stack.push_async_callback(reader.close)
        wide = WideWork(
            cells_at_once=reader.cells_at_once,
            timeout_sec=settings.request_timeout_sec,
            max_cells=settings.max_cells,
        )
        # A registry that is slow to answer must not keep threads from scoring.
        registry_executor = RegistryExecutor(
            _open_executor(stack, "registry"), failures=registry.failures
        )
        scoring_executor = _open_executor(stack, "scoring")
        loaded, follower = _open_models(
            settings,
            registry,
            artifacts,
            registry_executor,
            # What is loaded does not wait for a registry that hangs.
            RegistryExecutor(_open_executor(stack, "loading"), failures=registry.failures),
        )
        await follower.start()
        work = BackgroundWork()
        app.state.access = await open_access_guard(settings, registry_executor, work, stack)
        app.state.gate.open()
        stack.callback(app.state.gate.close)
        clock = _make_clock(settings)
        catalogs = _open_catalogs(settings, registry, artifacts, registry_executor)
        feast = open_feast_interface(
            settings, catalogs=catalogs, reader=TurningReader(reader, wide), clock=clock
        )
        stack.push_async_callback(feast.close)
        # What was counted last is told, too: what the log could not write at the stop.
        stack.callback(_tell_last, app)
        prediction_log = open_prediction_log(settings)
        stack.callback(prediction_log.close)
        active_models = ActiveModels(follower=follower, loaded=loaded)
        catalog = ModelCatalog(registry=registry, artifacts=artifacts)
        feedback = _open_feedback(
            settings, prediction_log, catalog, active_models, registry_executor, clock
        )
        stack.callback(feedback.close)
        predictor = Predictor(
            wide=wide,
            reader=reader,
            clock=clock,
            executor=scoring_executor,
            timeout_sec=settings.request_timeout_sec,
            metrics=app.state.metrics,
        )
        answering = _open_answering(
            settings, active_models, predictor, prediction_log, app.state.metrics, stack
        )
        # What stands now stays. Collections that need not look at it again are short ones.
        gc.collect()
        gc.freeze()
        app.state.resources = Resources(
            settings=settings,
            catalog=catalog,
            registry_executor=registry_executor,
            registry_changes=changes,
            models=active_models,
            predictor=predictor,
            prediction_log=prediction_log,
            answering=answering,
            feedback=feedback,
            reader=reader,
            feast=feast,
            work=work,
        )
        app.state.sampler = MetricsSampler(
            app.state.metrics,
            gate=app.state.gate,
            access=app.state.access,
            resources=app.state.resources,
            work=work,
        )
        await app.state.sampler.follow()
        work.watch("prediction log", prediction_log)
        work.watch("labels", feedback.writing)
        await _follow(settings, follower, app.state.sampler, work, stack)
        yield


def _tell_last(app: FastAPI) -> None:
    sampler: MetricsSampler | None = getattr(app.state, "sampler", None)
    if sampler is not None:
        sampler.sample()
    app.state.metrics.book.share()


async def _follow(
    settings: Settings,
    follower: RegistryFollower,
    sampler: MetricsSampler,
    work: BackgroundWork,
    stack: AsyncExitStack,
) -> None:
    following = BackgroundTask(
        "registry",
        follower.follow,
        every_sec=settings.registry_poll_sec,
        patience_sec=_LOADING_PATIENCE_SEC,
    )
    sampling = BackgroundTask("metrics", sampler.follow, every_sec=PAUSE_SEC)
    for task in (following, sampling):
        stack.push_async_callback(task.close)
    work.watch("registry", following)
    places = open_place_store(settings.database_url, timeout_sec=settings.registry_timeout_sec)
    stack.callback(places.close)
    executor = RegistryExecutor(_open_executor(stack, "places"), failures=places.failures)

    async def note() -> None:
        with suppress(RegistryUnavailableError):  # The next time does.
            await executor.run(
                partial(
                    note_places,
                    places,
                    spool_dir=settings.log_spool_dir,
                    online_store=settings.online_store,
                )
            )

    await note()
    noting = BackgroundTask("places", note, every_sec=NOTE_SEC)
    stack.push_async_callback(noting.close)
    work.watch("places", noting, is_vital=False)
    # A service that cannot be measured answers all the same.
    work.watch("metrics", sampling, is_vital=False)


def _open_models(
    settings: Settings,
    registry: RegistryReader,
    artifacts: ArtifactStore,
    registry_executor: RegistryExecutor,
    loading_executor: RegistryExecutor,
) -> tuple[LoadedModels, RegistryFollower]:
    loaded = LoadedModels(
        registry=registry,
        artifacts=artifacts,
        executor=loading_executor,
        limits=InstanceLimits(settings.max_instances, settings.max_text_length),
        trusted_keys=settings.trusted_keys,
        max_bytes=settings.max_model_memory_bytes,
    )
    follower = RegistryFollower(
        registry=registry,
        executor=registry_executor,
        loaded=loaded,
        timeout_sec=2 * settings.registry_timeout_sec,
    )
    return loaded, follower


def _open_catalogs(
    settings: Settings,
    registry: RegistryReader,
    artifacts: ArtifactStore,
    executor: RegistryExecutor,
) -> FeatureCatalogs:
    return FeatureCatalogs(
        registry=registry,
        artifacts=artifacts,
        executor=executor,
        project=settings.feast_project,
        refresh_sec=settings.feast_refresh_sec,
        timeout_sec=settings.request_timeout_sec,
    )


def _open_answering(
    settings: Settings,
    models: ActiveModels,
    predictor: Predictor,
    log: PredictionLog,
    metrics: ServiceMetrics,
    stack: AsyncExitStack,
) -> Answering:
    shadows = ShadowRunner(
        models=models, predictor=predictor, log=log, max_share=settings.shadow_max_share
    )
    stack.callback(shadows.close)
    return Answering(predictor=predictor, log=log, shadows=shadows, metrics=metrics)


def _open_feedback(
    settings: Settings,
    log: PredictionLog,
    catalog: ModelCatalog,
    models: ActiveModels,
    executor: RegistryExecutor,
    clock: Clock,
) -> Feedback:
    return Feedback(
        writer=LabelWriter(
            _open_labels(settings),
            timeout_sec=_LABEL_PATIENCE * settings.feedback_timeout_sec,
        ),
        reader=_open_labels(settings),
        log=log,
        entities=LoggedEntities(log=log, catalog=catalog),
        models=models,
        executor=executor,
        clock=clock,
    )


def _open_labels(settings: Settings) -> LabelStore:
    return open_label_store(settings.database_url, timeout_sec=settings.feedback_timeout_sec)


def _open_executor(stack: AsyncExitStack, name: str) -> ThreadPoolExecutor:
    executor = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix=name)
    stack.callback(executor.shutdown)
    return executor


def _make_clock(settings: Settings) -> Clock:
    if settings.clock_file is not None:
        return MovedClock(settings.clock_file)
    return SystemClock() if settings.clock == "system" else FixedClock(settings.clock)
