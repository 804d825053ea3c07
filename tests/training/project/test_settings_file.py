"""A project's own settings: read by every command, checked by name, and below the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.command_line import run_command
from training.project.settings_file import read_settings_file
from training.project.workspace import Workspace
from zeroskew.contract.errors.project import SpecError


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give what is set here an end with the test."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


def write(folder: Path, text: str) -> None:
    (folder / "zeroskew.toml").write_text(text)


def test_commands_find_it_in_the_environment(tmp_path: Path) -> None:
    write(tmp_path, 'models = "here"\nport = 8001\nrequire_keys = true\n')
    read_settings_file(tmp_path)
    assert Workspace().models == Path("here")
    assert os.environ["ZEROSKEW_PORT"] == "8001"
    assert os.environ["ZEROSKEW_REQUIRE_KEYS"] == "true"


def test_the_environment_wins(tmp_path: Path) -> None:
    write(tmp_path, 'models = "here"\n')
    os.environ["ZEROSKEW_MODELS"] = "there"
    read_settings_file(tmp_path)
    assert Workspace().models == Path("there")


def test_without_one_nothing_is_done(tmp_path: Path) -> None:
    before = dict(os.environ)
    read_settings_file(tmp_path)
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'modles = "x"',
            "Got 'modles', but expected the name of a setting; did you mean 'models'?",
        ),
        ("xyzzy = 1", "Got 'xyzzy', but expected the name of a setting"),
        ("[models]\na = 1", "Got a table for 'models', but expected a value"),
        ("models = ", "but expected settings as TOML"),
        ('models = "\\u0000"', "Got a NUL in 'models', but expected text without"),
    ],
)
def test_what_is_no_setting_is_named(text: str, said: str, tmp_path: Path) -> None:
    write(tmp_path, text)
    with pytest.raises(SpecError) as refused:
        read_settings_file(tmp_path)
    assert said in str(refused.value)
    done = run_command("models", folder=tmp_path)
    assert (done.returncode, said in done.stdout) == (1, True)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "zeroskew.toml")
    with pytest.raises(SpecError, match="Got what is no file"):
        read_settings_file(tmp_path)


def test_help_is_there_where_the_file_is_wrong(tmp_path: Path) -> None:
    write(tmp_path, "xyzzy = 1")
    assert run_command("--help", folder=tmp_path).returncode == 0
