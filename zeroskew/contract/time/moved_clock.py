"""A clock that another process moves, so that time can pass at any speed."""

from __future__ import annotations

import mmap
import struct
from datetime import datetime
from pathlib import Path
from typing import Final

from zeroskew.contract.time.epoch import from_epoch_us, to_epoch_us

__all__ = ["ClockMover", "MovedClock"]

_FORMAT: Final = struct.Struct("<q")


class MovedClock:
    """Reads the time from a file: microseconds since the Unix epoch, int64, little-endian.

    Parameters
    ----------
    path
        The file that a `ClockMover` keeps.

    Raises
    ------
    ValueError
        If it is missing or has another size.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._memory = mmap.mmap(file.fileno(), _FORMAT.size, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise ValueError(f"Got no clock in {path}, but expected a file of 8 bytes.") from error

    def now(self) -> datetime:
        """Return the time of the file in UTC."""
        return from_epoch_us(self.now_us())

    def now_us(self) -> int:
        """Return the time of the file in microseconds since the Unix epoch."""
        micros: int = _FORMAT.unpack(self._memory[:])[0]
        return micros


class ClockMover:
    """Keeps the file of a `MovedClock`.

    Parameters
    ----------
    path
        Made if it is missing.
    start
        What the clock says first.
    """

    def __init__(self, path: Path, start: datetime) -> None:
        path.write_bytes(bytes(_FORMAT.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _FORMAT.size)
        self.move(start)

    def move(self, instant: datetime) -> None:
        """Let it be `instant`."""
        # Eight aligned bytes are stored at once: no reader sees a part of them.
        self._memory[:] = _FORMAT.pack(to_epoch_us(instant))
