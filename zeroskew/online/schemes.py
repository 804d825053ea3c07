"""The one table of online stores: which folder an address belongs to."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from zeroskew.online.store import OnlineStore, StoreFolder

__all__ = ["SCHEMES", "find_address", "open_store"]

SCHEMES: Final = {
    "sqlite": "zeroskew.online.sqlite.store",
    "redis": "zeroskew.online.redis.store",
    "rediss": "zeroskew.online.redis.store",
    "unix": "zeroskew.online.redis.store",
    "redis+cluster": "zeroskew.online.redis.store",
    "redis+sentinel": "zeroskew.online.redis.store",
    "feast": "zeroskew.online.feast_sdk.store",
}
"""The module of each scheme, a `StoreFolder`; it is imported when an address asks for it."""


def open_store(address: str) -> OnlineStore:
    """Return the online store at an address, as ``ZEROSKEW_ONLINE_STORE`` has it.

    Raises
    ------
    ValueError
        If its scheme is not in `SCHEMES`, it is no address of its scheme, or a package is missing
        for it. The message does not show the address: it may hold a password.
    """
    scheme, colon, _ = address.partition("://")
    if not colon or scheme not in SCHEMES:
        known = ", ".join(f"{one}://" for one in SCHEMES)
        raise ValueError(
            "Got an unknown kind of address in ZEROSKEW_ONLINE_STORE, but expected one that begins "
            f"with one of {known}."
        )
    return _import_folder(SCHEMES[scheme]).open_store(address)


def find_address(section: Any, repo: Path) -> str | None:
    """Return the address of the store that Feast writes; ``None`` if only Feast knows its kind.

    Parameters
    ----------
    section
        ``online_store`` of ``feature_store.yaml``: a mapping, or a type's name, or ``None``.
    repo
        The folder of that file.

    Raises
    ------
    ValueError
        If a store that is known has no address there.
    """
    given = section if isinstance(section, dict) else {} if section is None else {"type": section}
    # Feast's own default.
    typed = {"type": "sqlite", **given}
    for module in dict.fromkeys(SCHEMES.values()):
        if (address := _import_folder(module).find_address(typed, repo)) is not None:
            return address
    return None


def _import_folder(module: str) -> StoreFolder:
    return cast("StoreFolder", importlib.import_module(module))
