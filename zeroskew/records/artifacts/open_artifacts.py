"""From the place of model files to what reads and writes them."""

from __future__ import annotations

from pathlib import Path

from zeroskew.records.artifacts.artifact_store import DEFAULT_MAX_BYTES, ArtifactStore

__all__ = ["open_artifacts"]


def open_artifacts(
    place: Path | str, *, cache: Path, max_bytes: int = DEFAULT_MAX_BYTES
) -> ArtifactStore:
    """Open a folder, or an object store where `place` is a URL.

    Parameters
    ----------
    place
        A folder's path, or a URL that fsspec takes.
    cache
        Where the files of an object store are kept once they were read.
    max_bytes
        A file larger than this is neither stored nor read.

    Raises
    ------
    ArtifactStoreUnavailableError
        If the object store cannot be opened.
    """
    if isinstance(place, str) and "://" in place:
        # A service with its files in a folder does without fsspec.
        from zeroskew.records.artifacts.object_artifact_store import ObjectArtifactStore

        return ObjectArtifactStore(place, cache=cache, max_bytes=max_bytes)
    return ArtifactStore(Path(place), max_bytes=max_bytes)
