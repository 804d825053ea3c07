"""A project as it lies on disk, opened once for all checks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from training.checks.definitions import DeclaredStore, Definitions, load_definitions
from training.checks.finding import Finding
from training.checks.traced import TracedFunctions
from training.project.progress import quiet
from training.project.repo_modules import repo_modules
from training.project.workspace import Workspace
from zeroskew.contract.errors.project import TrainingError
from zeroskew.declarations.model_spec import ModelSpec, list_model_names, load_model_spec
from zeroskew.features.offline_store.parquet.parquet_source import ParquetTable, open_parquet_table
from zeroskew.features.request_function import RequestFunction, RequestFunctionError

__all__ = ["ProjectView", "open_project"]


@dataclass
class ProjectView:
    """What the checks look at.

    Attributes
    ----------
    workspace
        The project's folders.
    environment
        The environment variables that commands and service read.
    models
        The declarations that could be read, by name.
    definitions
        What the feature repo defines.
    config
        Feast's ``RepoConfig``; ``None`` where it cannot be read.
    tables_may_come
        Whether the tables may be made yet, where `zeroskew prepare` makes them.
    findings
        What went wrong while reading.
    """

    workspace: Workspace
    environment: Mapping[str, str]
    models: dict[str, ModelSpec] = field(default_factory=dict)
    definitions: Definitions = field(default_factory=Definitions)
    config: Any = None
    tables_may_come: bool = False
    findings: list[Finding] = field(default_factory=list)
    _tables: dict[str, ParquetTable | TrainingError] = field(default_factory=dict)
    _traces: dict[tuple[str, ...], RequestFunctionError | None] = field(default_factory=dict)

    @cached_property
    def _traced(self) -> TracedFunctions:
        return TracedFunctions(self.workspace.home, self.workspace.feature_repo)

    @property
    def awaits_tables(self) -> bool:
        """Whether a table that is not there is no mistake yet."""
        return self.tables_may_come and self.workspace.prepare_file is not None

    @cached_property
    def store(self) -> DeclaredStore:
        """What the definitions say, asked as a ``FeatureStore`` is."""
        return DeclaredStore(self.config, self.definitions)

    def open_table(self, source: Any) -> ParquetTable:
        """Return a view's table, of which the footers alone are read.

        Raises
        ------
        OfflineStoreError
            If the source is of a kind that is not read, or there is no readable file.
        """
        key = f"{type(source).__name__}:{getattr(source, 'path', source and source.name)}"
        if key not in self._tables:
            try:
                self._tables[key] = open_parquet_table(
                    source, self.workspace.feature_repo.resolve()
                )
            except TrainingError as error:
                self._tables[key] = error
        known = self._tables[key]
        if isinstance(known, TrainingError):
            raise known
        return known

    def check_trace(self, function: RequestFunction) -> None:
        """Trace a request-time function, once for all models that have it.

        Raises
        ------
        RequestFunctionError
            If no graph can be made of it, or its graph computes other bits on a few rows. One
            that could be traced before is not traced again while no code has changed.
        """
        key = (function.name, *function.output_names)
        if key not in self._traces:
            self._traces[key] = None
            if function in self._traced:
                return
            # Takes a second to import, for which a project without such functions need not wait.
            from zeroskew.features.trace_request_time import trace_request_function

            try:
                with quiet():
                    trace_request_function(function, quick=True)
                self._traced.add(function)
            except RequestFunctionError as error:
                self._traces[key] = error
        if (refused := self._traces[key]) is not None:
            raise refused


@contextlib.contextmanager
def open_project(
    workspace: Workspace,
    *,
    models: Sequence[str] | None = None,
    tables_may_come: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[ProjectView]:
    """Read the declared models and the feature repo; what cannot be read is a finding.

    Parameters
    ----------
    workspace, environment, tables_may_come
        As in `ProjectView`.
    models
        Names of the models to look at; all declared ones where it is ``None``, none where it
        is empty.
    """
    absolute = _absolute(workspace)
    project = ProjectView(absolute, environment, tables_may_come=tables_may_come)
    project.findings += _read_models(project, models)
    with contextlib.ExitStack() as stack:
        if absolute.feature_repo.is_dir():
            stack.enter_context(repo_modules(absolute.feature_repo))
            # Definitions may read files beside them: Feast runs them from there.
            stack.enter_context(contextlib.chdir(absolute.feature_repo))
            project.findings += _read_definitions(project)
        else:
            project.findings.append(
                Finding(
                    str(workspace.feature_repo),
                    "Got no such folder, but expected a Feast repo; run in the project's folder "
                    "or set ZEROSKEW_FEATURE_REPO",
                )
            )
        yield project


def _absolute(workspace: Workspace) -> Workspace:
    """Return the workspace as seen from anywhere: definitions are read in another folder."""
    places: dict[str, Path] = {
        name: Path(os.path.abspath(place))  # noqa: PTH100 - a link stays one
        for name in ("feature_repo", "models", "home", "lake", "artifacts_dir")
        if isinstance(place := getattr(workspace, name), Path)
    }
    return workspace.model_copy(update=places)


def _read_models(project: ProjectView, names: Sequence[str] | None) -> list[Finding]:
    folder = project.workspace.models
    if names is not None and not names:
        return []
    known = list_model_names(folder)
    if not known:
        return [Finding(str(folder), "Got no model, but expected at least one file with a MODEL")]
    findings = []
    for name in names or known:
        try:
            project.models[name] = load_model_spec(folder, name)
        except TrainingError as error:
            sentences = getattr(error, "sentences", None) or [str(error)]
            findings += [
                Finding(*_split_place(sentence, f"{name}.py"), model=name) for sentence in sentences
            ]
    return findings


def _split_place(sentence: str, file: str) -> tuple[str, str]:
    place, colon, rest = sentence.partition(": ")
    return (place, rest) if colon and place.startswith(file) else (file, sentence)


def _read_definitions(project: ProjectView) -> list[Finding]:
    try:
        project.config = project.workspace.load_repo_config()
    except TrainingError as error:
        return [Finding(project.workspace.feature_store_file, str(error))]
    project.definitions = load_definitions(project.workspace.feature_repo)
    return project.definitions.findings
