"""A connection's transport that closes only when the client has had time to read the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

__all__ = ["LingeringTransport"]

_LINGER_SEC: Final = 10.0
_MAX_DISCARDED_BYTES: Final = 512 * 1024 * 1024


class LingeringTransport:
    """Closes its own side at once, and the client's when nothing more is to be expected of it.

    Where bytes that nobody has read come to a closed connection, or lie there when it is closed,
    the kernel answers with a reset, and a client that is still sending never sees the answer that
    was written before (RFC 9112, 9.6). So what still comes is read and thrown away until the
    client has done, for ten seconds and half a GiB at the most.

    Parameters
    ----------
    transport
        The connection's own.
    loop
        Its event loop.
    is_sending
        Tells whether the client is in the middle of a request.
    """

    def __init__(
        self, transport: Any, *, loop: asyncio.AbstractEventLoop, is_sending: Callable[[], bool]
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._is_sending = is_sending
        self._n_discarded = 0
        self.is_closed = False
        """Whether it was closed; what comes after that is to be discarded."""
        self._deadline: asyncio.TimerHandle | None = None
        self.get_extra_info = transport.get_extra_info
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        """Write, as long as it is not closed."""
        if not self.is_closed:
            self._transport.write(data)

    def is_closing(self) -> bool:
        """Return whether no more is to be written or looked at."""
        return self.is_closed or self._transport.is_closing()

    def close(self) -> None:
        """Write what is to be written, and end."""
        if self.is_closing():
            return
        self.is_closed = True
        if self._is_sending() and self._transport.can_write_eof():
            self._deadline = self._loop.call_later(_LINGER_SEC, self._transport.abort)
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
            self._transport.close()

    def discard(self, n_bytes: int) -> None:
        """Count bytes that nobody reads, and give up on a client with too many of them."""
        self._n_discarded += n_bytes
        if self._n_discarded > _MAX_DISCARDED_BYTES:
            self._transport.abort()

    def end(self) -> None:
        """Wait for the client no longer."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._transport.close()
