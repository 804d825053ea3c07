"""The one list of places that can have data about a subject: what is looked at, and what is not.

Everything that the command looks through comes from here. Services say in the database where
they keep things; where that is not what this command was given, it refuses.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from sqlalchemy import select

from training.privacy.online_subject import OnlineSubject, open_online_subject
from training.project.online_store import open_store_at
from zeroskew.contract.errors.project import StepError
from zeroskew.records.places.place_store import NOTE_SEC
from zeroskew.records.places.tables import ServicePlace

if TYPE_CHECKING:
    from training.live.open_log import LiveLog
    from training.project.workspace import Workspace
    from zeroskew.contract.manifest import Manifest

__all__ = ["Places", "find_places"]

_LIVE: Final = timedelta(seconds=5 * NOTE_SEC)
"""A service that has not spoken for so long is not running."""


@dataclass(frozen=True)
class Places:
    """Where a subject is looked for.

    Parameters
    ----------
    online
        The online store.
    spools
        Folders of this machine in which services' logs wait.
    looked_at
        All places in words, for people and for the receipt.
    elsewhere
        Places of services that this machine does not reach.
    """

    online: OnlineSubject
    spools: tuple[Path, ...]
    looked_at: tuple[str, ...]
    elsewhere: tuple[str, ...] = field(default=())


def find_places(
    workspace: Workspace,
    log: LiveLog,
    store: Any,
    manifests: Iterable[Manifest],
    *,
    spool: Path | None = None,
    is_same_store: bool = False,
) -> Places:
    """Return all places, by this command's settings and by what the services say of theirs.

    Parameters
    ----------
    workspace, log
        The command's settings, and the database.
    store
        Feast's ``FeatureStore``.
    manifests
        Of all versions: a plan names tables that definitions may have forgotten.
    spool
        A further folder of spools.
    is_same_store
        The caller has looked: what services call otherwise is the same Redis.

    Raises
    ------
    StepError
        If a service that runs reads another online store than the one of the feature repo, or the
        environment names another; or if the store is of a kind that cannot be looked through.
    """
    plans = [one.plan for one in manifests if one.plan.project == store.project]
    online = open_online_subject(store, {view.table for plan in plans for view in plan.views})
    given = os.environ.get("ZEROSKEW_ONLINE_STORE")
    if given is not None and not is_same_store:
        _check_store(online.name, open_store_at(given).name, "ZEROSKEW_ONLINE_STORE")
    spools = {path.resolve() for path in (spool, workspace.log_spool_dir) if path is not None}
    elsewhere = []
    now, host = datetime.now(UTC), socket.gethostname()
    for service in _list_services(log):
        is_here = service.host == host
        # An address without a host is of a store that only its own machine reaches.
        is_local = not urlsplit(service.online_store).netloc
        if now - service.seen_at < _LIVE and not is_same_store and (is_here or not is_local):
            _check_store(online.name, service.online_store, f"the service on {service.host}")
        if is_here:
            spools.add(Path(service.spool_dir))
        else:
            elsewhere.append(f"spool {service.spool_dir} on {service.host}")
            if is_local:
                elsewhere.append(f"online store {service.online_store} on {service.host}")
    database = log.engine.url.render_as_string(hide_password=True)
    looked_at = (
        f"Parquet files below {workspace.home.resolve()} and in {workspace.lake}",
        f"step files of training in {workspace.work_folder.resolve()}",
        "manifests of all versions",
        f"online store {online.name}, project {store.project}",
        *(f"spool {path}" for path in sorted(spools)),
        f"prediction log, labels and pushed rows in {database}",
    )
    return Places(online, tuple(sorted(spools)), looked_at, tuple(sorted(set(elsewhere))))


def _list_services(log: LiveLog) -> list[Any]:
    with log.engine.connect() as connection:
        return list(connection.execute(select(ServicePlace.__table__)))  # type: ignore[attr-defined]  # SQLModel makes it


def _check_store(ours: str, theirs: str, whose: str) -> None:
    if ours != theirs:
        raise StepError(
            f"Got online store {theirs} of {whose}, but expected {ours} as in the feature repo; "
            "run this with the service's settings, or --same-store for one Redis by two names"
        )
