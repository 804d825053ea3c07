"""An object store behind a cache gives back the bytes that were put there, or refuses."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from zeroskew.contract.errors.service import ArtifactError, ArtifactStoreUnavailableError
from zeroskew.records.artifacts.artifact_store import ArtifactStore
from zeroskew.records.artifacts.object_artifact_store import ObjectArtifactStore
from zeroskew.records.artifacts.open_artifacts import open_artifacts

CONTENT = b"a tree ensemble"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
URL = "memory://bucket/models"


@pytest.fixture
def bucket() -> Iterator[fsspec.AbstractFileSystem]:
    """An object store in this process, empty before and after."""
    files = fsspec.filesystem("memory")
    files.rm("/bucket", recursive=True) if files.exists("/bucket") else None
    yield files
    files.rm("/bucket", recursive=True) if files.exists("/bucket") else None


def test_what_one_machine_puts_another_gets(
    tmp_path: Path, bucket: fsspec.AbstractFileSystem
) -> None:
    assert open_artifacts(URL, cache=tmp_path / "one").put(CONTENT) == SHA256
    assert bucket.cat_file(f"/bucket/models/{SHA256[:2]}/{SHA256}") == CONTENT
    assert open_artifacts(URL, cache=tmp_path / "two").get(SHA256) == CONTENT
    assert ArtifactStore(tmp_path / "two").get(SHA256) == CONTENT


def test_a_path_is_a_folder_and_needs_no_cache(tmp_path: Path) -> None:
    assert type(open_artifacts(tmp_path, cache=tmp_path / "cache")) is ArtifactStore
    assert type(open_artifacts(str(tmp_path), cache=tmp_path / "cache")) is ArtifactStore
    assert not (tmp_path / "cache").exists()


def test_a_damaged_object_is_refused_and_not_kept(
    tmp_path: Path, bucket: fsspec.AbstractFileSystem
) -> None:
    open_artifacts(URL, cache=tmp_path / "one").put(CONTENT)
    bucket.pipe_file(f"/bucket/models/{SHA256[:2]}/{SHA256}", CONTENT[:-1])
    with pytest.raises(ArtifactError, match=f"but expected {SHA256}"):
        open_artifacts(URL, cache=tmp_path / "two").get(SHA256)
    assert not list((tmp_path / "two").rglob(SHA256))


def test_a_damaged_copy_is_fetched_again(tmp_path: Path, bucket: fsspec.AbstractFileSystem) -> None:
    store = open_artifacts(URL, cache=tmp_path)
    store.put(CONTENT)
    path = next(tmp_path.rglob(SHA256))
    path.write_bytes(b"damaged")
    assert store.get(SHA256) == CONTENT
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["../../etc/passwd", SHA256.upper(), ""])
def test_a_name_that_is_not_a_sha256_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match="expected 64 lower-case hexadecimal digits"):
        open_artifacts(URL, cache=tmp_path).get(name)


def test_an_unknown_or_too_large_object_is_refused(
    tmp_path: Path, bucket: fsspec.AbstractFileSystem
) -> None:
    with pytest.raises(ArtifactError, match="no artefact has that name"):
        open_artifacts(URL, cache=tmp_path).get(SHA256)
    open_artifacts(URL, cache=tmp_path / "one").put(CONTENT)
    small = open_artifacts(URL, cache=tmp_path / "two", max_bytes=len(CONTENT) - 1)
    with pytest.raises(ArtifactError, match="expected at most 14"):
        small.get(SHA256)
    with pytest.raises(ArtifactError, match="expected at most 14"):
        small.put(CONTENT)


def test_a_store_that_fails_is_unavailable_and_says_no_address(tmp_path: Path) -> None:
    (tmp_path / "bucket" / SHA256[:2] / SHA256).mkdir(parents=True)
    store = ObjectArtifactStore(f"file://{tmp_path}/bucket", cache=tmp_path / "cache")
    with pytest.raises(ArtifactStoreUnavailableError, match="does not answer") as raised:
        store.get(SHA256)
    assert str(tmp_path) not in str(raised.value)


def test_an_address_of_no_known_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactStoreUnavailableError, match="cannot be opened"):
        open_artifacts("nothing://bucket", cache=tmp_path)
