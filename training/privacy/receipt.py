"""Says under a signature that an erasure was done, and nothing of whose it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from training.publish.signing import is_signed_by, public_key_of, sign_bytes
from zeroskew.contract.version import VERSION

__all__ = ["Receipt", "make_receipt", "verify_receipt"]


class Receipt(BaseModel):
    """What was erased, by place; ``reference`` is what the caller's own records call it.

    ``places`` are those that were looked at, and ``left`` those that were not, and versions whose
    manifest names the subject. ``is_complete`` is said of ``places``: nothing of the subject is
    there, and no service held a part of its spool.
    Receipts of earlier releases have neither list.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = "erasure"
    id: str
    time: datetime
    release: str
    reference: str
    erased: dict[str, int]
    is_complete: bool
    places: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    public_key: str
    signature: str = ""

    def content(self) -> bytes:
        """Return the bytes that are signed: canonical JSON without the signature."""
        without = {"signature"} if self.places else {"signature", "places", "left"}
        said = self.model_dump(mode="json", exclude=without)
        return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def make_receipt(
    erased: dict[str, int],
    *,
    is_complete: bool,
    places: Sequence[str],
    left: Sequence[str],
    reference: str,
    key_file: Path,
) -> Receipt:
    """Make and sign a receipt.

    Raises
    ------
    StepError
        If the file has no key to sign with.
    """
    receipt = Receipt(
        id=str(uuid4()),
        time=datetime.now(UTC),
        release=VERSION,
        reference=reference,
        erased=erased,
        is_complete=is_complete,
        places=tuple(places),
        left=tuple(left),
        public_key=public_key_of(key_file),
    )
    return receipt.model_copy(update={"signature": sign_bytes(receipt.content(), key_file)})


def verify_receipt(content: str, public_key: str) -> Receipt | None:
    """Return a receipt that a key has signed, ``None`` where it has not."""
    try:
        receipt = Receipt.model_validate_json(content)
    except ValidationError:
        return None
    return receipt if is_signed_by(receipt.content(), receipt.signature, public_key) else None
