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

import structlog

from zeroskew.records.prediction_log.logged_row import COLUMNS, LoggedRow

__all__ = ["Spool", "SpoolFullError"]

_HEAD: Final = struct.Struct("<II")
_BYTES: Final = tuple(
    COLUMNS.index(name)
    for name in ("features", "request_inputs", "statuses", "event_times", "output")
)
_TIMES: Final = tuple(COLUMNS.index(name) for name in ("time", "logged_at"))
_SEGMENT_BYTES: Final = 8 * 1024 * 1024
_log: Final = structlog.get_logger(__name__)


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
        self.n_unread = 0
        """How many segments could not be read, or not be removed, the last time it drained."""

    def append(self, rows: Sequence[LoggedRow]) -> None:
        """Write rows behind all others; they are on disk when it returns.

        Raises
        ------
        SpoolFullError
            If there is no room for them; nothing of them is kept then.
        """
        frame = _frame(rows)
        try:
            if self.measure_bytes() + len(frame) > self._max_bytes:
                raise SpoolFullError(
                    "The spool of the prediction log has no room within its bound."
                )
            segment = self._open_segment()
            end = segment.seek(0, os.SEEK_END)
            try:
                # A disk that is nearly full takes a part, and says nothing but how much.
                if segment.write(frame) != len(frame):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - as it would be
                os.fsync(segment.fileno())
            except OSError:
                self._take_back(segment, end)
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
        next time. A segment that cannot be read is passed over, and counted.
        """
        self._close_segment()
        self._has_grown = False
        n_unread = 0
        for path in self._list_segments():
            groups = self._drain_segment(path)
            while True:
                try:
                    rows = next(groups)
                except StopIteration:
                    break
                except Exception as error:
                    # No more files, no permission, or rows of another release: others may do.
                    _log.error("spool_not_read", reason=repr(error))
                    n_unread += 1
                    break
                # What the caller's work raises is not the segment's.
                yield rows
        self.n_unread = n_unread
        self.is_empty = not self._has_grown

    def _drain_segment(self, path: Path) -> Iterator[list[LoggedRow]]:
        """Yield the groups of a segment, unless another process holds it, and remove it."""
        with suppress(FileNotFoundError), path.open("r+b") as segment:
            try:
                fcntl.flock(segment, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            if os.fstat(segment.fileno()).st_ino != path.stat().st_ino:
                return  # It was rewritten meanwhile; the next time reads the new one.
            yield from _read_frames(segment)
            try:
                path.unlink(missing_ok=True)
            except OSError:
                # Where the folder cannot be changed, its file can: nothing comes twice.
                segment.truncate(0)
                raise

    def rewrite(self, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> int:
        """Change the rows of the segments that no process holds; return how many were not.

        `change` takes a row's columns and returns those that are to stand there instead, ``None``
        for no row. A segment is replaced as a whole. One that a process holds, or that cannot be
        read, stays as it is.
        """
        if self._folder.is_dir():
            # What an interrupted change left has rows that were changed since.
            for unfinished in self._folder.glob("*.part"):
                unfinished.unlink(missing_ok=True)
        n_left = 0
        for path in self._list_segments():
            with suppress(FileNotFoundError), path.open("r+b") as segment:
                try:
                    fcntl.flock(segment, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    n_left += 1
                    continue
                try:
                    read = list(_read_frames(segment))
                except Exception as error:  # Rows of another release, for one.
                    _log.error("spool_not_read", reason=repr(error))
                    n_left += 1
                    continue
                groups = [
                    [LoggedRow(**row) for old in rows if (row := change(old._asdict())) is not None]
                    for rows in read
                ]
                unfinished = path.with_suffix(".part")
                with unfinished.open("wb") as file:
                    for rows in groups:
                        file.write(_frame(rows))
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(path)
        return n_left

    def close(self) -> None:
        """Let go of the segment; its rows stay."""
        self._close_segment()

    def _open_segment(self) -> IO[bytes]:
        if self._segment is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{time.time_ns():020d}-{uuid4().hex}.spool"
            segment = path.open("xb", buffering=0)
            try:
                fcntl.flock(segment, fcntl.LOCK_EX)
            except OSError:
                segment.close()
                raise
            self._segment = segment
        return self._segment

    def _take_back(self, segment: IO[bytes], end: int) -> None:
        """Take a frame that was written in part off a segment, or else leave the segment."""
        try:
            segment.truncate(end)
        except OSError:
            # Its torn frame ends it: what was written behind would never be read.
            self._close_segment()

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
            with suppress(OSError):  # Another process has drained it meanwhile, or hides it.
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
