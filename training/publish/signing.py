"""Sign manifests with an Ed25519 key (RFC 8032), so that a service loads no others."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from zeroskew.contract.errors.project import StepError

__all__ = ["is_signed_by", "make_signing_key", "public_key_of", "sign_bytes"]


def make_signing_key(path: Path) -> str:
    """Write a new private key to a file that only its owner may read.

    Parameters
    ----------
    path : Path
        The new file, in PEM (PKCS #8) without a password.

    Returns
    -------
    str
        The public key in 64 hexadecimal digits, for ``ZEROSKEW_TRUSTED_KEYS``.

    Raises
    ------
    StepError
        If the file is there already: a key that is in use is not written over.
    """
    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise StepError(f"Got {path}, but expected a file that is not there yet") from error
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    return key.public_key().public_bytes_raw().hex()


def sign_bytes(content: bytes, key_file: Path) -> str:
    """Return the signature over some bytes, in 128 hexadecimal digits.

    Raises
    ------
    StepError
        If the file has no Ed25519 key in PEM without a password.
    """
    return _load_key(key_file).sign(content).hex()


def public_key_of(key_file: Path) -> str:
    """Return the public key of a private one, in 64 hexadecimal digits.

    Raises
    ------
    StepError
        If the file has no Ed25519 key in PEM without a password.
    """
    return _load_key(key_file).public_key().public_bytes_raw().hex()


def is_signed_by(content: bytes, signature: str, public_key: str) -> bool:
    """Tell whether a signature over some bytes is a key's."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), content)
    except (ValueError, InvalidSignature):
        return False
    return True


def _load_key(key_file: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise StepError(f"Got {key_file}, but expected a key of `zeroskew keygen`") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StepError(f"Got another kind of key in {key_file}, but expected Ed25519")
    return key
