"""From the address of an online store to the reader that speaks to it."""

from __future__ import annotations

from pathlib import Path

from api.prediction.online_features import OnlineFeatureReader
from api.prediction.sqlite_features import SqliteFeatureReader

__all__ = ["open_reader"]

_SQLITE = "sqlite:///"


def open_reader(url: str, *, timeout_sec: float) -> OnlineFeatureReader:
    """Return the reader for an online store; it connects when it is first asked.

    Parameters
    ----------
    url
        ``sqlite:///<path>``.
    timeout_sec
        How long a read may take.

    Raises
    ------
    ValueError
        If `url` is not such an address.
    """
    if not url.startswith(_SQLITE) or len(url) == len(_SQLITE):
        raise ValueError(f"Got {url!r}, but expected {_SQLITE}<path>.")
    return SqliteFeatureReader(Path(url.removeprefix(_SQLITE)), timeout_sec=timeout_sec)
