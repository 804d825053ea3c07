"""The worked example, brought up by its own command, once for all tests that need it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from tests.support.command_line import run_command
from training.project.workspace import Workspace
from zeroskew.contract.manifest import Manifest
from zeroskew.declarations.model_spec import ModelSpec, load_model_spec
from zeroskew.records.registry.model_registry import ModelRegistry

__all__ = ["CLOCK", "MODELS", "FlightsProject", "bring_up"]

ROOT: Final = Path(__file__).parents[2]
CLOCK: Final = datetime.fromisoformat("2013-10-01T12:17:00Z")
MODELS: Final = ("arrival_delay_15", "arrival_delay_minutes")
LOG: Final = "up.log"


@dataclass(frozen=True)
class FlightsProject:
    """A copy of the feature repo in ``folder``, with all that `zeroskew up` made beside it."""

    folder: Path

    @property
    def workspace(self) -> Workspace:
        """Its folders."""
        return Workspace(
            feature_repo=self.folder / "feature_repo",
            models=ROOT / "training" / "models",
            home=self.folder / "var",
        )

    def copy(self, folder: Path) -> Workspace:
        """Copy tables and definitions, which a test changes; model files stay where they are."""
        shutil.copytree(self.folder / "feature_repo", folder / "feature_repo")
        shutil.copytree(self.workspace.lake_folder, folder / "var" / "lake")
        shutil.copytree(self.workspace.home / "feast", folder / "var" / "feast")
        return Workspace(
            feature_repo=folder / "feature_repo",
            models=self.workspace.models,
            home=folder / "var",
            database_url=self.workspace.database_url,
            artifacts_dir=self.workspace.artifacts_dir,
        )

    @property
    def log(self) -> str:
        """What the command printed."""
        return (self.folder / LOG).read_text()

    def environment(self) -> dict[str, str]:
        """Return the environment in which commands work on this project."""
        return os.environ | self.variables()

    def variables(self) -> dict[str, str]:
        """Return what that has of its own."""
        return {
            "ZEROSKEW_FEATURE_REPO": str(self.folder / "feature_repo"),
            "ZEROSKEW_HOME": str(self.folder / "var"),
            "ZEROSKEW_CLOCK": CLOCK.isoformat(),
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the ``zeroskew`` command."""
        return run_command(*arguments, environment=self.variables(), folder=ROOT)

    def spec(self, model: str) -> ModelSpec:
        """Return a model's declaration."""
        return load_model_spec(self.workspace.models, model)

    def manifest(self, model: str) -> Manifest:
        """Return the manifest of a model's champion."""
        registry = ModelRegistry.open(self.workspace.database_url)
        version = registry.resolve_alias(model, "champion")
        registry.close()
        content = self.workspace.open_artifacts().get(version.manifest_sha256)
        return Manifest.model_validate_json(content)


def bring_up(folder: Path) -> FlightsProject:
    """Bring the example up in ``folder``, or wait for and reuse what another process made."""
    folder.mkdir(exist_ok=True)
    project = FlightsProject(folder)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / LOG).exists():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / "feature_repo", folder / "feature_repo", ignore=ignored)
            done = subprocess.run(
                [Path(sys.executable).with_name("zeroskew"), "up", "--no-serve"],
                cwd=ROOT,
                env=project.environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            (folder / LOG).write_text(done.stdout)
    return project
