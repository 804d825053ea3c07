"""The Parquet files of a table: in a folder, or below an address in an object store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import Final, TypeAlias

import pyarrow as pa
from pyarrow import fs

from zeroskew.features.offline_store.errors import SourceError

__all__ = ["CALENDAR", "Place", "is_single_file", "parquet_files", "partition_columns"]

Place: TypeAlias = Path | str
"""A path of this machine, or an address such as ``s3://bucket/lake/orders``.

Who may read there is said by the object store's own variables, such as ``AWS_ACCESS_KEY_ID`` and
``AWS_ENDPOINT_URL``.
"""

CALENDAR: Final = {"year": "%Y", "month": "%m", "day": "%d"}
"""The hive partitions that follow from the event time, and how each is made of it."""


def is_single_file(place: Place) -> bool:
    """Tell whether a table is one file of this machine, or is to be one."""
    return isinstance(place, Path) and (
        place.is_file() or (place.suffix == ".parquet" and not place.is_dir())
    )


def parquet_files(root: Place) -> Sequence[Place]:
    """List a table's Parquet files in order of their paths; hidden names are left out.

    Parameters
    ----------
    root
        A file, or a folder of any depth. Names that begin with ``.`` or ``_`` are hidden.

    Raises
    ------
    SourceError
        If an object store cannot be read.
    """
    if isinstance(root, str):
        return _remote_files(root)
    if root.is_file():
        return [root]
    return sorted(
        path
        for path in root.rglob("*.parquet")
        if path.is_file() and not _is_hidden(path.relative_to(root))
    )


def partition_columns(root: Place, files: Sequence[Place]) -> list[str]:
    """Return the names of a folder's hive partitions, outermost first."""
    if not files:
        return []
    below = str(files[0])[len(str(root)) :]
    return [part.split("=", 1)[0] for part in PurePosixPath(below).parts[:-1] if "=" in part]


def _remote_files(address: str) -> list[Place]:
    try:
        store, root = fs.FileSystem.from_uri(address)
        if store.get_file_info(root).type == fs.FileType.File:
            return [address]
        found = store.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    except (OSError, pa.ArrowInvalid) as error:
        raise SourceError(
            f"Got {error} from {address}, but expected an object store that can be read."
        ) from error
    paths = (PurePosixPath(one.path).relative_to(root) for one in found if one.is_file)
    return [
        f"{address.rstrip('/')}/{path}"
        for path in sorted(paths)
        if path.suffix == ".parquet" and not _is_hidden(path)
    ]


def _is_hidden(below: PurePath) -> bool:
    return any(part.startswith((".", "_")) for part in below.parts)
