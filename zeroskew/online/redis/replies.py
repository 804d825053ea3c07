"""What Redis says when it refuses a command, in words for a client of the service."""

from __future__ import annotations

from typing import Final

from zeroskew.contract.errors.service import (
    OnlineStoreUnavailableError,
    OnlineValueError,
    ServiceError,
)

__all__ = ["MovedError", "translate_error"]

_REFUSED_LOGIN: Final = "The online store refuses the service's user or password."
_MESSAGES: Final = {
    "NOAUTH": _REFUSED_LOGIN,
    "WRONGPASS": _REFUSED_LOGIN,
    "NOPERM": "The online store does not let the service's user read features.",
    "LOADING": "The online store is still loading its data.",
    "BUSY": "The online store is busy with a script.",
    "MASTERDOWN": "The online store has lost its primary server.",
    "CLUSTERDOWN": "The online store's cluster is down.",
    "TRYAGAIN": "The online store is moving its data.",
    "OOM": "The online store is out of memory.",
}


class MovedError(OnlineStoreUnavailableError):
    """Another server of the cluster has the key now."""


def translate_error(error: Exception) -> ServiceError:
    """Return the service's error for an error reply, which becomes its cause.

    Parameters
    ----------
    error
        An error reply; its text begins with a word in capitals.
    """
    text = str(error)
    word = text.partition(" ")[0]
    translated: ServiceError
    if word == "WRONGTYPE":
        translated = OnlineValueError(
            "Got an entity in the online store that is not a hash, but expected what Feast writes."
        )
    elif word in {"MOVED", "ASK"}:
        translated = MovedError("The online store's cluster is moving its data.")
    elif text.startswith("ERR AUTH"):
        translated = OnlineStoreUnavailableError(_REFUSED_LOGIN)
    else:
        message = _MESSAGES.get(word, "The online store refused to be read.")
        translated = OnlineStoreUnavailableError(message)
    translated.__cause__ = error
    return translated
