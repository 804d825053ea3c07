"""Where rows wait while the database is away: bounded files, read back in order."""

from __future__ import annotations

import base64
import errno
import fcntl
import json
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final
from uuid import uuid4

from api.prediction_log.logged_rows import COLUMNS, LoggedRow

__all__ = ["Spool", "SpoolFullError"]

_HEAD: Final = struct.Struct("<II")
_BYTES: Final = tuple(
    COLUMNS.index(name)
    for name in ("features", "request_inputs", "statuses", "event_times", "output")
)
_TIMES: Final = tuple(COLUMNS.index(name) for name in ("time", "logged_at"))
_SEGMENT_BYTES: Final = 8 * 1024 * 1024


class SpoolFullError(Exception):
    """There is no room for more rows, on the disk or within the bound."""


class Spool:
    """Segments of rows in a folder that several processes may share.

    A segment is a row of frames: length and CRC-32 of the payload, little-endian, then the
    rows as JSON. A process appends to a segment of its own, which it holds locked; the locks of
    a process that died are gone with it, so whoever drains takes its segments too. A frame that
    is torn, because the process died while it wrote, ends its segment.

    Parameters
    ----------
    folder
        Made when it is first needed.
    max_bytes
        How large all segments together may become.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment: IO[bytes] | None = None
        self._has_grown = False
        self.is_empty = not self._list_segments()
        """Whether this process knows of no segment: it has made none and left none."""

    def append(self, rows: Sequence[LoggedRow]) -> None:
        """Write rows behind all others; they are on disk when it returns.

        Raises
        ------
        SpoolFullError
            If there is no room for them; nothing of them is kept then.
        """
        frame = _frame(rows)
        if self.measure_bytes() + len(frame) > self._max_bytes:
            raise SpoolFullError("The spool of the prediction log has no room within its bound.")
        try:
            segment = self._open_segment()
            end = segment.seek(0, os.SEEK_END)
            try:
                # A disk that is nearly full takes a part, and says nothing but how much.
                if segment.write(frame) != len(frame):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - as it would be
                os.fsync(segment.fileno())
            except OSError:
                segment.truncate(end)
                raise
        except OSError as error:
            raise SpoolFullError("The spool of the prediction log cannot be written.") from error
        self.is_empty, self._has_grown = False, True
        if end + len(frame) > _SEGMENT_BYTES:
            self._close_segment()

    def drain(self) -> Iterator[list[LoggedRow]]:
        """Yield the rows group by group, in order; a segment is gone once its last is taken.

        What is appended meanwhile comes the next time. Segments of other living processes are
        left to them. Whoever stops early finds what was not taken, and the group that was, the
        next time.
        """
        self._close_segment()
        self._has_grown = False
        for path in self._list_segments():
            with suppress(FileNotFoundError), path.open("r+b") as segment:
                try:
                    fcntl.flock(segment, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                if os.fstat(segment.fileno()).st_ino != path.stat().st_ino:
                    continue  # It was rewritten meanwhile; the next time reads the new one.
                yield from _read_frames(segment)
                path.unlink(missing_ok=True)
        self.is_empty = not self._has_grown

    def rewrite(self, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> int:
        """Change the rows of the segments that no process holds; return how many are held.

        `change` takes a row's columns and returns those that are to stand there instead, ``None``
        for no row. A segment is replaced as a whole.
        """
        n_held = 0
        for path in self._list_segments():
            with suppress(FileNotFoundError), path.open("r+b") as segment:
                try:
                    fcntl.flock(segment, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    n_held += 1
                    continue
                groups = [
                    [LoggedRow(**row) for old in rows if (row := change(old._asdict())) is not None]
                    for rows in _read_frames(segment)
                ]
                unfinished = path.with_suffix(".part")
                with unfinished.open("wb") as file:
                    for rows in groups:
                        file.write(_frame(rows))
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(path)
        return n_held

    def close(self) -> None:
        """Let go of the segment; its rows stay."""
        self._close_segment()

    def _open_segment(self) -> IO[bytes]:
        if self._segment is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{time.time_ns():020d}-{uuid4().hex}.spool"
            self._segment = path.open("xb", buffering=0)
            fcntl.flock(self._segment, fcntl.LOCK_EX)
        return self._segment

    def _close_segment(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _list_segments(self) -> list[Path]:
        return sorted(self._folder.glob("*.spool")) if self._folder.is_dir() else []

    def measure_bytes(self) -> int:
        """Return the size of all segments, those of other processes included."""
        size = 0
        for path in self._list_segments():
            with suppress(FileNotFoundError):  # Another process has drained it meanwhile.
                size += path.stat().st_size
        return size


def _frame(rows: Sequence[LoggedRow]) -> bytes:
    payload = json.dumps([_to_json(row) for row in rows]).encode()
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def _read_frames(segment: IO[bytes]) -> Iterator[list[LoggedRow]]:
    while len(head := segment.read(_HEAD.size)) == _HEAD.size:
        length, crc = _HEAD.unpack(head)
        payload = segment.read(length)
        if len(payload) < length or zlib.crc32(payload) != crc:
            return
        yield [_from_json(values) for values in json.loads(payload)]


def _to_json(row: LoggedRow) -> list[Any]:
    values: list[Any] = list(row)
    for place in _BYTES:
        values[place] = base64.b64encode(values[place]).decode()
    for place in _TIMES:
        values[place] = values[place].isoformat()
    return values


def _from_json(values: list[Any]) -> LoggedRow:
    for place in _BYTES:
        values[place] = base64.b64decode(values[place])
    for place in _TIMES:
        values[place] = datetime.fromisoformat(values[place])
    return LoggedRow(*values)
