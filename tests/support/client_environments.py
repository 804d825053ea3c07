"""Other people's clients of inference servers, and a server of S3, each in its own environment.

Their packages (gevent, Kubernetes' client, web frameworks of older releases) must not meet ours.
What is installed stays below ``var/clients``.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Final

from benchmarks.environments import install

__all__ = [
    "KSERVE",
    "MLSERVER",
    "MOTO",
    "OPENAPI_CLIENT",
    "SCHEMATHESIS",
    "TRITON",
    "client_programs",
]

HOME: Final = Path(__file__).parents[2] / "var" / "clients"
KSERVE: Final = ("kserve==0.21.0",)
TRITON: Final = ("tritonclient[http]==2.73.0",)
MLSERVER: Final = ("mlserver==1.7.1",)
MOTO: Final = ("moto==5.2.5", "flask==3.1.3", "flask-cors==6.0.5")
OPENAPI_CLIENT: Final = ("openapi-python-client==0.29.1",)
SCHEMATHESIS: Final = ("schemathesis==4.32.5",)


def client_programs(name: str, packages: tuple[str, ...]) -> Path:
    """Return the programs' folder of the environment, made by one process where it is missing."""
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return install(name, packages, HOME)
