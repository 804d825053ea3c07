"""The page at ``/``: what is served and where to go, for a person and for a program."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final, Literal

from pydantic import Field

from zeroskew.contract.answer_model import AnswerModel
from zeroskew.contract.manifest import Metric
from zeroskew.contract.rollout import CHAMPION
from zeroskew.model.load_gate import ActiveModel

__all__ = [
    "FAVICON",
    "LANDING_PAGE_POLICY",
    "LINKS",
    "ServiceDescription",
    "describe_service",
    "render_landing_page",
]

LINKS: Final = {
    "/docs": "Try it: every model's fields, and a form that sends them",
    "/redoc": "Read it: the same as a reference",
    "/openapi.json": "OpenAPI, for tools",
    "/v1/models": "Models, versions and aliases",
    "/v2": "Open Inference Protocol",
    "/livez": "Is the process alive?",
    "/readyz": "Can it answer predictions?",
}
"""Where the page leads, and what stands there."""

FAVICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='3' fill='%230b6e6e'/%3E"
    "%3Cpath d='M4 4h8L4 12h8' fill='none' stroke='white' stroke-width='2'/%3E%3C/svg%3E"
)
"""An icon that is part of the page, so that no browser asks for one."""

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2428; --soft: #55646c; --paper: #fbfbf9;
  --card: #ffffff; --line: #dfe4e2; --accent: #0b6e6e; --code: #f1f4f3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ecea; --soft: #9fadaa; --paper: #14191b;
  --card: #1c2325; --line: #323c3f; --accent: #5fc9c2; --code: #12171a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 54rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { margin: 0; font-size: 1.9rem; letter-spacing: -.01em; }
h1 small { font-size: .95rem; font-weight: 400; color: var(--soft); letter-spacing: 0; }
h2 { margin: 2.25rem 0 .75rem; font-size: 1.05rem; color: var(--soft); font-weight: 600; }
h3 { margin: 0; font-size: 1.15rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; }
a { color: var(--accent); }
article { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.1rem 1.25rem; margin: 0 0 1rem; }
table { border-collapse: collapse; margin: .8rem 0; width: 100%; font-size: .93rem; }
th, td { text-align: left; padding: .3rem 1rem .3rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: 500; }
pre { background: var(--code); border: 1px solid var(--line); border-radius: 6px; margin: .6rem 0 0;
  padding: .7rem .85rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono", monospace; }
ul { list-style: none; margin: 0; padding: 0; }
li { padding: .3rem 0; border-bottom: 1px solid var(--line); }
li a { display: inline-block; min-width: 9rem; font-weight: 500; }
.alias { display: inline-block; border: 1px solid var(--accent); color: var(--accent);
  border-radius: 99px; padding: 0 .55rem; font-size: .82rem; margin-right: .3rem; }
.soft { color: var(--soft); }
"""

_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

LANDING_PAGE_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: its own style sheet and icon, and nothing else."""


class ServedVersion(AnswerModel):
    """One loaded version of a model."""

    version: int
    aliases: list[str]
    metrics: dict[str, Metric] = Field(description="On the test span, with their intervals.")
    predict: str = Field(description="The address that scores with this version.")


class ListedModel(AnswerModel):
    """One model with its loaded versions, the oldest first."""

    name: str
    description: str
    predict: str = Field(description="The address to begin with.")
    example: dict[str, Any] = Field(description="A body that the address answers.")
    versions: list[ServedVersion]


class ServiceDescription(AnswerModel):
    """What is served, and where to go."""

    status: Literal["alive"] = Field("alive", description="What KServe's V1 clients look for.")
    service: str
    version: str
    models: list[ListedModel]
    links: dict[str, str] = Field(description="What stands at which address.")


def describe_service(
    *,
    service: str,
    version: str,
    models: Sequence[ActiveModel],
    aliases: Mapping[tuple[str, str], int],
    links: Mapping[str, str],
) -> ServiceDescription:
    """Describe the loaded `models`, sorted by name and version, and the `links` that exist."""
    by_name: dict[str, list[ActiveModel]] = {}
    for model in models:
        by_name.setdefault(model.name, []).append(model)
    return ServiceDescription(
        service=service,
        version=version,
        models=[_describe_model(versions, aliases) for versions in by_name.values()],
        links=dict(links),
    )


def _describe_model(
    versions: Sequence[ActiveModel], aliases: Mapping[tuple[str, str], int]
) -> ListedModel:
    name = versions[0].name
    champion = aliases.get((name, CHAMPION))
    shown = next((model for model in versions if model.version == champion), versions[-1])
    root = f"/v1/models/{name}"
    return ListedModel(
        name=name,
        description=shown.manifest.description,
        predict=f"{root}:predict"
        if shown.version == champion
        else f"{root}/versions/{shown.version}:predict",
        example=shown.schema.example,
        versions=[
            ServedVersion(
                version=model.version,
                aliases=sorted(
                    alias
                    for (owner, alias), target in aliases.items()
                    if (owner, target) == (name, model.version)
                ),
                metrics=model.manifest.metrics,
                predict=f"{root}/versions/{model.version}:predict",
            )
            for model in versions
        ],
    )


def render_landing_page(described: ServiceDescription, base_url: str) -> str:
    """Render the page; every text that the registry or the caller gave is escaped.

    Parameters
    ----------
    described
        What to show.
    base_url
        Where the caller reached the service, without a slash at its end.
    """
    models = "".join(_render_model(model, base_url) for model in described.models)
    links = "".join(
        f'<li><a href="{escape(address.lstrip("/"))}">{escape(address)}</a> '
        f'<span class="soft">{escape(text)}</span></li>'
        for address, text in described.links.items()
    )
    nothing = "<p>No model is loaded yet. Publish one and give it an alias.</p>"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(described.service)}</title>
<link rel="icon" href="{escape(FAVICON)}">
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(described.service)} <small>{escape(described.version)}</small></h1>
<p>Scores from tabular models and the features that are online at this moment.</p>
<h2>Models</h2>
{models or nothing}
<h2>Where to go</h2>
<ul>{links}</ul>
</main>
</body>
</html>
"""


def _render_model(model: ListedModel, base_url: str) -> str:
    rows = "".join(_render_version(version) for version in model.versions)
    command = (
        f"curl -s {shlex.quote(base_url + model.predict)} \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(json.dumps(model.example))}"
    )
    return f"""<article>
<h3>{escape(model.name)}</h3>
<p>{escape(model.description)}</p>
<table>
<tr><th>version</th><th>aliases</th><th>on the test span</th></tr>
{rows}
</table>
<pre>{escape(command)}</pre>
</article>
"""


def _render_version(version: ServedVersion) -> str:
    aliases = "".join(f'<span class="alias">{escape(alias)}</span>' for alias in version.aliases)
    metrics = "<br>".join(
        f"{escape(name)} {metric.value:.4g} "
        f'<span class="soft">({metric.low:.4g} to {metric.high:.4g})</span>'
        for name, metric in version.metrics.items()
    )
    return f"<tr><td>{version.version}</td><td>{aliases}</td><td>{metrics}</td></tr>\n"
