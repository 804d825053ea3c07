"""The list of commands: true of each, and cheap."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from tests.support.command_line import run_command
from training.cli.commands import COMMANDS

HEAVY = frozenset({"feast", "polars", "pydantic", "rich", "sqlalchemy", "sqlmodel"})
LOADED = """
import json, sys
from training.cli.main import main
sys.argv = ["zeroskew", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def list_loaded(folder: Path, *arguments: str) -> set[str]:
    command = [sys.executable, "-c", LOADED, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_list_is_the_first_of_the_commands_own_help(name: str) -> None:
    entry = COMMANDS[name]
    found = getattr(importlib.import_module(f"training.cli.{entry.module}"), entry.attribute)
    said = found.info.help if isinstance(found, typer.Typer) else inspect.getdoc(found)
    assert said is not None
    first = said.partition("\n\n")[0]
    assert " ".join(first.split()) == entry.summary


@pytest.mark.parametrize("name", COMMANDS)
def test_each_tells_how_it_is_called(name: str, tmp_path: Path) -> None:
    done = run_command(name, "--help", environment={}, folder=tmp_path)
    assert done.returncode == 0
    assert f"Usage: zeroskew {name}" in done.stdout


def test_help_lists_all_and_loads_none(tmp_path: Path) -> None:
    said = run_command("--help", environment={}, folder=tmp_path).stdout
    assert re.findall(r"^  ([a-z]+)   +\S", said, re.MULTILINE) == list(COMMANDS)
    assert not list_loaded(tmp_path, "--help") & HEAVY


def test_models_are_listed_without_what_is_not_needed_for_it(tmp_path: Path) -> None:
    (tmp_path / "feature_repo").mkdir()
    (tmp_path / "feature_repo" / "feature_store.yaml").touch()
    assert run_command("models", environment={}, folder=tmp_path).returncode == 0
    assert not list_loaded(tmp_path, "models") & HEAVY - {"pydantic", "rich"}


def test_an_unknown_command_is_named(tmp_path: Path) -> None:
    done = run_command("trian", environment={}, folder=tmp_path)
    assert done.returncode == 2
    assert "'trian'" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [("models",), ("keys", "create", "shop", "--scope", "predict"), ("replay",), ("migrate",)],
)
def test_no_database_is_made_where_no_project_is(command: tuple[str, ...], tmp_path: Path) -> None:
    done = run_command(*command, folder=tmp_path)
    assert done.returncode == 1
    assert "Got no database var/zeroskew.db and no project in" in done.stdout
    assert list(tmp_path.iterdir()) == []
