"""Where `zeroskew serve` will listen, and whether it can."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from zeroskew.contract.errors.project import StepError

__all__ = ["ServiceAddress"]


@dataclass(frozen=True)
class ServiceAddress:
    """A host of this machine, by name or as an address of either family, and a port."""

    host: str
    port: int

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> ServiceAddress:
        """Return what the environment says.

        Raises
        ------
        StepError
            If the port is none.
        """
        port = environment.get("ZEROSKEW_PORT", "8000")
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
            raise StepError(f"Got ZEROSKEW_PORT={port}, but expected a number from 0 to 65535")
        return cls(environment.get("ZEROSKEW_HOST", "127.0.0.1"), int(port))

    @property
    def url(self) -> str:
        """The address for a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def require_free(self) -> None:
        """Listen there for a moment, as the service will.

        Raises
        ------
        StepError
            If somebody else listens there, or nobody can.
        """
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            with socket.socket(family, kind, protocol) as probe:
                # As servers do, so that connections that have just ended are not in the way.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
                probe.listen()
        except (OSError, UnicodeError) as error:
            if getattr(error, "errno", None) == errno.EADDRINUSE:
                raise StepError(
                    f"Got ZEROSKEW_PORT={self.port}, but expected a free port: something answers "
                    "there"
                ) from error
            raise StepError(
                f"Got ZEROSKEW_HOST={self.host} and ZEROSKEW_PORT={self.port}, but expected an "
                f"address to listen on: {getattr(error, 'strerror', None) or error}"
            ) from error
