"""Settings are told as they are, and without what is secret in them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from training.project.workspace import Workspace
from zeroskew.contract.errors.project import StepError
from zeroskew.contract.settings import Settings
from zeroskew.contract.settings_page import (
    describe_refusals,
    describe_settings,
    render_markdown,
    render_text,
)
from zeroskew.records.database.open_database import open_database
from zeroskew.records.labels.label_store import open_label_store
from zeroskew.records.registry.open_registry import open_registry
from zeroskew.records.registry.sqlite_registry import SqliteRegistry

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_page_has_every_setting_as_the_code_has_it() -> None:
    assert PAGE.read_text().endswith("\n\n" + render_markdown())


def test_passwords_are_left_out_and_changes_are_marked() -> None:
    urls = {
        "database_url": "postgresql://ann:s3cret@db/zeroskew",
        "online_store": "rediss://:s3cret@store:6379/1",
        "rate_limit_store": "redis://limits",
    }
    text = render_text(Settings.model_validate(urls | {"cors_origins": "https://a.b,https://c.d"}))
    assert "s3cret" not in text
    assert "* ZEROSKEW_DATABASE_URL=postgresql://ann:***@db/zeroskew\n" in text
    assert "* ZEROSKEW_ONLINE_STORE=rediss://:***@store:6379/1\n" in text
    assert "* ZEROSKEW_CORS_ORIGINS=https://a.b,https://c.d\n" in text
    assert "\n  ZEROSKEW_PORT=8000\n" in text


@pytest.mark.parametrize(
    "url",
    [
        *("sqlite:///x.db?timeout=5", "sqlite:///file:x.db?mode=ro&uri=true", "sqlite://"),
        *("sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite:///x.db", "mysql://a:s3cret@b/c"),
        *("x.db", "postgresql://"),
    ],
)
def test_service_and_commands_refuse_what_is_one_file_to_one_and_another_to_the_other(
    url: str,
) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(database_url=url)
    ((variable, sentence),) = describe_refusals(refused.value)
    assert variable == "ZEROSKEW_DATABASE_URL"
    assert "but expected sqlite:///<path> without options or postgresql://" in sentence
    with pytest.raises(StepError, match=r"ZEROSKEW_DATABASE_URL: Got .* without options") as said:
        Workspace(database_url=url)
    assert "s3cret" not in f"{sentence} {said.value}"


def test_service_and_commands_find_the_same_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a:b #1%20.db"
    open_database(url).dispose()
    assert Workspace(database_url=url).database_file == tmp_path / "a:b #1%20.db"
    assert [path.name for path in tmp_path.iterdir()] == ["a:b #1%20.db"]
    assert isinstance(open_registry(url, busy_timeout_sec=1), SqliteRegistry)
    assert open_label_store(url, timeout_sec=1).read("any") == []


def test_variables_are_those_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in describe_settings(Settings()):
        if row.default.isdigit() and row.variable != "ZEROSKEW_SHUTDOWN_GRACE_SEC":
            monkeypatch.setenv(row.variable, "3")
    values = {row.variable: row.value for row in describe_settings(Settings())}
    assert values["ZEROSKEW_MAX_INSTANCES"] == values["ZEROSKEW_PORT"] == "3"
