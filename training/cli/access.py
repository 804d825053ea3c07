"""Commands about who may use the service: keys, and whose models are whose."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from training.cli.options import MOST_DAYS, make_group, print_table
from training.cli.registry import Model, Reason
from training.project.user_name import user_name
from training.project.workspace import Workspace
from zeroskew.contract.errors.project import SpecError
from zeroskew.contract.scope import TENANT_PATTERN, Scope

if TYPE_CHECKING:
    from zeroskew.records.access.access_store import AccessStore, IssuedKey

__all__ = ["keys_app", "tenant"]

_console = Console()
keys_app = make_group("keys", "Make, rotate and revoke API keys.")

KeyId = Annotated[str, typer.Argument(help="The part of the key that is shown: zsk_…")]


@keys_app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is, for people and for the log.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may be given again.")],
    tenant: Annotated[str | None, typer.Option(help="Whose models alone it reaches.")] = None,
    days: Annotated[float | None, typer.Option(help="After how many days it ends.")] = None,
    per_sec: Annotated[
        float | None, typer.Option(help="Requests a second.", min=0.01, max=1e6)
    ] = None,
    per_day: Annotated[
        int | None, typer.Option(help="Requests a day.", min=1, max=1_000_000_000)
    ] = None,
    reason: Reason = "",
) -> None:
    """Make a key and print it, this once; the database has a hash of it alone."""
    if not name.strip():
        raise SpecError(f"Got the name {name!r}, but expected whose key it is")
    if tenant is not None:
        _check_tenant(tenant)
    if days is not None and not 0 < days <= MOST_DAYS:
        raise SpecError(f"Got --days {days:g}, but expected a number above 0 and up to {MOST_DAYS}")
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with _registry() as registry:
        issued = registry.create_key(
            name,
            scope,
            tenant=tenant,
            expires_at=expires_at,
            requests_per_sec=per_sec,
            requests_per_day=per_day,
            actor=user_name(),
            reason=reason,
        )
    _print_issued(issued)


@keys_app.command()
def rotate(
    key_id: KeyId,
    overlap_hours: Annotated[
        float,
        typer.Option(help="For how long the old one stays valid.", min=0, max=24 * MOST_DAYS),
    ] = 24.0,
    reason: Reason = "",
) -> None:
    """Make a key with the same rights and print it; the old one ends after the overlap."""
    overlap = timedelta(hours=overlap_hours)
    with _registry() as registry:
        issued = registry.rotate_key(key_id, overlap=overlap, actor=user_name(), reason=reason)
    _print_issued(issued)


@keys_app.command()
def revoke(key_id: KeyId, reason: Reason = "") -> None:
    """End a key; every replica follows within two seconds."""
    with _registry() as registry:
        key = registry.revoke_key(key_id, actor=user_name(), reason=reason)
    _console.print(f"{key.id} of {key.name} is revoked", markup=False)


@keys_app.command(name="list")
def list_keys() -> None:
    """Show the keys: the part that is shown, rights, limits, and when they were last used."""
    # Who wants to revoke a key copies its id.
    key_id = Column("key", no_wrap=True, min_width=len("zsk_") + 12)
    table = Table(key_id, "name", "scopes", "tenant", "limits", "ends", "last used")
    now = datetime.now(UTC)
    with _registry() as registry:
        keys = registry.list_keys()
    for key in keys:
        limits = [
            f"{limit:g}/{unit}"
            for limit, unit in ((key.requests_per_sec, "s"), (key.requests_per_day, "day"))
            if limit is not None
        ]
        ends = key.revoked_at or key.expires_at
        table.add_row(
            key.id,
            key.name,
            " ".join(key.scopes),
            key.tenant or "",
            " ".join(limits),
            ("" if key.is_valid(now) else "ended ") + ("" if ends is None else f"{ends:%F %H:%M}"),
            "" if key.last_used_at is None else f"{key.last_used_at:%F %H:%M}",
        )
    print_table(table)


@keys_app.command()
def history(
    limit: Annotated[
        int, typer.Option(help="How many acts at most.", min=1, max=1_000_000_000)
    ] = 20,
) -> None:
    """Show who made, rotated and revoked keys and gave models to tenants, when and why."""
    table = Table("time (UTC)", "act", "subject", "who", "why")
    with _registry() as registry:
        for act in registry.list_acts(limit=limit):
            table.add_row(f"{act.time:%F %T}", act.action, act.subject, act.actor, act.reason)
    print_table(table)


def tenant(
    model: Model,
    tenant: Annotated[str | None, typer.Argument(help="Whose it is to be.")] = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="It is nobody's own.")] = False,
    reason: Reason = "",
) -> None:
    """Give a model to a tenant: keys of other tenants do not see it any more."""
    if (tenant is None) != everybody:
        raise typer.BadParameter("Got both or neither, but expected a tenant or --everybody.")
    if tenant is not None:
        _check_tenant(tenant)
    with _registry() as registry:
        registry.set_tenant(model, tenant, actor=user_name(), reason=reason)
    _console.print(f"{model} belongs to {tenant or 'everybody'}")


def _check_tenant(tenant: str) -> None:
    if re.fullmatch(TENANT_PATTERN, tenant) is None:
        raise typer.BadParameter(
            f"Got tenant {tenant!r}, but expected a small letter, then up to 62 small letters, "
            "digits, underscores or hyphens."
        )


def _print_issued(issued: IssuedKey) -> None:
    key = issued.key
    ends = "" if key.expires_at is None else f", until {key.expires_at:%F %H:%M} UTC"
    scopes = ", ".join(key.scopes)
    typer.echo(f"{key.id} of {key.name} may {scopes}{ends}; shown this once:", err=True)
    typer.echo(issued.text)


def _registry() -> closing[AccessStore]:
    from zeroskew.records.access.access_store import AccessStore

    return closing(AccessStore.open(Workspace().registry_url))
