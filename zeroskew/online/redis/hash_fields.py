"""The fields of an entity's hash, as Feast names them: features' hashes, views' event times."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, NamedTuple

from zeroskew.online.reader import StoredView

__all__ = ["HashFields", "name_hash_fields"]

_MASK: Final = 0xFFFF_FFFF


class HashFields(NamedTuple):
    """The fields of a view: those of its features, in their order, and that of its event time."""

    features: tuple[bytes, ...]
    event_time: bytes


def name_hash_fields(project: str, view: StoredView) -> HashFields:
    r"""Return the fields that Feast's own Redis store gives a view of a project.

    >>> name_hash_fields("trial", StoredView("sales", "trial_sales", ("size",)))
    HashFields(features=(b'\x10\x13\x17=',), event_time=b'_ts:sales')
    """
    return _name_fields(view.table.removeprefix(f"{project}_"), view.features)


# A push names them anew for each request, a read once for each plan.
@lru_cache(maxsize=1024)
def _name_fields(stored_name: str, features: tuple[str, ...]) -> HashFields:
    hashes = (_murmur3_32(f"{stored_name}:{feature}".encode()) for feature in features)
    fields = tuple(struct.pack("<I", number) for number in hashes)
    return HashFields(fields, f"_ts:{stored_name}".encode())


def _murmur3_32(content: bytes) -> int:
    """Return MurmurHash3_x86_32 with seed 0 of some bytes.

    Its author's code: https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp
    """
    n_whole = len(content) // 4 * 4
    number = 0
    for (block,) in struct.iter_unpack("<I", content[:n_whole]):
        number = _rotate(number ^ _mix_block(block), 13) * 5 + 0xE654_6B64 & _MASK
    number ^= _mix_block(int.from_bytes(content[n_whole:], "little")) ^ len(content)
    number = (number ^ number >> 16) * 0x85EB_CA6B & _MASK
    number = (number ^ number >> 13) * 0xC2B2_AE35 & _MASK
    return number ^ number >> 16


def _mix_block(block: int) -> int:
    return _rotate(block * 0xCC9E_2D51 & _MASK, 15) * 0x1B87_3593 & _MASK


def _rotate(number: int, n_bits: int) -> int:
    return (number << n_bits | number >> 32 - n_bits) & _MASK
