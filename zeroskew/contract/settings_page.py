"""Tells what can be set, and what is."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from zeroskew.contract.settings import Settings

__all__ = [
    "SettingRow",
    "describe_misspelt",
    "describe_refusals",
    "describe_settings",
    "render_markdown",
    "render_text",
]

_PREFIX: Final = "ZEROSKEW_"
_OF_COMMANDS: Final = {"MODELS"}
"""Settings of the commands that have nearly the name of one of the service."""


class SettingRow(NamedTuple):
    """A setting: its variable, value and default as text, and what it means."""

    variable: str
    value: str
    default: str
    description: str


def describe_settings(settings: Settings) -> Iterator[SettingRow]:
    """Yield the settings in their order; passwords in addresses are left out.

    >>> next(describe_settings(Settings(host="::1")))[:3]
    ('ZEROSKEW_HOST', '::1', '127.0.0.1')
    """
    prefix = settings.model_config["env_prefix"]
    for name, field in Settings.model_fields.items():
        assert field.description is not None, name
        value = _to_text(getattr(settings, name))
        yield SettingRow(
            f"{prefix}{name}".upper(),
            "***" if value and not field.repr else value,
            _to_text(field.default),
            field.description,
        )


def describe_refusals(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Yield the variable and a sentence for each setting that is refused.

    The variable is empty where several contradict one another, which the sentence then names.
    Secrets, and passwords in addresses, are left out.
    """
    for finding in error.errors(include_url=False):
        message = finding["msg"].removeprefix("Value error, ")
        if not finding["loc"]:
            yield "", message
            continue
        name = str(finding["loc"][0])
        field = Settings.model_fields.get(name)
        value = "***" if field is not None and not field.repr else _to_text(finding["input"])
        yield f"ZEROSKEW_{name}".upper(), f"Got {value}: {message}"


def describe_misspelt(
    environment: Mapping[str, str], others: Collection[str] = ()
) -> Iterator[tuple[str, str]]:
    """Yield each variable that nobody reads, and a sentence, if a setting has nearly its name.

    A variable of somebody's own harness is no mistake; one letter beside a setting is. `others` are
    settings that are not the service's, in capitals and without their prefix.

    >>> list(describe_misspelt({"ZEROSKEW_PROT": "80", "ZEROSKEW_OUR_TEAM": "fraud"}))
    [('ZEROSKEW_PROT', 'Got a setting that nobody reads, but expected ZEROSKEW_PORT')]
    """
    known = {*(name.upper() for name in Settings.model_fields), *_OF_COMMANDS, *others}
    for variable in sorted(environment):
        name = variable.removeprefix(_PREFIX)
        if variable.startswith(_PREFIX) and name not in known:
            for near in get_close_matches(name, known, n=1, cutoff=0.75):
                yield variable, f"Got a setting that nobody reads, but expected {_PREFIX}{near}"


def render_text(settings: Settings) -> str:
    """Return the settings for a terminal; those that differ from their default have a star."""
    lines = []
    for row in describe_settings(settings):
        star = " " if row.value == row.default else "*"
        lines += [f"{star} {row.variable}={row.value}", f"    {row.description}"]
        if row.value != row.default:
            lines.append(f"    By default {row.default or 'not set'}.")
    return "\n".join(lines) + "\n"


def render_markdown() -> str:
    """Return a table of all settings with their defaults."""
    lines = ["| variable | default | |", "|---|---|---|"]
    for row in describe_settings(Settings.model_construct()):
        description = row.description.replace("|", "\\|")
        default = f"`{row.default}`" if row.default else ""
        lines.append(f"| `{row.variable}` | {default} | {description} |")
    return "\n".join(lines) + "\n"


def _to_text(value: Any) -> str:
    value = to_jsonable_python(value)
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(map(str, value))
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"(?<=://)([^:/@]*):[^@/]*@", r"\1:***@", text)
