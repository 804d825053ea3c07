"""What a run ran on, and with which versions."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import lightgbm as lgb

from benchmarks.bench_project import N_ALONE_TREES
from benchmarks.environments import BENTOML, MLSERVER
from benchmarks.sides.side import Context

__all__ = ["collect_facts"]

PACKAGES: Final = (
    "zeroskew",
    "feast",
    "fastapi",
    "uvicorn",
    "uvloop",
    "httptools",
    "pydantic",
    "numpy",
    "onnxruntime",
    "lightgbm",
    "redis",
    "hiredis",
)


def collect_facts(context: Context, wrk: str) -> dict[str, str]:
    """Return the date, the machine, the versions, and the size of what is asked."""
    project = context.project
    plan = project.manifest.plan
    n_trees = lgb.Booster(model_file=str(project.booster_file)).num_trees()
    n_features = sum(len(view.features) for view in plan.views)
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} cores of {_processor()}, {platform.system()}",
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "servers": ", ".join((*MLSERVER, *BENTOML[:1])).replace("==", " "),
        "redis": _find_version(["redis-server", "--version"], r"v=([\d.]+)"),
        "wrk": _find_version([wrk, "-v"], r"wrk (?:debian/)?([\d.]+)"),
        "model": f"{n_trees} trees of 31 leaves; alone: the first {N_ALONE_TREES}",
        "plan": f"{len(plan.views)} views, {n_features} stored features",
    }


def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _find_version(command: list[str], pattern: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - tools of the run
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else "unknown"
