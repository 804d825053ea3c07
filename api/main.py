"""The application with its routes; what they need is opened by `api.wiring`."""

from __future__ import annotations

from functools import partial
from typing import Final

from api.access.route_access import require_declared
from api.feast import routes as feast_routes
from api.feedback import routes as feedback_routes
from api.health import routes as health
from api.http.application import Application
from api.http.cross_origin import guard_sites
from api.http.error_responses import answer_service_error, install_error_responses
from api.http.guarded_route import GuardedRoute
from api.metrics import routes as metrics
from api.pages.routes import ASSETS, install_documentation
from api.predictions import routes as predictions
from api.registry import routes as registry_routes
from api.v1 import events, models, predict
from api.v2 import model_routes as v2_models
from api.v2 import routes as v2
from api.wiring import run_service
from zeroskew.contract.settings import Settings
from zeroskew.contract.version import VERSION

__all__ = ["create_app"]

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


def create_app(settings: Settings | None = None) -> Application:
    """Build the application.

    Parameters
    ----------
    settings
        From the environment where it is left out.

    Returns
    -------
    Application
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
        version=VERSION,
        description=_DESCRIPTION,
        lifespan=run_service,
        redirect_slashes=False,
        openapi_url=None,
        # FastAPI's own would tell addresses with their queries, to whom the environment names.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.parts[Settings] = settings
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
        events.router,
    ):
        app.include_router(router)
    install_documentation(app)
    require_declared(app.routes, GuardedRoute, open_mounts=frozenset({f"/{ASSETS}"}))
    return app
