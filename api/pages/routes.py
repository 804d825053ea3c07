"""The service's own pages: ``/``, ``/docs``, ``/redoc`` and ``/openapi.json``.

Nothing on them comes from another host, and their Content-Security-Policy keeps it so.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import fastapi_offline
from fastapi import APIRouter, Depends, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from pydantic_core import to_json
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from api.access.route_access import anyone
from api.http.application import Application, part
from api.http.context import Context
from api.http.documents import HttpDocument, answer_document
from api.http.guarded_route import GuardedRoute
from api.http.methods import allowed_methods
from api.models.loaded_models import LoadedModels
from api.models.registry_follower import RegistryFollower
from api.pages.landing_page import (
    FAVICON,
    LANDING_PAGE_POLICY,
    LINKS,
    ServiceDescription,
    describe_service,
    render_landing_page,
)
from api.pages.openapi import build_openapi
from zeroskew.model.load_gate import ActiveModel

__all__ = ["ASSETS", "install_documentation"]

ASSETS: Final = "static-offline-docs"
_OPENAPI: Final = "openapi.json"
_MAX_DOCUMENTS: Final = 8
_INLINE_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_QUALITY: Final = re.compile(r"\s*(?P<kind>[^;\s]+)\s*(?:;\s*q=(?P<quality>[01](?:\.\d{0,3})?))?")


class SeenModels(NamedTuple):
    """The loaded models and the aliases that a caller sees."""

    models: list[ActiveModel]
    aliases: dict[tuple[str, str], int]


async def _list_seen(
    context: Context,
    loaded: Annotated[LoadedModels, part(LoadedModels)],
    follower: Annotated[RegistryFollower, part(RegistryFollower)],
) -> SeenModels:
    sees, table = context.caller.sees, follower.table
    return SeenModels(
        [
            model
            for model in loaded.list_loaded()
            # A retired one is loaded where somebody has looked at what it answered.
            if sees(model.name) and table.answers(model.name, model.version)
        ],
        {key: version for key, version in table.list_aliases().items() if sees(key[0])},
    )


Seen = Annotated[SeenModels, Depends(_list_seen)]


class OpenApiCache:
    """The OpenAPI document's bytes, made again when other models or aliases are loaded.

    It takes a tenth of a second to make, so a thread does it, and only one at a time. The last
    few are kept: callers of several tenants see several.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self._documents: dict[object, HttpDocument] = {}
        self._making = asyncio.Lock()

    async def current(self, seen: SeenModels) -> HttpDocument:
        """Return the document for what a caller sees now."""
        models, aliases = seen
        # Versions are immutable, so their names stand for them.
        made_of = (
            tuple((model.name, model.version) for model in models),
            tuple(sorted(aliases.items())),
        )
        if made_of not in self._documents:
            async with self._making:
                if made_of not in self._documents:
                    document = await asyncio.to_thread(build_openapi, self._app, models, aliases)
                    while len(self._documents) >= _MAX_DOCUMENTS:
                        del self._documents[next(iter(self._documents))]
                    made = HttpDocument.of(to_json(document), "application/json")
                    self._documents[made_of] = made
                    return made
        return self._documents[made_of]


def install_documentation(app: Application) -> None:
    """Add the pages, and the files that they load, to `app`."""
    router = APIRouter(route_class=GuardedRoute)
    _add_landing_page(router, app)
    _add_openapi(router, OpenApiCache(app))
    swagger = get_swagger_ui_html(
        openapi_url=_OPENAPI,
        title=f"{app.title}: try it",
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=FAVICON,
        swagger_ui_parameters={"defaultModelsExpandDepth": 0, "displayRequestDuration": True},
    )
    redoc = get_redoc_html(
        openapi_url=_OPENAPI,
        title=f"{app.title}: reference",
        redoc_js_url=f"{ASSETS}/redoc.standalone.js",
        redoc_favicon_url=FAVICON,
        with_google_fonts=False,
    )
    _add_page(router, "/docs", bytes(swagger.body))
    _add_page(router, "/redoc", bytes(redoc.body))
    app.include_router(router)
    folder = Path(fastapi_offline.__file__).parent / "static"
    app.mount(f"/{ASSETS}", StaticFiles(directory=folder))


def _add_landing_page(router: APIRouter, app: Application) -> None:
    @router.get(
        "/",
        tags=["pages"],
        summary="What is served, and where to go",
        response_model=ServiceDescription,
        responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
    )
    @anyone
    async def show_landing_page(request: Request, seen: Seen) -> Response:
        """Show a page where the caller asks for HTML, and otherwise say the same in JSON."""
        described = describe_service(
            service=app.title,
            version=app.version,
            models=seen.models,
            aliases=seen.aliases,
            links={path: text for path, text in LINKS.items() if _exists(app, path)},
        )
        headers = {"Vary": "Accept, Accept-Encoding"}
        if not _prefers_html(request):
            content = described.model_dump_json().encode()
            return answer_document(request, HttpDocument.of(content, "application/json"), headers)
        page = render_landing_page(described, str(request.base_url).rstrip("/"))
        headers["Content-Security-Policy"] = LANDING_PAGE_POLICY
        return answer_document(request, HttpDocument.of(page.encode(), "text/html"), headers)


def _add_openapi(router: APIRouter, cache: OpenApiCache) -> None:
    @router.get(f"/{_OPENAPI}", include_in_schema=False)
    @anyone
    async def show_openapi(request: Request, seen: Seen) -> Response:
        return answer_document(request, await cache.current(seen))


def _add_page(router: APIRouter, path: str, content: bytes) -> None:
    document = HttpDocument.of(content, "text/html")
    headers = {"Content-Security-Policy": _make_policy(content.decode())}

    @router.get(path, include_in_schema=False)
    @anyone
    async def show_page(request: Request) -> Response:
        return answer_document(request, document, headers)


def _make_policy(page: str) -> str:
    """Return the policy of a page that runs its own inline scripts and this host's files.

    Swagger UI and ReDoc make styles and icons as they go, and ReDoc searches in a worker.
    """
    hashes = "".join(
        f" 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in _INLINE_SCRIPT.findall(page)
    )
    return (
        f"default-src 'self'; script-src 'self'{hashes}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; worker-src blob:; base-uri 'none'; frame-ancestors 'none'"
    )


def _exists(app: Application, path: str) -> bool:
    return bool(allowed_methods({"type": "http", "app": app, "path": path}))


def _prefers_html(request: Request) -> bool:
    """Tell whether HTML is asked for by name, and not less than JSON.

    Programs ask for anything or for JSON: KServe's client reads JSON here.
    """
    qualities = {
        found["kind"].lower(): float(found["quality"] or 1)
        for found in map(_QUALITY.match, ",".join(request.headers.getlist("accept")).split(","))
        if found is not None
    }
    html = qualities.get("text/html", 0.0)
    return html > 0 and html >= qualities.get("application/json", 0.0)
