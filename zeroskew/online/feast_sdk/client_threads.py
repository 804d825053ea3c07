"""Threads for store clients that block: one client each, and a stuck thread is replaced."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Generic, TypeVar

__all__ = ["ClientThreads", "PendingCall", "ThreadsBusyError"]

_MOST_WAITING: Final = 1000
_MOST_LATE: Final = 32

Client = TypeVar("Client")
Answer = TypeVar("Answer")


class ThreadsBusyError(Exception):
    """So many calls wait already that another one would not be answered in time."""


class PendingCall(Generic[Client, Answer]):
    """A call and its future answer."""

    def __init__(self, function: Callable[[Client], Answer]) -> None:
        self.function = function
        self.future: Future[Answer] = Future()
        self.is_given_up = False


class ClientThreads(Generic[Client, Answer]):
    """Runs calls on clients that block and that only one thread at a time may use.

    A call that is given up while it runs may keep its thread for as long as the client
    pleases. Another thread takes its place, and it ends when the client lets it go. The threads
    are daemons, so that a stuck one does not keep the process from ending.

    Parameters
    ----------
    open_client
        Makes a thread's client. A thread whose call failed makes another one.
    close_client
        Releases a client.
    n_threads
        How many calls run at a time.
    """

    def __init__(
        self,
        open_client: Callable[[], Client],
        close_client: Callable[[Client], None],
        *,
        n_threads: int,
    ) -> None:
        self._open_client = open_client
        self._close_client = close_client
        self._n_threads = n_threads
        self._calls: queue.SimpleQueue[PendingCall[Client, Answer] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._n_running = 0
        self._n_late = 0

    def submit(self, function: Callable[[Client], Answer]) -> PendingCall[Client, Answer]:
        """Call `function` with a thread's client, as soon as one is free.

        Raises
        ------
        ThreadsBusyError
            If too many calls wait for one.
        """
        if self._calls.qsize() >= _MOST_WAITING:
            raise ThreadsBusyError
        call = PendingCall(function)
        self._calls.put(call)
        with self._lock:
            if self._n_running < self._n_threads:
                self._start_thread()
        return call

    def give_up(self, call: PendingCall[Client, Answer]) -> None:
        """Stop waiting for a call; nothing happens if it is answered."""
        if call.future.cancel():
            return
        with self._lock:
            # Were late threads without number, a store that is silent for long would use up
            # the memory.
            if not call.future.done() and self._n_late < _MOST_LATE:
                call.is_given_up = True
                self._n_late += 1
                self._n_running -= 1
                self._start_thread()

    def close(self) -> None:
        """Let each thread end after the call it is in."""
        with self._lock:
            for _ in range(self._n_running):
                self._calls.put(None)

    def _start_thread(self) -> None:
        self._n_running += 1
        threading.Thread(target=self._run, name="online-store", daemon=True).start()

    def _run(self) -> None:
        client: Client | None = None
        while (call := self._calls.get()) is not None:
            if not call.future.set_running_or_notify_cancel():
                continue
            client, answer, error = self._call(client, call.function)
            with self._lock:
                if error is None:
                    call.future.set_result(answer)  # type: ignore[arg-type]  # there is one then
                else:
                    call.future.set_exception(error)
                if call.is_given_up:
                    self._n_late -= 1
                    break
        if client is not None:
            self._close_client(client)

    def _call(
        self, client: Client | None, function: Callable[[Client], Answer]
    ) -> tuple[Client | None, Answer | None, Exception | None]:
        """Return the client for the next call, and the answer or the error.

        A client that worked before may have lost its connection since; a new one gets a try.
        """
        while True:
            is_new = client is None
            try:
                client = self._open_client() if client is None else client
                return client, function(client), None
            except Exception as error:
                # Whatever it is, the one who asked must hear of it.
                if client is not None:
                    self._close_client(client)
                client = None
                if is_new:
                    return None, None, error
