"""How many requests are answered at a time, and what becomes of those beyond."""

from __future__ import annotations

import time
from typing import Any, Final, Literal

import structlog
from starlette.types import Scope

from api.errors import OverloadedError

__all__ = ["BodyState", "RequestGate", "body_state"]

_log: Final = structlog.get_logger(__name__)

BodyState = Literal["arriving", "whole", "late"]

_BODY: Final = "zeroskew.body"
_COUNTED: Final = "zeroskew.counted"
_ALWAYS_ANSWERED: Final = ("/livez", "/readyz", "/metrics", "/v2/health/")
_LOG_PAUSE_SEC: Final = 1.0


def body_state(scope: Scope) -> BodyState:
    """Say whether a request's body is there; a server that does not tell may still receive it."""
    state: BodyState = scope.get(_BODY, "arriving")
    return state


class RequestGate:
    """Counts the requests whose bodies are there and whose answers are not.

    A request that is still arriving costs memory and no time, so it does not count: clients that
    drip their bodies keep nobody else out.

    Parameters
    ----------
    max_requests
        How many are answered at a time. What comes beyond is refused at once: it would wait
        longer than its client does, and cost those before it.
    """

    def __init__(self, max_requests: int) -> None:
        self._max_requests = max_requests
        self._n_under_way = 0
        self._n_refused = 0
        self._logged_at = 0.0

    def set_body(self, scope: dict[str, Any], state: BodyState) -> None:
        """Note for the application whether a request's body is there."""
        scope[_BODY] = state

    def admits(self, path: bytes | str) -> bool:
        """Tell whether a request may begin; questions about the service's health always may."""
        if self._n_under_way < self._max_requests:
            return True
        text = path if isinstance(path, str) else path.decode("latin-1")
        return text.startswith(_ALWAYS_ANSWERED)

    def enter(self, scope: Any) -> None:
        """Count a request from now on."""
        scope[_COUNTED] = True
        self._n_under_way += 1

    def enter_late(self, scope: Any) -> None:
        """Count a request whose body has arrived after its answer began.

        Raises
        ------
        OverloadedError
            If too many are under way.
        """
        if body_state(scope) != "arriving" or scope.get(_COUNTED):
            return
        if not self.admits(scope["path"]):
            self.note_refusal()
            raise OverloadedError
        self.enter(scope)

    def leave(self, scope: Any) -> None:
        """Count a request no longer."""
        if scope.pop(_COUNTED, False):
            self._n_under_way -= 1

    def note_refusal(self) -> None:
        """Count a refusal, and say from time to time how many there were."""
        self._n_refused += 1
        now = time.monotonic()
        if now - self._logged_at >= _LOG_PAUSE_SEC:
            _log.warning(
                "requests_refused", n_refused=self._n_refused, n_under_way=self._n_under_way
            )
            self._n_refused, self._logged_at = 0, now
