"""Commands about one person's data, or whatever an entity key stands for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic_core import to_json
from rich.console import Console
from rich.table import Table

from training.cli.options import make_group, print_table
from training.live.open_log import LiveLog, open_log
from training.project.progress import Reporter, quiet
from training.project.workspace import Workspace
from zeroskew.contract.errors.project import StepError

if TYPE_CHECKING:
    from training.privacy.places import Places
    from training.privacy.subject import Subject
    from zeroskew.contract.manifest import Manifest

__all__ = ["subject_app"]

_NOT_COMPLETE = 3
_console = Console(stderr=True)
_reporter = Reporter(_console)
subject_app = make_group("subject", "What is stored about one entity.")
SameStore = Annotated[
    bool, typer.Option(help="You looked: what services call otherwise is the same Redis.")
]
Keys = Annotated[
    list[str], typer.Argument(help="Entity keys as name=value; a record has all of them.")
]


@subject_app.command()
def export(
    keys: Keys,
    output: Annotated[
        Path | None, typer.Option(help="Where it goes; standard output if not.")
    ] = None,
    same_store: SameStore = False,
) -> None:
    """Write all that is stored about an entity as JSON; what waits in a spool is not stored yet."""
    with _open(keys) as search, quiet():
        places = _find_places(search, is_same_store=same_store)
        subject = {name: spellings[0] for name, spellings in search.subject.values.items()}
        found = {"subject": subject} | _find_all(search, places)
    text = to_json(found, indent=1, fallback=str, inf_nan_mode="null", bytes_mode="base64").decode()
    if output is None:
        sys.stdout.write(f"{text}\n")
    else:
        output.write_text(text)


@subject_app.command()
def erase(
    keys: Keys,
    receipt: Annotated[Path, typer.Option(help="Where the signed receipt goes.")],
    reference: Annotated[
        str, typer.Option(help="What your records call the request; no personal data.")
    ] = "",
    spool: Annotated[
        Path | None,
        typer.Option(help="A spool beside those of the settings and services."),
    ] = None,
    drained: Annotated[
        bool, typer.Option(help="You looked: zeroskew_log_spool_bytes is 0 on all other machines.")
    ] = False,
    same_store: SameStore = False,
) -> None:
    """Erase an entity from online store, log, labels, spool, pushes and files; sign a receipt.

    It may be stopped at any moment and begun again; again it finds nothing. Exits with 3 where a
    service still holds a part of its spool, or may on another machine, as with PostgreSQL: run it
    again when that has drained, with --drained.
    """
    from training.privacy.receipt import make_receipt

    with _open(keys) as search:
        key_file = _require_signing(search.workspace, receipt)
        with quiet():
            places = _find_places(search, spool=spool, is_same_store=same_store)
        erased, n_in_use = _erase_all(search, places)
        kept = _find_kept(search)
        made = make_receipt(
            erased,
            is_complete=not (n_in_use or kept)
            and (drained or (search.log.engine.dialect.name == "sqlite" and not places.elsewhere)),
            places=places.looked_at,
            left=[*places.elsewhere, *kept],
            reference=reference,
            key_file=key_file,
        )
        receipt.write_text(made.model_dump_json(indent=1) + "\n")
    for place, number in made.erased.items():
        _console.print(f"  {number:,} {place.replace('_', ' ')} erased", highlight=False)
    if not made.is_complete:
        _say_incomplete(places, n_in_use, kept)
        raise typer.Exit(_NOT_COMPLETE)


def _erase_all(search: _Search, places: Places) -> tuple[dict[str, int], int]:
    """Erase a subject everywhere; return counts by place, and of spool files that are in use."""
    from training.privacy.lake_subject import forget_in_files
    from training.privacy.logged_subject import forget_logged
    from training.privacy.spool_subject import forget_spooled
    from training.privacy.work_subject import forget_in_work
    from zeroskew.features.pushed_rows.waiting import forget_pushed

    workspace, log, subject = search.workspace, search.log, search.subject
    # Files before the store: what is materialized from them afterwards would bring it back.
    # Before both what waits to be written into them; what is made of them last of the three.
    n_pushed = forget_pushed(log.engine, subject.matches)
    with _reporter.task("files") as task:
        n_files = forget_in_files(workspace, subject, task)
    n_step_files = forget_in_work(workspace, subject)
    n_online = places.online.forget(subject)
    spooled = forget_spooled(log, places.spools, subject)
    with _reporter.task("log and labels") as task:
        n_logged, n_labels = forget_logged(log, subject, task)
    for model, number in n_step_files.items():
        _console.print(
            f"  {number} step files of {model} removed: run `zeroskew train {model}` again",
            highlight=False,
        )
    return {
        "pushed_rows": n_pushed,
        "file_rows": n_files,
        "step_files": sum(n_step_files.values()),
        "online_entities": n_online,
        "predictions": n_logged + spooled.n_instances,
        "labels": n_labels + spooled.n_labels,
    }, spooled.n_in_use


def _find_all(search: _Search, places: Places) -> dict[str, list[dict[str, Any]]]:
    """Return all that is stored about a subject, by kind of place."""
    from training.privacy.lake_subject import find_in_files
    from training.privacy.logged_subject import find_logged
    from training.privacy.published_subject import find_published
    from training.privacy.work_subject import find_in_work
    from zeroskew.features.pushed_rows.waiting import find_pushed

    workspace, log, subject = search.workspace, search.log, search.subject
    logged = find_logged(log, subject)
    return {
        "online_store": places.online.find(subject),
        "predictions": logged.predictions,
        "labels": logged.labels,
        "pushed_rows": find_pushed(log.engine, subject.matches),
        "files": find_in_files(workspace, subject),
        "step_files": find_in_work(workspace, subject),
        "versions": find_published(search.manifests, subject),
    }


def _find_kept(search: _Search) -> list[str]:
    """Return what still has the subject, or may: versions, new step files, simulations."""
    from training.privacy.published_subject import find_published, name_published
    from training.privacy.work_subject import find_in_work

    workspace, subject = search.workspace, search.subject
    # Read again: a version may have been published meanwhile.
    manifests = _read_manifests(search.log)
    return [
        *map(name_published, find_published(manifests, subject)),
        *(f"step files of {one['model']}" for one in find_in_work(workspace, subject)),
        # Its registry, log and store are copies in files of its own, which nobody else needs.
        *(["the files of a simulation"] if workspace.simulation.exists() else []),
    ]


def _require_signing(workspace: Workspace, receipt: Path) -> Path:
    """Return the key's file: nothing is erased for which there could be no receipt."""
    from training.publish.signing import public_key_of

    if workspace.signing_key_file is None:
        raise StepError("Got no ZEROSKEW_SIGNING_KEY_FILE, but expected one; `zeroskew keygen`")
    public_key_of(workspace.signing_key_file)
    if receipt.is_dir() or not os.access(receipt.parent, os.W_OK):
        raise StepError(f"Got {receipt}, but expected a file in a folder that can be written to")
    return workspace.signing_key_file


