"""Register the feature repo's definitions with Feast, without breaking what serves."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from training.project.registry_folder import RegistryFolder
from training.project.workspace import Workspace
from training.publish.live_plans import (
    LivePlan,
    find_breaks,
    find_ttl_changes,
    plan_declared_views,
    read_live_plans,
)
from zeroskew.contract.errors.project import StepError, TrainingError
from zeroskew.contract.errors.sentences import first_line
from zeroskew.records.registry.model_registry import ModelRegistry

__all__ = ["Applied", "apply_definitions"]

_GRACE: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Applied:
    """What there is to tell about an apply.

    ``taken_from`` is the folder that the registry belonged to before, ``broken`` what live plans
    do not find any more, ``other_ttls`` which go on with another ttl than is declared, and
    ``dropped`` whose rows are gone from the online store, because no plan needs them.
    """

    taken_from: str | None
    broken: Sequence[str]
    other_ttls: Sequence[str]
    dropped: Sequence[str]

    def describe(self) -> Iterator[str]:
        """Say it in sentences."""
        if self.taken_from is not None:
            yield f"the Feast registry was that of {self.taken_from}, and is made anew"
        yield from self.broken
        yield from self.other_ttls
        yield from (
            f"{name} is dropped from the online store: no plan that serves reads it"
            for name in self.dropped
        )


def apply_definitions(
    workspace: Workspace, *, break_live: bool = False, grace: timedelta = _GRACE
) -> Applied:
    """Apply the definitions, unless a version that serves would not find what it reads.

    Rows of removed views stay online while a live plan reads them.

    Parameters
    ----------
    workspace
        Where the definitions, the registry and the models are.
    break_live
        Apply them all the same.
    grace
        For how long the rows that a version reads are kept after it has ceased to serve.

    Raises
    ------
    StepError
        If the definitions do not run, or Feast refuses them; if they would break what serves;
        if the registry is another project's.
    RegistrySchemaError
        If the model registry's tables are of another release.
    """
    workspace.load_repo_config()
    live = _read_live(workspace)
    folder = RegistryFolder(workspace)
    taken_from = folder.take_over()
    store = workspace.open_definitions()
    # Feast changes the working directory to the repo, and leaves it there.
    with contextlib.chdir(Path.cwd()):
        views = _call_feast(_read_views, store)
        declared = plan_declared_views(store, views, folder.projects)
        broken = list(find_breaks(live, declared))
        if broken and not break_live:
            raise StepError(_say_broken(broken))
        _call_feast(_apply, store)
    folder.sign()
    needed = _read_live(workspace, moved_since=datetime.now(UTC) - grace)
    return Applied(
        taken_from=taken_from,
        broken=broken,
        other_ttls=list(find_ttl_changes(live, declared)),
        dropped=_drop_unneeded(store, [view for one in needed for view in one.plan.views]),
    )


def _read_live(workspace: Workspace, *, moved_since: datetime | None = None) -> list[LivePlan]:
    with contextlib.closing(ModelRegistry.open(workspace.database_url)) as registry:
        return read_live_plans(registry, workspace.open_artifacts(), moved_since=moved_since)


def _say_broken(broken: Sequence[str]) -> str:
    rest = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
    return (
        f"Got definitions that break what serves: {broken[0]}{rest}; keep it declared until a new "
        "version serves, delete its alias, or say --break-live"
    )


def _call_feast(call: Any, store: Any) -> Any:
    """Run what runs the user's definitions; Feast says some refusals on the way to ``exit``."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            return call(store)
    except SystemExit as error:
        raise StepError(
            f"Got a refusal from Feast ({said.getvalue().strip()}), but expected definitions that "
            "it takes"
        ) from error
    except TrainingError:
        raise
    except Exception as error:  # The user's files may raise anything.
        raise StepError(
            f"Got {type(error).__name__} from the feature repo ({first_line(error)}), but expected "
            "definitions that run and that Feast takes"
        ) from error


def _read_views(store: Any) -> list[Any]:
    """Run the definitions, and return their views with the schemas that Feast infers."""
    from feast.repo_operations import _get_repo_contents

    root = Path(store.repo_path)
    os.chdir(root)
    repo = _get_repo_contents(root, store.project, store.config)
    store._make_inferences(
        repo.data_sources,
        repo.entities,
        repo.feature_views,
        repo.on_demand_feature_views,
        repo.stream_feature_views,
        repo.feature_services,
        repo.label_views,
    )
    return [*repo.feature_views, *repo.stream_feature_views]


def _apply(store: Any) -> None:
    from feast.repo_operations import apply_total

    apply_total(store.config, Path(store.repo_path), skip_source_validation=False)


def _drop_unneeded(store: Any, needed: Sequence[Any]) -> list[str]:
    from zeroskew.features.online_store.removed_views import KeepsRemovedViews

    online = store._get_provider().online_store
    if isinstance(online, KeepsRemovedViews):
        return online.drop_removed_views(store.config, needed)
    return []
