"""The feature repo's definitions, read without a registry."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from training.checks.finding import Finding
from training.project.progress import quiet
from zeroskew.declarations.located_error import describe_error, locate_error

__all__ = ["DeclaredStore", "Definitions", "load_definitions"]


@dataclass
class Definitions:
    """What the files of a feature repo define, each object once.

    ``files`` are their texts by their paths below the repo.
    """

    entities: list[Any] = field(default_factory=list)
    views: list[Any] = field(default_factory=list)
    on_demand_views: list[Any] = field(default_factory=list)
    services: list[Any] = field(default_factory=list)
    sources: list[Any] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def place(self, kind: str, one: Any) -> str:
        """Return where an object stands: ``definitions.py:12: view 'orders'``."""
        named = re.compile(rf"""name\s*=\s*["']{re.escape(one.name)}["']""")
        quoted = re.compile(rf"""["']{re.escape(one.name)}["']""")
        for pattern in (named, quoted):
            for file, text in self.files.items():
                if match := pattern.search(text):
                    line = text.count("\n", 0, match.start()) + 1
                    return f"{file}:{line}: {kind} {one.name!r}"
        return f"{kind} {one.name!r}"


class DeclaredStore:
    """What `compile_plan` asks of a ``FeatureStore``, answered from the definitions."""

    def __init__(self, config: Any, definitions: Definitions) -> None:
        self.config = config
        self.project = config.project
        self.registry = self
        self._services = {one.name: one for one in definitions.services}
        self._views = {one.name: one for one in (*definitions.views, *definitions.on_demand_views)}

    def get_feature_service(self, name: str) -> Any:
        """Return a feature service by its name."""
        from feast.errors import FeatureServiceNotFoundException

        if name not in self._services:
            raise FeatureServiceNotFoundException(name)
        return self._services[name]

    def list_feature_services(self) -> list[Any]:
        """Return all feature services."""
        return list(self._services.values())

    def get_any_feature_view(self, name: str, project: str) -> Any:
        """Return a stored or an on-demand view by its name."""
        from feast.errors import FeatureViewNotFoundException

        if name not in self._views:
            raise FeatureViewNotFoundException(name, project)
        return self._views[name]


def load_definitions(repo: Path) -> Definitions:
    """Run the repo's files as ``feast apply`` does, within `training.project.repo_modules`.

    A file that does not run is a finding; the others are read all the same.
    """
    from feast.repo_operations import get_repo_files

    found = Definitions()
    root = repo.resolve()
    for path in get_repo_files(root):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        try:
            with quiet():
                module = importlib.import_module(name)
        except (Exception, SystemExit) as error:  # Whatever a user's file may raise.
            place = locate_error(error, root, path)
            if not any(one.place == place for one in found.findings):
                found.findings += [
                    Finding(place, _explain(sentence, error)) for sentence in describe_error(error)
                ]
        else:
            found.files[str(path.relative_to(root))] = path.read_text(errors="replace")
            _collect(found, module)
    return found


def _collect(found: Definitions, module: ModuleType) -> None:
    from feast import Entity, FeatureService, FeatureView, OnDemandFeatureView
    from feast.data_source import DataSource

    kinds: tuple[tuple[Any, list[Any]], ...] = (
        (OnDemandFeatureView, found.on_demand_views),
        (FeatureView, found.views),
        (FeatureService, found.services),
        (Entity, found.entities),
        (DataSource, found.sources),
    )
    for one in vars(module).values():
        for kind, known in kinds:
            if isinstance(one, kind):
                if not any(one is other for other in known):
                    known.append(one)
                break


def _explain(sentence: str, error: BaseException) -> str:
    """Say of a source's own client library that the source is of a kind that is not read."""
    if isinstance(error, ImportError) and error.__traceback__ is not None:
        frame = error.__traceback__
        while frame.tb_next is not None:
            frame = frame.tb_next
        module = str(frame.tb_frame.f_globals.get("__name__", ""))
        if module.startswith("feast.infra"):
            return (
                f"Got a source of a kind that is not read ({error}), but expected a FileSource of "
                "Parquet; write the table to the lake"
            )
    return sentence