def _say_incomplete(places: Places, n_in_use: int, kept: list[str]) -> None:
    for place in kept:
        _console.print(
            f"[yellow]![/] still there: {place}; a version is immutable, step files are written "
            "by a training that runs, a simulation ends when its folder is removed",
            highlight=False,
        )
    _console.print(
        f"[yellow]![/] {n_in_use} files of the spool here are held or cannot be read, "
        "and what others hold elsewhere is not known; run this again with --drained when it "
        "is nothing",
        highlight=False,
    )
    for place in places.elsewhere:
        _console.print(f"  not looked at: {place}", highlight=False, markup=False)


@subject_app.command()
def where(
    names: Annotated[list[str], typer.Argument(help="Names of entity keys, without values.")],
    same_store: SameStore = False,
) -> None:
    """Report where data about such an entity can be, and where this cannot erase it."""
    from training.privacy.lake_subject import list_files, name_file
    from training.privacy.work_subject import read_work_columns

    table = Table("place", "what", "erase")
    with _open([f"{name}=any" for name in names]) as search:
        workspace, subject = search.workspace, search.subject
        with quiet():
            places = _find_places(search, is_same_store=same_store)
        for view in search.store.list_feature_views():
            if subject.is_known_by(view.join_keys):
                table.add_row(f"online store, {view.name}", ", ".join(view.join_keys), "yes")
        logged = {
            (manifest.model, ", ".join(name for name in fields if subject.is_known_by([name])))
            for _, manifest in search.manifests
            if subject.is_known_by(fields := [field.name for field in manifest.request])
        }
        for model, what in sorted(logged):
            table.add_row(f"prediction log, {model}", what, "yes")
        for path, _ in list_files(workspace, subject):
            folder, _, name = name_file(workspace, path).rpartition("/")
            table.add_row(folder, name, "yes")
        for work, columns in read_work_columns(workspace).items():
            if columns is not None and not subject.is_known_by(columns):
                continue
            name = name_file(workspace, work)
            table.add_row(name, "data set, and what was made of it", "yes, all: train again")
    table.add_row("labels", "entity_key, or the prediction's id", "yes")
    table.add_row("pushed rows that wait for the lake", "as their table", "yes")
    table.add_row("spool of each replica", "as the prediction log", "what no service holds")
    for place in places.looked_at:
        table.add_row(place, "looked through", "yes")
    for place in places.elsewhere:
        table.add_row(place, "as the prediction log", "no: run this there")
    table.add_row("model files", "what a model learnt, golden rows", "no: train again")
    named = "golden keys, example and categories"
    table.add_row("manifests", named, "no: immutable, and named in the receipt")
    table.add_row("sources that `prepare` reads", "all of it", "no: at the source, or it returns")
    kept = "backups, replicas, write-ahead logs, a bucket's earlier versions"
    table.add_row(kept, "all of it", "no: by their own age")
    print_table(table)


