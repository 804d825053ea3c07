"""Runs the checks that matter for a step, all of them, whatever they find."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeAlias

from training.checks.column_values import check_view_values
from training.checks.environment import (
    check_address,
    check_database,
    check_folders,
    check_online_store,
    check_settings,
)
from training.checks.feature_repo import (
    check_configuration,
    check_names,
    check_services,
    check_view_tables,
    check_views,
    infer_views,
)
from training.checks.finding import Finding
from training.checks.labels import check_labels
from training.checks.models import check_examples, check_features, check_repeated_names
from training.checks.project import ProjectView, open_project
from training.project.workspace import Workspace

__all__ = ["CheckScope", "find_mistakes"]

Check: TypeAlias = Callable[[ProjectView], Iterator[Finding]]


class CheckScope(StrEnum):
    """What is about to begin."""

    ALL = "all"
    PREPARE_SERVICE = "up"
    APPLY = "apply"
    TRAIN = "train"


_ENVIRONMENT: Final[tuple[Check, ...]] = (
    check_settings,
    check_folders,
    check_database,
    check_online_store,
)
_OF_TABLES: Final[tuple[Check, ...]] = (check_view_tables, check_view_values, check_labels)
# In this order: views must be complete before they are looked at.
_FEATURES: Final[tuple[Check, ...]] = (
    check_configuration,
    check_names,
    infer_views,
    check_views,
    check_services,
    check_view_tables,
    check_view_values,
)
_MODELS: Final[tuple[Check, ...]] = (
    check_repeated_names,
    check_examples,
    check_features,
    check_labels,
)

CHECKS: Final[dict[CheckScope, tuple[Check, ...]]] = {
    CheckScope.ALL: (*_ENVIRONMENT, check_address, *_FEATURES, *_MODELS),
    CheckScope.PREPARE_SERVICE: (*_ENVIRONMENT, *_FEATURES, *_MODELS),
    CheckScope.APPLY: (check_folders, check_database, check_online_store, *_FEATURES),
    CheckScope.TRAIN: (check_folders, *_FEATURES, *_MODELS),
}


def find_mistakes(
    workspace: Workspace,
    scope: CheckScope,
    *,
    models: Sequence[str] | None = None,
    environment: Mapping[str, str] = os.environ,
    before_tables: bool | None = None,
) -> list[Finding]:
    """Return what would fail later, in the order of the work; each sentence once.

    Parameters
    ----------
    workspace, models, environment
        As in `open_project`.
    scope
        Which checks are run.
    before_tables
        Whether the tables are about to be made anew, so that none is looked at, or have been just
        now, so that one that is missing stays so. ``None``: they may come yet.
    """
    named = () if scope is CheckScope.APPLY else models
    may_come = before_tables is None and scope in (CheckScope.ALL, CheckScope.PREPARE_SERVICE)
    with open_project(
        workspace, models=named, tables_may_come=may_come, environment=environment
    ) as project:
        found = [*project.findings]
        for check in CHECKS[scope]:
            if not (before_tables and check in _OF_TABLES):
                found += check(project)
    return list(dict.fromkeys(found))
