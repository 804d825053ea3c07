"""Files under the name of their own sha256: written in one step, verified when read."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Final

from zeroskew.contract.errors.service import ArtifactError, ArtifactMissingError

__all__ = ["DEFAULT_MAX_BYTES", "ArtifactStore", "no_artifact"]

DEFAULT_MAX_BYTES: Final = 512 * 1024 * 1024
_NO_FILE: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.EISDIR})
"""What opening a link, a pipe or a folder ends in: what stands there is not on its way."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class ArtifactStore:
    """A folder of immutable files, each named by the sha256 of its bytes.

    A file is read only where it really stands: a symbolic link in the folder is refused, and so
    is anything that is not a regular file. The folder itself may be reached by links.

    Parameters
    ----------
    root
        The folder; made at the first `put`.
    max_bytes
        A file larger than this is neither stored nor read.
    """

    def __init__(self, root: Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._root = root
        self._max_bytes = max_bytes

    def put(self, content: bytes) -> str:
        """Store `content` and return its address.

        The bytes are on disk before their name appears, so a reader sees all of them or
        none. Storing what is already there replaces it by the same bytes.

        Returns
        -------
        str
            The sha256 in 64 lower-case hexadecimal digits.

        Raises
        ------
        ArtifactError
            If `content` has more than ``max_bytes`` bytes.
        """
        self._check_size(len(content))
        sha256 = hashlib.sha256(content).hexdigest()
        path = self._path(sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
        return sha256

    def get(self, sha256: str) -> bytes:
        """Return the bytes stored under `sha256`.

        Raises
        ------
        ArtifactMissingError
            If nothing is stored there, or it cannot be read now.
        ArtifactError
            If `sha256` is not a sha256, or if what is stored is no regular file, is too large
            or has another sha256.
        """
        path = self._path(sha256)
        try:
            content = self._read(path)
        except FileNotFoundError as error:
            raise no_artifact(sha256) from error
        except OSError as error:
            if error.errno in _NO_FILE:
                raise ArtifactError(f"The artefact {sha256} is not a regular file.") from error
            raise ArtifactMissingError(f"The artefact {sha256} cannot be read now.") from error
        self._check_content(content, sha256)
        return content

    def _read(self, path: Path) -> bytes:
        """Read a file, but no more than its size may be; refuse links and what is no file."""
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            # Opening a pipe would otherwise wait for its writer.
            handle = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
            return file.read(self._max_bytes + 1)

    def _check_content(self, content: bytes, sha256: str) -> None:
        self._check_size(len(content))
        actual = hashlib.sha256(content).hexdigest()
        if actual != sha256:
            raise ArtifactError(f"Got bytes with sha256 {actual}, but expected {sha256}.")

    def _path(self, sha256: str) -> Path:
        if _SHA256.fullmatch(sha256) is None:
            raise ArtifactError(f"Got {sha256!r}, but expected 64 lower-case hexadecimal digits.")
        return self._root / sha256[:2] / sha256

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise ArtifactError(
                f"Got an artefact of at least {size} bytes, but expected at most {self._max_bytes}."
            )


def no_artifact(sha256: str) -> ArtifactMissingError:
    """Return the error for an address at which nothing is stored."""
    return ArtifactMissingError(f"Got sha256 {sha256}, but no artefact has that name.")


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