@subject_app.command()
def verify(
    receipt: Annotated[Path, typer.Argument(help="A receipt.")],
    key: Annotated[str, typer.Option(help="The public key, in hexadecimal digits.")],
    keys: Annotated[
        list[str] | None,
        typer.Argument(help="The entity keys as name=value, to look whether it is still so."),
    ] = None,
    same_store: SameStore = False,
) -> None:
    """Tell whether a receipt was signed with a key, and whether the entity is still nowhere.

    Exits with 3 where something of the entity is stored: it was left, or came back.
    """
    from training.privacy.receipt import verify_receipt

    found = verify_receipt(receipt.read_text(), key)
    if found is None:
        raise StepError(f"Got {receipt}, which that key has not signed as it stands")
    _console.print(f"[green]✓[/] {found.id}, {found.time:%F %T} UTC", highlight=False)
    if not keys:
        return
    with _open(keys) as search, quiet():
        stored = _find_all(search, _find_places(search, is_same_store=same_store))
    left = {place: len(records) for place, records in stored.items() if records}
    for place, number in left.items():
        _console.print(f"[yellow]![/] still there: {number:,} of {place}", highlight=False)
    if left:
        raise typer.Exit(_NOT_COMPLETE)


@dataclass(frozen=True)
class _Search:
    """Who is looked for, and where; ``manifests`` are those of all versions, by their numbers."""

    workspace: Workspace
    log: LiveLog
    manifests: list[tuple[int, Manifest]]
    subject: Subject

    @cached_property
    def store(self) -> Any:
        """Feast's ``FeatureStore``; rows that were pushed are in its tables when it is open."""
        return self.workspace.open_feature_store()


@contextmanager
def _open(keys: list[str]) -> Iterator[_Search]:
    from training.privacy.subject import parse_subject
    from training.privacy.work_subject import read_work_plans

    workspace = Workspace()
    subject = parse_subject(keys, workspace.log_hash_key)
    with open_log() as log:
        manifests = _read_manifests(log)
        plans = [*(manifest.plan for _, manifest in manifests), *read_work_plans(workspace)]
        yield _Search(workspace, log, manifests, subject.with_aliases(plans))


def _find_places(search: _Search, *, spool: Path | None = None, is_same_store: bool) -> Places:
    """Return where data about the subject can be.

    Raises
    ------
    StepError
        If no record can have its keys: a receipt would certify that nobody was erased.
    """
    from training.privacy.lake_subject import list_files
    from training.privacy.places import find_places
    from training.privacy.work_subject import read_work_columns

    workspace, subject = search.workspace, search.subject
    manifests = [manifest for _, manifest in search.manifests]
    places = find_places(
        workspace, search.log, search.store, manifests, spool=spool, is_same_store=is_same_store
    )
    views = [view.join_keys for view in search.store.list_feature_views()]
    requests = [[field.name for field in manifest.request] for manifest in manifests]
    of_work = [names for names in read_work_columns(workspace).values() if names is not None]
    is_known = (
        any(subject.is_known_by(names) for names in (*views, *requests, *of_work))
        or next(list_files(workspace, subject), None) is not None
        # A view that was removed may have left rows.
        or places.online.find(subject)
    )
    if not is_known:
        known = sorted({name for names in views for name in names})
        raise StepError(
            f"Got entity key {', '.join(subject.names)}, which no view, model or table has, but "
            f"expected those of records: the views' are {', '.join(known) or 'none'}"
        )
    return places


def _read_manifests(log: LiveLog) -> list[tuple[int, Manifest]]:
    """Return numbers and manifests of all versions: their fields may have had other names."""
    return [
        (version.version, log.read_manifest(model, version.version))
        for model in log.registry.list_models()
        for version in log.registry.list_versions(model)
    ]
