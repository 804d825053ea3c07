"""Feast's event times in Redis: a serialised ``google.protobuf.Timestamp``, to microseconds."""

from __future__ import annotations

from typing import Final

from zeroskew.contract.errors.service import OnlineValueError
from zeroskew.contract.time.epoch import FIRST_SECOND, LAST_SECOND, NEVER_US

__all__ = ["EventTimes", "decode_timestamp"]

_SECONDS_TAG: Final = 0x08
_NANOS_TAG: Final = 0x10
_LONGEST_VARINT: Final = 10
_SIGN: Final = 1 << 63


def decode_timestamp(raw: bytes) -> int:
    """Return the microseconds since the Unix epoch of a serialised ``Timestamp``.

    Nanoseconds below a microsecond are cut off, towards the past.

    Parameters
    ----------
    raw
        ``seconds`` (field 1) and ``nanos`` (field 2) as varints, in this order, each left out
        where it is zero.

    Raises
    ------
    OnlineValueError
        If `raw` is anything else, or an instant outside the years 1 to 9999.

    Examples
    --------
    >>> decode_timestamp(bytes([0x08, 0x02, 0x10, 0xE8, 0x07]))
    2000001
    """
    seconds, position = _read_field(raw, 0, _SECONDS_TAG)
    nanos, position = _read_field(raw, position, _NANOS_TAG)
    if (
        position != len(raw)
        or not FIRST_SECOND <= seconds <= LAST_SECOND
        or not 0 <= nanos < 1_000_000_000
    ):
        raise _damaged()
    return seconds * 1_000_000 + nanos // 1000


def _read_field(raw: bytes, position: int, tag: int) -> tuple[int, int]:
    """Return a varint field, as a signed 64-bit number, and where it ends; 0 if it is absent."""
    if position == len(raw) or raw[position] != tag:
        return 0, position
    value = 0
    for shift, byte in enumerate(raw[position + 1 : position + 1 + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            # A tenth byte above 1 leaves a number beyond 64 bits, which is out of any range.
            return value - ((value & _SIGN) << 1), position + shift + 2
    raise _damaged()


def _damaged() -> OnlineValueError:
    return OnlineValueError(
        "Got an event time in the online store that is not a timestamp of the years 1 to 9999, "
        "but expected what Feast writes."
    )


class EventTimes(dict[bytes | None, int]):
    """Event times in microseconds by their bytes; those not met before are decoded.

    Many entities share an event time, so most look-ups cost no decoding. ``None`` is
    `NEVER_US`.

    Parameters
    ----------
    max_size
        How many are remembered; beyond that, all are forgotten.
    """

    def __init__(self, max_size: int = 16_384) -> None:
        super().__init__({None: NEVER_US})
        self._max_size = max_size

    def __missing__(self, raw: bytes) -> int:
        event_us = decode_timestamp(raw)
        if len(self) >= self._max_size:
            self.clear()
            self[None] = NEVER_US
        self[raw] = event_us
        return event_us
