"""Files in an object store under the name of their own sha256, kept on this machine once read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import fsspec
import structlog

from zeroskew.contract.errors.service import ArtifactError, ArtifactStoreUnavailableError
from zeroskew.records.artifacts.artifact_store import DEFAULT_MAX_BYTES, ArtifactStore, no_artifact

__all__ = ["ObjectArtifactStore"]

_log: Final = structlog.get_logger(__name__)


class ObjectArtifactStore(ArtifactStore):
    """An object store behind a local folder, which is the cache of what was read or written.

    What the folder has is verified each time as in an `ArtifactStore`; a file there that is
    damaged or gone is fetched anew.

    Parameters
    ----------
    url
        What fsspec takes: ``s3://bucket/prefix``, ``gs://…``, ``abfs://…``, ``file:///…``,
        ``memory://…``. Credentials are those that the store's own library finds.
    cache
        The local folder; made at the first read.
    max_bytes
        A file larger than this is neither stored nor read.

    Raises
    ------
    ArtifactStoreUnavailableError
        If the library that speaks to such a store is not installed, or refuses the address.
    """

    def __init__(self, url: str, *, cache: Path, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        super().__init__(cache, max_bytes=max_bytes)
        try:
            self._files: Any
            self._files, root = fsspec.core.url_to_fs(url)
        except Exception as error:  # Each store's library raises its own.
            raise ArtifactStoreUnavailableError(
                "The object store of the artefacts cannot be opened: its library is not "
                "installed, or does not take the address."
            ) from error
        self._prefix = str(root).rstrip("/")

    def put(self, content: bytes) -> str:
        """Store `content` and return its address; see `ArtifactStore.put`.

        An object appears with all of its bytes or not at all, as object stores have it.

        Raises
        ------
        ArtifactError
            If `content` has more than ``max_bytes`` bytes.
        ArtifactStoreUnavailableError
            If the object store fails.
        """
        self._check_size(len(content))
        name = self._object_name(hashlib.sha256(content).hexdigest())
        try:
            self._files.makedirs(name.rpartition("/")[0], exist_ok=True)
            self._files.pipe_file(name, content)
        except Exception as error:  # Each store's library raises its own.
            raise _unavailable() from error
        return super().put(content)

    def get(self, sha256: str) -> bytes:
        """Return the bytes stored under `sha256`; see `ArtifactStore.get`.

        Raises
        ------
        ArtifactError
            If `sha256` is not a sha256, if nothing is stored there, or if what is stored is too
            large or has another sha256.
        ArtifactStoreUnavailableError
            If the object store fails.
        """
        try:
            return super().get(sha256)
        except ArtifactError as error:
            content = self._fetch(sha256)
            if error.__cause__ is None:  # It was there, and was not what it should be.
                _log.warning("cached_artifact_replaced", reason=str(error))
        try:
            super().put(content)
        except OSError as error:  # A full disk of this machine is no fault of the file's.
            _log.warning("artifact_not_cached", reason=repr(error))
        return content

    def _fetch(self, sha256: str) -> bytes:
        self._path(sha256)  # Refuses what is no sha256.
        try:
            # One byte more than allowed tells that there are too many.
            content: bytes = self._files.cat_file(
                self._object_name(sha256), start=0, end=self._max_bytes + 1
            )
        except FileNotFoundError as error:
            raise no_artifact(sha256) from error
        except Exception as error:  # Each store's library raises its own.
            raise _unavailable() from error
        self._check_content(content, sha256)
        return content

    def _object_name(self, sha256: str) -> str:
        return f"{self._prefix}/{sha256[:2]}/{sha256}"


def _unavailable() -> ArtifactStoreUnavailableError:
    return ArtifactStoreUnavailableError("The object store of the artefacts does not answer.")
