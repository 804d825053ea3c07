"""The artefact store gives back the bytes that were put there, or refuses."""

import hashlib
from pathlib import Path

import pytest

from zeroskew.contract.errors.service import ArtifactError
from zeroskew.records.artifacts.artifact_store import ArtifactStore

CONTENT = b"a tree ensemble"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_what_was_put_comes_back_under_its_sha256(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "artifacts")
    assert store.put(CONTENT) == SHA256
    assert store.put(CONTENT) == SHA256
    assert store.get(SHA256) == CONTENT
    assert store.get(store.put(b"")) == b""


def test_no_temporary_file_stays_behind(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    store.put(CONTENT)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [SHA256]


@pytest.mark.parametrize("byte", range(len(CONTENT)))
def test_one_flipped_bit_is_refused(tmp_path: Path, byte: int) -> None:
    store = ArtifactStore(tmp_path)
    store.put(CONTENT)
    damaged = bytearray(CONTENT)
    damaged[byte] ^= 1
    next(path for path in tmp_path.rglob(SHA256)).write_bytes(damaged)
    with pytest.raises(ArtifactError, match=f"but expected {SHA256}"):
        store.get(SHA256)


@pytest.mark.parametrize(
    "name", ["", "../../etc/passwd", SHA256.upper(), SHA256[:-1], SHA256 + "\n", f"{SHA256}/x"]
)
def test_a_name_that_is_not_a_sha256_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match="expected 64 lower-case hexadecimal digits"):
        ArtifactStore(tmp_path).get(name)


def test_an_unknown_artefact_is_refused_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no artefact has that name") as raised:
        ArtifactStore(tmp_path).get(SHA256)
    assert str(tmp_path) not in str(raised.value)


def test_the_size_cap_holds_on_both_sides(tmp_path: Path) -> None:
    ArtifactStore(tmp_path).put(CONTENT)
    exact = ArtifactStore(tmp_path, max_bytes=len(CONTENT))
    assert exact.get(exact.put(CONTENT)) == CONTENT
    small = ArtifactStore(tmp_path, max_bytes=len(CONTENT) - 1)
    with pytest.raises(ArtifactError, match="expected at most 14"):
        small.put(CONTENT)
    with pytest.raises(ArtifactError, match="expected at most 14"):
        small.get(SHA256)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    sha256 = store.put(b"content")
    path = tmp_path / sha256[:2] / sha256
    path.unlink()
    path.mkdir()
    with pytest.raises(ArtifactError, match="not a regular file"):
        store.get(sha256)
